"""A measurement of image sets in the terminal: worth, comparisons, how each set was made, and cautions."""

from __future__ import annotations

from dataclasses import replace

from rich.console import Console

from analysis.images.headline import set_headline
from analysis.images.record import Measures, SetMeasures
from analysis.images.tables import SIDE_BY_SIDE, comparison_table, failed_words
from analysis.images.wording import (
    NAMES,
    cell_of,
    confidence_of,
    forms,
    over_words,
    text_number,
    warnings_of,
)
from analysis.tables.table import Cell, Row, Table, text_cell
from analysis.tables.terminal import print_table
from reward.terminal import PlainConsole


def print_measures(measures: Measures, console: Console | None = None) -> None:
    """Print a measurement.

    Args:
        measures: The measurement.
        console: Where to print; by default the terminal.
    """
    where = console or PlainConsole(highlight=False)
    print_table(_worth(measures), where)
    if measures.comparisons:
        print_table(replace(comparison_table([measures]), notes=()), where)
    for line in [*_made(measures), *(f"careful: {line}" for line in warnings_of(measures))]:
        where.print(line, markup=False, highlight=False, soft_wrap=True)
    for line in set_headline(measures).lines():
        where.print(line, markup=False, highlight=False, soft_wrap=True)


def _worth(measures: Measures) -> Table:
    rows = []
    for one in measures.sets:
        numbers = [text_number(measures)]
        numbers += [cell_of(one.number(name), name, one, measures.images) for name in SIDE_BY_SIDE]
        said = (
            text_cell(f"{one.made:,}/{one.asked:,}"),
            *(replace(cell, n=0) for cell in numbers),
            Cell(text=over_words(one, measures), notes=() if one.knows is not False else ("not told from nothing",)),
        )
        rows.append(Row((one.name,), said))
    columns = ("made/asked", "texts alone", *(NAMES[name] for name in SIDE_BY_SIDE), "intervals over")
    title = (
        f"{measures.name}: image sets on {measures.dataset} through {measures.vlm}, n = {measures.images:,} test "
        f"images, {100 * confidence_of(measures):g} % intervals"
    )
    return Table("images-worth", title, ("set",), columns, tuple(rows), (forms(measures),))


def _made(measures: Measures) -> list[str]:
    """Return a line for each set of which something is to be told."""
    return [f"{one.name}: {'; '.join(said)}" for one in measures.sets if (said := made_words(one))]


def made_words(one: SetMeasures) -> list[str]:
    """Return what happened while a set was made and compared with the test images; nothing if all went well."""
    said = []
    if any(one.failed.values()):
        said.append(f"failed {failed_words(one)}")
    if one.truncated:
        said.append(f"{one.truncated:,} images of a prompt seen in part")
    if one.dropped:
        said.append(f"{one.dropped:,} test images taken out")
    if one.near:
        said.append(f"{one.near:,} images nearly a test image")
    if one.filled:
        said.append(f"without images, so that they take their texts: {', '.join(one.filled)}")
    return said
