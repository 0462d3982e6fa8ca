"""`ex2 attributes`: which attributes the informative descriptions of each run name, and whether two VLMs differ."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from analysis.attributes.answers import LOG, Answered, SeedAnswers, ask, judged_digest
from analysis.attributes.figure import attributes_figure
from analysis.attributes.judges import attribute_judge
from analysis.attributes.stored import RESULT
from analysis.attributes.summary import summarize
from analysis.attributes.tables import KEY, tables_of
from analysis.attributes.terminal import show
from analysis.results.kl import kl_of_run
from analysis.results.load import SeedResult, confidence_of
from analysis.results.runs import Run, gather_runs
from analysis.tables.files import write_study
from analysis.verdicts.breakdown import MEMBERS
from analysis.verdicts.verdicts import asked_digest
from ex2.run.descriptions import DescribedClass
from ex2.run.lock import writing_into
from reward.errors import UserError
from reward.terminal import PlainConsole


def main(options: argparse.Namespace) -> int:
    """Run the command.

    Args:
        options: `runs`, `out`, `sample` and `seed` of the command line.

    Returns:
        0. Each run's part of the result is also kept in the run's folder, where `ex2 report` and `ex2 tables` find it.

    Raises:
        UserError: If a run that was named is not analysed, if a folder holds no analysed run, or if a judge cannot name
            attributes.
        EnvironmentFault: If the judge cannot be reached or a file cannot be written. Answers received so far are kept.
    """
    if options.sample < 1:
        raise UserError(f"--sample: {options.sample}; give 1 or more.")
    runs, left_out = gather_runs([Path(path) for path in options.runs])
    with writing_into([run.directory.root for run in runs], "attributes"):
        _write(options, runs, left_out)
    return 0


def _write(options: argparse.Namespace, runs: Sequence[Run], left_out: Sequence[str]) -> None:
    confidence = max(confidence_of(run.results) for run in runs)  # runs that differ are shown at the stricter one
    result = summarize([*answered(runs)], confidence, sample=options.sample, seed=options.seed)
    console = PlainConsole()
    show(result, console)
    write_study(
        RESULT,
        result.to_json(),
        {run.directory.root: result.part_of(group).to_json() for run, group in zip(runs, result.groups, strict=True)},
        options.out,
        tables=tables_of([result], left_out=left_out),
        drawings={KEY: attributes_figure(result)},
        left_out=left_out,
        console=console,
    )


def answered(runs: Sequence[Run]) -> Iterator[Answered]:
    """Ask for the attributes of every run's informative aligned descriptions, unless the logs have the answer."""
    for run in runs:
        section = run.recipe.judge
        judge = attribute_judge(section.name, section.settings)
        digest = asked_digest(section.name, section.settings)  # its own log, whose answers are read once
        seeds = []
        for result in run.results:
            described = informative(result)
            answers = ask(judge, described, run.directory.seed(result.seed).root / LOG, digest=digest)
            seeds.append(SeedAnswers(result.seed, [(one.class_name, answers[one]) for one in described]))
        numbers = [result.seed for result in run.results]
        yield Answered(
            run=run.recipe.name,
            vlm=run.results[0].accuracy.vlm,
            dataset=run.results[0].accuracy.dataset,
            seeds=seeds,
            missing=tuple(run.missing),
            judge=judge.name,
            exact=judge.exact,
            texts=judged_digest(run.directory, numbers),
            kl=kl_of_run(run.directory, run.recipe, numbers, confidence_of(run.results)),
        )


def informative(result: SeedResult) -> list[DescribedClass]:
    """Return a seed's aligned descriptions that were judged informative, repeated texts included.

    Raises:
        UserError: If a description has no verdict, because descriptions changed since the analysis.
    """
    return [
        one.of_class
        for one in result.descriptions
        if one.policy == "aligned" and result.kind(one) in MEMBERS["informative"]
    ]
