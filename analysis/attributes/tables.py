"""The paper's Figure 4 as tables: shares of attributes by VLM, and whether two VLMs differ."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from markupsafe import Markup

from analysis.attributes.comparison import FEWEST_SEEDS_A_SIDE
from analysis.attributes.figure import attributes_figure
from analysis.attributes.judges import ATTRIBUTES, standard_name
from analysis.attributes.record import Attributes, Gap, Group, Mentioned, RunsCompared
from analysis.attributes.stored import stored_attributes
from analysis.attributes.summary import merged
from analysis.attributes.wording import could_tell, how_tested, possible, untold, verdict_words
from analysis.results.kl import KL_TOLERANCE, KLReached
from analysis.results.runs import Run, stored_results
from analysis.results.wording import UNKNOWN, open_difference, p_digits
from analysis.tables.table import Cell, Row, Table, count_cell, percent_cell, text_cell, with_kl
from reward.errors import UserError
from reward.files import read_json

PUBLISHED = "figure4_attribute_pct"
"""Key in a file of published tables, which holds dataset → VLM → attribute → percent of mentions in the random
sample."""

PARTS: dict[Literal["all", "sample"], str] = {"all": "all", "sample": "random {sample}"}

KEY = "figure-04-attributes"

LACKING = "no attributes; run `ex2 attributes` on it."


@dataclass(frozen=True)
class _Column:
    """A column: one VLM on one dataset, from a run or from published numbers.

    Attributes:
        label: Shown name of the column, unique on the dataset.
        dataset: Shown name of the dataset.
        group: A run's attributes; `None` if the numbers are published ones.
        sample: Number of descriptions in each seed's random sample.
        printed: Published percent of mentions in the random sample, by attribute; `None` for a run.
    """

    label: str
    dataset: str
    group: Group | None = None
    sample: int = 50
    printed: Mapping[str, float] | None = None


def attribute_tables(runs: Sequence[Run], published: Sequence[Path], tolerance: float = KL_TOLERANCE) -> list[Table]:
    """Lay out the results that `ex2 attributes` stored in the runs' folders, and published numbers.

    Args:
        runs: Analysed runs; those without stored attributes are named in a note.
        published: Files of published tables; those without the paper's Figure 4 add nothing.
        tolerance: How far the KL may be off its target, as a share of the target.

    Returns:
        Tables of the shares of mentions, of the shares of descriptions, and of the tests whether two VLMs differ, with
        p-values corrected over all tests shown. A table with nothing to show is left out.

    Raises:
        UserError: If a file of published tables does not have the expected form.
    """
    results, left_out = stored_results(runs, stored_attributes, LACKING)
    printed = [column for path in published for column in _printed(path)]
    return tables_of(results, printed, left_out, tolerance) if results or printed else []


def attribute_drawings(runs: Sequence[Run], tolerance: float = KL_TOLERANCE) -> dict[str, Markup]:
    """Draw the stored results of `ex2 attributes`: file name without ending → drawing, empty if nothing is stored.

    Args:
        runs: The same as for `attribute_tables`.
        tolerance: How far the KL may be off its target, as a share of the target.
    """
    results, _ = stored_results(runs, stored_attributes, LACKING)
    return {KEY: attributes_figure(merged(results), tolerance=tolerance)} if results else {}


def tables_of(
    results: Sequence[Attributes],
    printed: Sequence[_Column] = (),
    left_out: Sequence[str] = (),
    tolerance: float = KL_TOLERANCE,
) -> list[Table]:
    """Lay out results of `ex2 attributes` as tables.

    Args:
        results: Results of one or several runs each; a comparison that several results hold is shown once.
        printed: Published columns.
        left_out: Sentences that say which runs are not shown, and why.
        tolerance: How far the KL may be off its target, as a share of the target.
    """
    result = merged(results) if results else None
    columns = _columns(results, result.groups if result else (), printed)
    notes = [*_notes(results), *_missing(columns), *_lead(left_out)]
    dagger = f"A dagger marks runs whose KL is more than {100 * tolerance:g} % off its target."
    tables = [
        _shares(columns, "of_mentions", KEY, "Attributes, % of all mentions", [*notes, dagger], tolerance),
        _shares(
            columns,
            "of_descriptions",
            f"{KEY}-of-descriptions",
            "Attributes, % of informative descriptions that mention them",
            [*notes, dagger],
            tolerance,
        ),
        _tests(result, [*_lead(left_out), dagger], tolerance) if result else None,
    ]
    return [table for table in tables if table is not None]


def _columns(results: Sequence[Attributes], groups: Sequence[Group], printed: Sequence[_Column]) -> list[_Column]:
    """Return a column for each group and each published column, which is labelled so that nobody takes it for a run.

    Args:
        results: The results that the groups are from, which hold the size of each group's sample.
        groups: The groups of all results, labelled by `merged`.
        printed: Published columns.
    """
    sizes = {group.identity: result.sample for result in results for group in result.groups}
    made = [_Column(group.label, group.dataset, group, sizes[group.identity]) for group in groups]
    own = {(group.vlm, group.dataset) for group in groups}
    for column in printed:
        label = f"{column.label} (published)" if (column.label, column.dataset) in own else column.label
        made.append(replace(column, label=label))
    return made


def _shares(
    columns: Sequence[_Column],
    of: Literal["of_mentions", "of_descriptions"],
    key: str,
    title: str,
    notes: Sequence[str],
    tolerance: float,
) -> Table | None:
    known = [column for column in columns if column.group or of == "of_mentions"]
    labels = tuple(dict.fromkeys(column.label for column in known))
    rows = []
    for dataset in dict.fromkeys(column.dataset for column in known):
        own = {column.label: column for column in known if column.dataset == dataset}
        for part in PARTS:
            names = [name for name in ATTRIBUTES if any(_mentions(column, part, name) for column in own.values())]
            shown = PARTS[part].format(sample="/".join(sorted({str(column.sample) for column in own.values()})))
            for name in names:
                cells = tuple(_share_cell(own.get(label), part, name, of, tolerance) for label in labels)
                rows.append(Row((dataset, shown, name), cells))
            if names and of == "of_mentions":
                for words in COUNTS:
                    cells = tuple(_count_cell(own.get(label), part, words, tolerance) for label in labels)
                    if any(cell.value for cell in cells):
                        rows.append(Row((dataset, shown, words), cells))
    return (
        Table(key, title, ("dataset", "descriptions", "attribute"), labels, tuple(rows), tuple(notes)) if rows else None
    )


COUNTS: dict[str, Callable[[Mentioned], int]] = {
    "number of descriptions": lambda part: part.descriptions,
    "number of mentions": lambda part: part.mentions,
    "answers that could not be read": lambda part: part.unparsed,
    "descriptions without an attribute": lambda part: part.without_attribute,
}
"""Counts that stand in rows below the shares, if they are not 0 everywhere."""


def _mentions(column: _Column, part: Literal["all", "sample"], name: str) -> bool:
    if column.group is None:
        return part == "sample" and name in (column.printed or {})
    return bool(column.group.part(part).attributes[name].mentions)


def _share_cell(
    column: _Column | None,
    part: Literal["all", "sample"],
    name: str,
    of: Literal["of_mentions", "of_descriptions"],
    tolerance: float,
) -> Cell:
    if column is None:
        return Cell(empty="no run")
    if column.group is None:
        value = (column.printed or {}).get(name) if part == "sample" else None
        return Cell("percent", value) if value is not None else Cell(empty="not published")
    shares = column.group.part(part).attributes[name]
    share = shares.of_mentions if of == "of_mentions" else shares.of_descriptions
    return with_kl(percent_cell(share, "nothing mentioned"), column.group.kl, tolerance)


def _count_cell(column: _Column | None, part: Literal["all", "sample"], words: str, tolerance: float) -> Cell:
    if column is None or column.group is None:
        return Cell(empty="no run" if column is None else "not published")
    return with_kl(count_cell(COUNTS[words](column.group.part(part))), column.group.kl, tolerance)


def _tests(result: Attributes, notes: Sequence[str], tolerance: float) -> Table | None:
    found = result.comparisons
    if not found:
        return None
    kls = {group.identity: group.kl for group in result.groups}
    alpha, of_attributes = 1 - result.confidence, sum(len(row.attributes) for row in found)
    rows = []
    for row in found:
        told = could_tell(row, of_attributes, alpha)
        names = (row.dataset, row.first, row.second)
        # The one further off its target stands for both: a difference carries one KL.
        kl = max((kls[run] for run in row.runs), key=lambda kl: kl.distance if kl else -1.0)

        def cells(
            shown: Cell, part: RunsCompared | Gap, row: RunsCompared = row, kl: KLReached | None = kl, told: bool = told
        ) -> tuple[Cell, ...]:
            tested = told or isinstance(part, RunsCompared)
            return (
                with_kl(shown, kl, tolerance),
                text_cell(p_digits(part.p) if tested else untold(row, alpha)),
                text_cell(p_digits(part.p_holm) if tested else UNKNOWN),
                text_cell(how_tested(row)),
                count_cell(row.shared_classes),
            )

        verdict = text_cell(verdict_words(row, with_p=False))
        rows.append(Row((*names, "all attributes"), cells(verdict, row)))
        rows += [Row((*names, gap.attribute), cells(_gap(gap, row, told=told), gap)) for gap in row.attributes]
    return Table(
        f"{KEY}-tests",
        "Whether two VLMs' descriptions mention attributes alike: differences of shares of mentions, points",
        ("dataset", "first", "second", "attribute"),
        ("first minus second", "p", "p, corrected", "test", "classes shared"),
        tuple(rows),
        (
            "Shares, intervals and tests are of the classes that both describe.",
            "Tests exchange whole seeds where there are enough of them for a significant p; else whole descriptions "
            "within classes, and the answer holds for these seeds.",
            "Intervals are Welch's t over seeds where both have several, else Newcombe's, given these seeds.",
            f"p is corrected by Holm's method: over {len(found)} comparison{'s' if len(found) > 1 else ''}, and over "
            f"all {of_attributes} tests of one attribute. With fewer than {FEWEST_SEEDS_A_SIDE} seeds a side no "
            f"attribute alone has a p. Where no p of one attribute could be below {alpha:.2g} once corrected, none is "
            "given: more seeds are needed.",
            *notes,
        ),
    )


def _gap(gap: Gap, row: RunsCompared, *, told: bool) -> Cell:
    significant = gap.significant if told else None  # what could not be found was not tested
    if gap.difference is None or gap.low is None or gap.high is None:
        return Cell(empty="one side mentions nothing in the classes shared", significant=significant)
    low, high = 100 * gap.low, 100 * gap.high
    notes: tuple[str, ...] = () if significant or not told else (open_difference(possible(gap)),)
    if significant and row.unit == "descriptions":
        notes = (how_tested(row),)
        if low <= 0 <= high:
            # The test holds the classes fixed and these seeds too; no interval does both.
            over = "over seeds" if gap.over_seeds else "with other classes' numbers of descriptions"
            notes = (f"{how_tested(row)}; {over} the difference could be 0",)
    seeds = min(row.seeds) if gap.over_seeds else 1
    n = min(gap.mentions)
    # No p here: significance follows the corrected one, which stands beside the other in columns of their own.
    return Cell("points", 100 * gap.difference, low, high, n, seeds, significant=significant, notes=notes)


def _notes(results: Sequence[Attributes]) -> list[str]:
    if not results:
        return ["Published shares are of a random sample of descriptions, without n or interval."]
    levels = ", ".join(f"{100 * level:g} %" for level in sorted({result.confidence for result in results}))
    judges = ", ".join(sorted({group.judge for result in results for group in result.groups}))
    return [
        f"Intervals ({levels}) of one seed take descriptions as clusters of mentions; of several seeds they are "
        "Student's t over seeds. The random sample is drawn from each seed.",
        f"Attributes named by: {judges}.",
    ]


def _missing(columns: Sequence[_Column]) -> list[str]:
    return [
        f"{column.label}, {column.dataset}: seed {', '.join(map(str, column.group.missing_seeds))} not analysed."
        for column in columns
        if column.group and column.group.missing_seeds
    ]


def _lead(left_out: Sequence[str]) -> list[str]:
    return [f"Left out: {line}" for line in left_out]


def _printed(path: Path) -> list[_Column]:
    data = read_json(path)
    figure = data.get(PUBLISHED) if isinstance(data, dict) else None
    if figure is None:
        return []
    columns = []
    try:
        for dataset, vlms in figure.items():
            for vlm, shares in vlms.items():
                named: dict[str, float] = {}
                for name, value in shares.items():
                    place = standard_name(name)
                    named[place] = named.get(place, 0.0) + float(value)
                columns.append(_Column(str(vlm), str(dataset), printed=named))
    except (AttributeError, TypeError, ValueError) as error:
        form = json.dumps({"cub": {"CLIP": {"size": 54.8}}})
        raise UserError(
            f"{path}: {PUBLISHED}: {error}; give dataset, VLM, attribute and percent, as {form}."
        ) from error
    return columns
