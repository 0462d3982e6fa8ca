"""Two classifiers on the same images: the difference of their accuracies, with an interval and a test that agree."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import betainc, ndtr, ndtri

from analysis.statistics.shares import mid_p_lower

ANGLES = 65
"""Ways in which the allowed deviation is divided between the two parts of a difference: enough for an error below 1e-4
of the interval's width."""


class PairedAccuracy(NamedTuple):
    """Two classifiers on the same images.

    Attributes:
        difference: Accuracy of the first minus that of the second.
        low: Lower end of its interval, see `paired_interval`.
        high: Upper end of its interval.
        p: McNemar's two-sided mid-p-value.
        only_first: Images that only the first has right.
        only_second: Images that only the second has right.
        n: Number of images.
    """

    difference: float
    low: float
    high: float
    p: float
    only_first: int
    only_second: int
    n: int


def mcnemar_p(only_first: float, only_second: float) -> float:
    """McNemar's two-sided mid-p-value: a fair coin over the images on which two classifiers differ.

    Args:
        only_first: Images that only the first has right; their effective number where they do not count alike.
        only_second: Images that only the second has right.

    Returns:
        Twice the chance of fewer heads than the rarer side has, plus the chance of exactly as many; in (0, 1]. 1 if
        both sides are equal, or if the two never differ. Between whole numbers the beta distribution continues it.

    Source: Fagerland, Lydersen and Laake (2013), BMC Medical Research Methodology 13. The test with whole points, not
        half ones, rejects far less often than its level says; this one hardly ever exceeds it.
    """
    fewer, more = min(only_first, only_second), max(only_first, only_second)
    if fewer == more:
        return 1.0
    below = float(betainc(more + 1, fewer, 0.5)) if fewer else 0.0
    return below + float(betainc(more, fewer + 1, 0.5))


@functools.lru_cache(maxsize=4096)
def paired_interval(only_first: float, only_second: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of the difference of two accuracies on the same images.

    The difference is a product: the share ψ of images on which the two differ, times 2π − 1, where π is the share of
    these that the first has right. Given the counts, π and ψ are independent, and each has exact mid-p limits at every
    level. The interval holds each product of a π and a ψ whose deviations, in normal units squared, add up to no more
    than the confidence allows. At a difference of 0 only π deviates, so 0 is outside exactly if McNemar's mid-p-value
    is below 1 − confidence: interval and test are one inversion, and cannot contradict each other.

    Args:
        only_first: Images that only the first has right; their effective number where they do not count alike.
        only_second: Images that only the second has right.
        n: Number of images, at least 1.
        confidence: Coverage, in (0, 1).

    Returns:
        Lower and upper end, within [-1, 1]. If the two never differ, the ends are those of ψ, with either sign.

    Limits: mid-p limits cover as often as they say on average, not for each single share. Below about 3 differing
        images expected, the interval is wider than it needs to be. Images must be independent of each other.

    Source: Newcombe (2011), Communications in Statistics: Theory and Methods 40, for limits of a function of two
        independent parameters; mid-p limits as in `mid_p_lower`.
    """
    discordant = min(only_first + only_second, n)  # more only by rounding
    z = -float(ndtri((1 - confidence) / 2))
    angles = np.linspace(0, math.pi / 2, ANGLES)
    of_sides, of_rate = ndtr(-z * np.cos(angles)), ndtr(-z * np.sin(angles))
    few, many = mid_p_lower(discordant, n, of_rate), 1 - mid_p_lower(n - discordant, n, of_rate)
    told = mcnemar_p(only_first, only_second) < 1 - confidence

    def lower(heads: float) -> float:
        side = 2 * mid_p_lower(heads, discordant, of_sides) - 1
        if not told:
            side[0] = min(side[0], 0.0)  # rounding must not put an end on the other side of 0
        return float(np.where(side < 0, side * many, side * few).min())

    return lower(only_first), -lower(only_second)


def paired_counts(only_first: int, only_second: int, n: int, confidence: float = 0.95) -> PairedAccuracy:
    """Compare two classifiers by how often they differ.

    Args:
        only_first: Images that only the first has right.
        only_second: Images that only the second has right.
        n: Number of images, at least 1.
        confidence: Coverage of the interval, in (0, 1).
    """
    low, high = paired_interval(only_first, only_second, n, confidence)
    p = mcnemar_p(only_first, only_second)
    return PairedAccuracy((only_first - only_second) / n, low, high, p, only_first, only_second, n)


def paired_accuracy(first: Sequence[bool], second: Sequence[bool], *, confidence: float = 0.95) -> PairedAccuracy:
    """Compare two classifiers on the same images.

    Args:
        first: Whether the first is right, per image, shape (N,).
        second: The same for the second, in the same order.
        confidence: Coverage of the interval, in (0, 1).

    Returns:
        First minus second, with its interval and McNemar's mid-p-value, which never contradict each other.

    Raises:
        ValueError: If the lengths differ or there are no images.
    """
    if len(first) != len(second) or not len(first):
        raise ValueError(f"paired samples of {len(first)} and {len(second)} images")
    a, b = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    return paired_counts(int((a & ~b).sum()), int((b & ~a).sum()), len(a), confidence)


def paired_averages(first: Sequence[float], second: Sequence[float], *, confidence: float = 0.95) -> PairedAccuracy:
    """Compare two classifiers of which at least one is an average over several, on the same images.

    Args:
        first: Share of the first's classifiers that are right, per image, in [0, 1], shape (N,).
        second: The same for the second, in the same order.
        confidence: Coverage of the interval, in (0, 1).

    Returns:
        First minus second, with interval and test over images, see `paired_steps`; the numbers of images that only one
        has right are their means, rounded. They reflect what other images would change, not what other classifiers
        would.

    Raises:
        ValueError: If the lengths differ or there are no images.
    """
    if len(first) != len(second) or not len(first):
        raise ValueError(f"paired samples of {len(first)} and {len(second)} images")
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    steps = a - b
    gains, losses, squares = (float(part.sum()) for part in (steps.clip(min=0), (-steps).clip(min=0), steps**2))
    found = paired_steps(gains, losses, squares, len(a), confidence)
    sides = round(float((a * (1 - b)).sum())), round(float((b * (1 - a)).sum()))
    return found._replace(only_first=sides[0], only_second=sides[1])


def paired_steps(gains: float, losses: float, squares: float, n: int, confidence: float = 0.95) -> PairedAccuracy:
    """Compare two classifiers by steps of unequal size, one for each image on which they differ.

    A step is what an image adds to the difference: 1 if only the first has it right, −1 if only the second has, parts
    of that in a mean over several classifiers. Their sum varies as a sum of steps of the one size squares / (gains +
    losses) would. The numbers of such steps take the place of the images that differ in `paired_counts`, and its
    interval is multiplied by their size. Interval and p are one inversion.

    Args:
        gains: Sum of the steps above 0.
        losses: Minus the sum of the steps below 0.
        squares: Sum of the squared steps, to which any other variance of their sum may be added.
        n: Number of images, at least 1.
        confidence: Coverage, in (0, 1).

    Returns:
        The difference with its interval and test; the numbers of images that only one has right are those of the steps,
        rounded. With steps of 1 and −1 everything is as `paired_counts` has it. Without any step, squares add nothing.

    Limits: steps of very unequal size are covered less well where a few large ones make up the difference.

    Source: Fay and Feuer (1997), Statistics in Medicine 16, for weighted sums of counts; effective numbers as in Korn
        and Graubard (1998), Survey Methodology 24.
    """
    steps = gains + losses
    # Rounding must not let there be more steps than images.
    size = max(squares / steps, steps / n) if steps > 0 else 1.0
    first, second = gains / size, losses / size
    low, high = paired_interval(first, second, n, confidence)
    low, high = max(-1.0, size * low), min(1.0, size * high)
    return PairedAccuracy((gains - losses) / n, low, high, mcnemar_p(first, second), round(first), round(second), n)
