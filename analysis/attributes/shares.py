"""Shares of attribute mentions: of one seed's descriptions, over seeds, and the difference of two VLMs' shares.

A description may mention several attributes, and its mentions are not independent of each other. So intervals within a
seed treat descriptions, not mentions, as the random sample. The descriptions of one seed come from one aligned model,
so intervals over several seeds treat the seeds as the random sample.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from analysis.results.pooling import DIFFERENCE, SHARE, Pooled, pool
from analysis.statistics.intervals import Estimate, all_equal, within
from analysis.statistics.shares import share_bounds

Mentions = NDArray[np.int64]
"""1 where a description mentions an attribute, shape (descriptions, attributes)."""


def mention_share(hits: NDArray[np.int64], mentions: NDArray[np.int64], confidence: float = 0.95) -> Estimate | None:
    """Return the share of mentions that are of one attribute, with an interval that treats descriptions as clusters.

    Args:
        hits: Mentions of the attribute in each description, shape (N,).
        mentions: Mentions of any attribute in each description, shape (N,).
        confidence: Coverage, in (0, 1).

    Returns:
        The share p with the interval of `share_bounds` at the effective number of mentions. That number is p(1 − p)
        divided by the ratio estimator's variance Σ (hits − p · mentions)² / (Σ mentions)², but at most the number of
        mentions; if p is 0 or 1 it is the number of descriptions with mentions. `n` counts mentions. `None` if there
        are no mentions.

    Source: Korn and Graubard (1998), Survey Methodology 24, for effective sizes in place of n.
    """
    total = int(mentions.sum())
    if not total:
        return None
    value = float(hits.sum()) / total
    variance = float(((hits - value * mentions) ** 2).sum()) / total**2
    effective = float((mentions > 0).sum()) if variance == 0 else min(value * (1 - value) / variance, float(total))
    low, high = share_bounds(value, effective, confidence)
    return Estimate(value, low, high, total)


def over_seeds(shares: Sequence[Estimate | None], confidence: float = 0.95) -> Pooled | None:
    """Pool a share over seeds.

    Args:
        shares: The share in each seed; `None` for a seed without observations, which is left out.
        confidence: Coverage, in (0, 1).

    Returns:
        With one seed, its share and interval. With several, the mean with Student's t-interval over seeds, cut to
        [0, 1], or with the first seed's interval if all shares are equal. `n` is the sum over seeds.
        `None` if no seed has a share.
    """
    return pool([share for share in shares if share is not None], confidence, 0, SHARE)


def welch(first: Sequence[float], second: Sequence[float], confidence: float = 0.95) -> Estimate:
    """Return the difference of two mean shares over seeds with its interval; the variances need not be equal.

    Args:
        first: Value of each seed of the first side, at least two.
        second: Value of each seed of the second side, at least two.
        confidence: Coverage, in (0, 1).

    Returns:
        Mean of the first minus mean of the second, both shares, so that the interval is cut to [-1, 1]; `n` is the
        smaller number of seeds.

    Raises:
        ValueError: If a side has fewer than two values, or if the values of neither side vary, because an interval
            cannot be made then.

    Source: Welch (1947), Biometrika 34.
    """
    if min(len(first), len(second)) < 2 or (all_equal(first) and all_equal(second)):
        raise ValueError("a variance over seeds needs two of them that differ")
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    parts = a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)
    variance, value = float(sum(parts)), float(a.mean() - b.mean())
    freedom = variance**2 / float(parts[0] ** 2 / (len(a) - 1) + parts[1] ** 2 / (len(b) - 1))
    half = float(stats.t.ppf((1 + confidence) / 2, freedom)) * math.sqrt(variance)
    return within(Estimate(value, value - half, value + half, min(len(a), len(b))), *DIFFERENCE)
