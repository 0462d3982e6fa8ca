"""Numbers of recognition: shares of images that are recognized, over images and seeds, and what recognizers share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

from analysis.images.draws import Resampled
from analysis.images.intervals import share_interval
from analysis.images.recognition.rules import Answers
from analysis.images.seeds import FAR, MOST_ALIKE, spread
from analysis.statistics.intervals import Estimate, mean_share, newcombe, wilson
from analysis.statistics.together import FEWEST_SEEDS

Flags = NDArray[np.bool_]
SURE = 1 - 1e-12
"""Confidence at which an interval is taken to hold everything."""


@dataclass(frozen=True)
class Units:
    """Different images: those that are equal, in one seed or in several, are one.

    Attributes:
        labels: The dataset's label of each image, shape (N,).
        seeds: Whether each of S seeds has the image, shape (N, S).
        overlap: Mean share of images that two seeds have in common.
    """

    labels: NDArray[np.int64]
    seeds: Flags
    overlap: float = 0.0

    def of(self, rows: NDArray[Any]) -> Units:
        """Return some of the images."""
        return Units(self.labels[rows], self.seeds[rows], self.overlap)


class OverWhat(NamedTuple):
    """A share, and whether its interval is over images or, where seeds differ by more than images do, over seeds."""

    share: Estimate
    over_seeds: bool


def hits(top: NDArray[np.int64], labels: NDArray[np.int64], right: Sequence[Answers], most: int) -> Flags:
    """Return whether one of an image's likeliest classes is right, shape (N,).

    Args:
        top: Numbers of the likeliest classes, the likeliest first, shape (N, K).
        labels: The images' categories, shape (N,).
        right: What is right for each category.
        most: How many of the likeliest classes count: 1 or 5; of fewer classes all do.
    """
    found = [bool(right[label].ids & set(row[:most])) for row, label in zip(top.tolist(), labels.tolist(), strict=True)]
    return np.array(found, dtype=bool)


def by_category(right: Flags, labels: NDArray[np.int64], confidence: float) -> dict[int, Estimate]:
    """Return the share of recognized images of each category that has some, with Wilson's interval."""
    return {
        int(label): wilson(int(right[labels == label].sum()), int((labels == label).sum()), confidence)
        for label in np.unique(labels)
    }


def macro(right: Flags, units: Units, confidence: float) -> OverWhat:
    """Return the mean over categories of the share of recognized images; `n` counts images.

    The interval is `mean_share`'s over images within each category. With three seeds or more that differ by more than
    their images explain (an F test at 1 %), it is over seeds.
    """
    counts, found = _counts(right, units.labels)
    over_images = mean_share(found.tolist(), counts.tolist(), confidence)._replace(n=len(right))
    smoothed = (found + 1) / (counts + 2)
    variance = float((smoothed * (1 - smoothed) / counts).sum()) / len(counts) ** 2
    values = []
    for seed in range(units.seeds.shape[1]):
        rows = units.seeds[:, seed]
        of_seed, hit = _counts(right[rows], units.labels[rows])
        values.append(float((hit / of_seed).mean()) if len(of_seed) else 0.0)
    return _over(over_images, variance, values, units, len(right) - len(counts), confidence)


def micro(right: Flags, units: Units, confidence: float) -> OverWhat:
    """Return the share of all images that are recognized, with Wilson's interval, or one over seeds as `macro` has."""
    over_images = wilson(int(right.sum()), len(right), confidence)
    smoothed = (right.sum() + 1) / (len(right) + 2)
    values = [float(right[units.seeds[:, seed]].mean()) for seed in range(units.seeds.shape[1])]
    return _over(over_images, float(smoothed * (1 - smoothed) / len(right)), values, units, len(right) - 1, confidence)


def _over(
    over_images: Estimate, variance: float, values: Sequence[float], units: Units, freedom: int, confidence: float
) -> OverWhat:
    count = len(values)
    if count < FEWEST_SEEDS or units.overlap >= MOST_ALIKE or freedom < 1:
        return OverWhat(over_images, False)
    between = float(np.var(values, ddof=1)) / count * spread(count, units.overlap)
    if between <= variance * stats.f.isf(FAR, count - 1, freedom):
        return OverWhat(over_images, False)
    found = Resampled(over_images.value, np.zeros(0), between, 2 * between**2 / (count - 1))
    return OverWhat(share_interval(found, over_images.n, confidence), True)


def _counts(right: Flags, labels: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return images and hits of each category that has images."""
    counts = np.bincount(labels)
    found = np.bincount(labels, right).astype(np.int64)
    return counts[counts > 0], found[counts > 0]


class Together(NamedTuple):
    """How recognizers are right or wrong on the same images.

    Attributes:
        observed: Share of images on which all are right, or all wrong; over categories the mean of their shares.
        expected: The same if, within each category, each were right independently of the others.
    """

    observed: Estimate
    expected: float


def together(right: Flags, labels: NDArray[np.int64], confidence: float) -> dict[int | None, Together]:
    """Return on what share of images all recognizers are right, by category, and under None the mean over categories.

    Args:
        right: Whether each of R recognizers is right, shape (N, R); its complement for where all are wrong.
        labels: Categories, shape (N,).
        confidence: Coverage of the intervals.
    """
    found: dict[int | None, Together] = {}
    all_right: Flags = np.all(right, axis=1).astype(bool)
    for label in np.unique(labels):
        rows = labels == label
        expected = float(np.prod(right[rows].mean(0)))
        found[int(label)] = Together(wilson(int(all_right[rows].sum()), int(rows.sum()), confidence), expected)
    counts, hit = _counts(all_right, labels)
    mean = mean_share(hit.tolist(), counts.tolist(), confidence)._replace(n=len(labels))
    found[None] = Together(mean, float(np.mean([one.expected for one in found.values()])))
    return found


class Shift(NamedTuple):
    """A share on one kind of images minus that on another, with an interval and the p-value that belongs to it."""

    difference: Estimate
    p: float


def shift(made: Callable[[float], Estimate], real: Callable[[float], Estimate], confidence: float) -> Shift:
    """Compare shares of independent images.

    Args:
        made: Confidence → the share on a set, with its interval.
        real: Confidence → the share on real images.
        confidence: Coverage of the interval.

    Returns:
        Newcombe's difference, of a set minus real images; its p-value is one minus the confidence at which the interval
        begins to hold 0.
    """

    def margin(level: float) -> float:
        """Return how far the interval is from holding 0; below 0 it holds it."""
        found = newcombe(made(level), real(level))
        assert found.low is not None
        assert found.high is not None
        return max(found.low, -found.high)

    least = 1e-9
    if margin(least) <= 0:
        p = 1.0
    elif margin(SURE) > 0:
        p = 1 - SURE
    else:
        p = 1 - float(optimize.brentq(margin, least, SURE, xtol=1e-15))
    return Shift(newcombe(made(confidence), real(confidence)), p)
