"""Shares of attribute mentions, and whether two sets of descriptions mention attributes alike.

A description may mention several attributes, and what one description mentions is not independent: its mentions come
together or not at all. So intervals and tests take descriptions, not mentions, as what was drawn.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from analysis.statistics import Estimate

Mentions = NDArray[np.int64]
"""1 where a description mentions an attribute, shape (descriptions, attributes)."""


class Comparison(NamedTuple):
    """Two sets of descriptions compared.

    Attributes:
        statistic: χ² of the mentions, about their expectation within classes.
        p: Share of relabellings with a statistic at least as large, the observed one included.
        attribute_p: The same for each attribute alone, two-sided.
        permutations: Relabellings drawn.
        classes: Classes that both sets describe; the others tell nothing of the difference.
    """

    statistic: float
    p: float
    attribute_p: list[float]
    permutations: int
    classes: int


def mention_share(hits: NDArray[np.int64], mentions: NDArray[np.int64], confidence: float = 0.95) -> Estimate | None:
    """Share of mentions that are of one attribute, with an interval for descriptions as clusters.

    Args:
        hits: Mentions of the attribute in each description, shape (N,).
        mentions: Mentions of any attribute in each description, shape (N,).
        confidence: Coverage, in (0, 1).

    Returns:
        Wilson's interval at the effective number of mentions: p(1 − p) over the ratio estimator's variance
        Σ (hits − p · mentions)² / (Σ mentions)², at most the mentions, and the number of descriptions with mentions
        where p is 0 or 1. `n` counts mentions. `None` if there are none.

    Source: Korn and Graubard (1998), Survey Methodology 24, for effective sizes in place of n.
    """
    total = int(mentions.sum())
    if not total:
        return None
    value = float(hits.sum()) / total
    variance = float(((hits - value * mentions) ** 2).sum()) / total**2
    effective = float((mentions > 0).sum()) if variance == 0 else min(value * (1 - value) / variance, float(total))
    low, high = wilson_bounds(value, effective, confidence)
    return Estimate(value, low, high, total)


def wilson_bounds(value: float, n: float, confidence: float) -> tuple[float, float]:
    """Wilson's score interval of a share for an n that need not be whole."""
    z2 = float(stats.norm.ppf(0.5 + confidence / 2)) ** 2
    centre = (value + z2 / (2 * n)) / (1 + z2 / n)
    reach = math.sqrt(z2 * (value * (1 - value) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    return max(0.0, centre - reach), min(1.0, centre + reach)


def compare(
    first: Mentions,
    first_classes: NDArray[np.int64],
    second: Mentions,
    second_classes: NDArray[np.int64],
    *,
    permutations: int = 5000,
    seed: int = 0,
) -> Comparison | None:
    """Test whether two sets of descriptions of the same classes mention attributes alike.

    Whole descriptions change sides at random within their class. An ordinary χ² test would take mentions of one
    description as independent, and would find a difference where only the classes' numbers of descriptions differ;
    this keeps both as they are.

    Args:
        first: Mentions of the first set.
        first_classes: Class of each of its descriptions, shape (N,).
        second: Mentions of the second set, the same attributes.
        second_classes: Class of each of its descriptions.
        permutations: Relabellings to draw.
        seed: Of the relabellings.

    Returns:
        The test, or `None` if no class is described by both or nothing is mentioned.
    """
    shared = np.intersect1d(first_classes, second_classes)
    in_first, in_second = np.isin(first_classes, shared), np.isin(second_classes, shared)
    mentions = np.concatenate([first[in_first], second[in_second]])
    if not mentions.sum():
        return None
    side = np.concatenate([np.ones(in_first.sum(), dtype=bool), np.zeros(in_second.sum(), dtype=bool)])
    classes = np.searchsorted(shared, np.concatenate([first_classes[in_first], second_classes[in_second]]))
    by_class = np.zeros((len(shared), mentions.shape[1]))
    np.add.at(by_class, classes, mentions)
    sizes, ours = np.bincount(classes), np.bincount(classes, weights=side)
    expected = (ours / sizes) @ by_class
    expected_other = by_class.sum(0) - expected
    weight = np.where(by_class.sum(0) > 0, 1.0, 0.0)
    weight[weight > 0] = 1 / expected[weight > 0] + 1 / expected_other[weight > 0]

    # Relabelling at random within a class is drawing its mention patterns without replacement: exact, and fast.
    draw = np.random.default_rng(seed)
    drawn = np.zeros((permutations, mentions.shape[1]))
    for label in range(len(shared)):
        patterns, counts = np.unique(mentions[classes == label], axis=0, return_counts=True)
        drawn += draw.multivariate_hypergeometric(counts, int(ours[label]), size=permutations) @ patterns
    observed = np.abs(first[in_first].sum(0) - expected)
    apart = np.abs(drawn - expected)
    statistic = float((weight * observed**2).sum())
    beyond = 1 + int(((weight * apart**2).sum(1) >= statistic * (1 - 1e-9)).sum())
    beyond_each = 1 + (apart >= observed - 1e-9).sum(0)
    return Comparison(
        statistic,
        beyond / (permutations + 1),
        [float(count) / (permutations + 1) for count in beyond_each],
        permutations,
        len(shared),
    )
