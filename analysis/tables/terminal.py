"""A table in the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table as Grid

from analysis.results.runs import Run
from analysis.tables.table import (
    Cell,
    Table,
    footnotes,
    footnotes_of,
    interval_text,
    n_text,
    not_significant,
    number_text,
    seeds_text,
)


def print_table(table: Table, console: Console, digits: int = 1, *, widest_name: int = 0) -> None:
    """Print a table with its intervals.

    Args:
        table: The table.
        console: Where to print.
        digits: Number of decimals.
        widest_name: Characters of a row's name that are not broken over lines, however narrow the terminal is.
    """
    letters = footnotes(table, reasons=False)
    headers = [escape(name) for name in (*table.row_names, *table.columns)]
    grid = Grid(*headers, title=escape(table.title), box=box.SIMPLE_HEAD)
    for place, column in enumerate(grid.columns[: len(table.row_names)]):
        longest = max((len(row.names[place]) for row in table.rows), default=0)
        column.min_width, column.overflow = min(longest, widest_name), "fold"
    for row in table.rows:
        grid.add_row(
            *(escape(name) for name in row.names), *(escape(_words(cell, digits, letters)) for cell in row.cells)
        )
    console.print(grid)
    if letters:
        below = "; ".join(f"{letter}: {words}" for words, letter in letters.items())
        console.print(escape(below), style="dim", soft_wrap=True)
    for note in table.notes:
        console.print(escape(note), style="dim", soft_wrap=True)


def print_left_out(verb: str, runs: Sequence[Run], left_out: Sequence[str], console: Console) -> None:
    """Say which seeds have not been analysed, and which runs below a folder could not be read and why."""
    for run in runs:
        if run.missing:
            seeds = f"seed{'s' if len(run.missing) > 1 else ''} {', '.join(map(str, run.missing))}"
            console.print(f"{verb}: {escape(run.recipe.name)}: not analysed: {seeds}", soft_wrap=True)
    for problem in left_out:
        console.print(f"{verb}: left out: {escape(problem)}", soft_wrap=True)


def _words(cell: Cell, digits: int, letters: Mapping[str, str]) -> str:
    ns = not_significant(cell)
    marks = (f" {ns}" if ns else "") + (" †" if cell.kl_off_target else "")
    if cell.empty:
        return f"({cell.empty}){marks}"
    words = [number_text(cell, digits), interval_text(cell, digits), *seeds_text(cell, digits), n_text(cell)]
    raised = "".join(f" ({letters[said]})" for said in footnotes_of(cell))
    return " ".join(word for word in words if word) + raised + marks
