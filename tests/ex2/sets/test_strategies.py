"""Prompt strategies: which prompt each image gets."""

from __future__ import annotations

from collections import Counter

import pytest

from ex2.sets.strategies.base import Classes, build_strategy, generator_problems
from reward.errors import UserError

NAMES = ("cat", "dog", "sea lion", "lion", "fox", "owl", "bat")
THREE = Classes(NAMES, templates=("x {}", "y {}", "z {}"))


def test_the_bare_name_and_the_simple_template() -> None:
    assert build_strategy("name", {}, THREE)(2, 9) == ("sea lion", "")
    assert build_strategy("simple", {}, THREE)(2, 9) == ("a photo of a sea lion", "")


def test_images_take_the_templates_in_turn() -> None:
    made = [build_strategy("defined", {}, THREE)(0, index).text for index in range(8)]
    assert sorted(Counter(made).values()) == [2, 3, 3]
    assert set(made[:3]) == set(made[3:6]) == {"x cat", "y cat", "z cat"}
    orders = {tuple(build_strategy("defined", {}, Classes(NAMES, seed, THREE.templates))(0, at).text for at in range(3))
              for seed in range(40)}  # fmt: skip
    assert len(orders) == 6


@pytest.mark.parametrize(
    ("weighting", "emphasize", "text"),
    [
        ("literal", False, "a photo of a cat, ((sharp focus)), ((highly detailed)), ((hires))"),
        ("strip", False, "a photo of a cat, sharp focus, highly detailed, hires"),
        ("embedding", True, "a photo of a ((cat)), ((sharp focus)), ((highly detailed)), ((hires))"),
    ],
)
def test_restrictive_phrases(weighting: str, emphasize: bool, text: str) -> None:
    made = build_strategy(
        "restrictive", {"weighting": weighting, "emphasize_class": emphasize, "over": "simple"}, THREE
    )
    assert made(0, 0).text == text
    assert bool(generator_problems(made, object(), "strategy")) == (weighting == "embedding")


def test_the_weighting_must_be_said() -> None:
    with pytest.raises(UserError, match="'weighting' is missing; 'restrictive' cannot do without it"):
        build_strategy("restrictive", {}, THREE)


def test_negative_prompts_are_whole_names_of_other_classes_within_the_context() -> None:
    for index in range(20):
        names = build_strategy("negative", {}, THREE)(0, index).negative.split(", ")
        assert len(set(names)) == 5
        assert set(names) < set(NAMES) - {"cat"}
    narrow = Classes(NAMES, count_tokens=lambda text: len(text.replace(",", " ,").split()) + 2, context=7)
    made = build_strategy("negative", {"quality": "paper"}, narrow)
    assert {made(0, index).negative for index in range(20)} == {"bad shape, misfigured"}  # 4 + 2; a name needs 2 more


def test_sentences_that_name_another_class_are_written_again() -> None:
    said = iter(["an owl by the sea", "", "a sea lion on a rock"])
    made = build_strategy("sentence", {}, Classes(NAMES, write=lambda text, seed: next(said)))
    assert made(2, 0).text == "a sea lion on a rock"
    stubborn = build_strategy("sentence", {"tries": 3}, Classes(NAMES, write=lambda text, seed: "two dogs"))
    with pytest.raises(
        UserError, match="none of 3 sentences for image 1 of 'cat' will do; the last names another class"
    ):
        stubborn(0, 1)
