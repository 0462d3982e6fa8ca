"""Means over seeds that are read together: Holm's test over all, intervals that agree with it, and its power."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats
from scipy.optimize import brentq

from analysis.statistics.holm import holm

FEWEST_SEEDS = 3
"""Fewest seeds from which more is concluded than what these runs did."""

POWER = 0.8
"""Chance of finding a difference, for the smallest that could have been found."""


class JointMean(NamedTuple):
    """One mean of a family.

    Attributes:
        value: Mean over seeds.
        low: Lower end of its interval.
        high: Upper end.
        p: p-value of Student's t against 0, corrected by Holm's method over the family.
        detectable: The smallest mean, in size, that the first step of Holm's test would find with a chance of `POWER`
            if seeds differ as much as they do here.
    """

    value: float
    low: float
    high: float
    p: float
    detectable: float


def means_together(families: Sequence[Sequence[float]], confidence: float = 0.95) -> list[JointMean]:
    """Test several means against 0, each over the same seeds.

    Args:
        families: Values over seeds of each quantity, at least two each, which are not all equal.
        confidence: Chance that all intervals hold their means, and 1 minus the chance of any false rejection.

    Returns:
        The quantities in the same order. All intervals together hold their means with the confidence: they are
        Bonferroni's, but where Holm's test finds a difference that Bonferroni's interval leaves open, the interval ends
        at 0. So an interval has 0 strictly inside exactly if Holm's p is at least 1 − confidence.

    Raises:
        ValueError: If a quantity has fewer than two values, or only equal ones.

    Source: Holm (1979), Scandinavian Journal of Statistics 6; intervals that belong to it: Guilbaud (2008), Biometrical
        Journal 50.
    """
    alpha, found = 1 - confidence, []
    for values in families:
        if len(values) < 2 or max(values) == min(values):
            raise ValueError("a test over seeds needs at least two that differ")
        data = np.asarray(values, dtype=np.float64)
        found.append((float(data.mean()), float(data.std(ddof=1)) / math.sqrt(len(data)), len(data) - 1))
    p_values = holm([2 * float(stats.t.sf(abs(mean) / error, freedom)) for mean, error, freedom in found])
    tested = []
    for (mean, error, freedom), p in zip(found, p_values, strict=True):
        reach = float(stats.t.isf(alpha / len(found) / 2, freedom)) * error
        low, high = mean - reach, mean + reach
        if p < alpha:
            low, high = (max(low, 0.0), high) if mean > 0 else (low, min(high, 0.0))
        tested.append(JointMean(mean, low, high, p, least_detectable(error, freedom, alpha / len(found))))
    return tested


def least_detectable(error: float, freedom: int, alpha: float, power: float = POWER) -> float:
    """Return the smallest mean that Student's two-sided t-test finds with a given chance.

    Args:
        error: Standard error of the mean, above 0.
        freedom: Degrees of freedom of the error.
        alpha: Level of the test.
        power: Chance of finding it.

    Source: the noncentral t distribution; the chance of a rejection on the wrong side is left out, as it is nothing
        wherever the power is worth having.
    """
    return _detectable_shift(freedom, alpha, power) * error


@functools.lru_cache(maxsize=256)
def _detectable_shift(freedom: int, alpha: float, power: float) -> float:
    """Return the least detectable mean in standard errors."""
    critical = float(stats.t.isf(alpha / 2, freedom))
    return float(brentq(lambda shift: float(stats.nct.sf(critical, freedom, shift)) - power, 0.0, 20.0 * critical))
