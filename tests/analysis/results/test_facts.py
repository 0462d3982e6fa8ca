"""What the reading rule looks at, from a gain's parts: each fact by hand, and each row of the rule from records."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from attributed_gains import attribution, with_gain
from record_samples import measured

from analysis.accuracy.record import NamesInTexts
from analysis.results.attribution import BesidePermuted, GainParts
from analysis.results.experiment import Experiment
from analysis.results.pooling import Difference
from analysis.results.reading import Facts, content_proved, facts_of, reading
from analysis.results.seeds import pool_seeds


def difference(value: float, low: float | None, high: float | None) -> Difference:
    told = None if low is None or high is None else low > 0 or high < 0
    return Difference(value, low, high, told, None, 200, 1)


def beside(value: float, reach: float, p: float) -> BesidePermuted:
    return BesidePermuted(replace(difference(value, value - reach, value + reach), significant=p < 0.05), p)


def made(seeds: int = 1) -> tuple[Experiment, GainParts]:
    found = pool_seeds("r", [with_gain(seed, aligned=160 + 2 * seed) for seed in range(seeds)])
    assert found.gain_parts is not None
    return found, found.gain_parts


def facts(confidence: float = 0.95, seeds: int = 1, **changes: object) -> Facts:
    _, parts = made()
    return facts_of(replace(parts, **changes), difference(0.1, 0.05, 0.15), confidence, seeds)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("own", "other", "none", "share"), [(95, 3, 2, 0.95), (90, 10, 0, 0.9), (17, 1, 182, 0.085), (0, 9, 1, 0.0)]
)
def test_the_share_of_texts_that_name_their_class_is_of_all_texts(
    own: int, other: int, none: int, share: float
) -> None:
    assert facts(names=NamesInTexts(own, other, none)).naming == pytest.approx(share)


@pytest.mark.parametrize(
    ("exchanged", "another", "p"),
    [
        ((0.03, 0.01), (0.05, 0.4), 0.4),  # the larger of two on one side
        ((0.03, 0.4), (0.05, 0.01), 0.4),
        ((0.03, 0.01), (0.05, 0.02), 0.02),
        ((-0.03, 0.01), (-0.05, 0.02), 0.02),
        ((0.03, 0.01), (-0.05, 0.01), 1.0),  # neither harm nor help
        ((-0.03, 0.01), (0.05, 0.01), 1.0),
    ],
)
def test_content_takes_both_tests(exchanged: tuple[float, float], another: tuple[float, float], p: float) -> None:
    found = facts(
        above_exchanged=beside(exchanged[0], 0.02, exchanged[1]), above_another=beside(another[0], 0.02, another[1])
    )
    assert found.content_p == p
    assert found.above is (exchanged[0] > 0)


@pytest.mark.parametrize(
    ("everyone", "exchanged", "ends", "most"),
    [
        ((0.08, 0.05, 0.12), (0.10, 0.03), (0.08, 0.10), 0.13),
        ((0.10, 0.05, 0.16), (0.08, 0.03), (0.08, 0.10), 0.16),  # the other way round
        ((-0.12, -0.2, -0.04), (0.02, 0.01), (-0.12, 0.02), 0.03),
        ((0.02, -0.05, 0.09), (0.04, 0.01), (0.02, 0.04), 0.09),  # the end with the higher value is not the wider one
        ((0.04, 0.03, 0.05), (0.02, 0.08), (0.02, 0.04), 0.10),
        ((0.02, None, None), (0.04, 0.01), (0.02, 0.04), math.inf),
        ((-0.5, None, None), (-0.04, 0.01), (-0.5, -0.04), math.inf),
    ],
)
def test_the_two_ends_are_in_order_and_the_most_is_of_both(
    everyone: tuple[float, float | None, float | None],
    exchanged: tuple[float, float],
    ends: tuple[float, float],
    most: float,
) -> None:
    found = facts(above_everyone=difference(*everyone), above_exchanged=beside(*exchanged, 0.5))
    assert found.ends == pytest.approx(ends)
    assert found.most == pytest.approx(most)


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
@pytest.mark.parametrize("seeds", [1, 2, 3])
def test_level_and_seeds_are_the_runs(confidence: float, seeds: int) -> None:
    found = facts(confidence, seeds)
    assert found.alpha == pytest.approx(1 - confidence)
    assert found.seeds == seeds
    assert found.style.value == pytest.approx(0.02)
    assert found.gain.value == 0.1


NONE = {"above_everyone": difference(0.0, -0.01, 0.01), "above_exchanged": beside(0.0, 0.01, 0.9)}
STYLED = {**NONE, "above_another": beside(0.001, 0.01, 0.8), "style": difference(0.09, 0.05, 0.13)}
HARM = {"above_exchanged": beside(-0.03, 0.01, 0.01), "above_another": beside(-0.02, 0.01, 0.01)}


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize(
    ("changes", "row", "words"),
    [
        ({"names": NamesInTexts(85, 10, 5)}, 1, "85.0 % of the texts name their class"),
        ({"names": NamesInTexts(899, 101, 0), **STYLED}, 1, "89.9 % of the texts name their class"),
        ({}, 3, "brings between"),
        ({"names": NamesInTexts(90, 10, 0)}, 3, "brings between"),
        (HARM, 4, "harms: the same texts exchanged between classes classify better"),
        ({**HARM, "above_another": beside(-0.02, 0.03, 0.06)}, 6, "cannot be told apart"),
        (STYLED, 5, "brings at most 1.0 of the"),
        ({**STYLED, "above_everyone": difference(0.0, -0.1, 0.1)}, 6, "cannot be told apart"),  # the wider end decides
        ({**STYLED, "above_exchanged": beside(0.0, 0.1, 0.9)}, 6, "cannot be told apart"),
        ({**STYLED, "style": difference(0.03, -0.01, 0.07)}, 6, "cannot be told apart"),
    ],
)
def test_every_row_from_the_parts_of_a_run(changes: dict[str, object], row: int, words: str, seeds: int) -> None:
    experiment, parts = made(seeds)
    experiment = replace(experiment, gain_parts=replace(parts, **changes))  # type: ignore[arg-type]
    found = reading(experiment)
    assert found is not None
    assert (found.row, found.row == 3) == (row, content_proved(experiment))
    said = found.words.replace("\u00a0", " ")
    assert words in said
    if row in (3, 4, 5):
        assert ("EX2's texts say" in said) is (seeds >= 3)
        assert ("these texts say" in said) is (seeds < 3)


def test_a_run_without_a_gain_has_none_to_explain_whatever_its_parts() -> None:
    for p, row in ((0.01, 3), (0.2, 2), (0.06, 2)):
        result = with_gain(0, attribution(own=0.8))
        differences = tuple(
            replace(part, paired=part.paired._replace(p=p))
            if (part.arm, part.against) == ("aligned", "templates")
            else part
            for part in result.accuracy.differences
        )
        found = reading(pool_seeds("r", [measured(result, differences=differences)]))
        assert found is not None
        assert found.row == row, p
