"""The reading rule: cases written by hand, with both sides of each threshold, and a grid of what it may say."""

from __future__ import annotations

import re
from itertools import product

import pytest

from analysis.results.pooling import Difference
from analysis.results.reading import RULE, Facts, read
from analysis.results.wording import NBSP

INFINITE = float("inf")


def difference(value: float, low: float | None, high: float | None, images: float | None = None) -> Difference:
    """A difference in points; `images` is the lower end of an interval over images, which is as wide upwards."""
    told = None if low is None or high is None else low > 0 or high < 0
    over = None if images is None else (images / 100, (2 * value - images) / 100)
    significant = told if over is None else bool(told and (over[0] > 0 or over[1] < 0))
    ends = (None if end is None else end / 100 for end in (low, high))
    return Difference(value / 100, *ends, significant, None, 640, 1 if images is None else 3, images=over)


def facts(
    naming: float = 0.95,
    gain: tuple[float, ...] = (4.7, 3.0, 6.5),
    p: float = 0.5,
    ends: tuple[float, float] = (0.2, 0.4),
    above: bool = True,
    most: float = 1.4,
    style: tuple[float, ...] = (4.0, 2.0, 6.0),
    seeds: int = 1,
) -> Facts:
    return Facts(
        naming,
        difference(*gain),
        0.05,
        p,
        (ends[0] / 100, ends[1] / 100),
        above,
        most / 100,
        difference(*style),
        seeds,
    )


CASES: list[tuple[Facts, int, str]] = [
    # 1: not attributable, however good the rest
    (facts(naming=0.8999), 1, "89.9 % of the texts name their class"),
    (facts(naming=0.5, p=0.01, ends=(3, 4)), 1, "50.0 % of the texts name their class"),
    (facts(naming=0.0, gain=(-2, -4, 0)), 1, "0.0 % of the texts name their class"),
    (facts(naming=0.9), 5, "brings at most 1.4 of the +4.7 points"),
    # 2: no gain
    (facts(gain=(1.0, -0.1, 2.1)), 2, "No gain over the templates to explain: +1.0 points [−0.1, +2.1]."),
    (facts(gain=(-3.0, -5.0, -1.0), p=0.01), 2, "−3.0 points [−5.0, −1.0]"),
    (facts(gain=(2.0, 0.0, 4.0)), 2, "+2.0 points [0.0, +4.0]"),
    (facts(gain=(3.0, None, None)), 2, "+3.0 points, without an interval, so any size is possible."),
    (facts(gain=(0.0, None, None), p=0.01), 2, "0.0 points, without an interval, so any size is possible."),
    (
        facts(gain=(3.0, 1.0, 5.0, -0.5), seeds=3),
        2,
        "+3.0 points [+1.0, +5.0], no significant difference: between −0.5 and +6.5 points are possible.",
    ),
    (
        facts(gain=(2.0, 0.5, 3.5, 0.0), seeds=4, p=0.01),
        2,
        "+2.0 points [+0.5, +3.5], no significant difference: between 0.0 and +4.0 points are possible.",
    ),
    (facts(gain=(2.0, -0.5, 4.5, 0.1), seeds=3), 2, "explain: +2.0 points [−0.5, +4.5]."),
    (facts(gain=(2.0, 0.1, 3.9), most=0.04), 5, "at most 0.0 of the +2.0 points"),
    # 3: content
    (facts(p=0.049, ends=(2.5, 3.2)), 3, "brings between 2.5 and 3.2 of the +4.7 points (p = 0.049)"),
    (facts(p=0.01, ends=(-12.0, 3.2)), 3, "brings between 0.0 and 3.2 of the +4.7 points (p = 0.010)"),
    (facts(p=0.01, ends=(2.5, 49.4)), 3, "brings between 2.5 and 4.7 of the +4.7 points"),
    (facts(p=0.01, ends=(49.4, 59.7)), 3, "brings all of the +4.7 points"),
    (facts(p=0.01, ends=(2.51, 2.53)), 3, "brings 2.5 of the +4.7 points"),
    (facts(p=0.0005, ends=(2.5, 3.2), seeds=3), 3, "What EX2's texts say of the class brings between 2.5 and 3.2"),
    (facts(p=0.01, ends=(2.5, 3.2), seeds=2), 3, "What these texts say of the class brings"),
    # 4: content harms
    (facts(p=0.049, ends=(-3.2, -1.0), above=False), 4, "harms: the same texts exchanged between classes"),
    (facts(p=0.01, ends=(-3.2, 1.0), above=False, most=9.0), 4, "What these texts say of the class harms"),
    # 5: style
    (facts(p=0.05, most=1.49), 5, "what these texts say of the class brings at most 1.5 of the +4.7 points"),
    (facts(p=0.9, most=-0.4), 5, "brings at most 0.0 of the +4.7 points"),
    (facts(p=0.9, most=1.4, seeds=4), 5, "The gain is style: what EX2's texts say of the class brings at most 1.4"),
    (facts(p=0.9, gain=(6.0, 4.0, 8.0, 2.9), most=1.4, seeds=3), 5, "brings at most 1.4 of the +6.0 points"),
    # 6: open
    (facts(p=0.05, most=1.5), 6, "Style and content cannot be told apart in the +4.7 points"),
    (facts(p=0.9, most=1.4, style=(4.0, 0.0, 8.0)), 6, "cannot be told apart"),
    (facts(p=0.9, most=1.4, style=(-4.0, -8.0, -2.0)), 6, "cannot be told apart"),
    (facts(p=0.9, gain=(6.0, 4.0, 8.0, 2.7), most=1.4, seeds=3), 6, "cannot be told apart in the +6.0 points"),
    (facts(p=0.9, most=INFINITE), 6, "cannot be told apart"),
    (facts(p=0.9, most=0.1, style=(4.0, None, None)), 6, "cannot be told apart"),
]


@pytest.mark.parametrize(("case", "row", "words"), CASES)
def test_cases_by_hand(case: Facts, row: int, words: str) -> None:
    found = read(case)
    assert (found.row, found.name) == (row, RULE[row - 1].name)
    assert words in found.words.replace(NBSP, " ")


def test_every_row_is_reached() -> None:
    assert {row for _, row, _ in CASES} == set(range(1, len(RULE) + 1))


def test_no_sentence_gives_more_than_there_is() -> None:
    """Over a grid, no "x of +y" has x above y, or a y that is not above 0, whatever is rounded."""
    rows, amounts = set(), 0
    for naming, gain, p, low, width, most, style, seeds in product(
        (0.5, 1.0),
        (-1.0, 0.004, 0.03, 0.3, 4.7, 60.0),
        (0.01, 0.5),
        (-20.0, -0.02, 0.01, 2.0, 80.0),
        (0.0, 0.02, 3.0, 90.0),
        (-1.0, 0.001, 0.1, 1.4, INFINITE),
        (-3.0, 0.02, 3.0),
        (1, 3),
    ):
        for above in (True, False):
            said = read(
                facts(
                    naming,
                    (gain, gain * 0.9 if gain > 0 else gain * 1.1, gain * 1.1 if gain > 0 else 0.0),
                    p,
                    (low, low + width),
                    above,
                    most,
                    (style, style - 0.01, style + 0.01),
                    seeds,
                )
            )
            rows.add(said.row)
            words = said.words.replace(NBSP, " ")
            for total in re.findall(r"the \+(\S+) points", words):
                assert float(total) > 0, words
                if said.row in (3, 5):
                    [(start, size)] = re.findall(r"brings (at most |between \S+ and )?(\S+) of the \+", words)
                    assert size == "all" or 0 <= float(size) <= float(total), words
                    assert "between" not in start or float(start.split()[1]) <= float(size), words
                    amounts += 1
    assert rows == set(range(1, len(RULE) + 1))
    assert amounts > 500
