"""The sections of a page on what recognizers see."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from markupsafe import Markup

from analysis.images.recognition.figure import categories_figure, means_figure
from analysis.images.recognition.record import Recognition
from analysis.images.recognition.tables import (
    agreement_table,
    equal_table,
    means_table,
    not_answered_table,
    pairs_table,
    shift_table,
    top1_table,
    top5_table,
    within_table,
)
from analysis.images.recognition.terminal import shift_lines
from analysis.images.section import section_of
from analysis.tables.table import Table
from analysis.tables.view import ReportSection

MOST_OPEN = 12
"""Rows of a table that is open when the page is opened."""


class Part(NamedTuple):
    """A section: its heading, its table, what it shows, and its drawings, wide and narrow, if it has any."""

    title: str
    make: Callable[[Recognition], Table]
    intro: str
    draw: Callable[[Recognition], tuple[Markup, Markup] | None] | None = None
    say: Callable[[Recognition], list[str]] | None = None


PARTS = (
    Part(
        "Recognized",
        means_table,
        "Whether classifiers name what an image is to show, on the sets and on real images of the same categories.",
        means_figure,
    ),
    Part(
        "Sets and real images",
        shift_table,
        "What each set loses beyond what real images of the same categories lose with the same recognizer.",
        say=shift_lines,
    ),
    Part("Categories", top1_table, "Top-1 of each category.", categories_figure),
    Part("Five guesses", top5_table, "Top-5 of each category."),
    Part("All right, all wrong", agreement_table, "Whether recognizers succeed and fail on the same images."),
    Part("Equal recognizers", equal_table, "Whether they are equally good on the same images."),
    Part("Recognizers in pairs", pairs_table, "Which of two is better on the same images, in points."),
    Part("Within a set", within_table, "Whether a set's images tell its classes apart among themselves."),
    Part("Not answered", not_answered_table, "What is in no mean."),
)


def recognition_sections(found: Recognition) -> list[ReportSection]:
    """Build the sections; those without a row are left out, and long tables are folded."""
    made = []
    for part in PARTS:
        table = part.make(found)
        if table.rows:
            said = part.say(found) if part.say else []
            section = section_of(table, part.title, part.intro, part.draw(found) if part.draw else None, said)
            made.append(replace(section, folded=len(table.rows) > MOST_OPEN))
    return made
