"""Tables of generators and prompt strategies by data set: means, how often each is best, paired tests over data sets.

A row is a generator with a strategy, a column a data set, a value that data set's own metric. What a table of published
numbers says and what a user's table says is computed by the same functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from analysis.statistics.holm import holm
from analysis.statistics.intervals import FEWEST, Estimate, all_equal, mean_t
from reward.records import Record

DECIMALS = 9
"""Decimals to which values and differences are equal: what printed numbers differ by must not be a matter of rounding
in binary, since ranks hang on ties."""

FEWEST_UNITS = 10
"""Fewest units of a correlation that an interval is made from. Over 6 of them the bootstrap's held a correlation of
0.95 in 76 of 100 simulations, over 12 in 97."""


class Row(NamedTuple):
    """What a row of a grid was made by."""

    generator: str
    strategy: str

    def __str__(self) -> str:
        return f"{self.generator} {self.strategy}".strip()


@dataclass(frozen=True)
class Grid(Record):
    """Values by row and data set.

    Attributes:
        rows: R rows.
        columns: Names of the C data sets.
        values: Shape (R, C), in the unit of the data sets' metrics; None where nothing was measured.

    Raises:
        ValueError: If the shapes differ, or a row or column stands twice.
    """

    rows: tuple[Row, ...]
    columns: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]

    def __post_init__(self) -> None:
        widths = {len(line) for line in self.values}
        if len(self.values) != len(self.rows) or widths - {len(self.columns)}:
            raise ValueError(
                f"a grid of {len(self.rows)} rows and {len(self.columns)} columns has {len(self.values)} lines of "
                f"{', '.join(map(str, sorted(widths))) or 'no'} values"
            )
        for kind, names in (("row", self.rows), ("column", self.columns)):
            twice = [str(name) for at, name in enumerate(names) if name in names[:at]]
            if twice:
                raise ValueError(f"the {kind} '{twice[0]}' stands twice in a grid")

    def only(self, keep: Callable[[Row], bool]) -> Grid:
        """Return the grid of the rows that `keep` holds true for."""
        kept = [at for at, row in enumerate(self.rows) if keep(row)]
        return Grid(tuple(self.rows[at] for at in kept), self.columns, tuple(self.values[at] for at in kept))

    def line(self, row: Row) -> tuple[float | None, ...]:
        """Return a row's values.

        Raises:
            ValueError: If there is no such row.
        """
        if row not in self.rows:
            raise ValueError(f"no row '{row}' in a grid of {', '.join(map(str, self.rows))}")
        return self.values[self.rows.index(row)]

    def complete(self) -> tuple[str, ...]:
        """Return the columns in which every row has a value: those that rows can be compared over."""
        whole = [all(value is not None for value in column) for column in zip(*self.values, strict=True)]
        return tuple(name for name, has in zip(self.columns, whole, strict=True) if has)

    def matrix(self) -> NDArray[np.float64]:
        """Return the values of the complete columns, shape (R, number of complete columns)."""
        whole = set(self.complete())
        kept = [at for at, name in enumerate(self.columns) if name in whole]
        return np.array([[line[at] for at in kept] for line in self.values], dtype=np.float64).reshape(
            len(self.rows), -1
        )


class RowMean(NamedTuple):
    """Mean of a row over `n` data sets."""

    row: Row
    value: float
    n: int


def row_means(grid: Grid) -> tuple[RowMean, ...]:
    """Return the mean of each row over the complete columns, so that all are means over the same data sets.

    Raises:
        ValueError: If no column is complete.
    """
    matrix = _compared(grid)
    return tuple(RowMean(row, float(line.mean()), matrix.shape[1]) for row, line in zip(grid.rows, matrix, strict=True))


class BestCount(NamedTuple):
    """How often a row is best.

    Attributes:
        row: The row.
        alone: Data sets in which it is above every other row.
        shared: Data sets in which it and at least one other row are best.
    """

    row: Row
    alone: int
    shared: int


def best_counts(grid: Grid) -> tuple[BestCount, ...]:
    """Count over the complete columns how often each row has the highest value; equal ones share it.

    Raises:
        ValueError: If no column is complete.
    """
    matrix = _compared(grid).round(DECIMALS)
    best = matrix == matrix.max(axis=0)
    single = best.sum(axis=0) == 1
    return tuple(
        BestCount(row, int((line & single).sum()), int((line & ~single).sum()))
        for row, line in zip(grid.rows, best, strict=True)
    )


def oracle_mean(grid: Grid) -> float:
    """Return the mean over the complete columns of the best row of each: what choosing by the answer would give.

    It is a bound and no result: of several rows that only differ by chance the best is above them all.

    Raises:
        ValueError: If no column is complete.
    """
    return float(_compared(grid).max(axis=0).mean())


@dataclass(frozen=True)
class PairedRows:
    """Two rows over the data sets in which both have a value.

    Attributes:
        first: One row.
        second: The row that it is compared with.
        difference: Mean of first minus second, with Student's t interval; without one below `FEWEST` data sets.
        better: Data sets in which the first is above.
        worse: Data sets in which it is below.
        equal: Data sets in which the two are equal.
        p_wilcoxon: Wilcoxon's signed-rank test, exact, see `signed_rank_p`.
        p_sign: Sign test, exact: a fair coin over the data sets in which the two differ.
        p_t: Student's paired t; None if the differences have no spread.
        p_holm: `p_wilcoxon` corrected for all pairs that were compared with this one.
    """

    first: Row
    second: Row
    difference: Estimate
    better: int
    worse: int
    equal: int
    p_wilcoxon: float
    p_sign: float
    p_t: float | None
    p_holm: float


def compare_rows(
    grid: Grid, pairs: Iterable[tuple[Row, Row]] | None = None, *, confidence: float = 0.95
) -> tuple[PairedRows, ...]:
    """Compare rows in pairs over data sets, as one family of tests.

    A data set counts once, whatever its size: the tests ask whether a strategy helps on data sets like these.

    Args:
        grid: The values.
        pairs: Pairs of rows, all pairs by default. Holm's correction is over the pairs that are given, so give all that
            are looked at.
        confidence: Coverage of the intervals.

    Raises:
        ValueError: If there is no such row, or two rows have no data set in common.
    """
    chosen = list(combinations(grid.rows, 2) if pairs is None else pairs)
    found = [_paired(grid, first, second, confidence) for first, second in chosen]
    adjusted = holm([one.p_wilcoxon for one in found])
    return tuple(PairedRows(**{**vars(one), "p_holm": p}) for one, p in zip(found, adjusted, strict=True))


def _paired(grid: Grid, first: Row, second: Row, confidence: float) -> PairedRows:
    both = [(a, b) for a, b in zip(grid.line(first), grid.line(second), strict=True) if a is not None and b is not None]
    if not both:
        raise ValueError(f"'{first}' and '{second}' have no data set in common")
    differences = np.array([a - b for a, b in both]).round(DECIMALS)
    better, worse = int((differences > 0).sum()), int((differences < 0).sum())
    spread = len(differences) > 1 and not all_equal(differences.tolist())
    return PairedRows(
        first,
        second,
        difference=mean_t(differences.tolist(), confidence, fewest=FEWEST),
        better=better,
        worse=worse,
        equal=len(differences) - better - worse,
        p_wilcoxon=signed_rank_p(differences.tolist()),
        p_sign=sign_p(better, worse),
        p_t=float(stats.ttest_1samp(differences, 0).pvalue) if spread else None,
        p_holm=1.0,
    )


def signed_rank_p(differences: Sequence[float]) -> float:
    """Return the exact two-sided p-value of Wilcoxon's signed-rank test.

    Differences of 0 are left out, equal ones share the mean of their ranks, and the sum of the ranks of those above 0
    is compared with its distribution over all 2^n signs. scipy's `wilcoxon` by default takes the normal distribution
    instead as soon as values tie or one is 0, and lets the rounding of binary numbers decide whether they tie.

    Args:
        differences: One for each pair, shape (N,); equal to `DECIMALS` decimals is equal.

    Returns:
        Twice the chance of a sum as far out, at most 1; 1 if no difference is left.

    Source: Wilcoxon (1945), Biometrics Bulletin 1; with ties Hollander, Wolfe and Chicken (2014), chapter 3.1.
    """
    left = np.asarray(differences, dtype=np.float64).round(DECIMALS)
    left = left[left != 0]
    # Twice the ranks are whole numbers even where ranks are shared.
    ranks = np.rint(2 * stats.rankdata(np.abs(left).round(DECIMALS))).astype(int)
    chances = np.zeros(int(ranks.sum()) + 1)
    chances[0] = 1.0
    for rank in ranks:
        moved = np.zeros_like(chances)
        moved[rank:] = chances[: len(chances) - rank]
        chances = (chances + moved) / 2
    observed = int(ranks[left > 0].sum())
    return min(1.0, 2 * min(float(chances[: observed + 1].sum()), float(chances[observed:].sum())))


def sign_p(better: int, worse: int) -> float:
    """Return the exact two-sided p-value of a fair coin; 1 if there is no throw."""
    return float(stats.binomtest(better, better + worse).pvalue) if better + worse else 1.0


class Correlation(NamedTuple):
    """A correlation over `n` units with the ends of its interval; None if it is not defined, or there are too few."""

    value: float | None
    low: float | None
    high: float | None
    n: int


def correlation(
    first: Sequence[float],
    second: Sequence[float],
    *,
    kind: Literal["spearman", "pearson"] = "spearman",
    confidence: float = 0.95,
    samples: int = 2000,
    seed: int = 0,
) -> Correlation:
    """Correlate two numbers over units such as data sets or image sets.

    Args:
        first: One number a unit, shape (N,).
        second: The other number, in the same order.
        kind: Of ranks, or of the numbers themselves.
        confidence: Coverage of the interval.
        samples: Bootstrap resamples of the units.
        seed: Seed of the resampling.

    Returns:
        The correlation with its percentile bootstrap interval over units. Without a value below two units, or if one of
        the two never differs; without an interval below `FEWEST_UNITS`.

    Raises:
        ValueError: If the lengths differ, or a number is not finite.
    """
    pairs = np.array([first, second], dtype=np.float64) if len(first) == len(second) else None
    if pairs is None or not np.isfinite(pairs).all():
        raise ValueError(f"a correlation of {len(first)} and {len(second)} numbers needs as many, all of them finite")
    n = pairs.shape[1]
    value = float(_correlations(pairs[:, None, :], kind)[0]) if n > 1 else np.nan
    if np.isnan(value):
        return Correlation(None, None, None, n)
    if n < FEWEST_UNITS:
        return Correlation(value, None, None, n)
    drawn = np.random.default_rng(seed).integers(0, n, (samples, n))
    made = _correlations(pairs[:, drawn], kind)
    made = made[~np.isnan(made)]
    low, high = np.quantile(made, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Correlation(value, float(low), float(high), n)


def _correlations(pairs: NDArray[np.float64], kind: str) -> NDArray[np.float64]:
    """Return correlations along the last axis, of shape (2, S, N); NaN where one side never differs."""
    ranked = stats.rankdata(pairs, axis=-1) if kind == "spearman" else pairs
    centered = ranked - ranked.mean(axis=-1, keepdims=True)
    flat = (np.ptp(ranked, axis=-1) == 0).any(axis=0)
    product = (centered[0] * centered[1]).sum(axis=-1)
    scale = np.sqrt((centered**2).sum(axis=-1).prod(axis=0))
    made: NDArray[np.float64] = np.where(flat, np.nan, product / np.where(flat, 1.0, scale))
    return made.clip(-1.0, 1.0)


def _compared(grid: Grid) -> NDArray[np.float64]:
    matrix = grid.matrix()
    if not matrix.size:
        raise ValueError("a grid in which no data set has a value in every row: rows cannot be compared")
    return matrix
