"""The published datasets' templates, and the names that stand in them."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import ex2.data.datasets.own_templates as own
from ex2.data.datasets.class_lists import FOLDER, read_class_list
from ex2.data.datasets.genbench import read_benchmark
from ex2.data.datasets.own_templates import OwnTemplates, own_templates
from ex2.sets.strategies.base import Classes, build_strategy

STORED = json.loads(Path(own.__file__).with_name("templates.json").read_text(encoding="utf-8"))
COUNTS = {
    "caltech101": 34, "cifar10": 18, "cifar100": 18, "country211": 5, "dtd": 8, "eurosat": 3, "fer2013": 6,
    "fgvc_aircraft": 2, "flowers": 1, "food101": 1, "gtsrb": 3, "hateful_memes": 1, "kitti_distance": 1, "mnist": 1,
    "pcam": 1, "pets": 1, "rendered_sst2": 1, "resisc45": 18, "stanford_cars": 8, "sun397": 2, "voc2007": 1,
}  # fmt: skip
"""Templates of each dataset in CLIP's data/prompts.md."""


def opened(*names: str, **more: Any) -> Any:
    return SimpleNamespace(class_names=names, **more)


def test_every_dataset_of_the_benchmark_but_imagenet_has_templates() -> None:
    assert {name: len(templates) for name, templates in STORED["templates"].items()} == COUNTS
    assert set(COUNTS) | {"imagenet"} == {row.dataset for row in read_benchmark()}
    for name, templates in STORED["templates"].items():
        assert len(set(templates)) == len(templates), name
        assert all(template.count("{}") == 1 for template in templates), name
    assert own_templates("imagenet", opened("tench", "goldfish")) is None
    assert own_templates("shapes", opened("wug", "blicket")) is None


@pytest.mark.parametrize(
    ("name", "label", "text"),
    [
        ("dtd", 0, "a photo of a banded texture."),
        ("fer2013", 3, "a photo of a happy looking face."),
        ("gtsrb", 14, 'a zoomed in photo of a "stop" traffic sign.'),
        ("mnist", 7, 'a photo of the number: "7".'),
        ("rendered_sst2", 1, "a positive review of a movie."),
        ("kitti_distance", 0, "a photo i took of a car on my left or right side."),
        ("kitti_distance", 3, "a photo i took with no car."),
        ("pets", 4, "a photo of a beagle, a type of pet."),
        ("pcam", 0, "this is a photo of lymph node"),
    ],
)
def test_names_stand_in_templates_as_clip_has_them(name: str, label: int, text: str) -> None:
    """A name that EX2 makes complete, such as "banded texture", is not said twice."""
    found = own_templates(name, opened(*read_class_list(name).names))
    assert found is not None
    assert found.templates[0].format(found.names[label]) == text


def test_some_classes_in_another_order_keep_their_own_names() -> None:
    found = own_templates("dtd", opened("zigzagged texture", "banded texture", "a class of mine"))
    assert found is not None
    assert found.names == ("zigzagged", "banded", "a class of mine")


def test_templates_of_a_dataset_of_ones_own_come_first() -> None:
    mine = opened("banded texture", templates=["see: {}"])
    assert own_templates("dtd", mine) == OwnTemplates(("see: {}",), ("banded texture",))


def test_all_lists_of_names_fit() -> None:
    for name in COUNTS:
        if (FOLDER / f"{name}.json").is_file():
            names = read_class_list(name).names
            found = own_templates(name, opened(*names))
            assert found is not None
            assert len(set(found.names)) == len(names)


def test_the_strategy_puts_these_names_into_these_templates_only() -> None:
    found = own_templates("dtd", opened("banded texture", "dotted texture"))
    assert found is not None
    classes = Classes(("banded texture", "dotted texture"), 0, templates=found.templates, in_templates=found.names)
    prompts = {build_strategy("defined", {}, classes)(1, index).text for index in range(8)}
    assert prompts == {template.format("dotted") for template in found.templates}
    given = build_strategy("defined", {"templates": ["see: {}"]}, classes)
    assert given(1, 0).text == "see: dotted texture"
    assert build_strategy("simple", {}, classes)(0, 0).text == "a photo of a banded texture"
