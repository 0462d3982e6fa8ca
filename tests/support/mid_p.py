"""McNemar's mid-p-value from scipy's exact one."""

from __future__ import annotations

from scipy import stats


def mid_p(heads: int, coins: int) -> float:
    """The exact two-sided p-value less the chance of exactly so many heads; 1 where heads and tails are even."""
    if 2 * heads == coins:
        return 1.0
    return float(stats.binomtest(heads, coins).pvalue - stats.binom.pmf(heads, coins, 0.5))
