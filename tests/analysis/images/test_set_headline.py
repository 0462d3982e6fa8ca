"""The first sentence on image sets: each rule is reached at both sides of its threshold, and claims no more than it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from measured_sets import around, compared, demo, measured_set, measurement

from analysis.images.headline import RULES, plain_words, rule_of, set_headline
from analysis.images.record import Measures
from analysis.images.wording import text_share, told, unequal, warnings_of
from analysis.statistics.intervals import Estimate
from reward.numerals import MINUS

NBSP = "\u00a0"
NOTHING, MORE, OPEN, KNOWS, UNTESTED, ABSENT = (rule.name for rule in RULES)


def pair(value: float, reach: float, p: float | None, *, over: Any = "seeds", **changes: Any) -> Measures:
    """Two sets that know something; the first's CLER minus the second's is `value`."""
    seeds = 3 if over == "seeds" else 2
    sets = (measured_set("b", 0.6, seeds=seeds), measured_set("a", 0.6 + value, seeds=seeds, **changes))
    return measurement(*sets, comparisons=(compared("a", "b", value, reach, p, over=over),))


@pytest.mark.parametrize(("p", "rule"), [(0.0499, KNOWS), (0.05, NOTHING)])
def test_knowledge_is_told_below_five_percent(p: float, rule: str) -> None:
    assert rule_of(measurement(measured_set(knowledge_p=p))) == rule


def test_one_seed_that_is_not_told_from_nothing_is_enough() -> None:
    one = measured_set()
    seeds = (*one.seeds[:2], replace(one.seeds[2], knowledge_p=0.2))
    assert rule_of(measurement(replace(one, seeds=seeds))) == NOTHING
    assert rule_of(measurement(replace(one, seeds=seeds), measured_set("b"))) == KNOWS


def test_no_set_is_told_only_if_none_is() -> None:
    weak = [measured_set(name, 0.07, knowledge_p=0.4, ensemble=0.06) for name in ("a", "b")]
    said = set_headline(measurement(*weak))
    assert (said.answer, said.caution) == ("No set is told from one that knows nothing", "")
    assert rule_of(measurement(*weak, measured_set("c", knowledge_p=None))) == UNTESTED


@pytest.mark.parametrize(
    ("low", "p", "rule"),
    [(0.001, 0.0499, MORE), (0.001, 0.0501, OPEN), (0.0, 0.0499, OPEN), (-0.001, 0.0499, OPEN)],
)
def test_more_is_said_if_both_p_and_interval_tell(low: float, p: float, rule: str) -> None:
    found = pair(0.1, 0.1 - low, p)
    assert rule_of(found) == rule
    assert told(found.comparisons[0], 0.95) is (rule == MORE)


def test_what_is_worth_more() -> None:
    said = set_headline(pair(-0.123, 0.05, 0.01))
    assert said.answer == f"b is worth more than a: its CLER is 12.3{NBSP}points [+7.3, +17.3] higher"
    assert said.caution == ""
    assert said.evidence.startswith(f"b: texts alone 70.7{NBSP}%{NBSP}[67.8–73.6], CLER 60.0{NBSP}%{NBSP}[57.0–63.0], ")


def test_a_set_that_knows_nothing_is_worth_no_more() -> None:
    found = pair(0.1, 0.05, 0.01, knowledge_p=0.3)
    assert rule_of(found) == KNOWS


def test_a_difference_from_a_set_that_knows_something_comes_first() -> None:
    assert set_headline(demo()).answer.startswith("original is worth more than templates: its CLER is 14.9")


def test_two_sets_that_cannot_be_told_apart() -> None:
    said = set_headline(pair(0.01, 0.03, 0.5))
    assert said.answer == "a and b cannot be told apart"
    assert said.caution == (
        f"It needs more seeds or images: their difference in CLER is +1.0{NBSP}points{NBSP}[{MINUS}2.0,{NBSP}+4.0], "
        "over 3 seeds and 960 test images, and all that the brackets hold is possible."
    )


def test_several_sets_that_cannot_be_told_apart() -> None:
    one = pair(0.01, 0.03, 0.5)
    more = replace(one, sets=(*one.sets, measured_set("c", 0.6)))
    more = replace(more, comparisons=(*one.comparisons, compared("c", "b", 0.0, 0.08, 0.9)), against="b")
    said = set_headline(more)
    assert said.answer == "No set can be told from b"
    assert "the widest interval, of c, is 0.0" in said.caution
    assert "Alone" not in said.caution


def test_a_difference_that_holds_alone_and_not_beside_others_is_said_so() -> None:
    """Its interval leaves 0 outside, and its p of 0.03 is 0.06 after correction."""
    one = pair(0.1, 0.05, 0.06)
    more = replace(one, sets=(*one.sets, measured_set("c", 0.6)))
    more = replace(more, comparisons=(*one.comparisons, compared("c", "b", 0.0, 0.08, 0.9)), against="b")
    assert set_headline(more).answer == "No set can be told from b"
    assert set_headline(more).caution.endswith("Alone, a would be told from it, but not beside the other.")
    assert dict(plain_words(more))["a and b"].endswith(
        "They are told apart alone, but not beside the other; it needs more seeds or images."
    )


@pytest.mark.parametrize(
    ("seeds", "caution"), [(3, ""), (2, "Of these sets only, with fewer than 3 generation seeds.")]
)
def test_few_seeds_are_said(seeds: int, caution: str) -> None:
    one = measured_set(seeds=seeds)
    assert set_headline(measurement(one)).caution == caution
    assert len(warnings_of(measurement(one))) == bool(caution)


def test_a_set_that_tells_the_classes_apart() -> None:
    said = set_headline(measurement(measured_set("low", 0.3), measured_set("high", 0.712)))
    assert said.answer == f"high tells the classes apart: CLER 71.2{NBSP}% [68.2–74.2] against 6.2{NBSP}% of nothing"


def test_what_was_not_tested_or_measured() -> None:
    untested = measurement(measured_set(knowledge_p=None))
    assert set_headline(untested).answer == f"templates: CLER 71.2{NBSP}% [68.2–74.2]"
    assert set_headline(untested).caution == "No test tells it from a set that knows nothing, or from another set."
    bare = replace(measured_set(knowledge_p=None), numbers={})
    assert (rule_of(measurement(bare)), set_headline(measurement(bare)).answer) == (ABSENT, "CLER was not measured")
    assert set_headline(replace(untested, sets=())).answer == "No set was measured"


def test_how_much_of_an_ensemble_the_texts_have_brought() -> None:
    def share(**changes: Any) -> float | None:
        return text_share(measured_set(cler=0.1125, ensemble=0.2625, **changes))

    # (0.2625 − 0.1125) / (0.2625 − 0.0625) = 0.75
    assert share(knowledge_p=0.2) == pytest.approx(0.75)
    assert share(knowledge_p=0.02) is None
    assert share(knowledge_p=None) is None
    # the interval of the ensemble reaches 0.02 to both sides: it holds 0.0625 up to 0.0825
    assert text_share(measured_set(cler=0.06, ensemble=0.0825, knowledge_p=0.2)) is None
    assert text_share(measured_set(cler=0.06, ensemble=0.0826, knowledge_p=0.2)) == 1.0


def test_flattery_is_said_beside_the_headline() -> None:
    flattered = measured_set("bad", 0.061, ensemble=0.383, knowledge_p=0.5)
    said = set_headline(measurement(flattered))
    assert said.answer == "bad is not told from a set that knows nothing"
    assert said.caution == "The ensemble flatters bad, which is not told from nothing."
    assert (
        f"flatters bad, which is not told from a set that knows nothing: 100{NBSP}%"
        in warnings_of(measurement(flattered))[0]
    )


def test_code_without_a_sandbox_is_said() -> None:
    bare, inside, drawn = (measured_set(name, sandbox=name) for name in ("none", "bubblewrap", ""))
    assert warnings_of(measurement(bare, inside, drawn)) == [
        "Code that a model wrote drew none without a sandbox, with the rights of who ran it."
    ]
    assert warnings_of(measurement(inside, drawn)) == []


def test_unequal_sets_are_said() -> None:
    one, other = measured_set("a"), measured_set("b")
    assert unequal((one, other)) == ""
    assert unequal((one, replace(other, made=959))) == "images made (a 960 and b 959)"
    assert unequal((one, replace(other, per_class=5, made=240))) == "images a class (a 20 and b 5)"
    assert unequal((one, replace(other, per_class=5, made=240)), cut=5) == ""
    assert unequal((one, replace(other, seeds=other.seeds[:2])), cut=5) == "seeds (a 3 and b 2)"
    found = pair(0.1, 0.05, 0.01, made=959)
    assert set_headline(found).caution == "They are unequal in images made (a 959 and b 960)."


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.001, 0.1, "Its images add to what the texts tell."),
        (0.0, 0.1, "Whether its images add to what the texts tell is open."),
        (-0.1, 0.0, "Whether its images add to what the texts tell is open."),
        (-0.1, -0.001, "Its images take away from what the texts tell."),
    ],
)
def test_gain_is_told_by_its_interval(low: float, high: float, said: str) -> None:
    one = measured_set()
    gain = Estimate((low + high) / 2, low, high, 3)
    ((_, text),) = plain_words(measurement(replace(one, numbers={**one.numbers, "gain": gain})))
    assert text.endswith(said)
    lone = replace(one, numbers={**one.numbers, "gain": Estimate(0.2, None, None, 1)})
    assert plain_words(measurement(lone))[0][1].endswith("at most.")


def test_distances_are_no_points() -> None:
    row = replace(compared("a", "b", 0.5, 0.2, 0.01), quantity="frechet", difference=around(0.5, 0.25, 3))
    found = replace(pair(0.1, 0.05, 0.01), comparisons=(row,))
    assert plain_words(found)[-1][1] == (
        f"Fréchet distance differs by 0.5 [0.25, 0.75], over 3 seeds, p{NBSP}={NBSP}0.010 after Holm's correction. "
        "They are told apart."
    )
    assert rule_of(found) == KNOWS
