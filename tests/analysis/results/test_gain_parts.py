"""What a gain is made of, from the records of one seed and of several: every number by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import hypot
from statistics import mean, stdev

import pytest
from attributed_gains import GRID, attribution, with_gain
from record_samples import measured
from scipy import stats

from analysis.accuracy.record import Accuracy, Permuted
from analysis.results.attribution import gain_parts
from analysis.results.reading import reading
from analysis.results.seeds import pool_seeds

Z = 1.959963984540054
SPREAD = stdev(GRID)


def p_of(observed: float, others: Sequence[float]) -> float:
    """The p of a number above most of others: twice the share that is as good, itself among them."""
    return min(1.0, 2 * (1 + sum(other >= observed - 1e-9 for other in others)) / (1 + len(others)))


def test_one_seed_by_hand() -> None:
    parts = gain_parts([with_gain(0)])
    assert parts is not None
    assert (parts.names.own, parts.names.texts, parts.texts, parts.pool) == (95, 100, 95, 90)
    assert parts.style.value == pytest.approx(0.02)
    assert parts.above_everyone.value == pytest.approx(0.08)
    assert parts.above_everyone.low == pytest.approx(0.08 - hypot(0.03, Z * SPREAD))
    assert parts.above_everyone.high == pytest.approx(0.08 + hypot(0.04, Z * SPREAD))
    other_end = parts.above_exchanged.value
    assert other_end.value == pytest.approx(0.1)
    assert other_end.low is not None
    assert other_end.high is not None
    # Of 199 others four and the own one are 2.5 %: the fifth from either end is the last that is not told apart.
    assert (other_end.low, other_end.high) == pytest.approx((0.1 - GRID[-5], 0.1 - GRID[4]))
    assert (other_end.significant, parts.above_another.value.significant) == (True, True)
    assert parts.above_another.value.value == pytest.approx(0.2)
    assert parts.unevenness.value == pytest.approx(0.7 - 0.72)
    assert parts.unevenness.low == pytest.approx(-0.02 - Z * 0.01)
    assert parts.misleading is not None
    assert parts.misleading.value == pytest.approx(0.6 - 0.7)
    assert parts.word_order is not None
    assert parts.word_order.value == pytest.approx(0.01), "aligned minus shuffled"
    assert parts.seen.value.value == pytest.approx(0.2)
    # 0.8 is above all of 0.65 to 0.75 and of 0.55 to 0.65.
    assert parts.content_p == pytest.approx(2 / 200)
    # 0.3 is above all shuffled ones, but of another class's texts, from 0.24 to 0.34, many are as good.
    assert parts.seen.p == pytest.approx(2 / 200)
    assert parts.seen_above_another.p == pytest.approx(p_of(0.3, [0.29 + at for at in GRID]))
    assert parts.seen_above_another.p > 0.7
    assert parts.seen_above_another.value.significant is False


def test_content_needs_both_kinds_of_permutation_on_one_side() -> None:
    between = gain_parts([with_gain(0, attribution(own=0.8, exchanged=0.9, whole=0.6))])
    assert between is not None
    assert between.content_p == 1.0, "below exchanged texts, above other classes': neither harm nor help"
    like_others = gain_parts([with_gain(0, attribution(own=0.8, exchanged=0.7, whole=0.8))])
    assert like_others is not None
    assert like_others.content_p > 0.9
    assert like_others.above_exchanged.p == pytest.approx(2 / 200)
    below = gain_parts([with_gain(0, attribution(own=0.6, exchanged=0.7, whole=0.8))])
    assert below is not None
    assert below.content_p == pytest.approx(2 / 200)
    assert below.above_exchanged.value.high is not None
    assert below.above_exchanged.value.high < 0


def test_over_seeds_permutations_are_averaged_and_intervals_are_of_seeds() -> None:
    """Each seed's own accuracy is among its permutations; over three seeds the mean is beyond their averages.

    Permutation k of one seed belongs to permutation k of the others; they are independent, so the order of each seed's
    is turned here.
    """
    seeds = []
    for seed, own in enumerate((0.74, 0.742, 0.744)):
        part = attribution(own=own, exchanged=0.7, whole=0.7)
        turn = 66 * seed
        turned = {
            name: replace(getattr(part, name), accuracies=(*values[turn:], *values[:turn]))
            for name in ("exchanged", "whole")
            if (values := getattr(part, name).accuracies)
        }
        seeds.append(with_gain(seed, replace(part, **turned)))
    alone = gain_parts(seeds[:1])
    assert alone is not None
    assert alone.content_p == pytest.approx(p_of(0.74, [0.7 + at for at in GRID]))
    assert alone.content_p > 0.05
    parts = gain_parts(seeds)
    assert parts is not None
    averages = [mean(0.7 + GRID[(at + 66 * seed) % 199] for seed in range(3)) for at in range(199)]
    assert max(averages) < 0.742
    values = [0.04, 0.042, 0.044]
    over_seeds = stats.ttest_1samp(values, 0)

    assert p_of(0.742, averages) == 2 / 200 > over_seeds.pvalue, "the larger counts"
    assert parts.above_exchanged.p == parts.above_another.p == parts.content_p == pytest.approx(2 / 200)
    shown = parts.above_exchanged.value
    assert shown.value == pytest.approx(0.042)
    reach = stats.t.ppf(0.975, 2) * stdev(values) / 3**0.5
    assert shown.low is not None
    assert shown.high is not None
    assert shown.low == pytest.approx(0.742 - sorted(averages)[-5])
    assert shown.low < 0.042 - reach, "the permutations' is the wider one here"
    apart = gain_parts([with_gain(seed, attribution(own=own)) for seed, own in enumerate((0.7, 0.8, 0.9))])
    assert apart is not None
    interval = stats.ttest_1samp([0.0, 0.1, 0.2], 0).confidence_interval(0.95)
    ends = (apart.above_exchanged.value.low, apart.above_exchanged.value.high)
    assert ends == pytest.approx((interval.low, interval.high)), "seeds' is the wider one"
    assert apart.above_exchanged.p == pytest.approx(stats.ttest_1samp([0.0, 0.1, 0.2], 0).pvalue)


@pytest.mark.parametrize("seeds", [1, 3])
def test_a_p_below_the_level_has_an_interval_without_0_and_no_other_has(seeds: int) -> None:
    told = 0
    for step in range(40):
        own = 0.6 + step / 200
        found = gain_parts(
            [with_gain(seed, attribution(own=own + 0.02 * seed, exchanged=0.7, whole=0.72)) for seed in range(seeds)]
        )
        assert found is not None
        for value, p in (found.above_exchanged, found.above_another, found.seen, found.seen_above_another):
            assert value.low is not None
            assert value.high is not None
            assert (p < 0.05) is not (value.low <= 0 <= value.high)
            assert value.significant is (p < 0.05)
            told += p < 0.05
    assert 40 < told < 160


def test_a_name_in_several_seeds_is_said_once() -> None:
    parts = gain_parts([with_gain(seed) for seed in range(3)])
    assert parts is not None
    assert (parts.names.own, parts.texts) == (285, 285)
    assert parts.names.describing == ("striped texture",)


def test_it_is_pooled_only_where_every_seed_has_it() -> None:
    assert gain_parts([with_gain(0), measured(with_gain(1), attribution=None)]) is None
    assert pool_seeds("r", [measured(with_gain(0), attribution=None)]).gain_parts is None
    only_base = measured(with_gain(0), arms={}, attribution=None)
    assert gain_parts([only_base]) is None, "only the base model was described"


def test_the_reading_of_a_run() -> None:
    said = reading(pool_seeds("r", [with_gain(0)]))
    assert said is not None
    assert said.row == 3
    assert said.words.replace("\u00a0", " ") == (
        "What these texts say of the class brings between 8.0 and 10.0 of the +10.0 points (p = 0.010)."
    )
    none = pool_seeds("r", [measured(with_gain(0), attribution=None)])
    assert reading(none) is None, "numbers from elsewhere have no run that could be analysed again"


def test_the_record_is_read_as_it_was_written_and_may_be_missing() -> None:
    accuracy = with_gain(0).accuracy
    stored = accuracy.to_json()
    assert Accuracy.from_json(stored) == accuracy
    assert stored["attribution"]["names"] == {"own": 95, "other": 3, "none": 2, "describing": ["striped texture"]}
    assert stored["arms"]["exchanged"]["assignments"] == 199
    assert "assignments" not in stored["arms"]["templates"]
    del stored["attribution"]
    assert Accuracy.from_json(stored).attribution is None
    assert isinstance(accuracy.attribution and accuracy.attribution.whole, Permuted)
