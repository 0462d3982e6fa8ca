"""From a recipe to plans: a set's folder tells what decides its images, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ex2.recipe_io import read_set_recipe
from ex2.run.arm_texts import write_arm_texts
from ex2.run.descriptions import LabeledText
from ex2.run.directory import SeedDirectory
from ex2.set_recipe import SetRecipe
from ex2.sets.plans import plans_of, set_folders
from reward.errors import UserError

NAMES = ["wug", "blicket"]


def recipe(folder: Path, *overrides: str, **sets: Any) -> SetRecipe:
    """A recipe of two classes, whose sets stand below `folder`."""
    tree = {
        "name": "x",
        "vlm": {"name": "demo-visual"},
        "dataset": {"name": f"{__name__}.Two", "reward_split": "own", "test_split": "test"},
        "images": {
            "root": str(folder / "sets"),
            "seeds": [0, 4],
            "per_class": 2,
            "sets": sets or {"toy": {"generator": {"name": "toy", "knows": ["wug"]}}},
        },
    }
    path = folder / "sets.yaml"
    path.write_text(yaml.safe_dump(tree, sort_keys=False))
    return read_set_recipe(path, overrides)


class Two:
    """Two classes of the demo world, without images.

    Args:
        names: Of the classes.
        templates: Of the dataset.
    """

    splits = ("own", "test")

    def __init__(self, names: tuple[str, ...] = ("wug", "blicket"), templates: tuple[str, ...] = ()) -> None:
        self.class_names, self.templates = tuple(names), templates

    def images(self, split: str) -> list[Any]:
        return []


def refused(*given: Any, **sets: Any) -> str:
    with pytest.raises(UserError) as error:
        plans_of(recipe(*given, **sets))
    return str(error.value)


def test_a_plan_for_each_set_and_seed(tmp_path: Path) -> None:
    found = recipe(
        tmp_path,
        b={"generator": {"name": "toy"}, "strategy": {"name": "simple"}, "usd_per_hour": 1.5, "licence": "CC0"},
        a={"generator": {"name": "toy"}, "per_class": 1},
    )
    plans = plans_of(found)
    assert [(plan.name, plan.seed, plan.per_class) for plan in plans] == [
        ("b", 0, 2),
        ("b", 4, 2),
        ("a", 0, 1),
        ("a", 4, 1),
    ]
    assert (plans[0].usd_per_hour, plans[0].license, plans[2].usd_per_hour, plans[2].license) == (1.5, "CC0", None, "")
    assert [request.prompt for request in plans[0].requests] == ["a photo of a wug"] * 2 + ["a photo of a blicket"] * 2
    assert [(plan.name, plan.seed) for plan in plans_of(found, sets=["a"], seeds=[4])] == [("a", 4)]
    folders = set_folders(found)
    assert list(folders) == ["b", "a"]
    assert [path.relative_to(tmp_path / "sets").parts[1] for path in folders["a"]] == ["seed-0", "seed-4"]
    assert len({path.parent for path in folders["a"]}) == 1
    assert not (tmp_path / "sets").exists()


ANOTHER = [
    "images.sets.toy.generator.obey=0.5",
    "images.sets.toy.generator.knows=[blicket]",
    "images.sets.toy.strategy.name=simple",
    "images.sets.toy.strategy={name: defined, templates: ['a {}']}",
    "dataset.names=[blicket, wug]",
    "dataset.names=[wug, blicket, toma]",
    "images.per_class=3",
    "images.sets.toy.per_class=3",
]
SAME = [
    "vlm.name=demo-spurious",
    "measure.metrics=[kid]",
    "measure.centers=raw",
    "images.seeds=[0, 4, 5]",
    "images.sets.toy.usd_per_hour=2",
    "images.sets.toy.usd_per_image=2",
    "images.sets.toy.licence=CC0",
    "name=y",
    "dataset.test_split=own",
    "dataset.reward_split=test",
]


def test_only_what_decides_the_images_makes_another_folder(tmp_path: Path) -> None:
    before = set_folders(recipe(tmp_path))["toy"]
    folders = [set_folders(recipe(tmp_path, change))["toy"][0].parent for change in ANOTHER]
    assert len({before[0].parent, *folders}) == 1 + len(ANOTHER) - 1, "per_class of one set and of all are one"
    assert folders[-1] == folders[-2]
    for change in SAME[:-2]:
        assert set_folders(recipe(tmp_path, change))["toy"][:2] == before, change
    assert set_folders(recipe(tmp_path, *SAME[-2:]))["toy"] == before


def test_changed_texts_of_a_run_make_another_folder(tmp_path: Path) -> None:
    texts = SeedDirectory(tmp_path / "run" / "seed-0")
    sets = {"own": {"generator": {"name": "toy"}, "strategy": {"name": "descriptions", "run": str(tmp_path / "run")}}}

    def folder(second: str) -> Path:
        write_arm_texts(texts, {"aligned": [LabeledText(0, "a red wug"), LabeledText(1, second)]}, NAMES)
        return set_folders(recipe(tmp_path, **sets))["own"][0]

    first = folder("a blicket")
    assert folder("a blue blicket") != first
    assert folder("a blicket") == first


def test_the_datasets_templates_are_the_defined_ones(tmp_path: Path) -> None:
    asked = {"toy": {"generator": {"name": "toy"}, "strategy": {"name": "defined"}}}
    (first, _) = plans_of(recipe(tmp_path, "dataset.templates=['one {}']", **asked))
    assert {request.prompt for request in first.requests} == {"one wug", "one blicket"}
    (first, second) = plans_of(recipe(tmp_path, **asked))
    assert [request.prompt for request in first.requests] != [request.prompt for request in second.requests]
    assert len(first.strategy_settings["templates"]) == 80


def test_original_takes_the_recipes_dataset(tmp_path: Path) -> None:
    asked = {"own": {"generator": {"name": "original", "split": "reward", "selection": "random"}}}
    shapes = ["dataset={name: shapes, reward_split: train, test_split: test}"]
    (plan, _) = plans_of(recipe(tmp_path, *shapes, **asked))
    assert plan.generator.settings["dataset"] == "shapes"
    assert plan.generator.settings["split"] == "train", "the recipe's split, though shapes has one called reward"
    assert (plan.strategy, plan.requests[0].prompt) == ("", "")
    assert refused(tmp_path, *shapes, "images.sets.own.generator.split=test", **asked) == (
        "images.sets.own.generator.split: 'test' is what the sets are tested on; images of it would be found again "
        "there: give reward, for dataset.reward_split 'train'."
    )
    assert "class 'toma' has 0 images" in refused(tmp_path, "dataset.names=[toma, wug]", **asked), "with its settings"
    assert refused(tmp_path, *shapes, "images.sets.own.strategy.name=simple", **asked) == (
        "images.sets.own.strategy: 'simple' makes prompts, and the generator 'original' copies images and reads none; "
        "leave the strategy out."
    )


def test_everything_that_is_wrong_is_found_at_once(tmp_path: Path) -> None:
    told = refused(
        tmp_path,
        a={"generator": {"name": "toy", "obey": 2}, "strategy": {"name": "descriptions", "run": "nope"}},
        b={"generator": {"name": "toy", "knows": ["dax", "toma"]}},
        c={"generator": {"name": "toi"}},
        d={"generator": {"name": "toy"}, "strategy": {"name": "restrictive", "weighting": "embedding"}},
        e={"generator": {"name": "toy"}, "strategy": {"name": "sentence"}},
        f={"generator": {"name": "folder", "root": "nope"}},
        g={"generator": {"name": "toy", "knows": ["toma"]}},
    )
    assert told.splitlines()[:2] == [
        "images.sets.a.generator.obey: given 2; give a probability, from 0 to 1.",
        "images.sets.a.strategy.run: no folder 'nope'; give a run's folder, such as runs/NAME.",
    ]
    starts = [line.split(": ")[0] for line in told.splitlines()]
    assert starts == [
        "images.sets.a.generator.obey",
        "images.sets.a.strategy.run",
        "images.sets.b.generator.knows",
        "images.sets.c.generator",
        "images.sets.d.strategy.weighting",
        "images.sets.e.strategy",
        "images.sets.f.generator.root",
        "images.sets.g.generator.knows",
    ]
    assert told.splitlines()[-1] == ("images.sets.g.generator.knows: unknown 'toma'. Available: blicket, wug."), (
        "a concept of the demo world, and no class of the dataset"
    )
    assert not (tmp_path / "sets").exists()


def test_sets_and_seeds_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        plans_of(recipe(tmp_path), sets=["toi"], seeds=[0, 5])
    assert str(error.value).splitlines() == [
        "--sets: unknown 'toi'. Did you mean 'toy'? Available: toy.",
        "--seeds: 5 not among images.seeds (0, 4).",
    ]
