"""`ex2 index`: one self-contained page over a folder of runs."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from analysis.agreement.standing import judge_caution, judge_standing, run_agreement
from analysis.attributes.tables import attribute_tables
from analysis.images.headline import set_headline
from analysis.images.page import PAGE as SETS_PAGE
from analysis.images.questions.record import QuestionStudy
from analysis.images.questions.stored import studies_of
from analysis.images.questions.tables import question_tables
from analysis.images.recognition.record import Recognition
from analysis.images.recognition.stored import recognitions_of
from analysis.images.recognition.tables import recognition_tables
from analysis.images.record import Measures
from analysis.images.stored import measured_apart
from analysis.images.tables import image_tables
from analysis.paper.claims import Claim, claims, interval_note
from analysis.paper.command import rules_of
from analysis.paper.comparisons import cross_tables, example_tables, kl_table
from analysis.paper.figures import LEGEND, kinds_of
from analysis.paper.gain import gain_table
from analysis.paper.grids import grid_tables
from analysis.phrases.tables import phrases_tables
from analysis.results.experiment import Experiment, by_row, datasets_of, improves
from analysis.results.headline import headline
from analysis.results.runs import Run, experiment_of, read_run
from analysis.results.unread import NO_SHARES
from analysis.results.wording import (
    NBSP,
    batches,
    count,
    evidence,
    images_interval,
    is_short,
    listing,
    percent,
    percent_value,
    points,
)
from analysis.tables.pages.templating import page_environment, page_script
from analysis.tables.rules import NOT_ABOVE, Rules, shown, unread_notes
from analysis.tables.view import table_view
from ex2.run.directory import find_runs
from reward.errors import UserError
from reward.files import write_text
from reward.numerals import decimal

PAGE = "index.html"

MAIN = ("improvement", "spurious-responsible", "non_visual-responsible", "visual-responsible")
"""Keys of the sentences that the page shows at once; the others appear after a click."""


def main(options: argparse.Namespace) -> int:
    """Run the command.

    Args:
        options: `folder` and the thresholds of `Rules`.

    Returns:
        0.

    Raises:
        UserError: If the folder holds no run that has been analysed.
        EnvironmentFault: If the page cannot be written.
    """
    rules = rules_of(options)
    folders, measured, problems = measured_apart(find_runs([options.folder]))
    runs = []
    for folder in folders:
        try:
            runs.append(read_run(folder))
        except UserError as error:
            problems.append(str(error))
    if not runs and not measured:
        raise UserError("\n".join([f"{options.folder}: no run to show.", *problems]))
    recognized, unreadable = recognitions_of(measured)
    asked, unread = studies_of(measured)
    problems += [*unreadable, *unread]
    path: Path = options.folder / PAGE
    write_text(
        path,
        render_index(
            runs, rules, where=options.folder, problems=problems, measured=measured, recognized=recognized, asked=asked
        ),
    )
    unanalyzed = [
        f"{run.directory.root}: not analysed: {', '.join(f'seed {seed}' for seed in run.missing)}"
        for run in runs
        if run.missing
    ]
    for problem in [*problems, *unanalyzed, *(why for run in runs if (why := run_agreement(run)[1]))]:
        print(f"index: left out: {problem}")
    print(f"index: {len(runs) + len(measured)} runs in {path}" + (f"; left out: {len(problems)}" if problems else ""))
    return 0


def render_index(
    runs: Sequence[Run],
    rules: Rules,
    *,
    where: Path,
    problems: Sequence[str],
    measured: Sequence[tuple[Path, Measures]] = (),
    recognized: Sequence[Recognition] = (),
    asked: Sequence[QuestionStudy] = (),
) -> str:
    """Return the page.

    Args:
        runs: Runs of alignments; at least one, if nothing was measured.
        rules: Thresholds of the rules.
        where: Folder of the page; links are relative to it.
        problems: Sentences, shown on the page, on why other runs are not on it.
        measured: Folder and measurement of each run of image sets.
        recognized: What recognizers see on the sets of some of them.
        asked: How questions about images were answered beside some of them.

    Returns:
        The page as HTML, with style and script inside.
    """
    script, script_source = page_script(("print.js",))
    experiments = [experiment_of(run) for run in runs]
    links = {run.directory.root: _link(run.directory.report, where) for run in runs}
    found = claims(experiments, rules)
    first = [claim for key in MAIN for claim in found if claim.key == key]
    datasets = datasets_of(experiments)
    by_target = kl_table(experiments, rules)
    gains = gain_table(experiments, rules)
    tables = [
        *grid_tables(experiments, rules),
        *cross_tables(experiments, rules),
        *([gains] if gains else []),
        *([by_target] if by_target else []),
        *example_tables(experiments, rules),
        *attribute_tables(runs, (), rules.tolerance),
        *phrases_tables(runs, (), rules.tolerance),
        *image_tables([found for _, found in measured]),
        *recognition_tables(recognized),
        *question_tables(asked),
    ]
    return (
        page_environment()
        .get_template("index.html")
        .render(
            title=_title(len(runs), len(measured)),
            lead=_lead(experiments) if experiments else "What image sets are worth to the VLMs that see them.",
            main_verdicts=[_sentence(claim) for claim in first],
            more_verdicts=[_sentence(claim) for claim in found if claim not in first],
            datasets=datasets,
            rows=[
                (label, [_cell(placed.get(dataset), rules, links) for dataset in datasets])
                for label, placed in by_row(experiments).items()
            ],
            legend=LEGEND,
            tables=[table_view(table) for table in tables],
            runs=[_run(run, experiment, links) for run, experiment in zip(runs, experiments, strict=True)],
            sets=[_sets(folder, found, where) for folder, found in measured],
            rules=rules,
            confidence=listing(sorted({f"{100 * experiment.confidence:g}" for experiment in experiments} or {"95"})),
            denominators=sorted({experiment.denominator for experiment in experiments}),
            problems=problems,
            unread=unread_notes(experiments),
            script=script,
            script_source=script_source,
        )
    )


def _title(runs: int, sets: int) -> str:
    counted = (
        (runs, "experiment", "experiments"),
        (sets, "measurement of image sets", "measurements of image sets"),
    )
    return listing([f"{number} {one if number == 1 else several}" for number, one, several in counted if number])


def _lead(experiments: Sequence[Experiment]) -> str:
    vlms = list(dict.fromkeys(experiment.vlm for experiment in experiments))
    datasets = list(datasets_of(experiments))
    return (
        f"{len(vlms)} {'VLM' if len(vlms) == 1 else 'VLMs'} ({listing(vlms)}) on {len(datasets)} "
        f"{'dataset' if len(datasets) == 1 else 'datasets'} ({listing(datasets)}): which words does each one reward?"
    )


def _sentence(claim: Claim) -> dict[str, str]:
    return {
        "text": claim.text,
        "caution": claim.caution,
        "rule": claim.rule,
        "interval": interval_note(claim),
        "members": "; ".join(claim.members),
        "fallback": "; ".join(claim.fallback),
    }


def _cell(experiment: Experiment | None, rules: Rules, links: dict[Path, str]) -> dict[str, Any] | None:
    """Return what a cell of the grid shows; `None` where there is no run."""
    if experiment is None:
        return None
    own, change = experiment.accuracy("aligned"), experiment.difference("aligned", "templates")
    informative = experiment.share("informative")
    total = experiment.total("all")
    filled = shown(experiment, rules)
    parts = []
    if total and filled and experiment.total("spurious") is not None:
        parts = [(kind, size, round(100 * size / total, 3)) for kind, size in kinds_of(experiment).items()]
    return {
        "link": links.get(experiment.folder) if experiment.folder else "",
        "name": experiment.name,
        "accuracy": percent_value(own) if own else "no accuracy",
        "interval": percent(own).partition(f"{NBSP}[")[2].rstrip("]") if own else "",
        "n": count(own, "images") if own else "",
        "gain": points(change) if change else "",
        "over_images": images_interval(change) if change else "",
        "test": evidence(change) if change else "",
        "better": bool(improves(experiment) and change and change.significant),
        "parts": parts,
        "informative": f"{percent(informative)} informative, {count(informative)}" if informative and filled else "",
        "empty": NO_SHARES if experiment.unread else "" if filled else NOT_ABOVE,
        "kl": kl_words(experiment),
        "kl_off": bool(experiment.kl and experiment.kl.off(rules.tolerance)),
    }


def kl_words(experiment: Experiment) -> str:
    """Return `KL 9.8 of 10`, with the number of batches where they are few; "" if it is not known."""
    if experiment.kl is None:
        return ""
    target = f" of {experiment.kl.target:g}" if experiment.kl.target else ", no target"
    mean, cut = experiment.kl.mean, f", {experiment.kl.cut_words}" if experiment.kl.cut else ""
    return f"KL {decimal(mean.value, 1)}{target}" + (f", {batches(mean)}" if is_short(mean) else "") + cut


def _run(run: Run, experiment: Experiment, links: dict[Path, str]) -> dict[str, Any]:
    judge, aligned = run.results[0].breakdown.judge, experiment.policies.get("aligned")
    agreement, problem = run_agreement(run)
    return {
        "name": experiment.name,
        "headline": headline(experiment, judge_caution(experiment, agreement)),
        "link": links[run.directory.root],
        "vlm": experiment.vlm,
        "dataset": experiment.dataset,
        "seeds": ", ".join(str(result.seed) for result in run.results),
        "missing": ", ".join(map(str, run.missing)),
        "judge": judge.name,
        "standing": f"unknown: {problem}" if problem else judge_standing(experiment, agreement),
        "rubric": judge.rubric,
        "images": f"{run.results[0].accuracy.images:,}",
        "descriptions": f"{experiment.total('all') or 0:,}",
        "unparsed": f"{sum(aligned.unparsed.values()) if aligned else 0:,}",
    }


def _sets(folder: Path, found: Measures, where: Path) -> dict[str, Any]:
    """Return what the list of image sets shows of a measurement."""
    return {
        "name": found.name,
        "dataset": found.dataset,
        "vlm": found.vlm,
        "headline": set_headline(found),
        "link": _link(folder / SETS_PAGE, where),
    }


def _link(report: Path, where: Path) -> str:
    """Return a relative address of a report, or "" if it has not been written."""
    return quote(Path(os.path.relpath(report, where)).as_posix()) if report.exists() else ""
