"""Intervals and tests behind every number: one sample, two paired samples, and several seeds.

Shares are numbers in [0, 1]; only the report shows percentages. All functions are pure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats
from scipy.special import ndtri

FEWEST = 5
"""Fewest batches or pairs of one run that a t-interval is made from. Their spread is unknown and hardly ever normal: t
from two to four of them is as wide as chance has it. Seeds are another matter: three are all that a study can often
afford, and each is itself a mean of many values, so a t-interval over seeds is made from two."""


class IntervalSettings(NamedTuple):
    """How intervals are made.

    Attributes:
        confidence: Coverage of every interval.
        samples: Number of bootstrap resamples.
        seed: Seed of the resampling.
    """

    confidence: float = 0.95
    samples: int = 2000
    seed: int = 0


class Estimate(NamedTuple):
    """A number with its interval.

    Attributes:
        value: Point estimate.
        low: Lower end of the interval; `None` if there are too few observations for one.
        high: Upper end, or `None`.
        n: Number of observations behind it: images, descriptions, pairs or seeds.
    """

    value: float
    low: float | None
    high: float | None
    n: int


class PairedMean(NamedTuple):
    """Mean difference of pairs, with two intervals.

    Attributes:
        difference: Mean of first minus second.
        low: Lower end of the t-interval; `None` below `FEWEST` pairs.
        high: Upper end of the t-interval.
        bootstrap_low: Lower end of the percentile bootstrap interval.
        bootstrap_high: Upper end of the percentile bootstrap interval.
        n: Number of pairs.
    """

    difference: float
    low: float | None
    high: float | None
    bootstrap_low: float | None
    bootstrap_high: float | None
    n: int


def wilson(successes: int, n: int, confidence: float = 0.95) -> Estimate:
    """Wilson score interval of a share.

    Args:
        successes: Number of hits.
        n: Number of trials.
        confidence: Coverage, in (0, 1).

    Returns:
        The share with its interval, within [0, 1].

    Raises:
        ValueError: If `n` is 0 or `successes` is not in [0, n].

    Source: Wilson (1927), Journal of the American Statistical Association 22.
    """
    if n == 0:
        raise ValueError("a share of nothing has no value")
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} hits in {n} trials")
    share = successes / n
    return Estimate(share, *wilson_bounds(share, n, confidence), n)


def wilson_bounds(share: float, n: float, confidence: float) -> tuple[float, float]:
    """Return the ends of Wilson's score interval of a share, for an n that need not be whole.

    Args:
        share: Share of hits, in [0, 1].
        n: Number of trials, or their effective number; above 0.
        confidence: Coverage, in (0, 1).

    Returns:
        Lower and upper end, within [0, 1]. If the share is 0 the lower end is exactly 0, if it is 1 the upper end is
        exactly 1.
    """
    # In closed form: scipy's binomtest finds a p-value first, which takes a hundred times as long.
    z = float(ndtri(0.5 + confidence / 2))
    center = (share + z * z / (2 * n)) / (1 + z * z / n)
    reach = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return (0.0 if share == 0 else center - reach), (1.0 if share == 1 else center + reach)


def mean_share(successes: Sequence[int], counts: Sequence[int], confidence: float = 0.95) -> Estimate:
    """Mean of independent shares, each class counting equally, with a normal interval.

    Args:
        successes: Hits of each class.
        counts: Trials of each class, all at least 1.
        confidence: Coverage, in (0, 1).

    Returns:
        The mean with its interval, within [0, 1]; `n` counts classes. For the variance, one success and one failure are
        added to each class, so that classes with no hits or only hits do not look certain.

    Raises:
        ValueError: If a class has no trials, or there is no class.
    """
    if not counts or min(counts) < 1:
        raise ValueError("every class needs a trial")
    value = sum(k / n for k, n in zip(successes, counts, strict=True)) / len(counts)
    smoothed = [((k + 1) / (n + 2), n) for k, n in zip(successes, counts, strict=True)]
    deviation = math.sqrt(sum(share * (1 - share) / n for share, n in smoothed)) / len(counts)
    reach = float(stats.norm.ppf(0.5 + confidence / 2)) * deviation
    return Estimate(value, max(0.0, value - reach), min(1.0, value + reach), len(counts))


def newcombe(first: Estimate, second: Estimate) -> Estimate:
    """Interval of the difference of two independent shares, from their own intervals.

    Args:
        first: Share with its interval.
        second: Share with its interval at the same confidence.

    Returns:
        `first - second`; `n` is the smaller of the two.

    Raises:
        ValueError: If one has no interval.

    Source: Newcombe (1998), Statistics in Medicine 17, method 10.
    """
    if first.low is None or first.high is None or second.low is None or second.high is None:
        raise ValueError("both shares need an interval")
    difference = first.value - second.value
    below = math.hypot(first.value - first.low, second.high - second.value)
    above = math.hypot(first.high - first.value, second.value - second.low)
    return Estimate(difference, difference - below, difference + above, min(first.n, second.n))


def over_both(value: float, first: tuple[float, float], second: tuple[float, float]) -> tuple[float, float]:
    """Return an interval of a number that two independent things change, from an interval over each.

    Args:
        value: The number.
        first: Interval over the one, which holds the value.
        second: Interval over the other, at the same confidence, which holds the value.

    Returns:
        Lower and upper end: distances from the value to the ends, on each side, as the sides of a right triangle.

    Limits: what the two change together is counted twice, so the interval is rather too wide than too narrow.

    Source: Zou and Donner (2008), Statistics in Medicine 27; Newcombe's method 10 is a case of it.
    """
    (low, high), (other_low, other_high) = first, second
    return value - math.hypot(value - low, value - other_low), value + math.hypot(high - value, other_high - value)


def all_equal(values: Sequence[float]) -> bool:
    """Say whether numbers are equal up to rounding, so that they have no spread to make an interval from."""
    return max(values) - min(values) < 1e-12 * max(1.0, abs(values[0]))


def mean_t(values: Sequence[float], confidence: float = 0.95, *, fewest: int = 2) -> Estimate:
    """Mean with Student's t-interval.

    Args:
        values: At least one number.
        confidence: Coverage, in (0, 1).
        fewest: Fewest values that an interval is made from, at least 2: 2 over seeds, `FEWEST` over the batches or
            pairs of one run.

    Returns:
        The mean; `n` is the number of values.

    Raises:
        ValueError: If there are no values.
    """
    if not len(values):
        raise ValueError("a mean of nothing has no value")
    data = np.asarray(values, dtype=np.float64)
    mean = float(data.mean())
    if len(data) < fewest:
        return Estimate(mean, None, None, len(data))
    half = float(stats.t.ppf((1 + confidence) / 2, len(data) - 1) * data.std(ddof=1) / math.sqrt(len(data)))
    return Estimate(mean, mean - half, mean + half, len(data))


def within(estimate: Estimate, least: float, most: float) -> Estimate:
    """Cut an interval to what the quantity can be.

    A t-interval over few values knows no bounds. Cutting takes away only what cannot be true, so that the coverage
    stays as it is.

    Args:
        estimate: The estimate. Its value may itself be outside, as a KL estimated from samples may be below 0; then the
            interval reaches to it.
        least: The least that the quantity can be.
        most: The most that it can be.
    """
    if estimate.low is None or estimate.high is None:
        return estimate
    low, high = max(estimate.low, min(least, estimate.value)), min(estimate.high, max(most, estimate.value))
    return estimate._replace(low=low, high=high)


def paired_mean(
    first: Sequence[float], second: Sequence[float], *, confidence: float = 0.95, samples: int = 2000, seed: int = 0
) -> PairedMean:
    """Mean difference of pairs, with a t-interval and a bootstrap interval over pairs.

    Args:
        first: One value per pair, shape (N,).
        second: The partner values, in the same order.
        confidence: Coverage of both intervals.
        samples: Number of bootstrap resamples of the pairs.
        seed: Seed of the resampling.

    Returns:
        Mean of first minus second, with both intervals; without them below `FEWEST` pairs.

    Raises:
        ValueError: If the lengths differ or there are no pairs.
    """
    if len(first) != len(second):
        raise ValueError(f"paired samples of {len(first)} and {len(second)} values")
    differences = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    t = mean_t(differences.tolist(), confidence, fewest=FEWEST)
    if t.low is None:
        return PairedMean(t.value, None, None, None, None, t.n)
    bootstrap = stats.bootstrap(
        (differences,),
        np.mean,
        n_resamples=samples,
        batch=max(1, 2**22 // len(differences)),  # at most 32 MB at once, whatever the number of pairs
        confidence_level=confidence,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return PairedMean(t.value, t.low, t.high, float(bootstrap.low), float(bootstrap.high), t.n)
