"""Exact limits of a share: the mid-p limits of a binomial proportion."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betainc, betaincinv

HALVINGS = 40
"""How often the bracket around a mid-p limit is halved: to 1e-12 of its width."""


def mid_p_lower(successes: int, n: int, tail: ArrayLike) -> NDArray[np.float64]:
    """Return lower mid-p limits of a share, one for each tail.

    Args:
        successes: Number of hits x.
        n: Number of trials.
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
