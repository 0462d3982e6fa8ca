"""The chapter "Images" of a report: what each set is worth, how sets compare, what they cost, how they were made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from markupsafe import Markup

from analysis.images.bars import gain_figure, time_figure
from analysis.images.figure import cost_figure, worth_figure
from analysis.images.record import Measures
from analysis.images.similarity import similarity_table
from analysis.images.tables import (
    comparison_table,
    correlation_table,
    further_table,
    leakage_table,
    near_table,
    probe_table,
    shots_table,
    time_table,
    worth_table,
    yield_table,
)
from analysis.images.wording import warnings_of
from analysis.images.words import words_said, words_table
from analysis.results.wording import NBSP
from analysis.tables.table import NOTHING, Cell, Table, interval_text, n_text, number_text
from analysis.tables.view import ReportSection

DIGITS = 1


class Part(NamedTuple):
    """A section of the chapter.

    Attributes:
        title: Its heading, short enough for a bar of contents.
        make: Makes its table.
        intro: What it shows.
        draw: Makes its drawings, wide and narrow; None if it has none.
    """

    title: str
    make: Callable[[Sequence[Measures]], Table]
    intro: str
    draw: Callable[[Measures], tuple[Markup, Markup] | None] | None = None


def words_tables(found: Sequence[Measures]) -> Table:
    """Return the table of a measurement's words, with a sentence on each run below."""
    (measures,) = found
    table = words_table(measures.words, measures)
    return replace(table, notes=(*words_said(measures.words), *table.notes))


PARTS = (
    Part(
        "Worth",
        worth_table,
        "CLER classifies each test image by the nearest class center of the set's images; the ensemble joins centers "
        "and texts, and gain is what that adds to the texts alone, in points.",
        worth_figure,
    ),
    Part(
        "Words rewarded and words that draw",
        words_tables,
        "The texts that sets were drawn from: what they score and earn as words, and what their pictures are worth.",
    ),
    Part("Compared", comparison_table, "Differences on the same classes and the same test images, in points."),
    Part(
        "Fewer images",
        shots_table,
        "The same sets cut to their first images of each class, and what so many cost.",
        cost_figure,
    ),
    Part(
        "Probe",
        probe_table,
        "A linear classifier trained on the set's images, largest gain over the texts first.",
        lambda measures: gain_figure([measures]),
    ),
    Part("Other measures", further_table, "Measures that need no classifier; precision and recall in percent."),
    Part("What goes with the probe", correlation_table, "Rank correlations over sets."),
    Part(
        "Text similarity",
        similarity_table,
        "How near the captions of a pool are to the names of the classes: how well known they are, before any image.",
    ),
    Part("Yield", yield_table, "What was asked of each generator, and what came of it."),
    Part("Leakage", leakage_table, "A set that holds test images would be measured on what it has seen."),
    Part("Nearly test images", near_table, "Not the same as a test image, but nearly so to the VLM: look at them."),
    Part("Time", time_table, "Seconds that each metric took.", time_figure),
)


def image_sections(measures: Measures, *, warnings: bool = True) -> list[ReportSection]:
    """Build the chapter from a measurement.

    Args:
        measures: The measurement.
        warnings: Whether what limits the numbers stands below the first table; a page may say it elsewhere.

    Returns:
        The sections in order; those without a number are left out.
    """
    made = []
    for part in PARTS:
        table = part.make([measures])
        if table.rows:
            figures = part.draw(measures) if part.draw else None
            extra = warnings_of(measures) if warnings and part.make is worth_table else []
            made.append(section_of(table, part.title, part.intro, figures, extra))
    return made


def section_of(
    table: Table,
    title: str,
    intro: str,
    figures: tuple[Markup, Markup] | None = None,
    first: Sequence[str] = (),
) -> ReportSection:
    """Turn a table into a section.

    Args:
        table: The table.
        title: The heading.
        intro: What it shows.
        figures: A wide and a narrow drawing; None if there is none.
        first: Sentences that stand before the table's notes.
    """
    wide, narrow = figures or (None, None)
    rows = [(" · ".join(name for name in row.names if name), *map(cell_words, row.cells)) for row in table.rows]
    columns = (" · ".join(table.row_names), *table.columns)
    return ReportSection(title, intro, columns, tuple(rows), (*first, *table.notes), wide, narrow)


def cell_words(cell: Cell) -> str:
    """Return a cell as one text: number, interval, n and remarks; in an empty one why it is empty."""
    if cell.empty:
        return "" if cell.empty == NOTHING else cell.empty
    unit = f"{NBSP}%" if cell.unit == "percent" else ""
    number = f"{number_text(cell, DIGITS)}{unit}"
    interval = interval_text(cell, DIGITS)
    remarks = "; ".join(cell.notes)
    n = n_text(cell) if cell.n > 1 else ""
    rest = "; ".join(part for part in (n, remarks) if part)
    if interval:
        return f"{number}{NBSP}{interval}" + (f"; {rest}" if rest else "")
    return f"{number}; {rest}" if rest else number
