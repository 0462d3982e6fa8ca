"""A table in the terminal."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table as Grid

from analysis.tables.table import NOT_SIGNIFICANT, Cell, Table, interval_text, n_text, number_text


def print_table(table: Table, console: Console, digits: int = 1) -> None:
    """Print a table with its intervals.

    Args:
        table: Any.
        console: Where.
        digits: Decimals.
    """
    headers = [escape(name) for name in (*table.row_names, *table.columns)]
    grid = Grid(*headers, title=escape(table.title), box=box.SIMPLE_HEAD)
    for row in table.rows:
        grid.add_row(*(escape(name) for name in row.names), *(escape(_words(cell, digits)) for cell in row.cells))
    console.print(grid)
    for note in table.notes:
        console.print(escape(note), style="dim", soft_wrap=True)


def _words(cell: Cell, digits: int) -> str:
    if cell.empty:
        return f"({cell.empty})"
    words = [number_text(cell, digits), interval_text(cell, digits), n_text(cell)]
    marks = (" n.s." if NOT_SIGNIFICANT in cell.notes else "") + (" †" if cell.kl_off_target else "")
    return " ".join(word for word in words if word) + marks
