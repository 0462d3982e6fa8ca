"""A kind that rose over seeds, but only in a few of the classes: by hand and against scipy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pages import seed_result
from scipy import stats

from analysis.results.by_class import changes_by_class, counted_by_class
from analysis.results.changes import class_words, over_classes
from analysis.results.experiment import Experiment
from analysis.results.headline import headline
from analysis.results.seeds import pool_seeds
from analysis.verdicts.verdicts import Kind
from reward.errors import UserError


def test_changes_by_hand() -> None:
    """Two seeds and three classes: one has no base texts, one no readable answer in the second seed."""
    first: dict[int, dict[Kind, int]] = {0: {"visual": 3, "spurious": 1}, 1: {"non_visual": 2}, 2: {"visual": 1}}
    before: dict[int, dict[Kind, int]] = {0: {"visual": 1, "spurious": 3}, 1: {"visual": 1, "spurious": 1}}
    second: dict[int, dict[Kind, int]] = {0: {"visual": 4}, 1: {"unparsed": 5}}
    seeds = [{"aligned": first, "base": before}, {"aligned": second, "base": before}]
    parsed = changes_by_class(seeds, "parsed")  # type: ignore[arg-type]
    assert parsed["visual"] == pytest.approx(((0.5 + 0.75) / 2, -0.5))
    assert parsed["non_visual"] == pytest.approx((0.0, 1.0))
    assert parsed["spurious"] == pytest.approx(((-0.5 - 0.75) / 2, -0.5))
    everything = changes_by_class(seeds, "all")  # type: ignore[arg-type]
    assert everything["visual"] == pytest.approx(((0.5 + 0.75) / 2, -0.5)), "unparsed ones are no visual ones"
    assert everything["non_visual"] == pytest.approx((0.0, 0.5))
    assert changes_by_class([{"aligned": first}], "parsed") == {}
    assert changes_by_class([], "parsed") == {}


def test_the_counts_of_a_run_are_those_of_its_breakdown() -> None:
    """20 descriptions of each of two classes: 28 aligned and 10 base ones visual, one of 40 unparsed."""
    result = seed_result(0, 28)
    counted = counted_by_class(result)
    assert counted["aligned"] == {0: {"visual": 14, "spurious": 6}, 1: {"visual": 14, "spurious": 5, "unparsed": 1}}
    assert counted["base"] == {0: {"visual": 5, "spurious": 15}, 1: {"visual": 5, "spurious": 15}}
    made = pool_seeds("tiny", [result])
    assert made.class_changes["visual"] == pytest.approx((14 / 20 - 5 / 20, 14 / 19 - 5 / 20))
    assert counted_by_class(replace(result, breakdown=replace(result.breakdown, policies={}))) == {}
    stranger = replace(result.descriptions[0], text="never judged")
    with pytest.raises(UserError, match="seed 0: a description of 'pug' has no verdict"):
        counted_by_class(replace(result, descriptions=[stranger]))


def of_classes(visual: tuple[float, ...], seeds: int = 3) -> Experiment:
    """Visual rose by 42 points or so in each of so many seeds, and in the classes as given; the other two fell."""
    results = [seed_result(seed, 27 + seed) for seed in range(seeds)]
    for result in results:
        result.train[:] = [row | {"kl": 10.0} for row in result.train]
    other = tuple(-value / 2 + 0.02 * (-1) ** place for place, value in enumerate(visual))
    spurious = tuple(-first - second for first, second in zip(visual, other, strict=True))
    changes = {"visual": visual, "non_visual": other, "spurious": spurious}
    return replace(pool_seeds("tiny", results), class_changes=changes)


def test_holm_over_kinds_against_scipy() -> None:
    visual = (0.5, 0.3, 0.6, 0.4, 0.45, 0.2)
    made = of_classes(visual)
    raw = [stats.ttest_1samp(values, 0).pvalue for values in made.class_changes.values()]
    found = over_classes(made, "visual")
    assert found is not None
    rank = sorted(raw).index(raw[0])
    holm = max((3 - place) * p for place, p in enumerate(sorted(raw)[: rank + 1]))
    assert found.p == pytest.approx(holm)
    ends = stats.ttest_1samp(visual, 0).confidence_interval(1 - 0.05 / 3)
    assert (found.value, found.low, found.high) == pytest.approx((np.mean(visual), ends.low, ends.high))
    assert found.classes == 6
    words = f"Over 6 classes: +40.8\u00a0points [+{100 * ends.low:.1f},\u00a0+{100 * ends.high:.1f}] (t, Holm)."
    assert class_words(made, "visual") == words
    assert headline(made).evidence.endswith(words)


EVEN = (0.5, 0.45, 0.4, 0.45, 0.42, 0.38)
CHANCE = "Over classes it is not told from chance: a few texts that the VLM likes for another reason do the same."


@pytest.mark.parametrize(
    ("visual", "answer", "caution"),
    [
        (EVEN, "toy-visual rewards visual wording", ""),
        (EVEN[:5], "toy-visual rewards visual wording", ""),
        (EVEN[:4], "in these classes", "Whether it would in others takes 5 classes; there are 4."),
        ((), "in these classes", "Whether it would in others takes 5 classes; there are 0."),
        ((1.0, 1.0, 0.0, 0.0, 0.0, 0.02), "in these classes", CHANCE),
        ((1.0, 1.0, 1.0, -0.4, -0.3, -0.2), "in these classes", CHANCE),
        ((-0.5, -0.45, -0.4, -0.45, -0.42, -0.38), "in these classes", CHANCE),
        ((1.0,) * 7, "toy-visual rewards visual wording", ""),
        ((1.0,) * 6, "in these classes", CHANCE),
        ((0.0,) * 40, "in these classes", CHANCE),
    ],
)
def test_a_preference_holds_over_classes_too(visual: tuple[float, ...], answer: str, caution: str) -> None:
    """Changes that are alike in all of C classes are tested by their signs, the first of three: 3 · 2^(1 − C)."""
    said = headline(of_classes(visual))
    assert said.answer.endswith(answer)
    assert said.caution == caution
    assert (said.kind == "visual") is (caution == "")
    if caution:
        assert said.answer == "toy-visual: over 3 seeds visual wording became more frequent in these classes"


@pytest.mark.parametrize("seeds", [1, 2])
def test_what_this_run_did_needs_no_classes(seeds: int) -> None:
    said = headline(of_classes((1.0, 1.0, 0.0, 0.0, 0.0, 0.02), seeds))
    assert said.answer == "toy-visual: visual wording became more frequent in this run"
    assert CHANCE not in said.caution
    assert "classes" not in said.evidence


@pytest.mark.slow
def test_false_headlines_where_a_few_texts_are_liked() -> None:
    """Each class has three texts that the score likes, of any kind. All seeds agree; 16 classes do not."""
    rng, named, without = np.random.default_rng(3), 0, 0
    for _ in range(400):
        moved = np.zeros((16, 3))
        for row in moved:
            np.add.at(row, rng.integers(0, 3, 3), 1 / 3)
        changes = (moved - 1 / 3) * 0.8
        made = of_classes(tuple(changes[:, 0].tolist()))
        without += bool(changes[:, 0].mean() > 0.02)
        named += headline(made).kind is not None
    assert without > 120, "the seeds alone would have named visual"
    assert named / 400 <= 0.05
