"""Image-to-image retrieval as a measure of a set, and how measures of sets go together over data sets.

Source: Li et al., Benchmarking and Analyzing Generative Data for Visual Recognition (GenBench), sections 2.4 and 12.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata

from analysis.statistics.intervals import Estimate, IntervalSettings
from reward.errors import UserError

Floats = NDArray[np.float64]

ROWS = 1024
"""Images of the set whose similarities are in memory at once."""

FEWEST_DATASETS = 4
"""Fewest data sets that a correlation is given an interval from."""

PAPER_RULE = (
    "GenBench's rule: 18 of its 22 data sets, without the four of fewest categories, 100 generated images of each class"
)
"""What Figure 4 of the paper correlates CLER, CLIP score and FID with the linear probe over."""
PAPER_LEFT_OUT = 4


@dataclass(frozen=True)
class Retrieval:
    """What a set's images retrieve.

    Attributes:
        precision: Share of retrieved test images that are of the query's class: the mean of each class's, over classes.
        recall: Share of the class's test images that are retrieved, likewise; at most k by their number.
        k: Test images retrieved for each query.
        by_class: Precision and recall of each class with queries and test images, by label.
    """

    precision: float
    recall: float
    k: int
    by_class: dict[int, tuple[float, float]]


def retrieval(
    queries: torch.Tensor, labels: torch.Tensor, test: torch.Tensor, test_labels: torch.Tensor, k: int = 5
) -> Retrieval:
    """Retrieve the k nearest test images of each image of a set, by cosine, and say how many are of its class.

    Args:
        queries: Embeddings of the set's images, shape (M, D).
        labels: Their classes, shape (M,).
        test: Embeddings of the test images, shape (N, D).
        test_labels: Their classes, shape (N,).
        k: Number retrieved.

    Raises:
        UserError: For fewer than k test images, embeddings that are not finite, or no class that has both.
        ValueError: If shapes differ.
    """
    if labels.shape != queries.shape[:1] or test_labels.shape != test.shape[:1] or queries.shape[1:] != test.shape[1:]:
        raise ValueError(f"queries {tuple(queries.shape)} and test images {tuple(test.shape)} do not fit their labels")
    problems = []
    if not 1 <= k <= len(test):
        problems.append(f"retrieval: k: {k}; from 1 to the number of test images, {len(test)}, are allowed.")
    for name, data in (("set", queries), ("test images", test)):
        faulty = int((~torch.isfinite(data)).any(1).sum())
        if faulty:
            problems.append(
                f"retrieval: {faulty} of {len(data)} embeddings of the {name} are not finite; look at these images."
            )
    shared = sorted(set(labels.tolist()) & set(test_labels.tolist()))
    if not shared:
        problems.append("retrieval: no class has both images of the set and test images; give the same classes.")
    if problems:
        raise UserError("\n".join(problems))
    unit, other = (torch.nn.functional.normalize(data, dim=1) for data in (queries, test))
    parts = [unit[start : start + ROWS] for start in range(0, len(unit), ROWS)]
    nearest = torch.cat([(part @ other.T).topk(k, dim=1).indices for part in parts])
    hits = (test_labels[nearest] == labels.unsqueeze(1)).double().sum(1)
    by_class = {}
    for label in shared:
        found = float(hits[labels == label].mean())
        by_class[label] = found / k, found / int((test_labels == label).sum())
    precision, recall = (float(np.mean([pair[place] for pair in by_class.values()])) for place in (0, 1))
    return Retrieval(precision, recall, k, by_class)


def spearman(first: Sequence[float], second: Sequence[float], settings: IntervalSettings | None = None) -> Estimate:
    """Return Spearman's rank correlation of two measures over data sets, with a bootstrap interval over data sets.

    Args:
        first: One value per data set, shape (N,).
        second: The other measure of the same data sets.
        settings: Confidence, number of resamples and seed.

    Returns:
        The correlation with the percentiles of resamples of data sets, ties at mid-rank; `n` counts data sets. Without
        an interval below `FEWEST_DATASETS`. Resamples in which a measure has only one value have no correlation and
        are left out.

    Raises:
        UserError: For fewer than two data sets, values that are not finite, or a measure that is the same on all.
        ValueError: If the lengths differ.
    """
    pairs = np.array([first, second], dtype=np.float64)  # of unequal lengths numpy makes none
    n, chosen = pairs.shape[1], settings or IntervalSettings()
    if n < 2 or not np.isfinite(pairs).all() or (np.ptp(pairs, axis=1) == 0).any():
        raise UserError(
            f"correlation over {n} data sets: at least 2 are needed, with finite values that are not all equal, in "
            "both measures."
        )
    value = float(_correlations(pairs[:, None])[0])
    if n < FEWEST_DATASETS:
        return Estimate(value, None, None, n)
    rows = np.random.default_rng(chosen.seed).integers(n, size=(chosen.samples, n))
    drawn = pairs[:, rows]
    varied = drawn[:, (np.ptp(drawn, axis=2) > 0).all(axis=0)]
    tail = (1 - chosen.confidence) / 2
    low, high = np.quantile(_correlations(varied), (tail, 1 - tail))
    return Estimate(value, float(low), float(high), n)


def of_paper_rule(categories: Sequence[int]) -> tuple[int, ...]:
    """Return which data sets the paper's rule keeps: all but the four of fewest categories.

    Args:
        categories: Number of classes of each data set.

    Returns:
        Places in ascending order.

    Raises:
        UserError: If fewer than two would be left, or it is not clear which four have the fewest.
    """
    order = sorted(range(len(categories)), key=lambda place: categories[place])
    if len(order) < PAPER_LEFT_OUT + 2:
        raise UserError(
            f"{PAPER_RULE}: {len(order)} data sets; at least {PAPER_LEFT_OUT + 2} are needed; correlate over all."
        )
    if categories[order[PAPER_LEFT_OUT - 1]] == categories[order[PAPER_LEFT_OUT]]:
        raise UserError(
            f"{PAPER_RULE}: data sets {order[PAPER_LEFT_OUT - 1]} and {order[PAPER_LEFT_OUT]} both have "
            f"{categories[order[PAPER_LEFT_OUT]]} categories; which four have the fewest is not clear; name them."
        )
    return tuple(sorted(order[PAPER_LEFT_OUT:]))


def _correlations(pairs: Floats) -> Floats:
    """Return Pearson's correlation of the ranks in each sample; pairs have shape (2, samples, N)."""
    ranks = rankdata(pairs, axis=2)
    centered = ranks - ranks.mean(axis=2, keepdims=True)
    scale = np.sqrt((centered**2).sum(axis=2).prod(axis=0))
    found: Floats = (centered[0] * centered[1]).sum(axis=1) / scale
    return found
