"""Cochran's Q: whether several classifiers have equal accuracies on the same images."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats


class CochranQ(NamedTuple):
    """Cochran's test.

    Attributes:
        q: The statistic; 0 if all accuracies are equal.
        freedom: Degrees of freedom, one less than classifiers.
        p: p-value by the chi-squared distribution; 1 if no image tells classifiers apart.
        n: Number of images.
        differing: Images on which not all classifiers are right or all are wrong: only they tell classifiers apart.
    """

    q: float
    freedom: int
    p: float
    n: int
    differing: int


def cochran_q(right: NDArray[Any]) -> CochranQ:
    """Test whether classifiers are right equally often, on the same images.

    Args:
        right: Whether each of R classifiers is right on each of N images, shape (N, R), R at least 2.

    Raises:
        ValueError: If there are fewer than two classifiers or no image.

    Source: Cochran (1950), Biometrika 37. With two classifiers it is McNemar's statistic without a correction.
    """
    if right.ndim != 2 or right.shape[1] < 2 or not len(right):
        raise ValueError(
            f"Cochran's Q of {right.shape} answers; several images and at least two classifiers are needed"
        )
    answers = right.astype(bool).astype(np.int64)
    count = answers.shape[1]
    of_image, of_classifier = answers.sum(1), answers.sum(0)
    differing = int(((of_image > 0) & (of_image < count)).sum())
    below = int((of_image * (count - of_image)).sum())
    if not below:
        return CochranQ(0.0, count - 1, 1.0, len(answers), 0)
    above = (count - 1) * (count * int((of_classifier**2).sum()) - int(of_classifier.sum()) ** 2)
    q = above / below
    return CochranQ(q, count - 1, float(stats.chi2.sf(q, count - 1)), len(answers), differing)
