"""A table of `analysis.tables` as a page shows it: each cell in lines, repeated names of rows once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from markupsafe import Markup

from analysis.results.wording import NBSP, p_value
from analysis.tables.table import Cell, Row, Table, interval_text, n_text, number_text, seeds_text

DIGITS = 1
"""Decimals, as everywhere on the pages."""


class CellView(NamedTuple):
    """One entry.

    Attributes:
        main: The number or the words; "" in an empty cell.
        details: Interval, n, test and remarks, a line each; in an empty cell why there is nothing.
        mark: A dagger and the KL where it is off its target, or nothing.
        long: Whether it holds a text to read.
    """

    main: str
    details: tuple[str, ...]
    mark: str
    long: bool


class NameView(NamedTuple):
    """The name of one or more rows, as a cell that spans them."""

    text: str
    rows: int


class RowView(NamedTuple):
    """One row; a name that an earlier row's cell covers is left out."""

    names: tuple[NameView, ...]
    cells: tuple[CellView, ...]


class TableView(NamedTuple):
    """A table.

    Attributes:
        key: Unique on a page.
        title: What it shows.
        heads: Names of the levels of row names, then of the columns.
        rows: In order.
        notes: Rules behind it, one sentence each.
    """

    key: str
    title: str
    heads: tuple[str, ...]
    rows: tuple[RowView, ...]
    notes: tuple[str, ...]


def table_view(table: Table, digits: int = DIGITS) -> TableView:
    """Lay a table out for a page.

    Args:
        table: Any.
        digits: Decimals.
    """
    names = _spanned(table.rows, len(table.row_names))
    rows = tuple(
        RowView(shown, tuple(_cell(cell, digits) for cell in row.cells))
        for shown, row in zip(names, table.rows, strict=True)
    )
    return TableView(table.key, table.title, (*table.row_names, *table.columns), rows, table.notes)


def _spanned(rows: Sequence[Row], levels: int) -> list[tuple[NameView, ...]]:
    """Let a name span the rows that repeat it; the innermost level stands in every row."""
    shown: list[list[NameView]] = [[] for _ in rows]
    for level in range(levels):
        last = level == levels - 1

        def outer(place: int, depth: int = level + 1) -> tuple[str, ...]:
            return rows[place].names[:depth]

        for names, members in groupby(range(len(rows)), key=outer):
            places = list(members)
            if last:
                for place in places:
                    shown[place].append(NameView(names[level], 1))
            else:
                shown[places[0]].append(NameView(names[level], len(places)))
    return [tuple(names) for names in shown]


def _cell(cell: Cell, digits: int) -> CellView:
    mark = f"†{NBSP}KL{NBSP}{cell.kl:.1f}" if cell.kl_off_target and cell.kl is not None else ""
    if cell.empty:
        return CellView("", (cell.empty,), mark, False)
    p = f"p{NBSP}{p_value(cell.p)}" if cell.p is not None else ""
    details = (
        interval_text(cell, digits),
        n_text(cell) if cell.n > 1 else "",
        *seeds_text(cell, digits),
        p,
        *cell.notes,
    )
    main = number_text(cell, digits)
    return CellView(main, tuple(line for line in details if line), mark, cell.unit == "text" and len(main) > 30)


@dataclass(frozen=True)
class ReportSection:
    """What the page shows; every text still has to be escaped, the drawings are safe.

    Attributes:
        title: Heading.
        intro: What the table shows, in a sentence or two.
        columns: Headers, the row's name first.
        rows: A text for each column; names of runs, VLMs and templates may hold any characters.
        notes: Sentences below the table: tests, what is missing.
        figure: A drawing for wide pages, in classes of the report's style sheet; `None` if there is nothing to draw.
        narrow: The same for phones; `None` if the wide one serves.
    """

    title: str
    intro: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    figure: Markup | None = None
    narrow: Markup | None = None
