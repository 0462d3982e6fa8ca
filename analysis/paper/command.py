"""`ex2 tables`: every table and figure over runs, in the formats that the user asks for."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.markup import escape

from analysis.agreement.standing import judge_caution, run_agreement
from analysis.attributes.tables import attribute_drawings, attribute_tables
from analysis.images.drawings import image_drawings
from analysis.images.questions.record import QuestionStudy
from analysis.images.questions.stored import studies_of
from analysis.images.questions.tables import question_tables
from analysis.images.recognition.record import Recognition
from analysis.images.recognition.stored import recognitions_of
from analysis.images.recognition.tables import recognition_tables
from analysis.images.record import Measures
from analysis.images.stored import measured_apart
from analysis.images.tables import image_tables
from analysis.paper.claims import Claim, claim_table, claims, interval_note
from analysis.paper.comparisons import cross_tables, example_tables, kl_table
from analysis.paper.figures import grid_figure, run_figures
from analysis.paper.gain import gain_table
from analysis.paper.grids import grid_tables
from analysis.paper.one_run import run_tables
from analysis.paper.published import read_published
from analysis.phrases.tables import phrases_drawings, phrases_tables
from analysis.results.experiment import Experiment
from analysis.results.headline import Headline, headline
from analysis.results.runs import Run, experiment_of, gather_runs, with_denominator
from analysis.tables.export import duplicate_keys
from analysis.tables.files import FORMATS, write_everything
from analysis.tables.rules import Rules, unread_notes
from analysis.tables.table import Table
from analysis.tables.terminal import print_left_out
from analysis.verdicts.breakdown import Denominator
from ex2.run.directory import find_runs
from reward.errors import UserError, unknown_name
from reward.terminal import PlainConsole


class Material(NamedTuple):
    """What was read to make the tables from.

    Attributes:
        runs: The runs that were read, with shares of the denominator asked for.
        experiments: Experiments of these runs, and published ones.
        by_target: Experiments for the table of KL targets: those of `experiments`, and published ones at further
            targets.
        published: Paths of the files of published tables, for those tables that read the files themselves.
        left_out: For each run below a named folder that could not be read, a sentence that says why.
        ignored: Sentences on what published files hold beside the tables that EX2 knows.
        measured: Measurements of image sets.
        recognized: What recognizers see on the sets of some of them.
        asked: How questions about images were answered in their runs.
    """

    runs: list[Run]
    experiments: list[Experiment]
    by_target: list[Experiment]
    published: list[Path]
    left_out: list[str]
    ignored: list[str]
    measured: list[Measures]
    recognized: Sequence[Recognition] = ()
    asked: Sequence[QuestionStudy] = ()


def main(options: argparse.Namespace) -> int:
    """Run the command.

    Args:
        options: `runs`, `out`, `formats` (`None` is all that this machine can write), `denominator`, the thresholds of
            `Rules`, `class_name` and `question`.

    Returns:
        0.

    Raises:
        UserError: For paths without runs, broken files, unknown formats, or a class or question that no run has.
        EnvironmentFault: If a file cannot be written.
    """
    formats = None if options.formats is None else _formats(options.formats)
    rules = rules_of(options)
    material = read_material(options.runs, options.denominator)
    found = claims(material.experiments, rules)
    tables = all_tables(material, rules, found, class_name=options.class_name, question=options.question)
    twice = duplicate_keys(tables)
    if twice:
        raise UserError(
            f"ex2 tables: {', '.join(twice)}: two runs or datasets want this file name; runs need folders with "
            "different names."
        )
    drawings = {
        **({"figure-grid": grid_figure(material.experiments, rules)} if material.experiments else {}),
        **run_figures(material.experiments),
        **attribute_drawings(material.runs, rules.tolerance),
        **phrases_drawings(material.runs, rules.tolerance),
        **image_drawings(material.measured, material.recognized),
    }
    written = write_everything(tables, drawings, options.out, formats)
    console = PlainConsole(highlight=False)
    print_left_out("tables", material.runs, material.left_out, console)
    for line in material.ignored:
        console.print(f"tables: {escape(line)}", soft_wrap=True)
    if written.lacking:
        console.print(f"tables: left out: {escape(written.lacking)}", soft_wrap=True)
    for line in unread_notes(material.experiments):
        console.print(f"tables: {escape(line)}", soft_wrap=True)
    print_claims(found, console)
    files = f"{len(written.names)} files in {escape(str(options.out))}"
    console.print(f"tables: {len(tables)} tables, {files}", soft_wrap=True)
    return 0


def rules_of(options: argparse.Namespace) -> Rules:
    """Return the thresholds that a command line gives.

    Raises:
        UserError: If a threshold is out of range; the message names every such threshold.
    """
    given = (options.considerable, options.margin, options.solely, options.kl_tolerance)
    considerable, margin, solely, kl_tolerance = (value + 0.0 for value in given)  # −0 is told as 0
    rules = Rules(considerable, margin, solely, kl_tolerance, options.every_cell)
    problems = [
        f"command line: --{name}: given {value:g}; give at least 0{' and at most 100' if most else ''}."
        for name, value, most in (
            ("considerable", rules.considerable, True),
            ("margin", rules.margin, True),
            ("solely", rules.solely, True),
            ("kl-tolerance", rules.kl_tolerance, False),
        )
        if not (0 <= value <= (100 if most else float("inf")))
    ]
    if problems:
        raise UserError("\n".join(problems))
    return rules


def read_material(paths: Sequence[Path], denominator: Denominator | None) -> Material:
    """Read run directories, folders of run directories, and files of published tables.

    Args:
        paths: The paths; a `.json` file is one of published tables.
        denominator: Denominator of the shares; `None` takes each run's own, and all descriptions for published counts.

    Returns:
        What was read; each run and file is in it once, even if several paths lead to it.

    Raises:
        UserError: If a path holds neither runs nor published tables, or if a file is faulty.
    """
    folders: list[Path] = []
    published: dict[Path, Path] = {}
    for path in paths:
        if path.suffix == ".json":
            published.setdefault(path.resolve(), path)
        else:
            folders.append(path)
    given = find_runs(folders) if folders else []
    others, measured, unread = measured_apart(given)
    if unread and not measured and not others:
        raise UserError("\n".join(unread))
    # Where there are no measurements, what was named and what lay below is told apart in the messages.
    paths_of_runs = others if measured or unread else folders
    read, left_out = gather_runs(paths_of_runs) if paths_of_runs else ([], [])
    runs = [with_denominator(run, denominator) for run in read]
    experiments = [experiment_of(run) for run in runs]
    by_target, ignored, problems = list(experiments), [], []
    for path in published.values():
        try:
            tables = read_published(path, denominator or "all")
        except UserError as error:
            problems.append(str(error))
            continue
        experiments += tables.experiments
        by_target += tables.by_target
        ignored += tables.ignored
    if problems:
        raise UserError("\n".join(problems))
    recognized, unreadable = recognitions_of(measured)
    asked, unanswered = studies_of(measured)
    return Material(
        runs,
        experiments,
        by_target,
        list(published.values()),
        [*left_out, *unread, *unreadable, *unanswered],
        ignored,
        [one for _, one in measured],
        recognized,
        asked,
    )


def all_tables(
    material: Material,
    rules: Rules,
    found: Sequence[Claim],
    *,
    class_name: str | None = None,
    question: int | None = None,
) -> list[Table]:
    """Make every table for which the material has numbers.

    Args:
        material: At least one experiment.
        rules: Thresholds.
        found: The sentences counted over the experiments.
        class_name: Class of the example descriptions; `None` shows a few classes.
        question: Number of the question of the example descriptions; `None` shows a few questions.
    """
    by_target = kl_table(material.by_target, rules)
    gains = gain_table(material.experiments, rules)
    said = _headlines(material)
    return [
        *grid_tables(material.experiments, rules),
        *cross_tables(material.experiments, rules),
        *([gains] if gains else []),
        *([by_target] if by_target else []),
        *example_tables(material.experiments, rules, class_name=class_name, question=question),
        *attribute_tables(material.runs, material.published, rules.tolerance),
        *phrases_tables(material.runs, material.published, rules.tolerance),
        *image_tables(material.measured),
        *recognition_tables(material.recognized),
        *question_tables(material.asked),
        *(table for e in material.experiments if e.folder for table in run_tables(e, rules, said.get(e.folder))),
        *([claim_table(found, material.experiments, headlines=list(said.values()))] if found else []),
    ]


def _headlines(material: Material) -> dict[Path, Headline]:
    """Return every run's headline by the run's folder."""
    experiments = {experiment.folder: experiment for experiment in material.experiments}
    said = {}
    for run in material.runs:
        experiment = experiments[run.directory.root]
        said[run.directory.root] = headline(experiment, judge_caution(experiment, run_agreement(run)[0]))
    return said


def print_claims(found: Sequence[Claim], console: Console) -> None:
    """Print every sentence with its rule and its count by intervals and tests."""
    for claim in found:
        console.print(escape(" ".join(part for part in (claim.text, claim.caution) if part)), soft_wrap=True)
        console.print(f"  {escape(claim.rule)}; {interval_note(claim)}", style="dim", soft_wrap=True)
        if claim.fallback:
            console.print(f"  {escape('; '.join(claim.fallback))}", style="dim", soft_wrap=True)


def _formats(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    problems = [unknown_name("ex2 tables: --format", name, FORMATS) for name in names if name not in FORMATS]
    if not names:
        problems.append(f"ex2 tables: --format: nothing given; give some of {', '.join(FORMATS)}.")
    if problems:
        raise UserError("\n".join(problems))
    return list(dict.fromkeys(names))
