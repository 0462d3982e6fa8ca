"""Recipes with recognizers: the one that ships, and what `ex2 validate` says of weights and maps that are missing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml
from paths import ROOT
from small_sets import class_folders, toy_set
from torchvision.models import get_model

from ex2.checks.sets import examine_sets, recognizer_parts
from ex2.data.synsets import packaged_synsets
from ex2.recipe_io import read_set_recipe, read_words, to_yaml
from ex2.set_recipe import Measure, SetRecipe
from reward.errors import UserError
from reward.recognizers.table import PINNED

RECIPE = ROOT / "recipes/understanding/dalle2_midjourney.yaml"


def test_the_paper_s_recipe_names_its_ten_models() -> None:
    recipe = read_set_recipe(RECIPE)
    named = [one.name for one in recipe.measure.recognizers]
    assert [PINNED[name].paper for name in named[:-1]] == [row.paper for row in PINNED.values() if row.paper]
    assert named[-1] == "vlm"
    for depth in ("form", "settings"):
        assert examine_sets(recipe, str(RECIPE), depth=depth).problems == []  # type: ignore[arg-type]
    assert yaml.safe_load(to_yaml(recipe))["measure"]["recognizers"][0] == {"name": "alexnet"}
    text = " ".join(RECIPE.read_text().replace("#", " ").replace(",", " ").split())
    words = text.partition("names: ")[2].partition(" is its example")[0].replace(" and vase;", " vase").split()
    categories = [*words[:-2], " ".join(words[-2:])]
    assert len(categories) == 17
    assert [name for name in categories if name not in packaged_synsets()] == []


def recipe_of(root: Path, recognizers: str, **changed: str) -> SetRecipe:
    drawn = toy_set(root / "sets", "toy", per_class=2)
    for split in ("train", "test"):
        class_folders(drawn, root / "photos" / split)
    path = root / "r.yaml"
    path.write_text(
        f"name: r\noutput_dir: {root}/runs\nvlm: {{name: demo-visual}}\n"
        f"dataset: {{name: folder, root: {root}/photos, reward_split: train, test_split: test}}\n"
        f"images: {{root: {root}/drawn, seeds: [0], per_class: 2, sets: {{a: {{generator: {{name: original, "
        f"split: train}}}}}}}}\nmeasure: {{metrics: [cler], recognizers: {recognizers}}}\n"
    )
    return read_set_recipe(path, [f"{key}={value}" for key, value in changed.items()])


def test_validate_says_all_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    recipe = recipe_of(tmp_path, "[{name: alexnet}, {name: torchvision, model: vgg11, weights: no.pth}, {name: vlm}]")
    found = examine_sets(recipe, "r.yaml")
    assert [line.partition(";")[0] for line in found.lacking] == [
        "r.yaml: measure.recognizers.0: the weights IMAGENET1K_V1 of alexnet are not on this machine",
        "r.yaml: measure.recognizers.1: weights no.pth: no such file",
    ]
    assert found.wrong == []
    with pytest.raises(UserError):
        found.refuse()
    (tmp_path / "photos").rename(tmp_path / "moved")  # weights are told beside whatever else is missing
    both = examine_sets(recipe, "r.yaml").lacking
    assert both[:2] == found.lacking
    assert "dataset.root: no folder" in both[2]
    (tmp_path / "mine.json").write_text('{"wug": [3], "wgu": [4], "blicket": [1001]}')
    changed = recipe_of(tmp_path / "b", "[{name: vlm}]", **{"measure.synsets": str(tmp_path / "mine.json")})
    assert [line.partition(". ")[0] for line in examine_sets(changed, "r.yaml").lacking] == [
        f"r.yaml: {tmp_path}/mine.json: class: unknown 'wgu'",
        f"r.yaml: {tmp_path}/mine.json: 'blicket': 1001: ImageNet's classes are numbered 0 to 999.",
    ]
    fine = recipe_of(tmp_path / "c", "[{name: vlm}]")
    assert examine_sets(fine, "r.yaml").problems == []


def test_what_is_wrong_is_told_with_the_rest(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, "[{name: resnet}, {name: vlm, vlm: {name: clipp}}, {name: alexnet, size: 3}]")
    lines = examine_sets(recipe, "r.yaml", depth="settings").wrong
    assert [line.partition("'")[0] for line in lines] == [
        "r.yaml: measure.recognizers.0.name: unknown ",
        "r.yaml: measure.recognizers.1.vlm.name: unknown ",
        "r.yaml: measure.recognizers.2: unknown ",
    ]
    assert examine_sets(recipe, "r.yaml", depth="form").problems != []
    assert [part.key for part in recognizer_parts(recipe.measure)] == [f"measure.recognizers.{at}" for at in range(3)]


def test_a_measure_without_recognizers_is_as_before() -> None:
    assert (Measure().recognizers, Measure().synsets) == ([], None)
    with pytest.raises(UserError, match="recognizers"):
        read_words(Measure, {"recognizers": "alexnet"})


def test_validate_loads_recognizers_and_says_so(tmp_path: Path) -> None:
    torch.save(get_model("squeezenet1_1", weights=None).state_dict(), tmp_path / "good.pth")
    (tmp_path / "junk.pth").write_bytes(b"junk")
    row = "{{name: torchvision, model: squeezenet1_1, weights: {}}}"
    good, junk = (row.format(tmp_path / name) for name in ("good.pth", "junk.pth"))
    faulty = examine_sets(recipe_of(tmp_path / "a", f"[{good}, {junk}]"), "r.yaml")
    (line,) = faulty.lacking
    assert line.startswith(f"r.yaml: measure.recognizers.1: recognizer 'squeezenet1_1': {tmp_path}/junk.pth: ")
    assert not [one for one in faulty.checked if "recognizers" in one]
    fine = examine_sets(recipe_of(tmp_path / "b", f"[{good}, {{name: vlm}}]"), "r.yaml")
    assert fine.problems == []
    assert "recognizers, which were loaded: torchvision" in fine.checked
    assert "recognizers that are loaded when sets are measured: vlm" in fine.unchecked
