"""What intervals of image sets cover and tell apart, where the truth over draws is known.

Sets and test images are drawn with replacement from many images, as if these were all that there are, so that expected
scores and their standard deviations can be had to any accuracy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import mean

import torch
from image_set_truths import CLASSES, cler, cler_difference, tells_apart

from analysis.images.intervals import set_intervals
from analysis.images.resampling import SetImages, TestImages
from analysis.statistics.intervals import IntervalSettings, wilson

Z = 1.959964
"""Standard deviations that 95 % of normal numbers are within."""


def redrawn(pool: SetImages, per_class: int, generator: torch.Generator, labels_known: bool = True) -> SetImages:
    """Draw a set with replacement, as if the pool were all that its generator can draw.

    Args:
        pool: Images, as many of each class, by class.
        per_class: Images of each class that are drawn.
        generator: Of the draw.
        labels_known: Whether labels stay; permuted without.
    """
    of_class = len(pool.labels) // len(CLASSES)
    chosen = torch.randint(of_class, (len(CLASSES), per_class), generator=generator)
    rows = (chosen + torch.arange(len(CLASSES)).unsqueeze(1) * of_class).flatten()
    labels = pool.labels[rows]
    if not labels_known:
        labels = labels[torch.randperm(len(labels), generator=generator)]
    return SetImages(pool.embeddings[rows], labels, pool.kind)


def redrawn_test(pool: TestImages, per_class: int, generator: torch.Generator) -> TestImages:
    """Draw test images with replacement from many, as many of each class, by class."""
    drawn = redrawn(SetImages(pool.embeddings, pool.labels), per_class, generator)
    return TestImages(drawn.embeddings, drawn.labels, pool.classes, pool.metric)


@dataclass(frozen=True)
class Coverage:
    """How often a set's interval holds its expected score over draws of the set and of the test images.

    Attributes:
        kind: Of the sets.
        sets: Number of sets that had an interval.
        held: Of these, intervals that hold the expected score.
        wilson: Of these, Wilson's intervals for as many independent images as there are test images.
        expected: The expected score.
        spread: Standard deviation of scores.
        width: Half the mean width of the intervals.
    """

    kind: str
    sets: int
    held: int
    wilson: int
    expected: float
    spread: float
    width: float


@dataclass(frozen=True)
class Power:
    """How often two kinds of sets are told apart.

    Attributes:
        kind: Of the two sets.
        shots: Images of each class.
        pairs: Number of pairs that were compared by the rule.
        spread: Standard deviation of a difference over draws of both sets and test images.
        distance: Expected difference in these standard deviations.
        oracle: Share of all draws that a test tells apart which knows that standard deviation.
        told: Pairs that the rule tells apart.
        held: Pairs whose interval holds the expected difference.
        width: Half the mean width of the intervals, in widths of the interval that knows the standard deviation.
    """

    kind: str
    shots: int
    pairs: int
    spread: float
    distance: float
    oracle: float
    told: int
    held: int
    width: float


Draw = Callable[[int, torch.Generator], SetImages]
"""Draws a set of so many images of each class."""
TEST_PER_CLASS = 60
TRUTH = 1000
"""Draws that expected scores and standard deviations are taken from."""


def coverage(kind: str, draw: Draw, test: TestImages, shots: int, sets: int, samples: int, seed: int) -> Coverage:
    """Count how often intervals hold what a kind of set scores in the mean.

    Args:
        kind: Its name.
        draw: Draws such a set.
        test: Many test images, of which each set is measured on other ones.
        shots: Images of each class.
        sets: Number of sets that have an interval.
        samples: Resamples for each interval.
        seed: Of all draws.
    """
    generator = torch.Generator().manual_seed(seed)

    def tested() -> TestImages:
        return redrawn_test(test, TEST_PER_CLASS, generator)

    scores = torch.tensor([cler(draw(shots, generator), tested()) for _ in range(TRUTH)], dtype=torch.float64)
    expected = scores.mean().item()
    found = [
        set_intervals(draw(shots, generator), tested(), IntervalSettings(samples=samples, seed=number)).cler
        for number in range(sets)
    ]
    plain = [wilson(round(one.value * one.n), one.n) for one in found]
    held, by_wilson = (
        sum((one.low or 0.0) <= expected <= (one.high or 0.0) for one in these) for these in (found, plain)
    )
    width = mean((one.high or 0.0) - (one.low or 0.0) for one in found) / 2
    return Coverage(kind, sets, held, by_wilson, expected, scores.std().item(), width)


def power(
    kind: str, draws: tuple[Draw, Draw], test: TestImages, shots: int, pairs: int, samples: int, seed: int
) -> Power:
    """Compare sets of two kinds; the arguments are as in `coverage`."""
    generator = torch.Generator().manual_seed(seed)

    def drawn() -> tuple[SetImages, SetImages, TestImages]:
        tested = redrawn_test(test, TEST_PER_CLASS, generator)
        return draws[0](shots, generator), draws[1](shots, generator), tested

    differences = []
    for _ in range(TRUTH):
        first, second, tested = drawn()
        differences.append(cler(first, tested) - cler(second, tested))
    all_of_them = torch.tensor(differences, dtype=torch.float64)
    expected, spread = all_of_them.mean().item(), all_of_them.std().item()
    found = [cler_difference(*drawn(), IntervalSettings(samples=samples, seed=number)) for number in range(pairs)]
    widths = [((one.high or 0.0) - (one.low or 0.0)) / 2 for one in found]
    return Power(
        kind,
        shots,
        pairs,
        spread,
        expected / spread,
        (all_of_them.abs() > Z * spread).double().mean().item(),
        sum(map(tells_apart, found)),
        sum((one.low or 0.0) <= expected <= (one.high or 0.0) for one in found),
        mean(widths) / (Z * spread),
    )


def redrawn_of(pool: SetImages, labels_known: bool, per_class: int, generator: torch.Generator) -> SetImages:
    """Draw a set as `redrawn` does, by position."""
    return redrawn(pool, per_class, generator, labels_known)


def coverage_table(found: Sequence[Coverage]) -> str:
    """Lay coverage out, as Markdown."""
    lines = ["| sets | expected CLER | sd | 1.96 sd | intervals ± | held | Wilson's held |", "|---|" + "---|" * 6]
    for one in found:
        lines.append(
            f"| {one.kind} | {one.expected:.3f} | {one.spread:.3f} | {Z * one.spread:.3f} | {one.width:.3f} | "
            f"{one.held} of {one.sets} | {one.wilson} of {one.sets} |"
        )
    return "\n".join(lines)


def power_table(found: Sequence[Power]) -> str:
    """Lay power out, as Markdown."""
    lines = ["| pair | images a class | distance | told by a test that knows sd | told by the rule | width | held |"]
    lines.append("|---|" + "---|" * 6)
    for one in found:
        lines.append(
            f"| {one.kind} | {one.shots} | {one.distance:.1f} sd | {one.oracle:.1%} | {one.told} of {one.pairs} "
            f"({one.told / one.pairs:.1%}) | {one.width:.2f} | {one.held} of {one.pairs} |"
        )
    return "\n".join(lines)
