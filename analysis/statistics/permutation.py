"""Permutation tests: how often chance alone gives a number as far out as the one observed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

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
        p: Two-sided p-value, of `permutation_p`.
        low: Lower end of the interval of the number minus a permuted one; -inf if there are too few permutations for
            it.
        high: Upper end; inf likewise.
    """

    p: float
    low: float
    high: float


def permutation_p(observed: float, permuted: Sequence[float]) -> float:
    """Return the two-sided p-value of a number among those that permutations give.

    Args:
        observed: The number that was observed.
        permuted: The same number of each permutation, at least one; drawn at random, the identity not excluded.

    Returns:
        Twice the share, the observed one counted among them, of numbers at least as far out on the rarer side; at
        most 1. It is at least 2 / (P + 1).

    Raises:
        ValueError: If there is no permutation.

    Source: Phipson and Smyth (2010), Statistical Applications in Genetics and Molecular Biology 9.
    """
    if not len(permuted):
        raise ValueError("a test needs permutations")
    above = sum(value >= observed - SAME for value in permuted)
    below = sum(value <= observed + SAME for value in permuted)
    return _two_sided(min(above, below), len(permuted))


def permutation_test(observed: float, permuted: Sequence[float], confidence: float = 0.95) -> PermutationTest:
    """Return a number's p-value among permutations, and the differences from them that the test does not reject.

    What the permuted numbers are spread by, the observed one is off by too: another permutation, and where each is
    measured on a sample, such as the images of an accuracy, the sample. So the interval holds both.

    Args:
        observed: The number that was observed.
        permuted: The same number of each permutation, at least one.
        confidence: Coverage of the interval, in (0, 1).

    Raises:
        ValueError: If there is no permutation.
    """
    p, alpha, count = permutation_p(observed, permuted), 1 - confidence, len(permuted)
    fewest = next((far for far in range(count + 1) if _two_sided(far, count) >= alpha), count)
    if fewest == 0:
        return PermutationTest(p, -math.inf, math.inf)
    ordered = sorted(permuted)  # what is at least as far out as this many of them is rejected
    return PermutationTest(p, observed - (ordered[-fewest] + SAME), observed - (ordered[fewest - 1] - SAME))


def _two_sided(far: int, count: int) -> float:
    """Return the p-value where so many of the permuted numbers are at least as far out on the rarer side."""
    return min(1.0, 2 * (1 + far) / (1 + count))
