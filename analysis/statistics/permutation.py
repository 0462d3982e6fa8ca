"""Permutation tests: how often chance alone gives a number as far out as the one observed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr

FEWEST_PERMUTATIONS = 199
"""Fewest permutations behind a p-value."""

SAME = 1e-9
"""Numbers nearer than this are equal: accuracies differ by at least one image of some million."""


def permutations_for(confidence: float) -> int:
    """Return how many permutations a test needs so that its smallest p-value is a fifth of its level, or less."""
    return max(FEWEST_PERMUTATIONS, round(10 / (1 - confidence)) - 1)


class PermutationTest(NamedTuple):
    """A number beside those that permutations give; p and interval are one inversion and say the same.

    Attributes:
        p: Two-sided p-value.
        low: Lower end of the interval of the number minus the permutations' mean; -inf if there are too few
            permutations for it.
        high: Upper end; inf likewise.
    """

    p: float
    low: float
    high: float


def permutation_p(observed: float, permuted: Sequence[float], error: float = 0.0) -> float:
    """Return the two-sided p-value of a number among those that permutations give.

    Args:
        observed: The number that was observed.
        permuted: The same number of each permutation, at least one; drawn at random, the identity not excluded.
        error: Standard error of the number minus a permuted one, if that is not known exactly. Each permuted number is
            then spread normally, so that p holds both sources of chance. With 0 this is the test of ranks.

    Returns:
        Twice the share, the observed one counted among them, of numbers at least as far out on the rarer side; at
        most 1. It is at least 2 / (P + 1).

    Raises:
        ValueError: If there is no permutation.

    Source: Phipson and Smyth (2010), Statistical Applications in Genetics and Molecular Biology 9.
    """
    if not len(permuted):
        raise ValueError("a test needs permutations")
    values = np.asarray(permuted, dtype=np.float64)
    return min(1.0, 2 * min(_tail(observed, values, error), _tail(-observed, -values, error)))


def permutation_test(
    observed: float, permuted: Sequence[float], error: float = 0.0, confidence: float = 0.95
) -> PermutationTest:
    """Return a number's p-value among permutations, and the differences that the test does not reject.

    Args:
        observed: The number that was observed.
        permuted: The same number of each permutation, at least one.
        error: See `permutation_p`.
        confidence: Coverage of the interval, in (0, 1).

    Raises:
        ValueError: If there is no permutation.
    """
    p, values, alpha = permutation_p(observed, permuted, error), np.asarray(permuted, dtype=np.float64), 1 - confidence
    above, below = _critical(values, error, alpha / 2), -_critical(-values, error, alpha / 2)
    # What is not rejected once a difference is taken off lies between the two; the difference is told from the mean.
    return PermutationTest(p, observed - above, observed - below)


def _tail(observed: float, permuted: np.ndarray, error: float) -> float:
    """Return the share of numbers at least as large, the observed one among them."""
    reach = (permuted - (observed - SAME)) / max(error, SAME / 10)
    return float(1 + ndtr(reach).sum()) / (1 + len(permuted))


def _critical(permuted: np.ndarray, error: float, level: float) -> float:
    """Return the number from which on the upper tail is below a level; inf if it never is."""
    if level * (1 + len(permuted)) <= 1:
        return math.inf
    reach = 40 * max(error, SAME)
    ends = float(permuted.min()) - reach, float(permuted.max()) + reach
    return float(brentq(lambda at: _tail(at, permuted, error) - level, *ends, xtol=1e-14))
