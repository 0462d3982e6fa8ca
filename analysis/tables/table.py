"""A table before it is written: cells with number, interval, n, test and KL, in rows and columns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from analysis.results.experiment import Experiment
from analysis.results.kl import KLReached
from analysis.results.pooling import Difference, Pooled
from analysis.results.wording import NBSP, NOT_SIGNIFICANT, brief_verdict, p_value, verdict_words

Unit = Literal["percent", "points", "count", "nats", "logits", "text"]

NOTHING = "–"
"""Why a cell is empty that no number could ever fill."""


@dataclass(frozen=True)
class Cell:
    """One entry.

    Attributes:
        unit: Of the numbers; percentages and points are of 100.
        value: `None` in an empty or a text cell.
        low: Lower end of the interval, if it has one.
        high: Upper end of the interval.
        n: Observations; 0 where the source does not tell.
        seeds: Seeds pooled.
        shared: Whether all seeds have the same n observations.
        text: Of a text cell.
        p: McNemar's exact p-value, if tested on one seed.
        significant: Of a difference, by every test there is; `None` where no test is possible.
        doubts: Tests that do not tell a difference from 0 although another does.
        images_low: Lower end of the interval over images of the mean of several seeds.
        images_high: Upper end of it.
        p_least: Smallest of McNemar's p-values of several seeds.
        p_most: Largest of them.
        kl: KL reached by the experiment, in nats per description.
        kl_target: Its target.
        kl_off_target: Whether it is too far off, in any seed.
        kl_note: How far, in words; "" if it is not.
        notes: What a reader must know, in words.
        empty: Why there is nothing; "" in a filled cell.
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
        title: What it shows.
        row_names: What the levels of row names are.
        columns: Headers.
        rows: In order.
        notes: Rules behind it, one sentence each.
    """

    key: str
    title: str
    row_names: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()


def percent_cell(number: Pooled | None, absent: str = "not measured") -> Cell:
    """Make a cell of a share or an accuracy."""
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
    """Make a cell of a difference of accuracies."""
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
    """Add the KL that the experiment behind a cell reached, and in words if it is too far off its target.

    Args:
        cell: Filled or empty; an empty one tells its KL too.
        kl: `None` if it is not known.
        tolerance: Share of the target that the KL may be off.
    """
    if kl is None:
        return cell
    return replace(
        cell,
        kl=kl.mean.value,
        kl_target=kl.target,
        kl_off_target=kl.off(tolerance),
        kl_note=kl.words(tolerance),
    )


def row_of(names: tuple[str, ...], cells: Iterable[Cell], experiment: Experiment, tolerance: float) -> Row:
    """Make a row all of whose cells are of one experiment, and so carry its KL."""
    return Row(names, tuple(with_kl(cell, experiment.kl, tolerance) for cell in cells))


def footnotes(table: Table, *, reasons: bool = True) -> dict[str, str]:
    """Give a letter to everything that cells say in words.

    Args:
        table: Any.
        reasons: Whether reasons for empty cells get letters too; else they stand in the cells.

    Returns:
        Letter by words, in order of appearance. What has a mark of its own is left out: n.s. and the KL.
    """
    said: dict[str, None] = {}
    for row in table.rows:
        for cell in row.cells:
            if cell.empty and not reasons:
                continue
            said |= dict.fromkeys(footnotes_of(cell))
    return {words: _letter(number) for number, words in enumerate(said)}


def footnotes_of(cell: Cell) -> tuple[str, ...]:
    """Return the words of a cell that stand below a printed table."""
    words = (cell.empty, *cell.notes)
    return tuple(word for word in words if word and word != NOTHING and not word.startswith(NOT_SIGNIFICANT))


def _letter(number: int) -> str:
    """Return a, b, …, z, aa, ab, …"""
    more, last = divmod(number, 26)
    return (_letter(more - 1) if more else "") + chr(ord("a") + last)


def not_significant(cell: Cell) -> str:
    """Return `n.s.`, with the tests behind it where another test says otherwise, or ""."""
    return brief_verdict(cell.significant, cell.doubts)


def seeds_text(cell: Cell, digits: int) -> list[str]:
    """Return what tests over several seeds add: `images [+0.90, +2.20]` and `p 0.002–0.031`."""
    said = []
    if cell.images_low is not None and cell.images_high is not None:
        ends = (_decimal(end, digits, signed=True) for end in (cell.images_low, cell.images_high))
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
        return f"{cell.value:,.0f}"
    return _decimal(cell.value, digits, signed=cell.unit == "points")


def interval_text(cell: Cell, digits: int) -> str:
    """Return `[53.40, 57.25]`, or "" if there is no interval."""
    if cell.empty or cell.low is None or cell.high is None:
        return ""
    signed = cell.unit == "points"
    return f"[{_decimal(cell.low, digits, signed=signed)},{NBSP}{_decimal(cell.high, digits, signed=signed)}]"


def n_text(cell: Cell) -> str:
    """Return `n = 2,550`, with the number of seeds if there are several, or "" where n is not known."""
    if cell.empty or not cell.n or cell.unit in ("count", "text"):
        return ""
    n = f"n{NBSP}={NBSP}{cell.n:,}"
    if cell.seeds < 2:
        return n
    return f"{n}{NBSP}×{NBSP}{cell.seeds}{NBSP}seeds" if cell.shared else f"{n}, {cell.seeds}{NBSP}seeds"


def _decimal(value: float, digits: int, *, signed: bool) -> str:
    rounded = round(value, digits) + 0.0  # + 0.0 turns −0.0 into 0.0
    return f"{rounded:{'+' if signed else ''}.{digits}f}".replace("-", "−")
