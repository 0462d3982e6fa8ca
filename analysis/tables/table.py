"""A table as a value, before it is written: rows and columns of cells with number, interval, n, test and KL."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from analysis.results.experiment import Experiment
from analysis.results.kl import KLReached
from analysis.results.pooling import Difference, Pooled
from analysis.results.wording import NBSP, NOT_SIGNIFICANT, brief_verdict, p_value, verdict_words
from reward.numerals import compact, decimal

Unit = Literal["percent", "points", "count", "nats", "logits", "number", "seconds", "usd", "text"]

NOTHING = "–"
"""Reason that is given for an empty cell if no number could ever fill it."""


@dataclass(frozen=True)
class Cell:
    """One entry of a table: a number, words, or nothing.

    Attributes:
        unit: Unit of the numbers; percentages and points are from 0 to 100.
        value: `None` in an empty or a text cell.
        low: Lower end of the interval; `None` if there is none.
        high: Upper end of the interval; `None` if there is none.
        n: Number of observations; 0 if the source does not say.
        seeds: Number of seeds pooled.
        shared: Whether all seeds have the same n observations.
        text: Words of a text cell.
        p: McNemar's p-value, if one seed was tested.
        significant: Whether a difference is significant by every test there is; `None` where no test is possible.
        doubts: Tests that do not tell a difference from 0 although another does.
        images_low: Lower end of the interval over images of the mean of several seeds.
        images_high: Upper end of this interval.
        p_least: Smallest of McNemar's p-values of several seeds.
        p_most: Largest of these p-values.
        kl: KL that the experiment reached, in nats per description.
        kl_target: Target of the KL.
        kl_off_target: Whether the KL is too far off its target, on average or in any seed.
        kl_note: How far the KL is off its target if that is too far, and that it is not of what is sampled if so.
        notes: What a reader of the cell must know, in words.
        empty: Why the cell is empty; "" in a filled cell.
    """

    unit: Unit = "text"
    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    seeds: int = 1
    shared: bool = False
    text: str = ""
    p: float | None = None
    significant: bool | None = None
    doubts: tuple[str, ...] = ()
    images_low: float | None = None
    images_high: float | None = None
    p_least: float | None = None
    p_most: float | None = None
    kl: float | None = None
    kl_target: float | None = None
    kl_off_target: bool | None = None
    kl_note: str = ""
    notes: tuple[str, ...] = ()
    empty: str = ""


@dataclass(frozen=True)
class Row:
    """One row: names from the outer to the inner level, and a cell for each column."""

    names: tuple[str, ...]
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        key: File name without ending.
        title: What the table shows.
        row_names: Headers of the columns of row names, from the outer to the inner level.
        columns: Headers of the columns of cells.
        rows: The rows, from top to bottom.
        notes: Rules behind the table, one sentence each.
    """

    key: str
    title: str
    row_names: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()


def percent_cell(number: Pooled | None, absent: str = "not measured") -> Cell:
    """Make a cell of a share or an accuracy, in percent; `absent` says why a cell without a number is empty."""
    if number is None:
        return Cell(empty=absent)
    low, high = number.low, number.high
    return Cell(
        "percent",
        100 * number.value,
        None if low is None else 100 * max(low, 0.0),
        None if high is None else 100 * min(high, 1.0),
        number.n,
        number.seeds,
        number.shared,
    )


def points_cell(change: Difference | None, absent: str = "not measured") -> Cell:
    """Make a cell of a difference of accuracies, in points; `absent` says why a cell without a number is empty."""
    if change is None:
        return Cell(empty=absent)
    images = change.images or (None, None)
    low, high, images_low, images_high = (
        None if end is None else 100 * end for end in (change.low, change.high, *images)
    )
    said = verdict_words(change)
    return Cell(
        "points",
        100 * change.value,
        low,
        high,
        change.n,
        change.seeds,
        change.shared,
        p=change.p,
        significant=change.significant,
        doubts=change.doubts,
        images_low=images_low,
        images_high=images_high,
        p_least=min(change.p_by_seed, default=None),
        p_most=max(change.p_by_seed, default=None),
        notes=(said,) if said else (),
    )


def count_cell(value: int | None, absent: str = "not measured", *, n: int = 0) -> Cell:
    """Make a cell of a number of descriptions, classes or experiments, out of `n` where that is known."""
    return Cell(empty=absent) if value is None else Cell("count", value, n=n)


def text_cell(text: str) -> Cell:
    """Make a cell of words."""
    return Cell("text", text=text)


def with_kl(cell: Cell, kl: KLReached | None, tolerance: float) -> Cell:
    """Add to a cell the KL that its experiment reached, and words on it if it is too far off its target.

    Args:
        cell: The cell; an empty one gets the KL too.
        kl: KL that the experiment reached; `None` if it is not known.
        tolerance: How far the KL may be off its target, as a share of the target.
    """
    if kl is None:
        return cell
    return replace(
        cell,
        kl=kl.mean.value,
        kl_target=kl.target,
        kl_off_target=kl.off(tolerance),
        kl_note="; ".join(words for words in (kl.words(tolerance), kl.cut_words) if words),
    )


def row_of(names: tuple[str, ...], cells: Iterable[Cell], experiment: Experiment, tolerance: float) -> Row:
    """Make a row whose cells are all of one experiment, and give them the experiment's KL."""
    return Row(names, tuple(with_kl(cell, experiment.kl, tolerance) for cell in cells))


def footnotes(table: Table, *, reasons: bool = True) -> dict[str, str]:
    """Give a letter to everything that cells say in words, for footnotes.

    Args:
        table: The table.
        reasons: Whether reasons for empty cells get letters too; if not, they stand in the cells.

    Returns:
        Words → letter, in order of appearance. `n.s.` and the KL have marks of their own and get no letter.
    """
    said: dict[str, None] = {}
    for row in table.rows:
        for cell in row.cells:
            if cell.empty and not reasons:
                continue
            said |= dict.fromkeys(footnotes_of(cell))
    return {words: _letter(number) for number, words in enumerate(said)}


def footnotes_of(cell: Cell) -> tuple[str, ...]:
    """Return what a cell says in words, which stands below a printed table."""
    words = (cell.empty, *cell.notes)
    return tuple(word for word in words if word and word != NOTHING and not word.startswith(NOT_SIGNIFICANT))


def _letter(number: int) -> str:
    """Return a, b, …, z, aa, ab, …"""
    more, last = divmod(number, 26)
    return (_letter(more - 1) if more else "") + chr(ord("a") + last)


def not_significant(cell: Cell) -> str:
    """Return `n.s.`, naming the tests that say so if others disagree; "" if the cell is significant or has no test."""
    return brief_verdict(cell.significant, cell.doubts, bounded=bool(interval_text(cell, 0)))


def seeds_text(cell: Cell, digits: int) -> list[str]:
    """Return what tests over several seeds add, such as `images [+0.90, +2.20]` and `p 0.002–0.031`."""
    said = []
    if cell.images_low is not None and cell.images_high is not None:
        ends = (decimal(end, digits, sign=True) for end in (cell.images_low, cell.images_high))
        said.append(f"images{NBSP}[{f',{NBSP}'.join(ends)}]")
    if cell.p_least is not None and cell.p_most is not None:
        least, most = p_value(cell.p_least), p_value(cell.p_most)
        said.append(f"p{NBSP}{least if least == most else f'{least}–{most}'}")
    return said


def number_text(cell: Cell, digits: int) -> str:
    """Return the value alone: `55.33`, `+1.20`, `1,411` or the words; "" if the cell is empty."""
    if cell.empty:
        return ""
    if cell.value is None:
        return cell.text
    if cell.unit == "count":
        return f"{round(cell.value):,}"
    return _written(cell.value, cell.unit, digits)


def interval_text(cell: Cell, digits: int) -> str:
    """Return `[53.40, 57.25]`, or "" if there is no interval."""
    if cell.empty or cell.low is None or cell.high is None:
        return ""
    return f"[{_written(cell.low, cell.unit, digits)},{NBSP}{_written(cell.high, cell.unit, digits)}]"


def _written(value: float, unit: Unit, digits: int) -> str:
    """Write a number: those of no fixed size with three significant digits, since decimals would cut small ones off."""
    if unit in ("number", "seconds", "usd"):
        return f"{round(value):,}" if abs(value) >= 1000 else compact(value, 3)
    return decimal(value, digits, sign=unit == "points")


def n_text(cell: Cell) -> str:
    """Return `n = 2,550`, with the number of seeds if there are several, or "" where n is not known."""
    if cell.empty or not cell.n or cell.unit in ("count", "text"):
        return ""
    n = f"n{NBSP}={NBSP}{cell.n:,}"
    if cell.seeds < 2:
        return n
    return f"{n}{NBSP}×{NBSP}{cell.seeds}{NBSP}seeds" if cell.shared else f"{n}, {cell.seeds}{NBSP}seeds"
