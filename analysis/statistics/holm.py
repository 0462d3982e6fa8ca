"""Holm's correction of p-values: for several tests that are read together, at one level."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Corrected(NamedTuple):
    """A test among others: its adjusted p-value, and whether that is below the level."""

    p: float
    significant: bool


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for their number, so that each adjusted one can be compared with the level itself.

    Args:
        p_values: p-values of one family of tests, each in [0, 1].

    Returns:
        Adjusted p-values in the same order. That of the k-th smallest of m p-values is the maximum over j ≤ k of (m − j
        + 1) · p_j, where p_j is the j-th smallest, but at most 1. The chance of any false rejection in the family is at
        most the level.

    Source: Holm (1979), Scandinavian Journal of Statistics 6.
    """
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def holm_tests(p_values: Sequence[float], alpha: float) -> list[Corrected]:
    """Correct p-values for their number and compare them with the level `alpha`; the order stays."""
    return [Corrected(p, p < alpha) for p in holm(p_values)]
