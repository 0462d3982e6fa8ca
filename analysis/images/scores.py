"""The data sets' own metrics, from the scores of test images and their labels.

Which data set is measured by which is in Table 4 of Li et al., Benchmarking and Analyzing Generative Data for Visual
Recognition (GenBench).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from reward.errors import UserError

Array = NDArray[Any]
MetricName = Literal["accuracy", "mean_per_class", "map_11_point", "roc_auc"]
RECALLS = tuple(level / 10 for level in range(11))
"""Recalls at which VOC 2007 reads the precision."""


def accuracy(scores: Array, labels: Array, weights: Array | None = None) -> float:
    """Return the share of images whose largest score, the first of equal ones, is their label's.

    Args:
        scores: Score of each class, shape (N, C), N at least 1.
        labels: Labels, shape (N,).
        weights: How often each image counts, shape (N,); once without them.

    Raises:
        UserError: If scores are not finite.
        ValueError: If shapes differ or there is no image.
    """
    _check(scores, labels, 1)
    return float(np.average(scores.argmax(1) == labels, weights=weights))


def mean_per_class(scores: Array, labels: Array, weights: Array | None = None) -> float:
    """Return the mean over classes of the share of a class's images that are recognised.

    Args:
        scores: Score of each class, shape (N, C), N at least 1.
        labels: Labels, shape (N,). Classes without test images are in no mean.
        weights: How often each image counts, shape (N,); once without them.

    Raises:
        UserError: If scores are not finite.
        ValueError: If shapes differ or there is no image.
    """
    _check(scores, labels, 1)
    right = scores.argmax(1) == labels
    count = np.ones(len(labels)) if weights is None else weights
    members = [labels == label for label in np.unique(labels)]
    return float(np.mean([np.average(right[rows], weights=count[rows]) for rows in members]))


def map_11_point(scores: Array, labels: Array, weights: Array | None = None) -> float:
    """Return the mean over classes of VOC 2007's average precision at eleven recalls.

    Images are ranked by the score of a class; at each recall 0, 0.1, …, 1 the precision is the largest at that recall
    or a higher one. Images of equal score are taken together.

    Args:
        scores: Score of each class, shape (N, C), N at least 1.
        labels: Whether an image shows a class, 0 or 1, shape (N, C); -1 where it counts neither for nor against it.
        weights: How often each image counts, shape (N,); once without them.

    Raises:
        UserError: If scores are not finite or a class is in no image.
        ValueError: If shapes differ or there is no image.

    Source: Everingham et al. (2010), International Journal of Computer Vision 88, section 4.2. There, an image
        does not count for a class of which it shows only what is marked as difficult.
    """
    _check(scores, labels, 2)
    empty = np.flatnonzero((labels == 1).sum(0) == 0)
    if len(empty):
        raise UserError(
            f"11-point mAP: no test image shows the class {', '.join(map(str, empty[:8]))} "
            f"({len(empty)} of {labels.shape[1]}); it has no average precision; leave it out."
        )
    found = []
    for column, relevant in zip(scores.T, labels.T, strict=True):
        counts = relevant >= 0
        of_class = None if weights is None else weights[counts]
        found.append(average_precision_11_point(column[counts], relevant[counts], of_class))
    return float(np.mean(found))


def average_precision_11_point(scores: Array, relevant: Array, weights: Array | None = None) -> float:
    """Return the average precision at eleven recalls of one class; see `map_11_point`.

    Args:
        scores: Score of each image, shape (N,).
        relevant: Whether it shows the class, 0 or 1, shape (N,), at least one.
        weights: How often each image counts, shape (N,); once without them.
    """
    order = np.argsort(-scores, kind="stable")
    counts = np.ones(len(order)) if weights is None else weights[order]
    last_of_equal = np.append(np.diff(scores[order]) != 0, True)
    found, seen = np.cumsum(relevant[order] * counts)[last_of_equal], np.cumsum(counts)[last_of_equal]
    precision = np.divide(found, seen, out=np.zeros(len(seen)), where=seen > 0)
    at_least = np.maximum.accumulate(precision[::-1])[::-1]
    # A recall of 0.3 that is computed as 0.29999999999999999 still is at least 0.3.
    return float(np.mean(at_least[np.searchsorted(found / found[-1], np.asarray(RECALLS) - 1e-12)]))


def roc_auc(scores: Array, labels: Array, weights: Array | None = None) -> float:
    """Return the chance that an image of class 1 has a larger score than one of class 0, ties counting half.

    An image's score is that of class 1 minus that of class 0, which ranks images as the softmax of both does.

    Args:
        scores: Scores of two classes, shape (N, 2).
        labels: 0 or 1, shape (N,).
        weights: How often each image counts, shape (N,); once without them.

    Raises:
        UserError: If scores are not finite, there are not two classes, or one of them has no image.
        ValueError: If shapes differ or there is no image.
    """
    _check(scores, labels, 1)
    if scores.shape[1] != 2:
        raise UserError(f"ROC AUC: {scores.shape[1]} classes; 2 are allowed; measure accuracy or mean_per_class.")
    positive = int((labels == 1).sum())
    negative = len(labels) - positive
    if not positive or not negative:
        raise UserError(f"ROC AUC: {negative} test images of class 0 and {positive} of class 1; both are needed.")
    levels, level = np.unique(scores[:, 1] - scores[:, 0], return_inverse=True)
    count = np.ones(len(labels)) if weights is None else weights
    ones, zeros = (np.bincount(level, count * (labels == label), len(levels)) for label in (1, 0))
    below = np.cumsum(zeros) - zeros / 2
    return float((ones * below).sum() / (ones.sum() * zeros.sum()))


METRICS: Mapping[MetricName, Callable[..., float]] = {
    "accuracy": accuracy,
    "mean_per_class": mean_per_class,
    "map_11_point": map_11_point,
    "roc_auc": roc_auc,
}
"""Every metric takes scores (N, C), labels, (N,) or for `map_11_point` (N, C), and weights, and is in [0, 1]."""


def _check(scores: Array, labels: Array, axes: int) -> None:
    if scores.ndim != 2 or labels.shape != scores.shape[:axes] or not len(scores):
        raise ValueError(f"scores {scores.shape} and labels {labels.shape} do not fit")
    faulty = int((~np.isfinite(scores)).any(1).sum())
    if faulty:
        raise UserError(
            f"scores: those of {faulty} of {len(scores)} test images are not finite; look at these images, and at the "
            "precision of the VLM."
        )
