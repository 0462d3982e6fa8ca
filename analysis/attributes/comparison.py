"""Whether two VLMs' descriptions mention attributes alike: a permutation test of whole seeds, or of descriptions.

The descriptions of one seed come from one aligned model, and another seed's model may name other attributes. A result
that is to hold for the VLM, whatever the seed, must therefore exchange whole seeds between the two sides. With few
seeds there are too few ways to exchange them for any difference to be significant. Then single descriptions are
exchanged, and the result holds only for the seeds at hand.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis.attributes.shares import Mentions

FEWEST_SEEDS_A_SIDE = 5
"""Fewest seeds of either VLM from which a single attribute is tested: the one that seeds happen to differ in most is
found by looking at all of them."""

CHUNK = 256
"""Number of relabellings of seeds that are computed at once."""

Side = Sequence[tuple[Mentions, NDArray[np.int64]]]
"""One VLM's descriptions: for each seed its mentions, shape (descriptions, attributes), and the class index of each
description, shape (descriptions,)."""


class Comparison(NamedTuple):
    """Two sets of descriptions compared.

    Attributes:
        unit: What was exchanged between the sides: whole seeds, or single descriptions of these seeds.
        statistic: χ² of the mentions, summed over attributes, against their expected numbers given the classes.
        p: Share of relabellings whose statistic is at least as large as the observed one; the observed labelling counts
            as one.
        attribute_p: Two-sided p-value of the same kind for each attribute alone.
        permutations: Number of relabellings computed. If whole seeds can be exchanged in no more ways than were asked
            for, these are all of them.
        classes: Number of classes that both sets describe; only these enter the test.
    """

    unit: Literal["seeds", "descriptions"]
    statistic: float
    p: float
    attribute_p: list[float]
    permutations: int
    classes: int


def enough_seeds(seeds: Sequence[int]) -> bool:
    """Say whether both sides have as many seeds as a test of one attribute takes."""
    return min(seeds) >= FEWEST_SEEDS_A_SIDE


def least_p(first: int, second: int) -> float:
    """Return the smallest p-value that exchanging whole seeds can give.

    Args:
        first: Number of seeds on the first side.
        second: Number of seeds on the second side. If both numbers are equal, exchanging the two sides as a whole
            leaves the statistic the same, so the smallest p-value is twice as large.
    """
    return (2 if first == second else 1) / math.comb(first + second, first)


def compare(
    first: Side, second: Side, *, alpha: float = 0.05, tests: int = 1, permutations: int = 5000, seed: int = 0
) -> Comparison | None:
    """Test whether two VLMs' descriptions of the same classes mention attributes alike.

    Whole seeds are exchanged between the sides if that can give a p-value below the level after correction for the
    number of tests. Otherwise single descriptions are exchanged, at random within their class. An ordinary χ² test
    would take the mentions in one description as independent, and would find a difference where only the numbers of
    descriptions by class differ. Here mentions of one description stay together, and each side keeps its number of
    descriptions of each class.

    Args:
        first: Seeds of the first VLM, at least one.
        second: Seeds of the second VLM, at least one, with the same attributes in the same order.
        alpha: Level of the test, in (0, 1).
        tests: Number of comparisons that the p-value will be corrected for.
        permutations: Number of relabellings to draw.
        seed: Seed of the relabellings.

    Returns:
        The result, or `None` if no class is described by both sides or if no attribute is mentioned.
    """
    shared = shared_classes(first, second)
    ours, theirs = restricted(first, shared), restricted(second, shared)
    if not sum(int(mentions.sum()) for mentions, _ in (*ours, *theirs)):
        return None
    if least_p(len(first), len(second)) * tests < alpha:
        return _by_seeds(ours, theirs, shared, permutations, seed)
    return _by_descriptions(ours, theirs, shared, permutations, seed)


def shared_classes(first: Side, second: Side) -> NDArray[np.int64]:
    """Return the indices of the classes that both sides describe, ascending."""
    ours, theirs = (np.concatenate([classes for _, classes in side]) for side in (first, second))
    shared: NDArray[np.int64] = np.intersect1d(ours, theirs)
    return shared


def restricted(side: Side, classes: NDArray[np.int64]) -> list[tuple[Mentions, NDArray[np.int64]]]:
    """Keep the descriptions of some classes only; a seed that has none of them stays, with no descriptions."""
    kept = [np.isin(own, classes) for _, own in side]
    return [(mentions[which], own[which]) for (mentions, own), which in zip(side, kept, strict=True)]


def _by_descriptions(first: Side, second: Side, shared: NDArray[np.int64], permutations: int, seed: int) -> Comparison:
    mentions = np.concatenate([part for part, _ in (*first, *second)])
    classes = np.searchsorted(shared, np.concatenate([part for _, part in (*first, *second)]))
    count = sum(len(part) for part, _ in first)
    by_class = np.zeros((len(shared), mentions.shape[1]))
    np.add.at(by_class, classes, mentions)
    sizes, ours = np.bincount(classes), np.bincount(classes[:count], minlength=len(shared))
    expected = (ours / sizes) @ by_class
    weight = _weight(expected, by_class.sum(0))

    # Relabelling at random within a class is drawing its mention patterns without replacement: exact, and fast.
    draw = np.random.default_rng(seed)
    drawn = np.zeros((permutations, mentions.shape[1]))
    for label in range(len(shared)):
        patterns, counts = np.unique(mentions[classes == label], axis=0, return_counts=True)
        drawn += draw.multivariate_hypergeometric(counts, int(ours[label]), size=permutations) @ patterns
    observed = weight * (mentions[:count].sum(0) - expected) ** 2
    apart = weight * (drawn - expected) ** 2
    p, each = _p_values(observed, apart)
    return Comparison(
        "descriptions",
        float(observed.sum()),
        (1 + p * permutations) / (permutations + 1),  # the observed labelling is one of them
        [float(share) for share in (1 + each * permutations) / (permutations + 1)],
        permutations,
        len(shared),
    )


def _by_seeds(first: Side, second: Side, shared: NDArray[np.int64], permutations: int, seed: int) -> Comparison:
    seeds = [*first, *second]
    width = seeds[0][0].shape[1]
    by_class = np.zeros((len(seeds), len(shared), width))
    sizes = np.zeros((len(seeds), len(shared)))
    for index, (mentions, classes) in enumerate(seeds):
        places = np.searchsorted(shared, classes)
        np.add.at(by_class[index], places, mentions)
        sizes[index] = np.bincount(places, minlength=len(shared))
    total = by_class.sum(0)

    def apart(sides: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return each attribute's contribution to the statistic, shape (relabellings, attributes)."""
        expected = (sides @ sizes / sizes.sum(0)) @ total
        found = sides @ by_class.sum(1)
        parts: NDArray[np.float64] = _weight(expected, total.sum(0)) * (found - expected) ** 2
        return parts

    every = math.comb(len(seeds), len(first)) <= permutations
    observed = apart(_sides([range(len(first))], len(seeds)))[0]
    chosen = _all_choices(len(seeds), len(first)) if every else _draws(len(seeds), len(first), permutations, seed)
    parts = []
    while chunk := list(itertools.islice(chosen, CHUNK)):
        parts.append(apart(_sides(chunk, len(seeds))))
    p, each = _p_values(observed, np.concatenate(parts))
    drawn = math.comb(len(seeds), len(first)) if every else permutations
    if not every:
        p, each = (1 + p * drawn) / (drawn + 1), (1 + each * drawn) / (drawn + 1)
    return Comparison("seeds", float(observed.sum()), p, [float(share) for share in each], drawn, len(shared))


def _all_choices(count: int, size: int) -> Iterator[Sequence[int]]:
    return itertools.combinations(range(count), size)


def _draws(count: int, size: int, times: int, seed: int) -> Iterator[Sequence[int]]:
    draw = np.random.default_rng(seed)
    return (draw.permutation(count)[:size].tolist() for _ in range(times))


def _sides(chosen: Sequence[Sequence[int]], count: int) -> NDArray[np.float64]:
    sides = np.zeros((len(chosen), count))
    for row, members in zip(sides, chosen, strict=True):
        row[list(members)] = 1
    return sides


def _weight(expected: NDArray[np.float64], total: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 1 / expected + 1 / (total - expected), or 0 where one of these is 0 and no difference is possible."""
    other = total - expected
    possible = (expected > 1e-9) & (other > 1e-9)
    safe, safe_other = np.where(possible, expected, 1.0), np.where(possible, other, 1.0)
    return np.where(possible, 1 / safe + 1 / safe_other, 0.0)


def _p_values(observed: NDArray[np.float64], apart: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
    """Return the share of relabellings with at least the observed statistic: of all attributes, and of each."""
    reach = observed * (1 - 1e-9) - 1e-12
    together = apart.sum(1) >= observed.sum() * (1 - 1e-9) - 1e-12
    return float(together.mean()), (apart >= reach).mean(0)
