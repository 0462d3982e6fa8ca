"""The paper's Table 7: templates made of frequent phrases against the plain one, on several VLMs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from markupsafe import Markup

from analysis.phrases.figure import phrases_figure
from analysis.phrases.record import DatasetPhrases, Phrases
from analysis.phrases.stored import stored_phrases
from analysis.phrases.templates import PLAIN
from analysis.phrases.trials import PLAIN_ORIGIN, Trial, corrected, trials
from analysis.results.kl import KL_TOLERANCE
from analysis.results.pooling import Difference, Pooled
from analysis.results.runs import Run, stored_results
from analysis.results.wording import p_digits
from analysis.tables.table import NOTHING, Cell, Row, Table, percent_cell, points_cell, text_cell, with_kl
from ex2.data.names_in_texts import SLOT
from reward.errors import UserError
from reward.files import read_json

PUBLISHED = "table7_templates_"
"""Beginning of a key in a file of published tables; the dataset's name follows it. Under the key are rows of a template
and every VLM's accuracy."""

PRINTED_SLOT = "{class name}"

PRINTED_ORIGIN = "published"

KEY = "table-07-hypotheses"

LACKING = "no hypotheses; run `ex2 phrases` on it."


def phrases_tables(runs: Sequence[Run], published: Sequence[Path], tolerance: float = KL_TOLERANCE) -> list[Table]:
    """Lay out the results that `ex2 phrases` stored in the runs' folders, and published numbers.

    Args:
        runs: Analysed runs; those without a stored result are named in a note.
        published: Files of published tables; those without the paper's Table 7 add nothing.
        tolerance: How far the KL may be off its target, as a share of the target.

    Returns:
        One table, with p-values corrected over all tests that it shows; no table if there is nothing to show.

    Raises:
        UserError: If a file of published tables does not have the expected form.
    """
    results, left_out = stored_results(runs, stored_phrases, LACKING)
    printed = [row for path in published for row in _printed(path)]
    return tables_of(results, printed, left_out, tolerance) if results or printed else []


def phrases_drawings(runs: Sequence[Run], tolerance: float = KL_TOLERANCE) -> dict[str, Markup]:
    """Draw the stored results of `ex2 phrases`; return file name without ending → drawing, empty if nothing is stored.

    Args:
        runs: The same as for `phrases_tables`.
        tolerance: How far the KL may be off its target, as a share of the target.
    """
    parts, confidence = _parts(stored_results(runs, stored_phrases, LACKING)[0])
    drawn = phrases_figure(corrected(_told_apart(parts), 1 - confidence), confidence, tolerance)
    return {KEY: drawn} if drawn else {}


def tables_of(
    results: Sequence[Phrases],
    printed: Sequence[Trial] = (),
    left_out: Sequence[str] = (),
    tolerance: float = KL_TOLERANCE,
) -> list[Table]:
    """Lay out results of `ex2 phrases` as tables.

    Args:
        results: Results of one or several runs each; a dataset's part that several results hold is shown once.
        printed: Published rows.
        left_out: Sentences that say which runs are not shown, and why.
        tolerance: How far the KL may be off its target, as a share of the target.
    """
    parts, confidence = _parts(results)
    measured = [*corrected(_told_apart(parts), 1 - confidence), *printed]
    if not measured:
        return []
    rows = [
        Row(
            (row.dataset, row.template, row.vlm),
            tuple(with_kl(cell, row.kl, tolerance) for cell in _cells(row)),
        )
        for row in measured
    ]
    tests = sum(row.p is not None for row in measured)
    return [
        Table(
            KEY,
            "Templates made of phrases that alignment made frequent, against the plain one: accuracy, %",
            ("dataset", "template", "VLM"),
            ("accuracy", "minus plain", "p, corrected", "verdict", "from"),
            tuple(rows),
            (
                *_notes(parts, confidence, tests),
                *(["Published accuracies have neither n, interval nor test."] if printed else []),
                *(f"Left out: {line}" for line in left_out),
                "The KL is that of the run that a phrase was mined from, of several the one furthest off its target; a "
                f"dagger marks it where it is more than {100 * tolerance:g} % off. Templates from a file have none.",
            ),
        )
    ]


def _parts(results: Sequence[Phrases]) -> tuple[list[DatasetPhrases], float]:
    """Return every distinct part once, and the largest confidence of any result."""
    parts = {
        json.dumps([_uncorrected(part).to_json(), result.seed], sort_keys=True): part
        for result in results
        for part in result.datasets
    }
    return list(parts.values()), max((result.confidence for result in results), default=0.95)


def _uncorrected(part: DatasetPhrases) -> DatasetPhrases:
    """Return a part without its corrected p-values, which depend on other tests: only the rest identifies a part."""
    return replace(part, results=tuple(replace(test, p_holm=None, significant=None) for test in part.results))


def _told_apart(parts: Sequence[DatasetPhrases]) -> list[Trial]:
    """Return the rows of all parts; if parts share a dataset, its shown name is followed by the part's runs."""
    names = [part.dataset for part in parts]
    rows = []
    for part in parts:
        if names.count(part.dataset) == 1:
            rows += trials([part])
        else:
            runs = ", ".join(run.run for run in part.runs)
            rows += [replace(row, dataset=f"{row.dataset} ({runs})") for row in trials([part])]
    return rows


def _cells(row: Trial) -> tuple[Cell, ...]:
    plain = row.change is None
    return (
        percent_cell(row.accuracy),
        Cell(empty=NOTHING) if plain else points_cell(row.change),
        Cell(empty=NOTHING if plain else "not tested") if row.p is None else text_cell(p_digits(row.p)),
        Cell(empty=NOTHING) if plain else text_cell(row.verdict),
        text_cell(row.origin),
    )


def _notes(parts: Sequence[DatasetPhrases], confidence: float, tests: int) -> list[str]:
    if not parts:
        return []
    notes = [
        f"Intervals of {100 * confidence:g} %: Wilson's of accuracies (Clopper and Pearson's where fewer than 4 images "
        "are right or wrong); of differences, which are on the same images, the one that belongs to McNemar's mid-p "
        f"test. p is of this test; corrected by Holm's method over all {tests} tests shown, which the verdict follows."
    ]
    for part in parts:
        mined, held = len(part.mined_classes), len(part.tested_classes)
        how = f"mined on {mined} classes, tested on the {held} others" if mined else f"tested on all {held} classes"
        found = "" if part.templates else "; no phrase stands clearly more often in the aligned descriptions"
        notes.append(f"{part.dataset}: {how}{found}.")
        notes += [
            f"{run.run}: no descriptions of seed {', '.join(map(str, run.missing_seeds))}."
            for run in part.runs
            if run.missing_seeds
        ]
    return list(dict.fromkeys(notes))


def _printed(path: Path) -> list[Trial]:
    data = read_json(path)
    tables = {key: rows for key, rows in data.items() if key.startswith(PUBLISHED)} if isinstance(data, dict) else {}
    rows: list[Trial] = []
    for key, content in tables.items():
        try:
            rows += _rows(key.removeprefix(PUBLISHED), content)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            form = json.dumps([{"template": "A photo of a {class name}.", "CLIP": 58.52}])
            raise UserError(
                f"{path}: {key}: {type(error).__name__} {error}; give a list of templates with each VLM's accuracy in "
                f"percent, as {form}."
            ) from error
    return rows


def _rows(dataset: str, content: Sequence[Mapping[str, Any]]) -> list[Trial]:
    """Read one dataset's rows; the plain template is `PLAIN` if it is among them, else the first."""
    templates = [str(line["template"]).replace(PRINTED_SLOT, SLOT) for line in content]
    plain = templates.index(PLAIN) if PLAIN in templates else 0
    vlms = list(dict.fromkeys(name for line in content for name in line if name != "template"))
    rows = []
    for place in [plain, *(index for index in range(len(templates)) if index != plain)]:
        for vlm in vlms:
            if content[place].get(vlm) is None:
                continue
            accuracy, before = float(content[place][vlm]) / 100, content[plain].get(vlm)
            change = None
            if place != plain and before is not None:
                change = Difference(accuracy - float(before) / 100, None, None, None, None, 0, 1)
            origin = PLAIN_ORIGIN if place == plain else PRINTED_ORIGIN
            number = Pooled(accuracy, None, None, 0, 1)
            rows.append(Trial(dataset, templates[place], vlm, number, change, None, origin))
    return rows
