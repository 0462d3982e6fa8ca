"""The recipe of image sets: read, or refused with every problem at once."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from ex2.recipe_io import is_of_sets, read_recipe, read_set_recipe, to_yaml
from reward.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
SETS = """
name: sets
vlm: {name: toy}
dataset: {name: shapes, reward_split: reward, test_split: test}
images:
  per_class: 8
  sets:
    original: {generator: {name: original}, usd_per_image: 0.012}
    named: {generator: {name: toy, knows: [wug]}, per_class: 12}
measure: {shots: [4, 8]}
"""


def written(folder: Path, text: str = SETS) -> Path:
    path = folder / "sets.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_recipe_of_sets_is_read_with_its_defaults(tmp_path: Path) -> None:
    recipe = read_set_recipe(written(tmp_path), ["images.sets.named.generator.error={pattern: 0.25}", "threads=1"])
    assert [*recipe.images.sets] == ["original", "named"]
    assert (recipe.reference, recipe.per_class("original"), recipe.per_class("named")) == ("original", 8, 12)
    assert recipe.images.sets["named"].generator.settings == {"knows": ["wug"], "error": {"pattern": 0.25}}
    assert recipe.images.sets["named"].strategy.name == "name"
    assert (recipe.images.seeds, recipe.images.root, recipe.threads) == ([0, 1, 2], "sets", 1)
    assert (recipe.measure.centers, recipe.measure.ensemble, recipe.measure.overlap) == ("unit", "centers", "error")
    again = written(tmp_path, to_yaml(recipe))
    assert read_set_recipe(again) == recipe


REFUSED = [
    ("images.seeds=[]", "images.seeds: given []"),
    ("images.seeds=[1, 1]", "images.seeds: given [1, 1]"),
    ("images.per_class=0", "images.per_class: given 0"),
    ("images.sets={}", "images.sets: given {}"),
    ("images.sets.named.generater=1", "images.sets.named: unknown 'generater'. Did you mean 'generator'?"),
    ("images.sets.named.generator=5", "images.sets.named.generator: given 5"),
    ("images.sets.named.usd_per_hour=-1", "images.sets.named.usd_per_hour: given -1"),
    ("measure.metrics=[cler, fid]", "measure.metrics.1: unknown 'fid'"),
    ("measure.metrics=[cler, cler]", "measure.metrics: given ['cler', 'cler']"),
    ("measure.centers=centres", "measure.centers: unknown 'centres'"),
    ("measure.permutations=98", "measure.permutations: given 98"),
    ("measure.against=other", "measure.against: 'other' is none of the sets (original, named)"),
    ("measure.shots=[4, 9, 20]", "measure.shots: 9, 20 of 8 images that 'original' has of a class; "),
    ("measure.shots=[4, 9, 20]", "measure.shots: 20 of 12 images that 'named' has of a class."),
    ("policy.modell=x", "top level: unknown 'policy'"),
    ("measur.shots=[1]", "top level: unknown 'measur'. Did you mean 'measure'?"),
]


@pytest.mark.parametrize(("override", "said"), REFUSED, ids=[override for override, _ in REFUSED])
def test_what_does_not_fit_is_refused_with_its_place(tmp_path: Path, override: str, said: str) -> None:
    path = written(tmp_path)
    with pytest.raises(UserError) as caught:
        read_set_recipe(path, [override])
    assert said in str(caught.value)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize("name", ["a/b", "..", "", ".x", "x" * 65, "a b", "é"])
def test_a_set_whose_name_is_no_folder_is_refused(tmp_path: Path, name: str) -> None:
    tree = yaml.safe_load(SETS)
    tree["images"]["sets"][name] = {"generator": {"name": "toy"}}
    with pytest.raises(UserError, match=r"images\.sets"):
        read_set_recipe(written(tmp_path, yaml.safe_dump(tree)))


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        read_set_recipe(written(tmp_path), ["images.per_class=0", "measure.centers=x", "name=a/b"])
    assert [line.split(": ")[1] for line in str(caught.value).splitlines()] == [
        "name",
        "images.per_class",
        "measure.centers",
    ]


def test_the_two_kinds_of_recipe_are_told_apart(tmp_path: Path) -> None:
    path, demo = written(tmp_path), ROOT / "recipes/demo/visual.yaml"
    assert is_of_sets(path)
    assert not is_of_sets(demo)
    with pytest.raises(UserError, match=r"is a recipe of image sets, which trains nothing; .* ex2 draw "):
        read_recipe(path)
    with pytest.raises(UserError, match=r"visual\.yaml: has no section `images`, which names the image sets"):
        read_set_recipe(demo)
