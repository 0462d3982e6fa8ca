"""Texts drawn for a reward: what a text states decides what its picture is worth to its class."""

from __future__ import annotations

from pathlib import Path
from statistics import mean

import pytest
import torch

from ex2.checks.form import form_problems
from ex2.data.demo.shapes import Shapes
from ex2.data.demo.world import CONCEPTS, Concept
from ex2.recipe_io import read_recipe
from ex2.sets.texts import TextDrawer
from ex2.training.rewards import build_reward
from reward.errors import UserError
from reward.image_bank import ClassMeans, mean_by_class
from reward.presets import load_vlm

DEMO = Path(__file__).parents[3] / "recipes/demo/visual.yaml"
NAMES = [concept.name for concept in CONCEPTS]


def states(name: str, looks: Concept) -> str:
    return f"A {name} is a {looks.colour} {looks.shape} with {looks.pattern}."


def test_a_text_is_worth_what_it_draws() -> None:
    """All facets right, none stated, all of another class: in this order, by the mean over classes."""
    vlm = load_vlm("demo-visual", {})
    images = Shapes(10).images("reward")
    labels = torch.tensor([image.label for image in images])
    means, counts = mean_by_class([vlm.encode_images([image.open() for image in images])], labels, len(NAMES))
    bank = ClassMeans(tuple(NAMES), means, counts)
    reward = build_reward("drawn_cler", {"generator": {"name": "toy"}}, vlm, bank)
    texts = {
        "right": [states(concept.name, concept) for concept in CONCEPTS],
        "nothing": [f"The {name} lives here." for name in NAMES],
        "wrong": [states(concept.name, CONCEPTS[label - 5]) for label, concept in enumerate(CONCEPTS)],
    }
    scores = {what: reward(lines, NAMES) for what, lines in texts.items()}
    assert mean(scores["right"]) > mean(scores["nothing"]) > mean(scores["wrong"])
    assert mean(scores["right"]) > 0 > mean(scores["wrong"])
    assert reward(texts["right"][:1], NAMES[:1]) == pytest.approx(scores["right"][:1], abs=1e-4)
    other = build_reward("drawn_cler", {"generator": {"name": "toy"}, "seed": 1}, vlm, bank)
    assert other(texts["right"], NAMES) != pytest.approx(scores["right"], abs=1e-3)


def test_pictures_are_those_of_text_and_seed() -> None:
    draw = TextDrawer({"name": "toy", "size": 16})
    texts = [f"A wug is red. {number}" for number in range(9)]
    pictures = draw(texts, range(9))
    assert [picture and picture.tobytes() for picture in pictures[3:4]] == [
        picture and picture.tobytes() for picture in draw(texts[3:4], [3])
    ]
    assert {picture and picture.size for picture in pictures} == {(16, 16)}
    assert len({picture and picture.tobytes() for picture in pictures}) == 9


def test_a_generator_that_reads_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "wug").mkdir()
    (tmp_path / "wug" / "0.png").touch()
    with pytest.raises(UserError) as caught:
        TextDrawer({"name": "folder", "root": str(tmp_path)})
    assert str(caught.value) == (
        "reward.generator: 'folder' copies images and reads no text, so that all texts of a class would score the "
        "same; name a generator that draws, such as toy."
    )


def test_a_recipes_generator_is_checked_by_its_form() -> None:
    def problems(reward: str) -> list[str]:
        return form_problems(read_recipe(DEMO, [f"reward={reward}"]), {"scripted": "analysis.judge.scripted:Judge"})

    assert problems("{name: drawn_cler, generator: {name: toy, obey: 0.9}}") == []
    unknown = "generator.name: unknown 'toi'. Did you mean 'toy'?"
    (line,) = problems("{name: drawn_cler, generator: {name: toi}}")
    assert line.startswith(f"reward.{unknown}")
    (line,) = problems("{name: sum, terms: [{name: cosine}, {name: drawn_cler, generator: {name: toi}}]}")
    assert line.startswith(f"reward.terms[1].{unknown}")
    (line,) = problems("{name: drawn_cler, generator: {name: toy, obeys: 1}}")
    assert line.startswith("reward.generator: unknown 'obeys'. Did you mean 'obey'?")
    (line,) = problems("{name: drawn_cler}")
    assert line.startswith("reward: 'generator' is missing; 'DrawnCler' cannot do without it.")
