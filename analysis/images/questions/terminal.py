"""Answers to binary questions in the terminal: scores, comparisons, cautions, what they took."""

from __future__ import annotations

from dataclasses import replace

from rich.console import Console

from analysis.images.questions.record import QuestionStudy
from analysis.images.questions.tables import scores_table
from analysis.images.questions.wording import all_cautions, answerers_said, files_said
from analysis.results.wording import NBSP
from analysis.tables.table import Row, Table
from analysis.tables.terminal import print_table
from reward.numerals import compact, decimal
from reward.terminal import PlainConsole

MOST_OF_NAME = 18
"""Characters of a name that are not broken over lines."""


def print_study(study: QuestionStudy, console: Console | None = None) -> None:
    """Print a study.

    Args:
        study: The study.
        console: Where to print; by default the terminal.
    """
    where = console or PlainConsole(highlight=False)
    print_table(_side_by_side(study), where, widest_name=MOST_OF_NAME)
    lines = [answerers_said(one, study.confidence) for one in study.answerer_comparisons]
    lines += [files_said(one, study.confidence) for one in study.file_comparisons]
    lines += [f"careful: {line}" for line in all_cautions(study)]
    for one in study.answerers:
        if one.spent is not None and one.spent.requests:
            cost = "" if one.cost is None else f", cost {compact(one.cost, 4)}"
            tokens = f"{one.spent.input_tokens:,} input and {one.spent.output_tokens:,} output tokens"
            lines.append(f"{one.name} took {one.spent.requests:,} requests, {tokens}{cost}")
    for line in lines:
        where.print(line, markup=False, highlight=False, soft_wrap=True)


def _side_by_side(study: QuestionStudy) -> Table:
    whole = scores_table([study])
    of_study = len(study.scores)
    columns = [*whole.columns[:4], "unparsed"]
    rows = [Row(row.names, (*row.cells[:4], row.cells[6])) for row in whole.rows[:of_study]]
    notes = [
        f"{one.name}: {one.counts.questions:,} questions about {one.counts.images:,} images, {one.counts.yes:,} yes "
        f"and {one.counts.no:,} no, {decimal(one.counts.per_image, 2)} an image; majority "
        f"{decimal(100 * one.counts.majority, 1)}{NBSP}%"
        for one in study.files
    ]
    title = f"{study.name}: answers to binary questions, {100 * study.confidence:g} % intervals over images"
    return replace(whole, title=title, columns=tuple(columns), rows=tuple(rows), notes=tuple(notes))
