"""Permutation tests: how often chance alone gives a number as far out as the one observed."""

from __future__ import annotations

from collections.abc import Sequence

FEWEST_PERMUTATIONS = 199
"""Fewest permutations behind a p-value."""

SAME = 1e-9
"""Numbers nearer than this are equal: accuracies differ by at least one image of some million."""


def permutations_for(confidence: float) -> int:
    """Return how many permutations a test needs so that its smallest p-value is a fifth of its level, or less."""
    return max(FEWEST_PERMUTATIONS, round(10 / (1 - confidence)) - 1)


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
    return min(1.0, 2 * (1 + min(above, below)) / (1 + len(permuted)))
