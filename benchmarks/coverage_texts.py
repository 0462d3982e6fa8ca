"""Typical outcomes, simulated: content beside permuted texts, changes of kinds over classes; see coverage_grid.py."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from coverage_cells import Generator, Numbers, Runs, Simulation
from scipy import stats

from analysis.accuracy.record import Hits, Permuted
from analysis.results.attribution import beside_permuted
from analysis.results.by_class import changes_by_class
from analysis.results.changes import over_classes
from analysis.results.experiment import Experiment
from analysis.statistics.permutation import FEWEST_PERMUTATIONS
from analysis.verdicts.breakdown import LEAVES
from analysis.verdicts.verdicts import Kind
from ex2.policy.source import PolicyName

DIFFICULTY = (0.02, 0.5, 0.97)
"""Chance that an image is right, a third of the images each."""


def expected(effect: float, spread: float) -> float:
    """Return an accuracy's expectation where chances are shifted, by an effect and at random, and end at 0 and 1.

    Args:
        effect: Shift of every image's chance.
        spread: Standard deviation of the random shift, which all images share.
    """
    shift = effect + spread * stats.norm.ppf((np.arange(2000) + 0.5) / 2000)
    return float(np.clip(np.array(DIFFICULTY)[:, None] + shift, 0, 1).mean())


def content(seeds: int, images: int, spread: float, drift: float = 0.0) -> Simulation:
    """The class's own texts beside exchanged ones.

    Args:
        seeds: Number of seeds, which share their images.
        images: Number of images.
        spread: Standard deviation of what an assignment of texts to classes is worth, on each image.
        drift: Standard deviation of the effect over seeds.
    """

    def simulate(rng: Generator, runs: int, effect: float) -> Runs:
        rows, told = [], []
        for _ in range(runs):
            difficulty = rng.choice(DIFFICULTY, images)[:, None]
            own, permuted = [], []
            for _ in range(seeds):
                chances = difficulty + rng.normal(0, spread, FEWEST_PERMUTATIONS + 1)[None, :]
                chances[:, 0] += effect + drift * rng.standard_normal()
                right = (rng.random(chances.shape) < chances).mean(axis=0).tolist()
                own.append(Hits(right[0], 0.0, 1.0, images, round(right[0] * images)))
                permuted.append(Permuted(tuple(right[1:]), 0.0))
            value, p = beside_permuted(own, permuted, 0.95)
            rows.append((value.value, value.low, value.high))
            told.append(p < 0.05)
        estimate, low, high = np.array(rows, dtype=np.float64).T
        truth = expected(effect, math.hypot(spread, drift)) - expected(0.0, spread)
        return Runs(estimate, low, high, np.full(runs, truth), np.array(told))

    return simulate


def kinds_over_classes(classes: int, texts: int, spread: float, shares: Sequence[float]) -> Simulation:
    """The changes of the shares of all three kinds over classes, read together, as the headline does.

    Args:
        classes: Number of classes.
        texts: Descriptions of each class and policy.
        spread: Standard deviation over classes of a share of a half.
        shares: Share of each kind before alignment, as in `LEAVES`.
    """

    def simulate(rng: Generator, runs: int, effect: float) -> Runs:
        before = np.array(shares)
        after = before + effect * (np.array([1.0, 0, 0]) - np.array([0, *before[1:]]) / before[1:].sum())
        size = 0.25 / spread**2 - 1
        rows, told = [], []
        for _ in range(runs):
            counted: dict[PolicyName, dict[int, dict[Kind, int]]] = {}
            means: tuple[tuple[PolicyName, Numbers], ...] = (("aligned", after), ("base", before))
            for policy, mean in means:
                counts = rng.multinomial(texts, rng.dirichlet(mean * size, size=classes))
                counted[policy] = {
                    label: dict(zip(LEAVES, row.tolist(), strict=True)) for label, row in enumerate(counts)
                }
            made = Experiment("r", "v", "d", {}, class_changes=changes_by_class([counted], "parsed"))
            found = [over_classes(made, leaf) for leaf in LEAVES]
            rows.append([(one.value, one.low, one.high) if one else (np.nan,) * 3 for one in found])
            told.append([one is not None and one.p < 0.05 for one in found])
        estimate, low, high = np.moveaxis(np.array(rows, dtype=np.float64), 2, 0)
        return Runs(estimate, low, high, np.broadcast_to(after - before, estimate.shape), np.array(told))

    return simulate
