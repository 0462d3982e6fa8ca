"""Typical outcomes of EX2, simulated: what its own statistics make of them, run after run; see coverage_grid.py.

Each simulation takes a generator, a number of runs and an effect in shares (0.1 is ten points; 0 where nothing differs)
and returns what a reader of the tool is shown in each run.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import normalize

from analysis.accuracy.draws import paired_over_draws
from analysis.accuracy.jackknife import DrawnTexts, draw_variances
from analysis.accuracy.zero_shot import class_vectors, pack_correct, rank_classes
from analysis.agreement.raters import cohen_kappa, krippendorff_alpha
from analysis.results.changes import leaf_changes
from analysis.results.experiment import Experiment
from analysis.results.pooling import DIFFERENCE, SHARE, Difference, difference_over, pool, pool_differences
from analysis.statistics.intervals import Estimate, IntervalSettings, mean_share, newcombe, paired_mean
from analysis.statistics.paired import PairedAccuracy, paired_accuracy, paired_averages, paired_counts
from analysis.statistics.shares import share_interval
from analysis.verdicts.breakdown import LEAVES, group_shares

Numbers = NDArray[np.float64]
Generator = np.random.Generator
Between = tuple[float, float]
"""Ends of the range that each run's true share is drawn from."""

share = functools.cache(share_interval)
change = functools.cache(newcombe)
SETTINGS = IntervalSettings()
WORLD = 100
"""Runs in one world of classes and questions."""


class Runs(NamedTuple):
    """What the tool shows in each run, and the truth.

    Attributes:
        estimate: Shape (runs,), or (runs, numbers) where several are read together.
        low: Lower ends of the intervals; NaN where none is shown.
        high: Upper ends.
        truth: What the numbers estimate.
        told: Whether the difference is told from 0, shape as `estimate`; None where nothing is tested.
    """

    estimate: Numbers
    low: Numbers
    high: Numbers
    truth: Numbers
    told: NDArray[np.bool_] | None = None


Simulation = Callable[[Generator, int, float], Runs]


def shown(found: Sequence[Estimate | None], truth: Numbers, *, told: bool = False) -> Runs:
    """Collect one estimate for each run; with `told`, an interval that excludes 0 tells it from 0, none does not."""
    rows = [
        (math.nan,) * 3 if one is None or one.low is None or one.high is None else (one.value, one.low, one.high)
        for one in found
    ]
    estimate, low, high = np.array(rows, dtype=np.float64).T
    return Runs(estimate, low, high, truth, (low > 0) | (high < 0) if told else None)


def between(rng: Generator, ends: Between, runs: int) -> Numbers:
    """Draw a true share for each run."""
    return rng.uniform(*ends, size=runs)


def drifted(rng: Generator, mean: Numbers, drift: float, seeds: int) -> Numbers:
    """Draw each seed's share around the mean with the standard deviation `drift`, from a beta distribution."""
    wide = np.repeat(mean[:, None], seeds, axis=1)
    if not drift:
        return wide
    size = wide * (1 - wide) / drift**2 - 1
    return rng.beta(wide * size, (1 - wide) * size)


def one_share(n: int, ends: Between) -> Simulation:
    """A share of n independent descriptions (or images)."""

    def simulate(rng: Generator, runs: int, effect: float) -> Runs:
        truth = between(rng, ends, runs)
        return shown([share(int(hits), n) for hits in rng.binomial(n, truth)], truth)

    return simulate


def repeated_texts(peak: float, ends: Between, *, other_classes: bool = False, texts: int = 20) -> Simulation:
    """A share of 16 classes × 25 questions, one description each, of a policy that repeats itself.

    The policy describes each class by few texts, whatever the question, and each text is of one kind; `peak` is the
    chance that two descriptions of one class are the same text. The truth is the share in all that the policy would
    answer; with `other_classes` the share among classes that might have been asked.
    """
    weight = (1 - peak) / (texts * peak - 1)  # a Dirichlet distribution's: peak = (weight + 1) / (texts · weight + 1)

    def simulate(rng: Generator, runs: int, effect: float) -> Runs:
        found, truths = [], []
        for mean in between(rng, ends, runs):
            weights = rng.gamma(weight, size=(16, texts)) + 1e-300
            chance = (weights * (rng.random((16, texts)) < mean)).sum(1) / weights.sum(1)
            found.append(share(int(rng.binomial(25, chance).sum()), 400))
            truths.append(mean if other_classes else chance.mean())
        return shown(found, np.array(truths))

    return simulate


def share_of_informative(n: int, informative: float, ends: Between) -> Simulation:
    """The visual share of the informative among n descriptions, 5 % of whose answers cannot be read."""

    def simulate(rng: Generator, runs: int, effect: float) -> Runs:
        truth, found = between(rng, ends, runs), []
        for visual in truth:
            parts = [informative * visual, informative * (1 - visual), 1 - informative]
            chances = [0.9 * parts[0], 0.9 * parts[1], 0.05 * informative, 0.95 * parts[2]]
            counts = rng.multinomial(n, [*chances, 1 - sum(chances)])
            names = ("visual", "non_visual", "informative_unparsed", "spurious", "unparsed")
            kinds = dict(zip(names, counts.tolist(), strict=True))
            found.append(group_shares(kinds, "parsed")["visual"].of_parent)  # type: ignore[arg-type]
        return shown(found, truth)

    return simulate


def share_over_seeds(seeds: int, drift: float, n: int, ends: Between) -> Simulation:
    """A share of n descriptions in each seed, pooled; with one seed the truth is that of this run."""

    def simulate(rng: Generator, runs: int, effect: float) -> Runs:
        mean = between(rng, ends, runs)
        each = drifted(rng, mean, drift, seeds)
        counts = rng.binomial(n, each)
        found = [pool([share(int(hits), n) for hits in row], 0.95, int(row.sum()), SHARE) for row in counts]
        pooled = [None if one is None else Estimate(one.value, one.low, one.high, one.n) for one in found]
        return shown(pooled, each[:, 0] if seeds == 1 else mean)

    return simulate


def share_changes(seeds: int, drift: float, n: int, ends: Between) -> Simulation:
    """A share of n aligned descriptions minus that of n of the base model, whose share no seed changes."""

    def simulate(rng: Generator, runs: int, effect: float) -> Runs:
        before = between(rng, ends, runs)
        after = drifted(rng, before + effect, drift, seeds)
        base, aligned = rng.binomial(n, np.repeat(before[:, None], seeds, axis=1)), rng.binomial(n, after)
        found = []
        for ours, theirs in zip(aligned, base, strict=True):
            pairs = zip(ours.tolist(), theirs.tolist(), strict=True)
            one = difference_over([change(share(a, n), share(b, n)) for a, b in pairs], 0.95, DIFFERENCE)
            assert one is not None
            found.append(Estimate(one.value, one.low, one.high, one.n))
        truth = after[:, 0] - before if seeds == 1 else np.full(runs, effect)
        return shown(found, truth, told=True)

    return simulate


def kinds_together(seeds: int, drift: float, n: int, shares: Sequence[float]) -> Simulation:
    """The report's changes of the shares of all three kinds, read together; `drift` is that of a share of a half."""

    def simulate(rng: Generator, runs: int, effect: float) -> Runs:
        before = np.array(shares)
        after = before + effect * (np.array([1.0, 0, 0]) - np.array([0, *before[1:]]) / before[1:].sum())
        size = 0.25 / drift**2 - 1 if drift else 0.0
        changes = []
        for _ in range(runs):
            each = rng.dirichlet(after * size, size=seeds) if size else np.repeat(after[None], seeds, axis=0)
            aligned = [rng.multinomial(n, row / row.sum()) for row in each]
            base = rng.multinomial(n, before, size=seeds)
            made: dict[str, Difference] = {}
            for place, leaf in enumerate(LEAVES):
                by_seed = [
                    change(share(int(ours[place]), n), share(int(theirs[place]), n))
                    for ours, theirs in zip(aligned, base, strict=True)
                ]
                one = difference_over(by_seed, 0.95, DIFFERENCE)
                assert one is not None
                made[leaf] = one
            experiment = Experiment("r", "v", "d", {}, seeds=tuple(range(seeds)), share_changes=made)  # type: ignore[arg-type]
            read = leaf_changes(experiment)
            changes.append([read[leaf] for leaf in LEAVES])
        estimate, low, high = (
            np.array([[getattr(one, name) for one in row] for row in changes], dtype=np.float64)
            for name in ("value", "low", "high")
        )
        told = np.array([[bool(one.significant) for one in row] for row in changes])
        return Runs(estimate, low, high, np.broadcast_to(after - before, estimate.shape), told)

    return simulate


def one_seeds_images(n: int, differing: Between) -> Simulation:
    """Two accuracies on the same n images, of which the two differ on a share between these ends."""

    def simulate(rng: Generator, runs: int, effect: float) -> Runs:
        rate = between(rng, differing, runs)
        chances = np.stack([(rate + effect) / 2, (rate - effect) / 2, 1 - rate], axis=1)
        found = [paired_counts(int(a), int(b), n) for a, b, _ in rng.multinomial(n, chances)]
        told = np.array([one.p < 0.05 for one in found])
        estimates = [Estimate(one.difference, one.low, one.high, n) for one in found]
        return shown(estimates, np.full(runs, effect))._replace(told=told)

    return simulate


def _seeds_images(
    rng: Generator, seeds: int, n: int, drift: float, effect: float, differing: float = 0.4
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], float, float]:
    """Draw which images each of two is right on in each seed, and the truths given the images and given the seeds.

    Two thirds of an image's answer are the image's own, the same in every seed; the rest is the seed's.
    """
    own = rng.random(n)
    side = (own < 0.5 + effect / differing / 2).astype(float)  # which of the two the image favours, if they differ
    shift = drift * rng.standard_normal(seeds)[:, None]
    favour = np.clip(2 / 3 * side + 1 / 3 * (0.5 + effect / differing / 2) + shift / differing / 2, 0, 1)
    at_issue = rng.random(n) < 1.25 * differing
    differs = at_issue & (rng.random((seeds, n)) < 0.8)
    first = differs & (rng.random((seeds, n)) < favour)
    given_images = float((0.8 * at_issue * (2 * (2 / 3 * side + 1 / 3 * (0.5 + effect / differing / 2)) - 1)).mean())
    given_seeds = float(effect + shift.mean())
    return first, differs & ~first, given_images, given_seeds


def several_seeds(seeds: int, drift: float, n: int, *, over_images: bool = False) -> Simulation:
    """A difference of accuracies over several seeds: its t-interval, or its interval over images; the test of both.

    The t-interval is of what other seeds would give on these images, the other of what these seeds would on others.
    """

    def simulate(rng: Generator, runs: int, effect: float) -> Runs:
        found, truths, told = [], [], []
        for _ in range(runs):
            first, second, given_images, given_seeds = _seeds_images(rng, seeds, n, drift, effect)
            parts = [_untested(int(a.sum()), int(b.sum()), n) for a, b in zip(first, second, strict=True)]
            bits = [(pack_correct(a), pack_correct(b)) for a, b in zip(first, second, strict=True)]
            one = pool_differences(parts, bits, SETTINGS)
            assert one is not None
            ends = one.images if over_images and one.images else (one.low, one.high)
            found.append(Estimate(one.value, *ends, n))
            truths.append(given_seeds if over_images else given_images)
            told.append(bool(one.significant))
        return shown(found, np.array(truths))._replace(told=np.array(told))

    return simulate


def _untested(only_first: int, only_second: int, n: int) -> PairedAccuracy:
    """Return one seed's difference without its own test, which `pool_differences` shows but does not use."""
    return PairedAccuracy((only_first - only_second) / n, -1.0, 1.0, 1.0, only_first, only_second, n)


def few_images_of_seeds(seeds: int, n: int, differing: Between) -> Simulation:
    """The interval over images where few of n differ, each in one seed or in most; 80 % of them for the first."""

    def simulate(rng: Generator, runs: int, effect: float) -> Runs:
        found, truths = [], []
        for rate in between(rng, differing, runs):
            often = rng.choice([1 / seeds, 0.5, 0.9])
            at_issue = rng.random(n) < rate
            first = rng.random(n) < (0.5 if not effect else 0.8)
            steps = rng.binomial(seeds, often, size=n) * at_issue / seeds
            found.append(paired_averages((steps * first).tolist(), (steps * ~first).tolist()))
            truths.append(rate * often * (0.0 if not effect else 0.6))
        told = np.array([one.p < 0.05 for one in found])
        estimates = [Estimate(one.difference, one.low, one.high, n) for one in found]
        return shown(estimates, np.array(truths))._replace(told=told)

    return simulate


class _Images(NamedTuple):
    embeddings: torch.Tensor
    labels: torch.Tensor


def described_twice(draws: int, *, classes: int = 8, n: int = 240, questions: int = 8) -> Simulation:
    """Two policies' accuracies on n images, each question answered several times; without an effect one policy.

    The effect is how much nearer the first policy's texts are to their classes, as a share of their distance; the truth
    is the mean of the differences that a world of classes and questions has. With one draw the test is McNemar's, for
    these texts.
    """
    dim = 24

    def simulate(rng: Generator, runs: int, effect: float) -> Runs:
        generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
        labels = torch.arange(n) % classes
        order = [
            torch.arange(size).view(shape).expand(classes, draws, questions).flatten()
            for size, shape in ((classes, (-1, 1, 1)), (draws, (1, -1, 1)))
        ]
        found, told = [], []
        for run in range(runs):
            if run % WORLD == 0:
                middle = normalize(torch.randn(classes, dim, generator=generator), dim=-1)
                asked = 0.5 * torch.randn(1, 1, questions, dim, generator=generator) / dim**0.5
            noise = torch.randn(n, dim, generator=generator) / dim**0.5
            images = _Images(normalize(middle[labels] + 1.5 * noise, dim=-1), labels)
            made = {}
            for arm, distance in (("x", 4.5 * (1 - effect)), ("y", 4.5)):
                texts = torch.randn(classes, draws, questions, dim, generator=generator) * distance / dim**0.5
                flat = normalize((middle[:, None, None] + asked + texts).view(-1, dim), dim=-1)
                made[arm] = DrawnTexts(flat, order[0], order[1], class_vectors(flat, order[0], classes, middle))
            right = [rank_classes(images.embeddings, one.made.vectors, labels).hits(1) for one in made.values()]
            one = paired_accuracy(*right)
            if draws > 1:
                told_by = draw_variances(images, made, [("x", "y")], middle)  # type: ignore[arg-type]
                one = paired_over_draws(one, told_by["x", "y"], 0.95)
            found.append(Estimate(one.difference, one.low, one.high, n))
            told.append(one.p < 0.05)
        truth = np.zeros(runs)
        for start in range(0, runs if effect else 0, WORLD):
            truth[start : start + WORLD] = np.mean([one.value for one in found[start : start + WORLD]])
        return shown(found, truth)._replace(told=np.array(told))

    return simulate


def rewards(pairs: int, skewed: bool) -> Simulation:
    """Mean reward of aligned minus base descriptions; an effect of 1 is a standard deviation of the differences.

    Skewed: most descriptions are the same text and so change nothing; the others mostly gain.
    """

    def simulate(rng: Generator, runs: int, effect: float) -> Runs:
        found = []
        for _ in range(runs):
            gains = rng.standard_normal(pairs)
            if skewed:
                gains = (rng.random(pairs) < 0.4) * (rng.gamma(2.0, size=pairs) - 2.0) / math.sqrt(0.8)
            one = paired_mean((gains + effect).tolist(), [0.0] * pairs, samples=1)
            found.append(Estimate(one.difference, one.low, one.high, pairs))
        return shown(found, np.full(runs, effect), told=True)

    return simulate


def mean_over_classes(classes: int, images: int) -> Simulation:
    """Accuracy averaged over classes, some of which are easy and some hard, with few images each."""

    def simulate(rng: Generator, runs: int, effect: float) -> Runs:
        truth = rng.beta(4, 1.5, size=(runs, classes))
        hits = rng.binomial(images, truth)
        return shown([mean_share(row.tolist(), [images] * classes) for row in hits], truth.mean(1))

    return simulate


def kappa(n: int) -> Simulation:
    """Cohen's κ of people and judge; the effect is the κ, and without one the judge answers by chance."""
    known = functools.cache(lambda counts: cohen_kappa(np.array(counts).reshape(2, 2)))

    def simulate(rng: Generator, runs: int, effect: float) -> Runs:
        yes = rng.uniform(0.2, 0.8, size=runs)
        both = yes * yes + effect * yes * (1 - yes)
        chances = np.stack([both, yes - both, yes - both, 1 - 2 * yes + both], axis=1)
        found = [known(tuple(row)) for row in rng.multinomial(n, chances).tolist()]
        return shown(found, np.full(runs, effect), told=True)

    return simulate


def alpha(n: int, raters: int = 3) -> Simulation:
    """Krippendorff's α of three raters; the effect is the α, and without one each answers by chance."""
    known = functools.cache(
        lambda ways: krippendorff_alpha(
            [[True] * yes + [False] * (raters - yes) for yes, count in enumerate(ways) for _ in range(count)]
        )
    )

    def simulate(rng: Generator, runs: int, effect: float) -> Runs:
        found = []
        for yes in rng.uniform(0.2, 0.8, size=runs):
            by_unit = rng.random((n, raters)) < math.sqrt(effect)  # two raters both go by the unit with a chance of α
            answers = np.where(by_unit, rng.random((n, 1)) < yes, rng.random((n, raters)) < yes)
            found.append(known(tuple(np.bincount(answers.sum(1), minlength=raters + 1).tolist())))
        return shown(found, np.full(runs, effect), told=True)

    return simulate
