"""Means over generation seeds: what they vary by, by hand, and what intervals of them hold."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from analysis.images.draws import Resampled
from analysis.images.intervals import difference_p
from analysis.images.seeds import pooled, pooled_difference, seeds_alone, seeds_alone_difference
from analysis.statistics.intervals import wilson_bounds

NONE = np.zeros(2)


def score(
    value: float, draws: float = 0.0012, freedom: float = 15.0, over_test: tuple[float, float] = (0.01, 0.0)
) -> Resampled:
    return Resampled(value, np.array(over_test), draws, 2 * draws**2 / freedom)


def test_both_estimates_are_pooled_by_their_degrees_of_freedom() -> None:
    """Seeds 0.5, 0.53, 0.56: 0.0009 / 3 of two degrees; their images: 0.0012 / 3 of 15, as of one seed."""
    found = pooled([score(0.5), score(0.53, over_test=(0.0, 0.03)), score(0.56, over_test=(0.02, 0.0))])
    assert found.value == pytest.approx(0.53)
    assert found.over_test == pytest.approx(np.array([0.01, 0.01]))
    assert found.over_draws == pytest.approx((2 * 0.0003 + 15 * 0.0004) / 17)
    assert found.doubt == pytest.approx(2 * found.over_draws**2 / 17)
    assert found.variance == pytest.approx(found.over_draws + 0.0002)


def test_seeds_that_differ_by_far_more_than_their_images_explain_are_believed() -> None:
    """What all images of a seed have in common, as one embedding learned for it, resampling cannot see."""
    limit = 0.0004 * stats.f.isf(0.01, 2, 15)
    for factor, alone in ((0.99, False), (1.01, True)):
        step = np.sqrt(3 * factor * limit)
        found = pooled([score(0.5 - step), score(0.5), score(0.5 + step)])
        assert (found.over_draws == pytest.approx(step**2 / 3)) == alone
        if alone:
            assert found.doubt == pytest.approx(2 * found.over_draws**2 / 2)


def test_differences_are_of_pairs_where_seeds_are_the_same_and_as_welch_has_them_where_not() -> None:
    first = {0: score(0.50), 1: score(0.56), 2: score(0.53)}
    values = (0.45, 0.50, 0.49)
    same = {seed: score(value, 0.0006) for seed, value in zip(first, values, strict=True)}
    pairs = np.array([0.05, 0.06, 0.04])
    inside, own = (0.0012 + 0.0006) / 3, 1 / (((0.0012 / 3) ** 2 / 15 + (0.0006 / 3) ** 2 / 15) / 0.0006**2)
    found = pooled_difference(first, same)
    assert found.value == pytest.approx(0.05)
    assert found.over_test == pytest.approx(NONE), "on the same test images what both have in common cancels"
    assert found.over_draws == pytest.approx((2 * np.var(pairs, ddof=1) / 3 + own * inside) / (2 + own))
    parts = np.array([np.var([0.50, 0.56, 0.53], ddof=1), np.var(values, ddof=1)]) / 3
    welch = parts.sum() ** 2 / (parts**2 / 2).sum()
    other = pooled_difference(first, dict(zip((7, 8, 9), same.values(), strict=True)))
    assert other.over_draws == pytest.approx((welch * parts.sum() + own * inside) / (welch + own))
    t = 0.05 / np.sqrt(other.over_draws)
    assert difference_p(other) == pytest.approx(2 * stats.t.sf(t, welch + own))


def test_without_resamples_seeds_have_students_quantile_and_test_images_the_normal_one() -> None:
    values, vary = [0.5, 0.6, 0.7], np.array([0.03, 0.04])
    reach = np.sqrt((4.302653 * 0.1) ** 2 / 3 + (1.959964 * 0.05) ** 2)
    number = 0.6 * 0.4 * (1.959964 / reach) ** 2
    assert tuple(seeds_alone(values, 0.95, vary, 48)) == pytest.approx(
        (0.6, *wilson_bounds(0.6, number, 0.95), 3), abs=1e-6
    )
    found, p = seeds_alone_difference(dict(enumerate(values)), dict.fromkeys(range(3), 0.2), vary)
    assert tuple(found) == pytest.approx((0.4, 0.4 - reach, 0.4 + reach, 3), abs=1e-6)
    again = seeds_alone_difference(dict(enumerate(values)), dict.fromkeys(range(3), 0.2), vary, 1 - (p or 0.0))[0]
    assert again.low == pytest.approx(0.0, abs=1e-6), "the level at which the interval begins to hold 0"
    assert seeds_alone([0.5, 0.7]) == (pytest.approx(0.6), None, None, 2)
    low, high = stats.t.interval(0.9, 2, 3.0, stats.sem([2.0, 3.0, 4.0]))
    assert tuple(seeds_alone([2.0, 3.0, 4.0], 0.9)) == pytest.approx((3.0, low, high, 3))


def test_without_test_images_it_is_students_and_welchs_test() -> None:
    one, other = {0: 0.5, 1: 0.6, 2: 0.55}, {3: 0.4, 4: 0.42, 5: 0.47, 6: 0.4}
    found, p = seeds_alone_difference(one, other, NONE, 0.9)
    welch = stats.ttest_ind([*one.values()], [*other.values()], equal_var=False)
    low, high = welch.confidence_interval(0.9)
    assert p == pytest.approx(welch.pvalue)
    assert tuple(found) == pytest.approx((0.1275, low, high, 3))
    paired = dict(zip(one, (0.4, 0.42, 0.47), strict=True))
    student = stats.ttest_rel([*one.values()], [*paired.values()])
    found, p = seeds_alone_difference(one, paired, NONE, 0.9)
    assert (p, found.low) == pytest.approx((student.pvalue, student.confidence_interval(0.9).low))


def test_seeds_that_agree_say_nothing_of_other_test_images() -> None:
    """Three seeds that are right equally often had an interval of no width, and a page that concluded from it."""
    equal, less = dict.fromkeys(range(3), 0.5), dict.fromkeys(range(3), 0.25)
    found, p = seeds_alone_difference(equal, less, np.array([0.06, 0.08]))  # 0.1 of deviation together
    assert p == pytest.approx(2 * stats.norm.sf(2.5), rel=1e-4)
    assert tuple(found) == pytest.approx((0.25, 0.25 - 1.959964 * 0.1, 0.25 + 1.959964 * 0.1, 3))
    alone = seeds_alone([0.5, 0.5, 0.5], 0.95, np.array([0.06, 0.08]), 48)
    assert tuple(alone)[:3] == pytest.approx((0.5, *wilson_bounds(0.5, 25, 0.95)))
    assert seeds_alone([1.0, 1.0, 1.0], 0.95, NONE, 48) == (1.0, *wilson_bounds(1.0, 48, 0.95), 3)
    assert seeds_alone_difference(equal, equal, NONE)[1] == 1.0
    nothing, p = seeds_alone_difference(equal, less, NONE)
    assert (nothing.value, nothing.low, p) == (0.25, None, None)


def test_seeds_that_share_images_vary_together() -> None:
    """Two of five images in common: a mean of three varies by 1.8 / 3 of a seed's, and differences show 0.6 of it."""
    seeds = [score(0.5), score(0.53), score(0.56)]
    found = pooled(seeds, 0.4)
    between, inside = 0.0009 / 3 * 1.8 / 0.6, 0.0012 / 3 * 1.8
    assert found.over_draws == pytest.approx((2 * between + 15 * inside) / 17)
    nearly = pooled(seeds, 0.95)
    assert nearly.over_draws == pytest.approx(0.0012 / 3 * 2.9), "the seeds' differences tell nothing any more"
    other = {seed: score(value, 0.0006) for seed, value in enumerate((0.5, 0.45, 0.46))}
    difference = pooled_difference(dict(enumerate(seeds)), other, (0.4, 0.0))
    own = (inside + 0.0002) ** 2 / (inside**2 / 15 + 0.0002**2 / 15)
    shown = np.var([0.0, 0.08, 0.10], ddof=1) / 3 + (1.8 / 0.6 - 1) * 0.0009 / 3  # hidden is the first set's alone
    assert difference.over_draws == pytest.approx((2 * shown + own * (inside + 0.0002)) / (2 + own))
    plain, wide = seeds_alone([0.5, 0.53, 0.56]), seeds_alone([0.5, 0.53, 0.56], overlap=0.4)
    assert wide.high - wide.value == pytest.approx(np.sqrt(1.8 / 0.6) * (plain.high - plain.value))  # type: ignore[operator]
    assert seeds_alone([0.5, 0.53, 0.56], 0.95, NONE, 9, 0.95) == (pytest.approx(0.53), None, None, 3)
    assert seeds_alone_difference({0: 0.5, 1: 0.6}, {0: 0.4, 1: 0.3}, NONE, 0.95, (0.95, 0.0))[1] is None


def test_a_mean_of_seeds_that_share_images_varies_so() -> None:
    """Scores are means of five numbers of which two are the same in all three seeds, 40,000 times."""
    draw = np.random.default_rng(0)
    common, own = draw.normal(size=(40_000, 1, 2)), draw.normal(size=(40_000, 3, 3))
    scores = (common.sum(2) + own.sum(2)) / 5
    seed_variance = np.var(scores[:, 0])
    assert np.var(scores.mean(1)) == pytest.approx(seed_variance * 1.8 / 3, rel=0.03)
    assert np.var(scores, axis=1, ddof=1).mean() == pytest.approx(0.6 * seed_variance, rel=0.03)
