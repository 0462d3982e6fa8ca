"""A table before it is written: cells with number, interval, n, test and KL, in rows and columns."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from analysis.pooling import Difference, Pooled
from analysis.tables.experiment import Experiment, kl_off
from analysis.wording import NBSP

Unit = Literal["percent", "points", "count", "nats", "logits", "text"]

NOT_SIGNIFICANT = "no significant difference"


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
        p: McNemar's exact p-value, if tested.
        significant: Of a difference; `None` where no test is possible.
        kl: KL reached by the experiment, in nats per description.
        kl_target: Its target.
        kl_off_target: Whether it is too far off.
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
    kl: float | None = None
    kl_target: float | None = None
    kl_off_target: bool | None = None
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
    low, high = (None if end is None else 100 * end for end in (change.low, change.high))
    notes = (NOT_SIGNIFICANT,) if change.significant is False else ()
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
        notes=notes,
    )


def count_cell(value: int | None, absent: str = "not measured") -> Cell:
    """Make a cell of a number of descriptions or experiments."""
    return Cell(empty=absent) if value is None else Cell("count", value, n=value)


def text_cell(text: str) -> Cell:
    """Make a cell of words."""
    return Cell("text", text=text)


def of_experiment(cell: Cell, experiment: Experiment, tolerance: float) -> Cell:
    """Add the KL that the experiment reached, and a note if it is too far off its target.

    Args:
        cell: Filled or empty; an empty one tells its KL too.
        experiment: Behind the cell.
        tolerance: Share of the target that the KL may be off.
    """
    off = kl_off(experiment, tolerance)
    notes = cell.notes
    if off and experiment.kl and experiment.kl_target:
        side = "above" if experiment.kl.value > experiment.kl_target else "below"
        notes = (
            *notes,
            f"KL {experiment.kl.value:.1f}, more than {100 * tolerance:g} % {side} its target {experiment.kl_target:g}",
        )
    reached = experiment.kl.value if experiment.kl else None
    return replace(cell, kl=reached, kl_target=experiment.kl_target, kl_off_target=off, notes=notes)


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
