"""Intervals of a share: exact ones where hits or misses are few, Wilson's otherwise."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betainc, betaincinv, betaln, ndtri, xlog1py, xlogy

from analysis.statistics.intervals import Estimate, wilson_bounds

FEW = 4.0
"""Where fewer hits or fewer misses than this are expected, the interval is exact."""

STEPS = 6
"""Steps of Newton's method towards a mid-p limit, the last of which changes nothing: five reach a relative 1e-11."""

NONE = 0.02
"""Effective hits below which the lower limit is 0: it is below 1e-14 from there on."""


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
        The shares at which P(X > x) + P(X = x) / 2 equals the tail, in [0, 1], in the shape of `tail`; 0 without a hit,
        or with less than `NONE` of one. The upper limit of x hits is 1 minus the lower limit of n − x.

    Source: Lancaster (1961), Journal of the American Statistical Association 56; as an interval, Berry and Armitage
        (1995), The Statistician 44.
    """
    levels = np.asarray(tail, dtype=np.float64)
    if successes < NONE:
        return np.zeros_like(levels)
    rest = n - successes
    if rest == 0:
        return np.asarray((2 * levels) ** (1 / successes), dtype=np.float64)
    # Two tails, whose mean is taken, are beta distributions. The logarithm of a tail is concave in that of the share,
    # and nearly a line: Newton's method cannot miss it, wherever it starts.
    z = -ndtri(levels)
    share = (successes + z * z / 2 - z * np.sqrt(successes * rest / n + z * z / 4)) / (n + z * z)
    scale = betaln(successes, rest + 1)
    for _ in range(STEPS):
        tails = (betainc(successes, rest + 1, share) + betainc(successes + 1, rest, share)) / 2
        # Slopes of the two: p^(x − 1) (1 − p)^(n − x) / B(x, n − x + 1), and p / (1 − p) · (n − x) / x times that.
        slope = np.exp(xlogy(successes - 1, share) + xlog1py(rest, -share) - scale)
        slope *= (1 + share / (1 - share) * rest / successes) / 2
        share = share * np.exp(np.clip(-np.log(tails / levels) * tails / (slope * share), None, np.log(1 / share) / 2))
    return np.asarray(share, dtype=np.float64)
