"""What intervals over three generation seeds cover and tell apart: the rule of a recipe with `seeds: [0, 1, 2]`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from image_set_claims import LEAST_COVERED, MOST_REJECTED, SHOTS, Claim
from image_set_power import TEST_PER_CLASS, TRUTH, Draw, redrawn_test
from image_set_truths import LEVELS, World, cler, tells_apart

from analysis.images.draws import Resampled
from analysis.images.intervals import difference_interval, given_two_sets, share_interval
from analysis.images.resampling import SetImages, TestImages, resampled
from analysis.images.seeds import pooled, pooled_difference
from analysis.statistics.intervals import Estimate, mean_t

SEEDS = 3
SAMPLES = 400
"""Resamples of each seed."""
Triple = Sequence[SetImages]


@dataclass(frozen=True)
class Held:
    """How often intervals over three seeds hold the expected score over draws of the set and of the test images.

    Attributes:
        kind: Of the sets.
        sets: Number of triples.
        held: Of these, intervals that hold it.
        by_t: Of these, Student's t-intervals over the seeds alone, as if there were no other test images.
        width: Half the mean width of the intervals.
        t_width: Likewise of Student's.
    """

    kind: str
    sets: int
    held: int
    by_t: int
    width: float
    t_width: float


@dataclass(frozen=True)
class Apart:
    """How often a good set is told from a faulty one.

    Attributes:
        triples: Number of pairs of sets of three seeds.
        told: Pairs that the rule tells apart.
        by_t: Pairs that Student's t over the seeds' differences tells apart, as if there were no other test images.
        difference: Mean difference.
    """

    triples: int
    told: int
    by_t: int
    difference: float


def of_seeds(sets: Triple, test: TestImages) -> list[Resampled]:
    """Return CLER of each seed and how it varies."""
    alone = TestImages(test.embeddings, test.labels, test.classes, test.metric)
    return [resampled(one, alone, samples=SAMPLES, seed=place)["cler"] for place, one in enumerate(sets)]


def difference(first: Sequence[Resampled], second: Sequence[Resampled], *, same: bool) -> Estimate:
    """Return the difference of two sets' mean CLER with its interval.

    Args:
        first: The seeds of one set.
        second: Those of the other.
        same: Whether both have the same seeds, so that they are compared in pairs; else as Welch does.
    """
    numbers = range(len(second)) if same else range(100, 100 + len(second))
    scores = dict(enumerate(first)), dict(zip(numbers, second, strict=True))
    return difference_interval(pooled_difference(*scores), 0.95, len(first))


def coverage_of_seeds(kind: str, draw: Draw, test: TestImages, shots: int, sets: int, seed: int) -> Held:
    """Count how often intervals hold what a kind of set scores in the mean; arguments as in `image_set_power`."""
    generator = torch.Generator().manual_seed(seed)

    def tested() -> TestImages:
        return redrawn_test(test, TEST_PER_CLASS, generator)

    expected = float(np.mean([cler(draw(shots, generator), tested()) for _ in range(TRUTH)]))
    found, plain = [], []
    for _ in range(sets):
        triple, one = [draw(shots, generator) for _ in range(SEEDS)], tested()
        scores = of_seeds(triple, one)
        found.append(share_interval(pooled(scores), len(one.labels)))
        plain.append(mean_t([score.value for score in scores]))
    counts = [sum(_holds(interval, expected) for interval in these) for these in (found, plain)]
    widths = [float(np.mean([(one.high or 0.0) - (one.low or 0.0) for one in these])) / 2 for these in (found, plain)]
    return Held(kind, sets, counts[0], counts[1], widths[0], widths[1])


def rejected(pairs: Sequence[tuple[Triple, Triple]], test: TestImages) -> tuple[int, int]:
    """Count the pairs of sets of equal worth that are told apart, in pairs of seeds and as Welch does."""
    scores = [(of_seeds(first, test), of_seeds(second, test)) for first, second in pairs]
    told = [sum(tells_apart(difference(*pair, same=same)) for pair in scores) for same in (True, False)]
    return told[0], told[1]


def apart(world: World, error: Mapping[str, float], test: TestImages, shots: int, triples: int, seed: int) -> Apart:
    """Compare good sets with faulty ones of the same seeds, three at a time."""
    found, by_t = [], 0
    for first in range(seed, seed + SEEDS * triples, SEEDS):
        good, faulty = ([world.set(of, number, shots) for number in range(first, first + SEEDS)] for of in ({}, error))
        found.append(difference(of_seeds(good, test), of_seeds(faulty, test), same=True))
        scores = [[cler(one, test) for one in triple] for triple in (good, faulty)]
        by_t += tells_apart(mean_t([one - other for one, other in zip(*scores, strict=True)]))
    return Apart(triples, sum(map(tells_apart, found)), by_t, float(np.mean([one.value for one in found])))


def seeds_rule_claim(what: str, draw: Draw, test: TestImages, pairs: int, seed: int) -> Claim:
    """Return the claim that sets of equal worth, of three seeds each, are seldom told apart."""
    generator = torch.Generator().manual_seed(seed)
    made = [
        ([draw(SHOTS, generator) for _ in range(3)], [draw(SHOTS, generator) for _ in range(3)]) for _ in range(pairs)
    ]
    told = rejected(made, test)
    mcnemar = sum(given_two_sets(first[0], second[0], test).p < 1 - 0.95 for first, second in made)
    return Claim(
        f"over three seeds: of {pairs} pairs of {what} sets the rule tells at most {MOST_REJECTED:.0%} apart, in pairs "
        "of seeds and as Welch does",
        f"{told[0]} and {told[1]} ({told[0] / pairs:.1%}, {told[1] / pairs:.1%})",
        max(told) <= MOST_REJECTED * pairs,
        f"McNemar's p < 0.05 of the first seeds: {mcnemar} ({mcnemar / pairs:.1%})",
        mcnemar > MOST_REJECTED * pairs,
    )


def seeds_apart_claim(world: World, test: TestImages, triples: int, seed: int) -> Claim:
    """Return the claim that sets of three seeds are told from ones of these seeds with half of the patterns wrong."""
    found, equal = (
        apart(world, LEVELS["50 %"], test, SHOTS, triples, seed),
        apart(world, {}, test, SHOTS, triples, seed),
    )
    return Claim(
        "over three seeds: the rule tells the 0 % set from one wrong in 50 % of patterns in at least 9 of 10 triples",
        f"in {found.told} of {triples}; difference {found.difference:.3f}; by t over the seeds alone: {found.by_t}",
        found.told >= 0.9 * triples,
        f"the 0 % set and itself: in {equal.told}",
        equal.told < 0.9 * triples,
    )


def seeds_coverage_claim(found: Sequence[Held]) -> Claim:
    """Return the claim that intervals over seeds hold what sets score in the mean over other draws and test images."""
    least, by_t = (min(getattr(one, key) / one.sets for one in found) for key in ("held", "by_t"))
    shares = ", ".join(f"{one.kind} {one.held / one.sets:.1%} ± {one.width:.3f}" for one in found)
    plain = ", ".join(f"{one.by_t / one.sets:.1%} ± {one.t_width:.3f}" for one in found)
    return Claim(
        "over three seeds: 95 % intervals hold the expected CLER over draws of set and test images in at least "
        f"{LEAST_COVERED:.0%}, for each of {len(found)} kinds of sets",
        f"least {least:.1%} ({shares})",
        least >= LEAST_COVERED,
        f"Student's t over the seeds alone: least {by_t:.1%} ({plain})",
        by_t < LEAST_COVERED,
    )


def _holds(interval: Estimate, expected: float) -> bool:
    return interval.low is not None and interval.high is not None and interval.low <= expected <= interval.high
