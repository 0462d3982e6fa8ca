"""Intervals of shares: each method where it is meant to be, and how often the truth is inside, by exact enumeration."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from analysis.statistics.intervals import wilson
from analysis.statistics.shares import share_bounds, share_interval


@pytest.mark.parametrize("confidence", [0.8, 0.95])
@pytest.mark.parametrize("n", [1, 7, 8, 30, 640])
def test_exact_below_four_and_wilson_from_four(n: int, confidence: float) -> None:
    for hits in {0, 1, 3, 4, 5, n - 5, n - 4, n - 3, n - 1, n} & set(range(n + 1)):
        method = "exact" if min(hits, n - hits) < 4 else "wilson"
        expected = stats.binomtest(hits, n).proportion_ci(confidence, method=method)
        assert share_interval(hits, n, confidence) == pytest.approx(
            (hits / n, expected.low, expected.high, n), abs=1e-9
        )


def test_none_of_twenty_by_hand() -> None:
    """(1 − high)²⁰ = 0.025."""
    assert share_interval(0, 20) == pytest.approx((0, 0, 1 - 0.025 ** (1 / 20), 20))
    assert share_interval(20, 20)[1:3] == pytest.approx((0.025 ** (1 / 20), 1))


@pytest.mark.parametrize(("n", "share"), [(6.5, 0.3), (7.9, 0.5), (12.4, 0.9)])
def test_an_effective_n_that_is_not_whole_has_the_ends_of_beta_distributions(n: float, share: float) -> None:
    low, high = share_bounds(share, n)
    assert 0 < low < share < high < 1
    assert stats.beta.cdf(low, share * n, (1 - share) * n + 1) == pytest.approx(0.025)
    assert stats.beta.sf(high, share * n + 1, (1 - share) * n) == pytest.approx(0.025)


def test_a_share_of_nothing_and_more_hits_than_trials_are_refused() -> None:
    with pytest.raises(ValueError, match="a share of nothing has no value"):
        share_interval(0, 0)
    with pytest.raises(ValueError, match="8 hits in 7 trials"):
        share_interval(8, 7)


BANDS = ((0.002, 0.01), (0.01, 0.03), (0.03, 0.07), (0.07, 0.15), (0.15, 0.3), (0.3, 0.5), (0.93, 0.998))


@pytest.mark.parametrize("n", [5, 10, 20, 40, 73, 100, 200])
def test_coverage_by_enumeration(n: int) -> None:
    """At 95 %, the truth is inside in at least 94.5 of 100 on average over each band of shares, nowhere below 91."""
    ends = np.array([share_interval(hits, n)[1:3] for hits in range(n + 1)], dtype=np.float64)
    older = np.array([wilson(hits, n)[1:3] for hits in range(n + 1)], dtype=np.float64)
    worst = 1.0
    for low, high in BANDS:
        truths = np.linspace(low, high, 41)
        chances = stats.binom.pmf(np.arange(n + 1)[:, None], n, truths[None, :])
        inside, before = ((chances * ((own[:, :1] <= truths) & (truths <= own[:, 1:]))).sum(0) for own in (ends, older))
        assert inside.mean() >= 0.945, (low, high)
        assert inside.min() >= 0.915, (low, high)
        worst = min(worst, float(before.mean()))
    if n in (5, 20):
        assert worst < 0.93, "Wilson's interval alone would not do here"
