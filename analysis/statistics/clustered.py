"""Shares and their differences where observations come in clusters, such as several questions about one image.

Answers about one image fall together: a picture that is misread is misread for all its questions. An interval that
takes each answer for itself is then too narrow. Here the clusters are what is independent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from analysis.statistics.intervals import Estimate, newcombe
from analysis.statistics.paired import PairedAccuracy, paired_steps
from analysis.statistics.shares import share_bounds

FEWEST_CLUSTERS = 2
"""Fewest clusters that an interval is made from."""

Array = NDArray[np.float64]


class ClusteredShare(NamedTuple):
    """A share over clusters.

    Attributes:
        estimate: The share with its interval; `n` counts observations, not clusters.
        design_effect: By what its variance is greater than that of as many independent observations; at least 1.
        clusters: Number of clusters with an observation.
    """

    estimate: Estimate
    design_effect: float
    clusters: int


def clustered_share(hits: Sequence[int], counts: Sequence[int], confidence: float = 0.95) -> ClusteredShare:
    """Return a share of all observations, with an interval over clusters.

    Args:
        hits: Hits of each cluster.
        counts: Observations of each cluster; those of 0 are left out.
        confidence: Coverage, in (0, 1).

    Returns:
        The share Σh / Σn. Its variance over clusters is m / (m − 1) · Σ (h_i − p n_i)² / N², which divided by p (1 − p)
        / N is the design effect, taken as 1 if it is less. For it, two clusters of mean size are added, one of hits
        only and one of misses only: where hardly any cluster has a miss, the spread that was seen says little of how
        misses fall together. The interval is `share_bounds` of N / design effect observations, fewer still by (z / t)²
        with m − 1 degrees of freedom. Of fewer than `FEWEST_CLUSTERS` there is no interval.

    Raises:
        ValueError: If there is no observation, or a cluster has more hits than observations.

    Source: Korn and Graubard (1998), Survey Methodology 24, with Wilson's interval as in Dean and Pagano (2015),
        Journal of Survey Statistics and Methodology 3; the design effect is Kish's.
    """
    h, n = _counted(hits, counts)
    total, clusters = float(n.sum()), len(n)
    share = float(h.sum()) / total
    effect = _design_effect(h, n)
    if clusters < FEWEST_CLUSTERS:
        return ClusteredShare(Estimate(share, None, None, int(total)), effect, clusters)
    z, t = float(ndtri(0.5 + confidence / 2)), float(stdtrit(clusters - 1, 0.5 + confidence / 2))
    low, high = share_bounds(share, total / effect * (z / t) ** 2, confidence)
    return ClusteredShare(Estimate(share, low, high, int(total)), effect, clusters)


def mean_of_shares(
    first: tuple[Sequence[int], Sequence[int]], second: tuple[Sequence[int], Sequence[int]], confidence: float = 0.95
) -> Estimate:
    """Return the mean of two shares over the same clusters, such as balanced accuracy of sensitivity and specificity.

    Args:
        first: Hits and observations of each cluster.
        second: Likewise, of the same clusters in the same order.
        confidence: Coverage, in (0, 1).

    Returns:
        The mean; `n` counts the observations of both. The interval is put together from those of both shares and their
        correlation over clusters.

    Raises:
        ValueError: As `clustered_share`, of either.

    Source: Zou and Donner (2008), Statistics in Medicine 27, for the interval of a sum from those of its parts.
    """
    a, b = clustered_share(*first, confidence).estimate, clustered_share(*second, confidence).estimate
    value, n = (a.value + b.value) / 2, a.n + b.n
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return Estimate(value, None, None, n)
    together = _correlation(_residuals(*first, a.value), _residuals(*second, b.value))

    def reach(one: float, other: float) -> float:
        return math.sqrt(max(0.0, one**2 + other**2 + 2 * together * one * other)) / 2

    low, high = value - reach(a.value - a.low, b.value - b.low), value + reach(a.high - a.value, b.high - b.value)
    return Estimate(value, max(0.0, low), min(1.0, high), n)


def clustered_pairs(
    first: Sequence[bool], second: Sequence[bool], clusters: Sequence[int], confidence: float = 0.95
) -> PairedAccuracy:
    """Compare two answerers on the same questions, which come in clusters.

    Args:
        first: Whether the first is right, per question.
        second: The same for the second, in the same order.
        clusters: Number of each question's cluster.
        confidence: Coverage, in (0, 1).

    Returns:
        Accuracy of the first minus that of the second, with `paired_steps` of the clusters' sums: what a cluster adds
        to the difference is one step. `only_first` and `only_second` count questions, and `n` all of them.

    Raises:
        ValueError: If the lengths differ or there is no question.
    """
    if not len(first) or not len(first) == len(second) == len(clusters):
        raise ValueError(f"{len(first)} and {len(second)} answers in {len(clusters)} places")
    a, b = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    steps = np.bincount(_numbered(clusters), weights=a.astype(float) - b.astype(float))
    many = len(steps)
    # Questions on which they differ do not get fewer by lying in one image; few clusters tell less of their spread.
    squares = max(float((steps**2).sum()) * (many / (many - 1) if many > 1 else 1.0), float((a != b).sum()))
    gains, losses = float(steps.clip(min=0).sum()), float((-steps).clip(min=0).sum())
    found = paired_steps(gains, losses, squares, len(a), confidence)
    return found._replace(only_first=int((a & ~b).sum()), only_second=int((b & ~a).sum()))


class Shift(NamedTuple):
    """Difference of two shares on different clusters, with a p-value that agrees with its interval."""

    difference: Estimate
    p: float


def shift(
    first: tuple[Sequence[int], Sequence[int]], second: tuple[Sequence[int], Sequence[int]], confidence: float = 0.95
) -> Shift | None:
    """Return one clustered share minus another on other clusters.

    Args:
        first: Hits and observations of each cluster.
        second: Likewise, of other clusters; they may be of another number.
        confidence: Coverage, in (0, 1).

    Returns:
        Newcombe's interval from the two clustered ones; p is 1 minus the greatest confidence at which 0 is outside.
        None if either has too few clusters for an interval.

    Raises:
        ValueError: As `clustered_share`, of either.
    """

    def at(level: float) -> Estimate | None:
        a, b = clustered_share(*first, level).estimate, clustered_share(*second, level).estimate
        return None if a.low is None or b.low is None else newcombe(a, b)

    found = at(confidence)
    if found is None:
        return None
    inside, outside = 1.0, 0.0  # levels at which 0 is inside, and outside
    for _ in range(40):
        middle = (inside + outside) / 2
        tried = at(middle)
        assert tried is not None
        assert tried.low is not None
        assert tried.high is not None
        if tried.low <= 0 <= tried.high:
            inside = middle
        else:
            outside = middle
    return Shift(found, 1.0 if found.value == 0 else 1 - outside)


def _counted(hits: Sequence[int], counts: Sequence[int]) -> tuple[Array, Array]:
    h, n = np.asarray(hits, dtype=np.float64), np.asarray(counts, dtype=np.float64)
    if h.shape != n.shape or bool((h > n).any()) or bool((h < 0).any()):
        raise ValueError(f"hits {list(hits)} in {list(counts)} observations")
    held = n > 0
    if not held.any():
        raise ValueError("a share of nothing has no value")
    return h[held], n[held]


def _design_effect(h: Array, n: Array) -> float:
    size = float(n.mean())
    h, n = np.append(h, [size, 0.0]), np.append(n, [size, size])
    total, clusters = float(n.sum()), len(n)
    share = float(h.sum()) / total
    variance = clusters / (clusters - 1) * float(((h - share * n) ** 2).sum()) / total**2
    return max(1.0, variance / (share * (1 - share) / total))


def _residuals(hits: Sequence[int], counts: Sequence[int], share: float) -> Array:
    n = np.asarray(counts, dtype=np.float64)
    return np.asarray((np.asarray(hits, dtype=np.float64) - share * n) / n.sum())


def _correlation(one: Array, other: Array) -> float:
    """Return the correlation of the clusters' residuals, whose sums are 0; 0 where one does not vary."""
    spread = math.sqrt(float((one**2).sum()) * float((other**2).sum()))
    return float((one * other).sum()) / spread if spread > 1e-15 else 0.0


def _numbered(clusters: Sequence[int]) -> NDArray[np.intp]:
    return np.asarray(np.unique(np.asarray(clusters), return_inverse=True)[1], dtype=np.intp)
