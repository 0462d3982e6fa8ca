"""The first sentence on image sets, by a table of rules: the first that holds wins, and none says more than its test.

A set knows something if its CLER is above that of its permuted labels on every seed. One set is worth more than another
if both the p-value, corrected over all comparisons, and the interval of their difference in CLER tell so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from analysis.images.record import Measures, SetComparison, SetMeasures
from analysis.images.wording import (
    NAMES,
    beside,
    confidence_of,
    few_seeds,
    metric_name,
    nothing_of,
    over_words,
    points_of,
    side_by_side,
    text_share,
    told,
    told_alone,
    unequal,
)
from analysis.results.headline import Headline
from analysis.results.wording import NBSP, listing, p_words, percent
from analysis.statistics.intervals import Estimate
from analysis.statistics.together import FEWEST_SEEDS
from reward.numerals import decimal


class Said(NamedTuple):
    """What a rule says: its sentence, the sets that it is about, and what limits it."""

    answer: str
    sets: tuple[SetMeasures, ...]
    caution: str = ""


class Rule(NamedTuple):
    """A rule: its name, and what it says of a measurement; None if it does not hold."""

    name: str
    say: Callable[[Measures], Said | None]


def _nothing(measures: Measures) -> Said | None:
    if not measures.sets or any(one.knows is not False for one in measures.sets):
        return None
    if len(measures.sets) == 1:
        (one,) = measures.sets
        return Said(f"{one.name} is not told from a set that knows nothing", measures.sets)
    return Said("No set is told from one that knows nothing", measures.sets)


def _worth_more(measures: Measures) -> Said | None:
    found = [
        (row, pair[0], pair[1])
        for row in of_cler(measures)
        if told(row, confidence_of(measures)) and (pair := _better(measures, row))
    ]
    if not found:
        return None
    row, first, second = max(found, key=lambda one: _weight(one[0], one[1], one[2], measures.per_class))
    by = points_of(_size(row.difference)).removeprefix("+")
    return Said(f"{first.name} is worth more than {second.name}: its CLER is {by} higher", (first, second))


def _weight(
    row: SetComparison, first: SetMeasures, second: SetMeasures, cut: int | None
) -> tuple[bool, bool, bool, float]:
    """Return what a comparison tells: one with a set that knows nothing, of unequal sets or of few seeds tells less."""
    pair = (first, second)
    return second.knows is not False, not unequal(pair, cut), not few_seeds(pair), abs(row.difference.value)


def _cannot_be_told(measures: Measures) -> Said | None:
    tested = [row for row in of_cler(measures) if row.p_holm is not None]
    if not tested or any(told(row, confidence_of(measures)) for row in tested):
        return None
    if len(tested) == 1:
        (row,) = tested
        return Said(
            f"{row.name} and {row.against} cannot be told apart",
            (measures.of(row.name), measures.of(row.against)),
            f"It needs more seeds or images: their difference in CLER is {points_of(row.difference)}, over "
            f"{over_words(row, measures)}, and all that the brackets hold is possible.",
        )
    widest = max(tested, key=lambda row: _reach(row.difference))
    alone = [row.name for row in tested if told_alone(row, confidence_of(measures))]
    return Said(
        f"No set can be told from {measures.against}",
        tuple(measures.sets),
        f"It needs more seeds or images: the widest interval, of {widest.name}, is {points_of(widest.difference)}."
        + (f" Alone, {listing(alone)} would be told from it, but not {beside(measures)}." if alone else ""),
    )


def _knows(measures: Measures) -> Said | None:
    knowing = [(one, number) for one in measures.sets if one.knows and (number := one.number("cler"))]
    if not knowing:
        return None
    one, number = max(knowing, key=lambda pair: pair[1].value)
    nothing = nothing_of(one)
    against = "" if nothing is None else f" against {decimal(100 * nothing, 1)}{NBSP}% of nothing"
    return Said(f"{one.name} tells the classes apart: CLER {percent(number)}{against}", (one,))


def _not_tested(measures: Measures) -> Said | None:
    found = [(one, number) for one in measures.sets if (number := one.number("cler"))]
    if not found:
        return None
    one, number = max(found, key=lambda pair: pair[1].value)
    rest = "" if len(found) == 1 else f", the highest of {len(found)} sets"
    return Said(
        f"{one.name}: CLER {percent(number)}{rest}",
        (one,),
        "No test tells it from a set that knows nothing, or from another set.",
    )


def _nothing_measured(measures: Measures) -> Said | None:
    return Said("CLER was not measured" if measures.sets else "No set was measured", tuple(measures.sets))


RULES: tuple[Rule, ...] = (
    Rule("no set is told from nothing", _nothing),
    Rule("a set is worth more than another", _worth_more),
    Rule("sets cannot be told apart", _cannot_be_told),
    Rule("a set tells the classes apart", _knows),
    Rule("not tested", _not_tested),
    Rule("not measured", _nothing_measured),
)


def set_headline(measures: Measures) -> Headline:
    """Return the headline of a measurement, with its cautions and the numbers behind it."""
    said = next(said for rule in RULES if (said := rule.say(measures)) is not None)
    evidence = "; ".join(f"{one.name}: {side_by_side(measures, one)}" for one in said.sets)
    answer = said.answer.replace(f"{NBSP}[", " [").replace(f",{NBSP}", ", ")  # a phone's line is shorter than both
    return Headline(answer, f"{evidence}." if evidence else "", None, _caution(said, measures))


def rule_of(measures: Measures) -> str:
    """Return the name of the rule that the headline follows."""
    return next(rule.name for rule in RULES if rule.say(measures) is not None)


def _caution(said: Said, measures: Measures) -> str:
    parts = [said.caution] if said.caution else []
    if said.sets and few_seeds(said.sets):
        parts.append(f"Of these sets only, with fewer than {FEWEST_SEEDS} generation seeds.")
    differ = unequal(said.sets, measures.per_class)
    if differ:
        parts.append(f"They are unequal in {differ}.")
    flattered = [one.name for one in measures.sets if text_share(one) is not None]
    if flattered:
        verb = "is" if len(flattered) == 1 else "are"
        parts.append(f"The ensemble flatters {listing(flattered)}, which {verb} not told from nothing.")
    return " ".join(parts)


def plain_words(measures: Measures) -> list[tuple[str, str]]:
    """Return what was found, a topic and a text each."""
    said = [(one.name, _of_set(measures, one)) for one in measures.sets]
    said += [(f"{row.name} and {row.against}", _compared(row, measures)) for row in measures.comparisons]
    return said


def _of_set(measures: Measures, one: SetMeasures) -> str:
    parts = [f"{side_by_side(measures, one)} ({metric_name(measures)}, over {over_words(one, measures)})."]
    p_values = [seed.knowledge_p for seed in one.seeds if seed.knowledge_p is not None]
    if one.knows is not None:
        word = "Told from a set that knows nothing" if one.knows else "Not told from a set that knows nothing"
        seeds = f" on each of {len(p_values)} seeds" if len(p_values) > 1 and one.knows else ""
        parts.append(f"{word}{seeds}: {p_words(max(p_values))}{' at most' if seeds else ''}.")
    gain = one.number("gain")
    if gain is not None and gain.low is not None and gain.high is not None:
        if gain.low > 0:
            parts.append("Its images add to what the texts tell.")
        elif gain.high < 0:
            parts.append("Its images take away from what the texts tell.")
        else:
            parts.append("Whether its images add to what the texts tell is open.")
    if one.made < one.asked:
        parts.append(f"{one.made:,} of {one.asked:,} images could be made.")
    return " ".join(parts)


def _compared(row: SetComparison, measures: Measures) -> str:
    name = NAMES.get(row.quantity, row.quantity)
    number = points_of(row.difference) if row.quantity not in ("clip_score", "frechet", "kid") else _plain(row)
    p = "" if row.p_holm is None else f", {p_words(row.p_holm)} after Holm's correction"
    if row.p_holm is None:
        verdict = "No test was possible."
    elif told(row, confidence_of(measures)):
        verdict = "They are told apart."
    elif told_alone(row, confidence_of(measures)):
        verdict = f"They are told apart alone, but not {beside(measures)}; it needs more seeds or images."
    else:
        verdict = "They cannot be told apart; it needs more seeds or images."
    return f"{name} differs by {number}, over {over_words(row, measures)}{p}. {verdict}"


def _plain(row: SetComparison) -> str:
    number = row.difference
    value = f"{number.value:.3g}"
    return value if number.low is None or number.high is None else f"{value} [{number.low:.3g}, {number.high:.3g}]"


def of_cler(measures: Measures) -> Sequence[SetComparison]:
    """Return the comparisons of CLER."""
    return [row for row in measures.comparisons if row.quantity == "cler"]


def _better(measures: Measures, row: SetComparison) -> tuple[SetMeasures, SetMeasures] | None:
    """Return the better and the worse set, None if the better one is not told from nothing."""
    pair = (measures.of(row.name), measures.of(row.against))
    first, second = pair if row.difference.value > 0 else (pair[1], pair[0])
    return None if first.knows is False else (first, second)


def _size(number: Estimate) -> Estimate:
    """Turn a difference so that it is above 0."""
    if number.value >= 0:
        return number
    low, high = number.low, number.high
    return Estimate(-number.value, None if high is None else -high, None if low is None else -low, number.n)


def _reach(number: Estimate) -> float:
    return float("inf") if number.low is None or number.high is None else number.high - number.low
