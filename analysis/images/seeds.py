"""Intervals of sets of several generation seeds: how a mean over seeds would vary over other draws and test images.

Every image is drawn from a seed of its own, so that several seeds of a set are as many sets of one kind. How far scores
vary over draws is told by the seeds' own scores, which are few, and by resampling each seed's images, which tells more:
both estimates are pooled by their degrees of freedom. Where seeds differ by far more than their images explain (an F
test at 1 %), something is common to all images of a seed, and the seeds alone are believed.

Seeds that take images of a few have some in common, and a mean over them varies more than a third as much as one seed:
by (1 + (n − 1) r) / n of a seed's variance, of which differences between seeds show 1 − r, where r is the share of
images that two seeds have in common.

Over test images a mean varies however well seeds agree: Student's t over three seeds alone holds the expected score of
good sets in 72 % (benchmarks/image_sets.py).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy import optimize, stats

from analysis.images.draws import Floats, Resampled
from analysis.images.intervals import share_interval
from analysis.statistics.intervals import Estimate, mean_t, within
from analysis.statistics.permutation import SAME
from analysis.statistics.together import FEWEST_SEEDS

MOST_ALIKE = 0.9
"""Share of images in common from which differences between seeds tell nothing."""
FAR = 0.01
"""Level of the test by which seeds differ by more than their images explain."""


def pooled(seeds: Sequence[Resampled], overlap: float = 0.0) -> Resampled:
    """Return the mean of a score over seeds, and how it varies.

    Args:
        seeds: Of each of at least two seeds, as `analysis.images.resampling.resampled` gives it.
        overlap: Share of images that two seeds have in common.
    """
    count = len(seeds)
    between = float(np.var([one.value for one in seeds], ddof=1)) / count * spread(count, overlap)
    variance, doubt = _joined(between, count - 1, _within(seeds, overlap), overlap)
    over_test: Floats = np.mean([one.over_test for one in seeds], axis=0)
    return Resampled(float(np.mean([one.value for one in seeds])), over_test, variance, doubt)


def pooled_difference(
    first: Mapping[int, Resampled], second: Mapping[int, Resampled], overlaps: tuple[float, float] = (0.0, 0.0)
) -> Resampled:
    """Return the difference of two sets' means over seeds, and how it varies.

    Args:
        first: Seed → score of a set of at least two seeds.
        second: Likewise of another set. With the same seeds both are compared in pairs, else as Welch does.
        overlaps: Of each set, the share of images that two of its seeds have in common.
    """
    one, other = [*first.values()], [*second.values()]
    apart = [_within(of, overlap) for of, overlap in zip((one, other), overlaps, strict=True)]
    inside = Resampled(0.0, np.zeros(0), sum(of.over_draws for of in apart), sum(of.doubt for of in apart))
    between, freedom = _between(
        {seed: score.value for seed, score in first.items()},
        {seed: score.value for seed, score in second.items()},
        overlaps,
    )
    variance, doubt = _joined(between, freedom, inside, max(overlaps))
    means = [(float(np.mean([s.value for s in of])), np.mean([s.over_test for s in of], axis=0)) for of in (one, other)]
    return Resampled(means[0][0] - means[1][0], means[0][1] - means[1][1], variance, doubt)


def seeds_alone(
    values: Sequence[float],
    confidence: float = 0.95,
    over_test: Floats | None = None,
    n: int = 0,
    overlap: float = 0.0,
) -> Estimate:
    """Return a mean over seeds where their images cannot be resampled; `n` counts seeds.

    Half the interval is √(t² v + z² w): Student's quantile with the variance of the mean over seeds, and the normal one
    with that over test images. Of a share it is Wilson's, for as many images as would vary so.

    Args:
        values: One number for each seed.
        confidence: Coverage, in (0, 1).
        over_test: Mean over seeds of what `TestVariation.of_scores` gives of a share; None for a number that is no
            score of test images, whose interval is Student's over seeds alone.
        n: Number of test images; not looked at without `over_test`.
        overlap: Share of images that two seeds have in common.

    Returns:
        Without an interval for fewer than three seeds, and where these are nearly the same images.

    Raises:
        ValueError: If there are no values.
    """
    value, seeds = float(np.mean(values)), len(values)
    if seeds < FEWEST_SEEDS or overlap >= MOST_ALIKE:
        return Estimate(value, None, None, seeds)
    factor = spread(seeds, overlap)
    if over_test is None:
        plain = mean_t(values, confidence, fewest=FEWEST_SEEDS)
        if plain.low is None or plain.high is None:
            return plain
        low, high = (value + math.sqrt(factor) * (end - value) for end in (plain.low, plain.high))
        return Estimate(value, low, high, seeds)
    z = float(stats.norm.ppf((1 + confidence) / 2))
    between = float(np.var(values, ddof=1)) / seeds * factor
    reach = _reach(between, seeds - 1, float(over_test @ over_test), confidence)
    return share_interval(Resampled(value, np.zeros(0), (reach / z) ** 2), n, confidence)._replace(n=seeds)


def seeds_alone_difference(
    first: Mapping[int, float],
    second: Mapping[int, float],
    over_test: Floats,
    confidence: float = 0.95,
    overlaps: tuple[float, float] = (0.0, 0.0),
) -> tuple[Estimate, float | None]:
    """Return the difference of two sets' means over seeds as `seeds_alone` does, and the p-value that belongs to it.

    Args:
        first: Seed → number of a set of at least two seeds.
        second: Likewise of another set.
        over_test: Mean over seeds of what `TestVariation.of_scores` gives of one, minus that of the other.
        confidence: Coverage, in (0, 1).
        overlaps: Of each set, the share of images that two of its seeds have in common.

    Returns:
        The difference; `n` counts seeds, those of the set that has fewer. Without interval and p-value where nothing
        varies; sets that are equal throughout have p = 1.
    """
    fewest = min(len(first), len(second))
    value = float(np.mean([*first.values()]) - np.mean([*second.values()]))
    if max(overlaps) >= MOST_ALIKE:
        return Estimate(value, None, None, fewest), None
    between, freedom = _between(first, second, overlaps)
    of_test = float(over_test @ over_test)
    if between + of_test < SAME**2:
        return Estimate(value, None, None, fewest), 1.0 if abs(value) < SAME else None
    reach = _reach(between, freedom, of_test, confidence)

    def beyond(level: float) -> float:
        return _reach(between, freedom, of_test, 1 - level) - abs(value)

    least, most = 1e-12, 1 - 1e-9
    p = least if beyond(least) < 0 else most if beyond(most) > 0 else float(optimize.brentq(beyond, least, most))
    return within(Estimate(value, value - reach, value + reach, fewest), -1.0, 1.0), min(1.0, p)


def spread(count: int, overlap: float) -> float:
    """Return how many times the variance of a mean over seeds is what independent seeds that differ so would have."""
    return (1 + (count - 1) * overlap) / (1 - min(overlap, MOST_ALIKE))


def _within(seeds: Sequence[Resampled], overlap: float = 0.0) -> Resampled:
    """Return the variance of a mean over seeds as resampling their images tells it.

    More seeds do not make it better known: the same classes stand at borders in each of them.
    """
    count, alike = len(seeds), 1 + (len(seeds) - 1) * overlap
    deviation = alike * sum(math.sqrt(one.doubt) for one in seeds) / count**2
    return Resampled(0.0, np.zeros(0), alike * sum(one.over_draws for one in seeds) / count**2, deviation**2)


def _between(
    first: Mapping[int, float], second: Mapping[int, float], overlaps: tuple[float, float]
) -> tuple[float, float]:
    """Return the variance of a difference of means as seeds tell it, and its degrees of freedom.

    Added is what a set's seeds do not show since they share images, by how far they differ by themselves.
    """
    parts = [(float(np.var([*of.values()], ddof=1)) / len(of), len(of) - 1) for of in (first, second)]
    hidden = sum(
        (spread(len(of), overlap) - 1) * part
        for of, overlap, (part, _) in zip((first, second), overlaps, parts, strict=True)
    )
    if first.keys() == second.keys():
        pairs = [first[seed] - second[seed] for seed in first]
        return float(np.var(pairs, ddof=1)) / len(pairs) + hidden, len(pairs) - 1
    total = sum(part for part, _ in parts)
    doubt = sum(part**2 / freedom for part, freedom in parts)
    return total + hidden, total**2 / doubt if doubt > 0 else float(sum(freedom for _, freedom in parts))


def _joined(between: float, freedom: float, inside: Resampled, overlap: float) -> tuple[float, float]:
    """Return the pooled variance over draws and its own variance."""
    if inside.over_draws <= 0 or inside.doubt <= 0:
        return between, 2 * between**2 / freedom
    if overlap >= MOST_ALIKE:
        return inside.over_draws, inside.doubt
    own = 2 * inside.over_draws**2 / inside.doubt
    if between > inside.over_draws * stats.f.isf(FAR, freedom, own):
        return between, 2 * between**2 / freedom
    variance = (freedom * between + own * inside.over_draws) / (freedom + own)
    return variance, 2 * variance**2 / (freedom + own)


def _reach(between: float, freedom: float, of_test: float, confidence: float) -> float:
    level = (1 + confidence) / 2
    return math.sqrt(float(stats.t.ppf(level, freedom)) ** 2 * between + float(stats.norm.ppf(level)) ** 2 * of_test)
