"""Intervals of a share: exact ones where hits or misses are few, Wilson's otherwise."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betainc, betaincinv

from analysis.statistics.intervals import Estimate, wilson_bounds

FEW = 4.0
"""Where fewer hits or fewer misses than this are expected, the interval is exact."""

HALVINGS = 40
"""How often the bracket around a mid-p limit is halved: to 1e-12 of its width."""


def share_interval(successes: int, n: int, confidence: float = 0.95) -> Estimate:
    """Return a share with its interval, see `share_bounds`.

    Args:
        successes: Number of hits.
        n: Number of trials.
        confidence: Coverage, in (0, 1).

    Raises:
        ValueError: If `n` is 0 or `successes` is not in [0, n].
    """
    if n == 0:
        raise ValueError("a share of nothing has no value")
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} hits in {n} trials")
    share = successes / n
    return Estimate(share, *share_bounds(share, n, confidence), n)


def share_bounds(share: float, n: float, confidence: float = 0.95) -> tuple[float, float]:
    """Return the ends of a share's interval, for an n that need not be whole.

    Wilson's interval misses a small share's upper or a large share's lower end too often if hardly any hit or miss is
    expected: a single one then lifts it off the truth. Clopper and Pearson's never covers less than it says.

    Args:
        share: Share of hits, in [0, 1].
        n: Number of trials, or their effective number; above 0.
        confidence: Coverage, in (0, 1).

    Returns:
        Lower and upper end, within [0, 1]: Clopper and Pearson's if fewer than `FEW` hits or misses are expected, which
        is if there were fewer, otherwise Wilson's. The lower end is exactly 0 if the share is 0, the upper end exactly
        1 if it is 1.

    Source: Clopper and Pearson (1934), Biometrika 26; for an effective n, Korn and Graubard (1998), Survey Methodology
        24; Wilson as in `wilson_bounds`.
    """
    hits, misses, tail = share * n, (1 - share) * n, (1 - confidence) / 2
    if min(hits, misses) >= FEW - 1e-9:  # a share times n is a whole number only up to rounding
        return wilson_bounds(share, n, confidence)
    low = 0.0 if share == 0 else float(betaincinv(hits, misses + 1, tail))
    high = 1.0 if share == 1 else float(betaincinv(hits + 1, misses, 1 - tail))
    return low, high


def mid_p_lower(successes: float, n: float, tail: ArrayLike) -> NDArray[np.float64]:
    """Return lower mid-p limits of a share, one for each tail.

    Args:
        successes: Number of hits x, which need not be whole.
        n: Number of trials, or their effective number.
        tail: One-sided levels, each in (0, 0.5].

    Returns:
        The shares at which P(X > x) + P(X = x) / 2 equals the tail, in [0, 1], in the shape of `tail`; 0 without a hit.
        The upper limit of x hits is 1 minus the lower limit of n − x.

    Source: Lancaster (1961), Journal of the American Statistical Association 56; as an interval, Berry and Armitage
        (1995), The Statistician 44.
    """
    levels = np.asarray(tail, dtype=np.float64)
    if successes == 0:
        return np.zeros_like(levels)
    # The two tails whose mean is taken are beta distributions; the limit lies between their quantiles.
    low = np.asarray(betaincinv(successes, n - successes + 1, levels), dtype=np.float64)
    high = np.ones_like(levels) if successes == n else np.asarray(betaincinv(successes + 1, n - successes, levels))
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        more = betainc(successes + 1, n - successes, middle) if successes < n else 0.0
        below = (betainc(successes, n - successes + 1, middle) + more) / 2 < levels
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return (low + high) / 2
