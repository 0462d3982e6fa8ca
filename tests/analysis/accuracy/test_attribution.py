"""What a gain is made of: known by hand where a text points to the class that it names, or whose cue it has."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import permutations
from statistics import mean

import numpy as np
import pytest
import torch
from vlms import TextVLM

from analysis.accuracy.attribution import MASK, rearrange
from analysis.accuracy.measure import Measured, accuracy
from analysis.accuracy.record import Attribution
from analysis.statistics.intervals import IntervalSettings
from analysis.statistics.permutation import permutation_p, permutation_test, permutations_for
from ex2.data.names_in_texts import ClassNames
from ex2.run.descriptions import Description
from reward.image_bank import ImageEmbeddings

CLASSES = ("pug", "oak", "fox", "elm", "owl", "bee", "cod")
CUES = ("wrinkled", "gnarled", "red", "tall", "feathered", "striped", "scaly")
QUESTIONS = 4


class NameAndCueVLM(TextVLM):
    """A text points to the classes it names, with one weight, and to those whose cue it has, with another."""

    def __init__(self, name: float, cue: float) -> None:
        super().__init__()
        self.dim, self.of_name, self.of_cue = len(CLASSES) + 1, name, cue

    def embed(self, texts: Sequence[str]) -> torch.Tensor:
        rows = torch.zeros(len(texts), self.dim)
        for row, text in zip(rows, texts, strict=True):
            words = text.lower().replace(".", "").split()
            row[-1] = 0.01  # no text is nothing
            for at, (name, cue) in enumerate(zip(CLASSES, CUES, strict=True)):
                row[at] = self.of_name * (name in words) + self.of_cue * (cue in words)
        return torch.nn.functional.normalize(rows, dim=-1)


IMAGES = ImageEmbeddings(
    CLASSES,
    torch.nn.functional.pad(torch.eye(len(CLASSES)), (0, 1)).repeat(4, 1),
    torch.arange(len(CLASSES)).repeat(4),
)


def describe(cue_of: dict[int, int], named: bool = True) -> list[Description]:
    """Say of every class, in each of four questions, that it is named and has the cue of `cue_of`."""
    return [
        Description(
            policy="aligned",
            class_name=CLASSES[label],
            label=label,
            question_id=question,
            sample=0,
            text=f"The {CLASSES[label] if named else 'thing'} is {CUES[cue_of[label]]}.",
        )
        for label in range(len(CLASSES))
        for question in range(QUESTIONS)
    ]


def measure(descriptions: list[Description], vlm: TextVLM) -> tuple[Measured, Attribution]:
    rearranged = rearrange(descriptions, ClassNames(CLASSES), seed=0)
    assert rearranged is not None
    arms = {
        "templates": list(enumerate(CLASSES)),
        "aligned": [one.of_label for one in descriptions],
    }
    measured = accuracy(vlm, IMAGES, arms, IntervalSettings(), rearranged=rearranged)
    assert measured.attribution is not None
    return measured, measured.attribution


def test_true_cues_are_content() -> None:
    """Where the name counts for nothing, only the class's own texts point to it, and without the name too."""
    measured, found = measure(describe({at: at for at in range(7)}), NameAndCueVLM(0.0, 1.0))
    assert found.own.accuracy == 1.0
    assert found.masked.accuracy == 1.0
    # Every class has the same vector, the mean of all cues: all images go to the first class.
    assert measured.arms["everyone"].top1.accuracy == pytest.approx(1 / 7)
    assert found.above_everyone.difference == pytest.approx(6 / 7)
    assert found.above_everyone.only_first == 24
    for permuted in (found.exchanged, found.whole, found.masked_shuffled, found.masked_whole):
        assert len(permuted.accuracies) == 199
        assert permutation_p(1.0, permuted.accuracies) == 2 * (1 + sum(a == 1 for a in permuted.accuracies)) / 200
    # With all texts of a class at one class, a class is right if it keeps its own: one of 7 on average, and the number
    # of fixed points of a permutation has variance 1.
    fixed = [sum(a == b for a, b in enumerate(p)) / 7 for p in permutations(range(7))]
    assert mean(found.whole.accuracies) == pytest.approx(mean(fixed), abs=4 / 7 / 199**0.5)
    assert {round(7 * a) for a in found.whole.accuracies} <= {round(7 * a) for a in fixed}
    assert measured.arms["exchanged"].top1.accuracy == pytest.approx(mean(found.exchanged.accuracies))
    assert measured.arms["exchanged"].assignments == 199


def test_where_only_names_count_nothing_is_content() -> None:
    """Own texts, all classes', exchanged and another class's are equally good; those without names know nothing."""
    measured, found = measure(describe({at: at for at in range(7)}), NameAndCueVLM(1.0, 0.0))
    assert found.own.accuracy == measured.arms["everyone"].top1.accuracy == 1.0
    assert set(found.exchanged.accuracies) == set(found.whole.accuracies) == {1.0}
    assert permutation_p(found.own.accuracy, found.exchanged.accuracies) == 1.0
    assert found.masked.accuracy == pytest.approx(1 / 7), "all vectors are equal: the first class"
    assert found.exchanged.error == found.whole.error == 0.0


def test_the_same_wrong_cue_throughout_is_no_content() -> None:
    """Each class is said to be like the next one: against exchanged texts that harms, but so does any other class's.

    Names count half as much as cues, so that the class's own texts lead to the next class, and texts of several classes
    cancel out. Alone, the comparison with exchanged texts would call that content that harms.
    """
    wrong = describe({at: (at + 1) % 7 for at in range(7)})
    _, found = measure(wrong, NameAndCueVLM(0.5, 1.0))
    assert found.own.accuracy == 0.0
    assert permutation_p(0.0, found.exchanged.accuracies) < 0.05
    assert permutation_p(0.0, found.whole.accuracies) > 0.5, "most permutations of classes are as wrong"


def test_only_texts_that_name_their_class_take_part() -> None:
    rows = describe({at: at for at in range(7)})
    silent = describe({at: at for at in range(7)}, named=False)[:4]
    swapped = [
        Description(policy="aligned", class_name="cod", label=6, question_id=0, sample=1, text="An owl is feathered.")
    ]
    made = rearrange([*rows[4:], *silent, *swapped], ClassNames(CLASSES), seed=0)
    assert made is not None
    assert (made.names.own, made.names.other, made.names.none) == (24, 1, 4)
    assert len(made.own) == len(made.masked) == 24
    assert made.pool == 24
    assert len(made.everyone) == 24 * 7, "the class without own texts is given the pool too"
    assert {label for label, _ in made.own} == set(range(1, 7))
    assert made.masked[0].text == f"The {MASK} is gnarled."
    assert rearrange([*silent, *swapped], ClassNames(CLASSES), seed=0) is None
    assert rearrange(rows[:4], ClassNames(CLASSES), seed=0) is None, "one class has no other to exchange with"


def test_bounds_on_pool_and_encodings_are_kept_and_told() -> None:
    rows = describe({at: at for at in range(7)})
    made = rearrange(rows, ClassNames(CLASSES), seed=0, most_pool=10)
    assert made is not None
    assert (made.pool, len(made.everyone), made.left_out) == (10, 70, 0)
    assert "10 of all classes' descriptions (at most 10)," in made.controls()["everyone"].note
    whole = rearrange(rows, ClassNames(CLASSES), seed=0)
    assert whole is not None
    assert "28 of all classes' descriptions (at most 400)," in whole.controls()["everyone"].note
    few = rearrange(rows, ClassNames(CLASSES), seed=0, most_encodings=2 * 7 * 14)
    assert few is not None
    assert (len(few.own), few.left_out, few.pool) == (14, 14, 14)
    assert "14 of all classes' descriptions (at most 14)," in few.controls()["everyone"].note, "the cap that was kept"
    encoded = {text for sets in few.averaged.values() for each in sets for _, text in each}
    encoded |= {text for arm in (few.own, few.masked, few.everyone) for _, text in arm}
    assert len(encoded) <= 2 * 7 * 14 + 14


def test_a_stricter_level_takes_more_permutations() -> None:
    assert permutations_for(0.95) == 199
    assert permutations_for(0.9) == permutations_for(0.5) == 199, "never fewer, however mild the level"
    assert permutations_for(0.99) == 999
    made = rearrange(describe({at: at for at in range(7)}), ClassNames(CLASSES), seed=0, confidence=0.99)
    assert made is not None
    assert len(made.exchanged) == len(made.masked_whole) == 999


@pytest.mark.parametrize(
    ("observed", "permuted", "p"),
    [
        (5.0, [1.0, 2.0, 3.0, 4.0], 2 * 1 / 5),
        (0.0, [1.0, 2.0, 3.0, 4.0], 2 * 1 / 5),
        (3.0, [1.0, 2.0, 3.0, 4.0], 1.0),  # 3 and 4 are as far up, with the observed one 3 of 5, twice is above 1
        (3.5, [1.0, 2.0, 3.0, 4.0], 2 * 2 / 5),
        (1.0, [1.0] * 9, 1.0),
        (0.3, [0.1 + 0.2] * 9, 1.0),  # equal up to rounding
    ],
)
def test_permutation_p_by_hand(observed: float, permuted: list[float], p: float) -> None:
    assert permutation_p(observed, permuted) == pytest.approx(p)


def test_permutation_p_is_uniform_under_the_null() -> None:
    """Of 2,000 tests of nothing with 39 permutations, as many reject as the level says: at 0.1, 200 ± 4 sd of 13."""
    draws = torch.rand(2000, 40, generator=torch.Generator().manual_seed(0)).tolist()
    values = [permutation_p(row[0], row[1:]) for row in draws]
    for level in (0.05, 0.1, 0.5):
        rejected = sum(p <= level + 1e-9 for p in values)
        assert abs(rejected - 2000 * level) < 4 * (2000 * level * (1 - level)) ** 0.5
    with pytest.raises(ValueError, match="needs permutations"):
        permutation_p(1.0, [])


def test_the_interval_and_p_of_a_permutation_are_one_inversion() -> None:
    """By hand: of 199 numbers 0.01, 0.02, … and the observed one, four are 2 % and five 2.5 %: beyond the 196th."""
    values = [at / 100 for at in range(1, 200)]
    found = permutation_test(3.0, values, 0.953)
    assert found.p == pytest.approx(2 / 200)
    assert found[1:] == pytest.approx((3.0 - 1.96, 3.0 - 0.04))
    for observed in (1.5, 1.93, 1.955, 1.96, 1.965, 1.98, 0.03, 0.035, 0.04, 0.045, -0.2):
        tested = permutation_test(observed, values, 0.953)
        assert (tested.p < 0.047) is not (tested.low <= 0 <= tested.high)
        for end, inside in ((tested.low, 1), (tested.high, -1)):
            assert permutation_p(observed - end - inside * 1e-6, values) >= 0.047, "just inside"
            assert permutation_p(observed - end + inside * 1e-6, values) < 0.047, "just outside"
    assert permutation_test(2.0, [0.0] * 10) == (pytest.approx(2 / 11), -math.inf, math.inf), "too few of them"
    few = permutation_test(0.0, [0.0] * 10, 0.6)
    assert few == (1.0, pytest.approx(0.0, abs=2e-9), pytest.approx(0.0, abs=2e-9))


def test_the_interval_holds_other_assignments_and_other_images() -> None:
    """2,000 studies whose own texts are right on 0 or 6 points more images than what chance gives.

    Images are drawn for each study; on each, an assignment is right with a chance of its own, so that the accuracies of
    assignments differ by what they are and by the images.
    """
    rng = np.random.default_rng(1)
    for effect in (0.0, 0.06):
        held = told = 0
        for _ in range(2000):
            difficulty = rng.choice([0.02, 0.5, 0.97], 300)[:, None]
            chances = difficulty + rng.normal(0, 0.02, 200)[None, :]
            chances[:, 0] += effect
            right = (rng.random(chances.shape) < np.clip(chances, 0, 1)).mean(axis=0)
            tested = permutation_test(right[0], right[1:].tolist())
            # What is cut off at 0 and 1 takes from the effect.
            truth = effect * (1 - (0.03 / 0.06) / 3) if effect else 0.0
            held += tested.low <= truth <= tested.high
            told += tested.p < 0.05
        assert 0.93 <= held / 2000 <= 0.98
        assert told / 2000 <= 0.06 if effect == 0 else told / 2000 >= 0.2
