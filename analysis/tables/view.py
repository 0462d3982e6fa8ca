"""A table of `analysis.tables` as a page shows it: each cell has lines, and a repeated row name is shown once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from markupsafe import Markup

from analysis.results.wording import NBSP, p_value
from analysis.tables.table import Cell, Row, Table, interval_text, n_text, number_text, seeds_text
from reward.numerals import decimal

DIGITS = 1
"""Number of decimals, the same everywhere on the pages."""


class CellView(NamedTuple):
    """One cell as a page shows it.

    Attributes:
        main: The number or the words; "" in an empty cell.
        details: Interval, n, test and remarks, a line each; in an empty cell the reason why it is empty.
        mark: A dagger and the KL, if the KL is off its target; else "".
        long: Whether the cell holds a longer text to read.
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
    """One row; a name that an earlier row's cell covers is left out.

    Attributes:
        names: Names of the row, from the outer to the inner level.
        cells: Its cells.
        covered: The names that were left out, for where rows are shown apart.
    """

    names: tuple[NameView, ...]
    cells: tuple[CellView, ...]
    covered: tuple[str, ...] = ()


class TableView(NamedTuple):
    """A table as a page shows it.

    Attributes:
        key: Name of the table, unique on a page.
        title: What the table shows.
        heads: Headers of the columns of row names, then of the columns of cells.
        rows: The rows, from top to bottom.
        notes: Rules behind the table, one sentence each.
    """

    key: str
    title: str
    heads: tuple[str, ...]
    rows: tuple[RowView, ...]
    notes: tuple[str, ...]


def table_view(table: Table, digits: int = DIGITS) -> TableView:
    """Lay a table out for a page.

    Args:
        table: The table.
        digits: Number of decimals.
    """
    names = _spanned(table.rows, len(table.row_names))
    rows = tuple(
        RowView(shown, tuple(_cell(cell, digits) for cell in row.cells), row.names[: len(row.names) - len(shown)])
        for shown, row in zip(names, table.rows, strict=True)
    )
    return TableView(table.key, table.title, (*table.row_names, *table.columns), rows, table.notes)


def _spanned(rows: Sequence[Row], levels: int) -> list[tuple[NameView, ...]]:
    """Let a name span the rows that repeat it; names of the innermost level stand in every row."""
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
    mark = f"†{NBSP}KL{NBSP}{decimal(cell.kl, 1)}" if cell.kl_off_target and cell.kl is not None else ""
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
    """A section of the report. Its texts must be escaped when they are put on the page; its drawings are safe.

    Attributes:
        title: The section's heading.
        intro: What the table shows, in a sentence or two.
        columns: Headers of the table; the first is that of the rows' names.
        rows: Rows of the table, a text for each column; names of runs, VLMs and templates may hold any characters.
        notes: Sentences below the table, on the tests and on what is missing.
        figure: A drawing for wide pages, in classes of the report's style sheet; `None` if there is nothing to draw.
        narrow: The drawing for phones; `None` if the wide one is used there too.
        folded: Whether the table is folded though there is no drawing.
    """

    title: str
    intro: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    figure: Markup | None = None
    narrow: Markup | None = None
    folded: bool = False
