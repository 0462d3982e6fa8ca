"""What each experiment's gain over the templates is made of, side by side."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.results.experiment import Experiment, by_row
from analysis.results.reading import LEAST_NAMING, reading
from analysis.results.wording import p_words
from analysis.tables.rules import TESTS, Rules, common_notes
from analysis.tables.table import Cell, Table, points_cell, row_of, text_cell
from reward.numerals import decimal

ABSENT = "not measured"

COLUMNS = (
    "name their class",
    "gain",
    "style",
    "unevenness",
    "content, one end",
    "content, other end",
    "content, p",
    "seen content",
    "misleading power",
    "reading",
)

NOTES = (
    "Texts of other classes have the class's own name put in. Gain: EX2 minus templates. Style: the texts of all "
    "classes, the same for every class, minus templates. Unevenness: texts exchanged between classes within each "
    "question, minus all classes'. Content: the class's own texts minus all classes', and minus exchanged ones; its p "
    "is the largest of those beside exchanged texts, beside another class's, and over seeds where there are several. "
    "Seen content: own texts without the name minus the same shuffled. Misleading power: another class's texts minus "
    "exchanged ones.",
    f"Not attributable where under {decimal(100 * LEAST_NAMING, 0)} % of the texts name their class.",
)


def gain_table(experiments: Sequence[Experiment], rules: Rules) -> Table | None:
    """Lay out what gains are made of.

    Args:
        experiments: The experiments; those for which it was not measured are left out.
        rules: Thresholds of the rules.

    Returns:
        The table with a row for each experiment; `None` if it was measured for none.
    """
    chosen = [experiment for experiment in experiments if experiment.gain_parts]
    rows = [
        row_of((label, dataset), _cells(experiment), experiment, rules.tolerance)
        for label, placed in by_row(chosen).items()
        for dataset, experiment in placed.items()
    ]
    if not rows:
        return None
    return Table(
        "gain",
        "What the gain over the templates is made of, points of accuracy",
        ("VLM", "dataset"),
        COLUMNS,
        tuple(rows),
        (*NOTES, TESTS, *common_notes(chosen, rules)),
    )


def _cells(experiment: Experiment) -> list[Cell]:
    parts, said = experiment.gain_parts, reading(experiment)
    assert parts is not None, "others are left out"
    return [
        Cell("percent", 100 * parts.names.own / parts.names.texts, n=parts.names.texts),
        points_cell(experiment.tested("aligned", "templates")),
        points_cell(parts.style),
        points_cell(parts.unevenness),
        points_cell(parts.above_everyone),
        points_cell(parts.above_exchanged.value),
        text_cell(p_words(parts.content_p)),
        points_cell(parts.seen.value),
        points_cell(parts.misleading, "no arm of another class's texts"),
        text_cell(said.words) if said else Cell(empty=ABSENT),
    ]
