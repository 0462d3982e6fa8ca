"""Intervals and tests against published and hand-computed numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from analysis.statistics.intervals import (
    FEWEST,
    Estimate,
    all_equal,
    mean_t,
    newcombe,
    paired_mean,
    wilson,
    wilson_bounds,
    within,
)


def test_wilson_published() -> None:
    # Newcombe (1998), Statistics in Medicine 17, 857–872, table I, method 3.
    assert wilson(81, 263)[1:3] == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(15, 148)[1:3] == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson(0, 20)[1:3] == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson(1, 29)[1:3] == pytest.approx((0.0061, 0.1718), abs=5e-5)


def test_wilson_by_hand_at_another_confidence() -> None:
    # z = 1.644854 at 90 %: centre (p + z²/2n) / (1 + z²/n), half z·√(p(1−p)/n + z²/4n²) / (1 + z²/n).
    z, p, n = 1.6448536269514722, 0.3, 50
    center = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    assert wilson(15, 50, 0.9) == pytest.approx((0.3, center - half, center + half, 50))


@pytest.mark.parametrize("n", [1, 7, 400])
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.99])
def test_wilson_is_scipys(n: int, confidence: float) -> None:
    for successes in {0, 1, n // 2, n - 1, n}:
        interval = stats.binomtest(successes, n).proportion_ci(confidence, method="wilson")
        expected = (successes / n, interval.low, interval.high, n)
        assert wilson(successes, n, confidence) == pytest.approx(expected, abs=1e-12)
    with pytest.raises(ValueError, match=f"{n + 1} hits in {n} trials"):
        wilson(n + 1, n)


@pytest.mark.parametrize("n", [1, 2.5, 3, 17.3, 400])
def test_wilson_bounds_of_an_n_that_is_not_whole(n: float) -> None:
    """The ends solve |p − x| = z·sqrt(x(1 − x)/n), and are exact where the share is."""
    z = float(stats.norm.ppf(0.95))
    low, high = wilson_bounds(0.3, n, 0.9)
    assert 0 < low < 0.3 < high < 1
    for end in (low, high):
        assert abs(0.3 - end) == pytest.approx(z * math.sqrt(end * (1 - end) / n))
    none, every = wilson_bounds(0.0, n, 0.9), wilson_bounds(1.0, n, 0.9)
    assert (none[0], every[1]) == (0.0, 1.0)
    assert (none[1], every[0]) == pytest.approx((z * z / (n + z * z), n / (n + z * z)))


def test_wilson_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="a share of nothing has no value"):
        wilson(0, 0)


def test_newcombe_published() -> None:
    # Newcombe (1998), Statistics in Medicine 17, 873–890, table II, method 10.
    assert newcombe(wilson(56, 70), wilson(48, 80))[:3] == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)
    assert newcombe(wilson(9, 10), wilson(3, 10))[:3] == pytest.approx((0.6, 0.1705, 0.8090), abs=5e-5)


def test_all_equal_up_to_rounding() -> None:
    assert all_equal([0.3, 0.1 + 0.2])
    assert not all_equal([0.3, 0.3001])


def test_mean_t_by_hand() -> None:
    # Mean 2.5, standard deviation √(5/3), standard error √(5/12), t(0.975, 3) = 3.182446.
    half = 3.182446 * math.sqrt(5 / 12)
    assert mean_t([1, 2, 3, 4]) == pytest.approx((2.5, 2.5 - half, 2.5 + half, 4), abs=1e-5)
    assert mean_t([7.0]) == (7.0, None, None, 1)
    with pytest.raises(ValueError, match="a mean of nothing has no value"):
        mean_t([])


def test_paired_mean_bootstrap_is_near_the_t_interval() -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(20, 3, 300)
    aligned = base + rng.normal(1.0, 2.0, 300)
    result = paired_mean(aligned.tolist(), base.tolist(), samples=4000)
    assert result.low is not None
    assert result.high is not None
    assert result.low > 0.7
    assert (result.bootstrap_low, result.bootstrap_high) == pytest.approx((result.low, result.high), abs=0.03)
    assert paired_mean([3.0], [1.0]) == (2.0, None, None, None, None, 1)


def test_no_t_interval_of_one_run_from_fewer_than_five() -> None:
    """Over seeds two are enough; of pairs and batches, whose spread nobody knows, five are."""
    four, five = [1.0, 2.0, 4.0, 3.0], [1.0, 2.0, 4.0, 3.0, 5.0]
    assert paired_mean(four, [0.0] * 4) == (2.5, None, None, None, None, 4)
    assert mean_t(four, fewest=FEWEST) == (2.5, None, None, 4)
    assert mean_t(four).low is not None
    half = 2.776445 * math.sqrt(2.5 / 5)  # t(0.975, 4), variance 2.5
    assert paired_mean(five, [0.0] * 5)[:3] == pytest.approx((3, 3 - half, 3 + half), abs=1e-5)
    assert mean_t(five, fewest=FEWEST) == mean_t(five)


def test_no_interval_reaches_beyond_what_the_quantity_can_be() -> None:
    assert within(Estimate(0.3, -0.2, 1.1, 3), 0.0, 1.0) == (0.3, 0.0, 1.0, 3)
    assert within(Estimate(0.3, 0.1, 0.9, 3), 0.0, 1.0) == (0.3, 0.1, 0.9, 3)
    assert within(Estimate(0.3, None, None, 1), 0.0, 1.0) == (0.3, None, None, 1)
    assert within(Estimate(-0.01, -0.5, 0.4, 5), 0.0, math.inf) == (-0.01, -0.01, 0.4, 5), "a KL estimated below 0"


def test_unpaired_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="paired samples of 2 and 1 values"):
        paired_mean([1.0, 2.0], [1.0])
