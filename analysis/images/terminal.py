"""A measurement of image sets in the terminal: worth, comparisons, how each set was made, and cautions."""

from __future__ import annotations

from dataclasses import replace

from rich.console import Console

from analysis.images.headline import set_headline
from analysis.images.record import Measures, SetComparison, SetMeasures
from analysis.images.tables import SIDE_BY_SIDE, failed_words
from analysis.images.wording import (
    NAMES,
    UNITS,
    cell_of,
    confidence_of,
    forms,
    over_words,
    points_of,
    text_number,
    verdict,
    warnings_of,
)
from analysis.results.wording import p_digits
from analysis.tables.table import Row, Table, text_cell
from analysis.tables.terminal import print_table
from ex2.sets.overlap import NEAR
from reward.numerals import decimal
from reward.terminal import PlainConsole

MOST_OF_NAME = 18
"""Characters of a set's name that are not broken over lines."""


def print_measures(measures: Measures, console: Console | None = None) -> None:
    """Print a measurement.

    Args:
        measures: The measurement.
        console: Where to print; by default the terminal.
    """
    where = console or PlainConsole(highlight=False)
    print_table(_worth(measures), where, widest_name=MOST_OF_NAME)
    compared = [_compared(one, measures) for one in measures.comparisons]
    if len(compared) > 1:
        compared.append(
            f"Each interval of a difference is for itself; p is corrected over these {len(compared)}, and decides."
        )
    careful = [f"careful: {line}" for line in warnings_of(measures)]
    for line in [*compared, *_near(measures), *_made(measures), *careful]:
        where.print(line, markup=False, highlight=False, soft_wrap=True)
    for line in set_headline(measures).lines():
        where.print(line, markup=False, highlight=False, soft_wrap=True)


def _worth(measures: Measures) -> Table:
    """Lay out what stands side by side; what all sets share is said below, so that the numbers have room."""
    lacking = any(one.made < one.asked for one in measures.sets)
    over = dict.fromkeys(over_words(one, measures) for one in measures.sets)
    shown = [name for name in SIDE_BY_SIDE if name == "cler" or any(one.number(name) for one in measures.sets)]
    rows = []
    for one in measures.sets:
        numbers = [cell_of(one.number(name), name, one, measures.images) for name in shown]
        doubt = ("not told from nothing",) if one.knows is False else ()
        numbers[0] = replace(numbers[0], notes=(*numbers[0].notes, *doubt))
        cells = [text_cell(f"{one.made:,}/{one.asked:,}")] * lacking
        cells += [replace(cell, n=0, seeds=1) for cell in (text_number(measures), *numbers)]
        cells += [text_cell(over_words(one, measures))] * (len(over) > 1)
        rows.append(Row((one.name,), tuple(cells)))
    columns = ["made/asked"] * lacking + ["texts alone", *(NAMES[name] for name in shown)]
    columns += ["intervals over"] * (len(over) > 1)
    title = (
        f"{measures.name}: image sets on {measures.dataset} through {measures.vlm}, n = {measures.images:,} test "
        f"images, {100 * confidence_of(measures):g} % intervals"
    )
    notes = [forms(measures)]
    if len(over) == 1:
        notes.append(f"Intervals are over {next(iter(over))}, those of the texts alone over test images.")
    return Table("images-worth", title, ("set",), tuple(columns), tuple(rows), tuple(notes))


def _compared(one: SetComparison, measures: Measures) -> str:
    """Return one comparison as a line."""
    percent = UNITS.get(one.quantity, "percent") in ("percent", "points")
    said = points_of(one.difference) if percent else decimal(one.difference.value, 3, sign=True)
    tested = f", p = {p_digits(one.p_holm)} by Holm's method" if one.p_holm is not None else ""
    apart = "not tested" if one.p_holm is None else verdict(one, measures)
    return f"{one.name} − {one.against}: {NAMES.get(one.quantity, one.quantity)} {said}{tested}: {apart}"


def _made(measures: Measures) -> list[str]:
    """Return a line for each set of which something is to be told."""
    return [f"{one.name}: {'; '.join(said)}" for one in measures.sets if (said := made_words(one))]


def _near(measures: Measures) -> list[str]:
    """Return a line with how many images of each set are nearly a test image; none if no set has any."""
    found = [f"{one.name} {one.near:,} of {one.made:,}" for one in measures.sets if one.near]
    return [f"nearly a test image, by a cosine above {NEAR:g}: {', '.join(found)}"] if found else []


def made_words(one: SetMeasures) -> list[str]:
    """Return what happened while a set was made; nothing if all went well."""
    said = []
    if any(one.failed.values()):
        said.append(f"failed {failed_words(one)}")
    if one.truncated:
        said.append(f"{one.truncated:,} images of a prompt seen in part")
    if one.dropped:
        said.append(f"{one.dropped:,} test images taken out")
    if one.filled:
        said.append(f"without images, so that they take their texts: {', '.join(one.filled)}")
    return said
