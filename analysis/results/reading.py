"""The reading rule: in one sentence, what a gain over the templates is made of. The first row that matches wins."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from analysis.results.attribution import GainParts
from analysis.results.experiment import Experiment
from analysis.results.pooling import Difference
from analysis.results.wording import NBSP, p_words, points, verdict_words
from analysis.statistics.together import FEWEST_SEEDS
from reward.numerals import decimal

LEAST_NAMING = 0.9
"""Least share of texts that must name their class."""

PART = 0.5
"""Share of the gain's lower end that content must stay below, for a gain to be called style."""


class Facts(NamedTuple):
    """What the rule looks at; differences in [-1, 1].

    Attributes:
        naming: Share of the texts that name their class.
        gain: EX2's accuracy minus the templates'.
        alpha: Level of the tests.
        content_p: p-value of content.
        ends: Both sizes of content, the smaller first: own texts minus all classes', and minus exchanged ones.
        above: Whether the own texts are better than exchanged ones.
        most: Upper end of the interval of the larger size of content.
        style: All classes' texts minus the templates.
        seeds: Number of seeds.
    """

    naming: float
    gain: Difference
    alpha: float
    content_p: float
    ends: tuple[float, float]
    above: bool
    most: float
    style: Difference
    seeds: int


class Row(NamedTuple):
    """A row of the rule.

    Attributes:
        name: Short name of what it says.
        holds: Whether the row applies.
        words: The sentence.
    """

    name: str
    holds: Callable[[Facts], bool]
    words: Callable[[Facts], str]


class Reading(NamedTuple):
    """What the rule says of a gain.

    Attributes:
        row: Number of the row in `RULE`, from 1; 0 if it was not measured what the gain is made of.
        name: The row's name, for tables.
        words: The sentence.
    """

    row: int
    name: str
    words: str


def _said(facts: Facts) -> str:
    """Return whose texts are spoken of: with too few seeds, only of these."""
    return "what EX2's texts say of the class" if facts.seeds >= FEWEST_SEEDS else "what these texts say of the class"


def _not_attributable(facts: Facts) -> str:
    share = math.floor(1000 * facts.naming) / 10  # rounded down: never the least that is allowed
    return (
        f"The accuracy is not attributable: {decimal(share, 1)}{NBSP}% of the texts name their class, and it takes "
        f"{decimal(100 * LEAST_NAMING, 0)}{NBSP}% to tell what they say of it from how they say it."
    )


def _no_gain(facts: Facts) -> str:
    said = points(facts.gain)
    if facts.gain.low is None:
        said += ", without an interval, so any size is possible"
    elif facts.gain.low > 0:  # another interval than the one shown, or a test, does not tell it
        said += f", {verdict_words(facts.gain)}"
    return f"No gain over the templates to explain: {said}."


def _content(facts: Facts) -> str:
    whole = facts.gain.value
    least, most = (_amount(min(max(end, 0.0), whole), whole) for end in facts.ends)
    total = _amount(whole, whole)
    size = f"{least}" if least == most else f"between {least} and {most}"
    if least == total:
        size = "all"
    return f"{_first_upper(_said(facts))} brings {size} of the +{total}{NBSP}points ({p_words(facts.content_p)})."


def _harm(facts: Facts) -> str:
    return (
        f"{_first_upper(_said(facts))} harms: the same texts exchanged between classes classify better "
        f"({p_words(facts.content_p)})."
    )


def _style(facts: Facts) -> str:
    whole = facts.gain.value
    most = _amount(min(max(facts.most, 0.0), whole), whole)
    return (
        f"The gain is style: {_said(facts)} brings at most {most} of the +{_amount(whole, whole)}{NBSP}points; all "
        f"classes' texts, the same for every class, bring {points(facts.style)} over the templates."
    )


def _open(facts: Facts) -> str:
    whole = facts.gain.value
    return (
        f"Style and content cannot be told apart in the +{_amount(whole, whole)}{NBSP}points: it takes more seeds, "
        "more descriptions of each question, or more images."
    )


RULE: tuple[Row, ...] = (
    Row("not attributable", lambda facts: facts.naming < LEAST_NAMING, _not_attributable),
    Row("no gain", lambda facts: facts.gain.surely_above(0.0) is not True, _no_gain),
    Row("content", lambda facts: facts.content_p < facts.alpha and facts.above, _content),
    Row("content harms", lambda facts: facts.content_p < facts.alpha, _harm),
    Row(
        "style",
        lambda facts: (
            facts.most < PART * min(facts.gain.lows, default=-math.inf) and facts.style.surely_above(0.0) is True
        ),
        _style,
    ),
    Row("open", lambda facts: True, _open),
)
"""The rows in their order; the first that holds is the reading."""

CONTENT = 3
"""Number of the row that says that content brings some of the gain."""


def read(facts: Facts) -> Reading:
    """Return what the rule says."""
    number, row = next((number, row) for number, row in enumerate(RULE, 1) if row.holds(facts))
    return Reading(number, row.name, row.words(facts))


def reading(experiment: Experiment) -> Reading | None:
    """Say what an experiment's gain over the templates is made of; `None` without such a gain or its parts.

    Returns:
        The rule's sentence. Where the parts were not measured, row 0, which says so if there is a gain to explain.
    """
    gain, parts = experiment.tested("aligned", "templates"), experiment.gain_parts
    if gain is None:
        return None
    if parts is None:
        if gain.surely_above(0.0) is not True or experiment.folder is None:
            return None
        whole = _amount(gain.value, gain.value)
        return Reading(0, "not measured", f"What the +{whole}{NBSP}points are made of was not measured.")
    return read(facts_of(parts, gain, experiment.confidence, len(experiment.seeds)))


def content_proved(experiment: Experiment) -> bool:
    """Say whether it is shown that what the texts say of their class brings some of the gain."""
    said = reading(experiment)
    return said is not None and said.row == CONTENT


def facts_of(parts: GainParts, gain: Difference, confidence: float, seeds: int) -> Facts:
    """Return what the rule looks at.

    Args:
        parts: What the gain is made of.
        gain: EX2's accuracy minus the templates'.
        confidence: Coverage of the intervals.
        seeds: Number of seeds.
    """
    ends = (parts.above_everyone, parts.above_exchanged.value)
    low, high = sorted(end.value for end in ends)
    return Facts(
        naming=parts.names.own / parts.names.texts,
        gain=gain,
        alpha=1 - confidence,
        content_p=parts.content_p,
        ends=(low, high),
        above=parts.above_exchanged.value.value > 0,
        most=max(math.inf if end.high is None else end.high for end in ends),
        style=parts.style,
        seeds=seeds,
    )


def _amount(value: float, whole: float) -> str:
    """Return points with as many digits as the whole needs not to be 0: `4.7`, or `0.03` beside a whole of `0.04`."""
    shown = 100 * whole
    digits = 1 if shown >= 0.05 else math.ceil(-math.log10(shown)) + 1
    return decimal(100 * value, digits)


def _first_upper(words: str) -> str:
    return words[:1].upper() + words[1:]
