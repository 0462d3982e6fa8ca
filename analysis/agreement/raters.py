"""How well two or more raters agree: confusion, Cohen's κ, Krippendorff's α. Pure functions."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from analysis.statistics.intervals import Estimate
from analysis.statistics.shares import share_interval

PRIOR = 2.0
"""Pseudo-counts that an interval of κ or α adds in all, spread over what could have been answered: for two raters and
two answers half a count to each cell, as Jeffreys's prior."""

DRAWS = 4000
"""Draws behind an interval of κ or α. Their seed is fixed: the same answers have the same interval."""


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
    def people_yes(self) -> int:
        """How often people said yes."""
        return self.both_yes + self.only_people

    @property
    def people_no(self) -> int:
        """How often people said no."""
        return self.both_no + self.only_judge

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

    def false_yes(self, confidence: float = 0.95) -> Estimate | None:
        """Share of the judge's yes where people say no, 1 − specificity; `None` where they never do."""
        return _share(self.only_judge, self.people_no, confidence)

    def kappa(self, confidence: float = 0.95) -> Estimate | None:
        """Agreement beyond chance, see `cohen_kappa`."""
        return cohen_kappa(self.table, confidence)


def cohen_kappa(table: ArrayLike, confidence: float = 0.95) -> Estimate | None:
    """Cohen's κ with an interval that stays within [-1, 1] and has a width also where all agree.

    Args:
        table: Counts, shape (K, K): the first rater's answer × the second's.
        confidence: Coverage, in (0, 1).

    Returns:
        κ with its interval, which holds κ itself: quantiles of κ over tables of shares drawn around the counts, from
        the Dirichlet distribution of the counts and `PRIOR`. `None` if the table is empty, or if both raters gave one
        and the same answer throughout, because chance agreement is 1 then.

    Raises:
        ValueError: If the table is not square.

    Source: Cohen (1960), Educational and Psychological Measurement 20. Interval: a smoothed Bayesian bootstrap, Rubin
        (1981), Annals of Statistics 9, with Jeffreys's prior, as Brown, Cai and DasGupta (2001), Statistical Science
        16, recommend for shares. With 10 to 30 descriptions it covers 94 to 95 % on average at 95, and 89 % at worst;
        the large-sample interval covers as little as 78 %.
    """
    counts = np.asarray(table, dtype=np.float64)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1]:
        raise ValueError(f"table of shape {counts.shape}; allowed: square")
    n = int(counts.sum())
    if not n:
        return None
    value = float(kappa_of(counts / n))
    if math.isnan(value):
        return None
    cells = counts.ravel()
    drawn = np.random.default_rng(0).dirichlet(cells + PRIOR / len(cells), size=DRAWS)
    return Estimate(value, *around(value, kappa_of(drawn.reshape(DRAWS, *counts.shape)), confidence), n)


def kappa_of(shares: np.ndarray) -> np.ndarray:
    """Return κ of tables of shares, shape (…, K, K); NaN where chance agreement is 1."""
    by_chance = (shares.sum(axis=-1) * shares.sum(axis=-2)).sum(axis=-1)
    agreed = np.trace(shares, axis1=-2, axis2=-1)
    possible = ~np.isclose(by_chance, 1.0, rtol=1e-9)
    return np.where(possible, (agreed - by_chance) / np.where(possible, 1 - by_chance, 1.0), np.nan)


def around(value: float, drawn: np.ndarray, confidence: float) -> tuple[float, float]:
    """Return the ends of an interval from draws; it holds the value, and stays within [-1, 1]."""
    low, high = np.nanquantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    return max(-1.0, min(float(low), value)), min(1.0, max(float(high), value))


def krippendorff_alpha(units: Sequence[Sequence[bool]], *, confidence: float = 0.95) -> Estimate | None:
    """Krippendorff's α for yes and no, with any number of raters; answers may be missing.

    Args:
        units: For each description the answers it got, in any order. Descriptions with fewer than two answers do not
            count.
        confidence: Coverage, in (0, 1).

    Returns:
        α, where `n` is the number of units that count, with an interval made as that of `cohen_kappa`: over shares of
        the ways in which units were answered. `PRIOR` is spread over them as if raters answered by the toss of a coin.
        `None` if no unit counts, or if all answers are the same.

    Source: Krippendorff (2019), Content Analysis, 4th edition, chapter 12; interval as in `cohen_kappa`.
    """
    pairable = [unit for unit in units if len(unit) > 1]
    if not pairable:
        return None
    n, found = len(pairable), AlphaUnits.of(pairable)
    value = float(found.alpha(found.counts))
    if math.isnan(value):
        return None
    drawn = np.random.default_rng(0).dirichlet(found.counts + found.prior, size=DRAWS)
    return Estimate(value, *around(value, found.alpha(n * drawn), confidence), n)


class AlphaUnits(NamedTuple):
    """Descriptions with two or more answers, by the W ways in which they can be answered.

    Attributes:
        ways: (Number of answers, number of yes) of each way.
        counts: Number of descriptions answered so, shape (W,).
        prior: Pseudo-count of each way, shape (W,), `PRIOR` in all.
    """

    ways: list[tuple[int, int]]
    counts: np.ndarray
    prior: np.ndarray

    @staticmethod
    def of(units: Sequence[Sequence[bool]]) -> AlphaUnits:
        """Count the answers to descriptions, each of which has two or more."""
        found, sizes = Counter((len(unit), sum(unit)) for unit in units), Counter(len(unit) for unit in units)
        ways = [(size, yes) for size in sorted(sizes) for yes in range(size + 1)]
        counts = np.array([found[way] for way in ways], dtype=np.float64)
        prior = [PRIOR * sizes[size] / len(units) * math.comb(size, yes) / 2**size for size, yes in ways]
        return AlphaUnits(ways, counts, np.array(prior))

    def alpha(self, counts: np.ndarray) -> np.ndarray:
        """Return α of counts or weights of the ways, shape (…, W); NaN where only one answer occurs."""
        parts = [(2 * yes * (size - yes) / (size - 1), yes, size - yes) for size, yes in self.ways]
        disagreed, yes, no = np.moveaxis(counts @ np.array(parts, dtype=np.float64), -1, 0)
        total, expected = yes + no, 2 * yes * no
        mixed = expected > 0
        return np.where(mixed, 1 - disagreed * (total - 1) / np.where(mixed, expected, 1), np.nan)


def _share(count: int, n: int, confidence: float) -> Estimate | None:
    return share_interval(count, n, confidence) if n else None
