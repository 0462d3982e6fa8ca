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


def test_negative_prompts_are_cut_before_the_name_that_does_not_fit() -> None:
    """A token a word and two at the ends: five words are left. Without the cat three names of two words are asked for,
    and the third is left out whole; with it, five words fit."""
    names = ("cat", "sea lion", "red fox", "barn owl")
    narrow = Classes(names, count_tokens=lambda text: len(text.replace(",", "").split()) + 2, context=7)
    made = build_strategy("negative", {"others": 3}, narrow)
    for index in range(20):
        found = made(0, index).negative.split(", ")
        assert len(set(found)) == 2
        assert set(found) < {"sea lion", "red fox", "barn owl"}
        assert sorted(made(1, index).negative.split(", ")) == ["barn owl", "cat", "red fox"]
    assert made.notes[-1] == "for 1 of 4 classes fewer names fit the first image's 7 tokens"


def test_a_name_with_a_comma_is_one_name() -> None:
    """Two names of which one has a comma fit; nothing was cut, and nothing is said."""
    wide = Classes(("cat", "owl, barn", "fox"), count_tokens=len, context=77)
    made = build_strategy("negative", {"others": 2}, wide)
    assert sorted(made(0, 0).negative.split(", ")) == ["barn", "fox", "owl"]
    assert made.notes[-1] == "negative prompts name 2 other classes, drawn anew for each image"
    narrow = Classes(("cat", "owl, barn", "fox"), count_tokens=len, context=9)  # "owl, barn" alone, or "fox" and "cat"
    assert build_strategy("negative", {"others": 2}, narrow).notes[-1].startswith("for 2 of 3 classes fewer names fit")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"others": -1}, "strategy.others: given -1; give a number of classes, from 0."),
        ({"others": 0}, "strategy.others: given 0, and no quality: nothing is left to be negative; give one of them."),
        ({"over": 5}, "strategy.over: given 5"),
        ({"over": {"nam": "name"}}, "strategy.over: given {'nam': 'name'}; give a strategy's name, or a mapping"),
        ({"over": "nam"}, "strategy.over: unknown 'nam'. Did you mean 'name'?"),
    ],
)
def test_negative_settings_that_do_not_fit(settings: dict[str, object], said: str) -> None:
    with pytest.raises(UserError) as caught:
        build_strategy("negative", settings, THREE)
    assert said in str(caught.value)


def test_templates_stay_where_classes_are_added_or_taken_away() -> None:
    fewer = Classes(NAMES[2:], templates=THREE.templates)
    all_of, some = build_strategy("defined", {}, THREE), build_strategy("defined", {}, fewer)
    assert [all_of(label, index) for label in (2, 5) for index in range(7)] == [
        some(label - 2, index) for label in (2, 5) for index in range(7)
    ]


def test_sentences_that_name_another_class_are_written_again() -> None:
    said = iter(["an owl by the sea", "", "a sea lion on a rock"])
    made = build_strategy("sentence", {}, Classes(NAMES, write=lambda text, seed: next(said)))
    assert made(2, 0).text == "a sea lion on a rock"
    stubborn = build_strategy("sentence", {"tries": 3}, Classes(NAMES, write=lambda text, seed: "two dogs"))
    with pytest.raises(
        UserError, match="none of 3 sentences for image 1 of 'cat' will do; the last names another class"
    ):
        stubborn(0, 1)
