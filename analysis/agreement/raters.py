"""How well two or more raters agree: confusion, Cohen's κ, Krippendorff's α. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from analysis.statistics.intervals import Estimate
from analysis.statistics.shares import share_interval


class Confusion(NamedTuple):
    """Answers of people and judge to one question, on the same descriptions.

    Attributes:
        both_yes: Both said yes.
        only_people: People said yes, the judge no.
        only_judge: The judge said yes, people no.
        both_no: Both said no.
    """

    both_yes: int
    only_people: int
    only_judge: int
    both_no: int

    @classmethod
    def of(cls, pairs: Iterable[tuple[bool, bool]]) -> Confusion:
        """Count pairs of (people's answer, judge's answer)."""
        found = list(pairs)
        return cls(*(found.count(pair) for pair in ((True, True), (True, False), (False, True), (False, False))))

    @property
    def table(self) -> list[list[int]]:
        """Counts as 2 × 2: people's answer (rows) × the judge's answer (columns), each in the order yes, no."""
        return [[self.both_yes, self.only_people], [self.only_judge, self.both_no]]

    def agreement(self, confidence: float = 0.95) -> Estimate | None:
        """Share of equal answers, with its interval; `None` without pairs."""
        return _share(self.both_yes + self.both_no, sum(self), confidence)

    def sensitivity(self, confidence: float = 0.95) -> Estimate | None:
        """Share of the judge's yes where people say yes; `None` where they never do."""
        return _share(self.both_yes, self.both_yes + self.only_people, confidence)

    def specificity(self, confidence: float = 0.95) -> Estimate | None:
        """Share of the judge's no where people say no; `None` where they never do."""
        return _share(self.both_no, self.both_no + self.only_judge, confidence)

    def kappa(self, confidence: float = 0.95) -> Estimate | None:
        """Agreement beyond chance, see `cohen_kappa`."""
        return cohen_kappa(self.table, confidence)


def cohen_kappa(table: ArrayLike, confidence: float = 0.95) -> Estimate | None:
    """Cohen's κ with a large-sample interval.

    Args:
        table: Counts, shape (K, K): the first rater's answer × the second's.
        confidence: Coverage, in (0, 1).

    Returns:
        κ with its interval within [-1, 1]. `None` if the table is empty, or if both raters gave one and the same answer
        throughout, because chance agreement is 1 then. For the standard error, half a count is added to each cell, so
        that perfect agreement on a few descriptions does not look certain.

    Raises:
        ValueError: If the table is not square.

    Source: Cohen (1960); standard error by Fleiss, Cohen and Everitt (1969), Psychological Bulletin 72, equation 13.
    """
    counts = np.asarray(table, dtype=np.float64)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1]:
        raise ValueError(f"table of shape {counts.shape}; allowed: square")
    n = int(counts.sum())
    if not n:
        return None
    shares = counts / n
    by_chance = float(shares.sum(axis=1) @ shares.sum(axis=0))
    if math.isclose(by_chance, 1.0):
        return None
    value = (float(np.trace(shares)) - by_chance) / (1 - by_chance)
    reach = float(stats.norm.ppf(0.5 + confidence / 2)) * kappa_error(counts + 0.5)
    return Estimate(value, max(-1.0, value - reach), min(1.0, value + reach), n)


def kappa_error(counts: np.ndarray) -> float:
    """Large-sample standard error of κ, for `cohen_kappa`.

    Args:
        counts: Counts, shape (K, K), as `table` of `cohen_kappa`; chance agreement must be below 1.
    """
    n = counts.sum()
    shares = counts / n
    rows, columns = shares.sum(axis=1), shares.sum(axis=0)
    agreed, by_chance = np.trace(shares), rows @ columns
    # margins[i, j]: column margin of i plus row margin of j.
    margins = columns[:, None] + rows[None, :]
    diagonal = np.diag(shares) @ ((1 - by_chance) - np.diag(margins) * (1 - agreed)) ** 2
    off_diagonal = (1 - agreed) ** 2 * ((shares * margins**2).sum() - np.diag(shares) @ np.diag(margins) ** 2)
    mean = (agreed * by_chance - 2 * by_chance + agreed) ** 2
    return float(np.sqrt(max(0.0, diagonal + off_diagonal - mean) / n) / (1 - by_chance) ** 2)


def krippendorff_alpha(
    units: Sequence[Sequence[bool]], *, confidence: float = 0.95, samples: int = 2000, seed: int = 0
) -> Estimate | None:
    """Krippendorff's α for yes and no, with any number of raters; answers may be missing.

    Args:
        units: For each description the answers it got, in any order. Descriptions with fewer than two answers do not
            count.
        confidence: Coverage of the percentile bootstrap over units.
        samples: Number of resamples of the units.
        seed: Seed of the resampling.

    Returns:
        α, where `n` is the number of units that count. `None` if no unit counts, or if all answers are the same.
        Without any disagreement α has no interval, because it is 1 in every resample.

    Source: Krippendorff (2019), Content Analysis, 4th edition, chapter 12.
    """
    pairable = [unit for unit in units if len(unit) > 1]
    if not pairable:
        return None
    yes = np.array([sum(unit) for unit in pairable], dtype=np.float64)
    no = np.array([len(unit) for unit in pairable]) - yes
    disagreed = 2 * yes * no / (yes + no - 1)
    parts = np.stack([disagreed, yes, no], axis=1)
    value = _alpha(parts.sum(axis=0))
    if np.isnan(value):
        return None
    if not disagreed.any():
        return Estimate(1.0, None, None, len(pairable))
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(pairable), np.full(len(pairable), 1 / len(pairable)), size=samples) @ parts
    values = _alpha(drawn.T)
    low, high = np.nanquantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Estimate(float(value), float(low), float(high), len(pairable))


def _alpha(sums: np.ndarray) -> np.ndarray:
    """Return 1 - observed / expected disagreement, from sums of shape (3, …); NaN where only one answer occurs."""
    disagreed, yes, no = sums
    total, expected = yes + no, 2 * yes * no
    mixed = expected > 0
    return np.where(mixed, 1 - disagreed * (total - 1) / np.where(mixed, expected, 1), np.nan)


def _share(count: int, n: int, confidence: float) -> Estimate | None:
    return share_interval(count, n, confidence) if n else None
