"""`ex2 phrases`: mine phrases on one half of the classes, test them as templates on the other with several VLMs."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from analysis.phrases.described import DescribedRun, gather_described
from analysis.phrases.figure import phrases_figure
from analysis.phrases.mining import Phrase, different, mine
from analysis.phrases.record import DatasetPhrases, Hypothesis, Phrases, PlainAccuracy, TemplateTest
from analysis.phrases.stored import RESULT
from analysis.phrases.tables import KEY, tables_of
from analysis.phrases.templates import PLAIN, TemplateFile, from_phrase, read_templates
from analysis.phrases.terminal import show
from analysis.phrases.testing import Halves, measure, restrict, split_classes
from analysis.phrases.trials import trials
from analysis.statistics.holm import holm_tests
from analysis.statistics.intervals import IntervalSettings
from analysis.tables.files import write_study
from ex2.banks import test_embeddings
from ex2.data.selection import load_dataset
from ex2.run.descriptions import DescribedClass
from ex2.run.lock import writing_into
from ex2.run.made import require_images
from reward.errors import UserError
from reward.files import JSON
from reward.presets import load_vlm, shown_name, vlm_problems
from reward.terminal import PlainConsole

TOLD_PHRASES = 200
"""Most mined phrases of a run that the result holds."""
LEAST_CLASSES = 4


def main(options: argparse.Namespace) -> int:
    """Run the command.

    Args:
        options: `runs`, `templates`, `vlms`, `top`, `seed` and `out` of the command line.

    Returns:
        0. Each run's part of the result is also kept in the run's folder, where `ex2 report` and `ex2 tables` find it.

    Raises:
        UserError: If a path is not a run, if a named run lacks descriptions of a policy, if templates are faulty, if a
            VLM is unknown, or if there are too few classes.
        EnvironmentFault: If the result cannot be written.
    """
    given = read_templates(Path(options.templates)) if options.templates else TemplateFile(PLAIN, (), "")
    problems = [line for name in options.vlms for line in _vlm_problems(name)]
    if options.top < 0 or (options.top == 0 and not given.templates):
        problems.append(f"--top: {options.top}; give 1 or more, or 0 with --templates, which mines nothing.")
    if problems:
        raise UserError("\n".join(problems))
    runs, left_out = gather_described([Path(path) for path in options.runs], needed=options.top > 0)
    asked = [run.recipe.analysis for run in runs]  # runs that differ are tested at the stricter one
    settings = IntervalSettings(
        max(one.confidence for one in asked), max(one.bootstrap_samples for one in asked), options.seed
    )
    found = [results_of(group, given, options.vlms, options.top, settings) for group in _by_dataset(runs)]
    result = Phrases(
        seed=options.seed,
        confidence=settings.confidence,
        bootstrap_samples=settings.samples,
        templates_source=given.source,
        tests=sum(len(part.results) for part in found),
        datasets=_corrected(found, 1 - settings.confidence),
    )
    console = PlainConsole()
    show(result, console)
    drawn = phrases_figure(trials(result.datasets), settings.confidence)
    with writing_into([run.directory.root for run in runs], "phrases"):
        write_study(
            RESULT,
            result.to_json(),
            {run.directory.root: result.part_of(run.name).to_json() for run in runs},
            options.out,
            tables=tables_of([result], left_out=left_out),
            drawings={KEY: drawn} if drawn else {},
            left_out=left_out,
            console=console,
        )
    return 0


def results_of(
    runs: Sequence[DescribedRun], given: TemplateFile, vlm_names: Sequence[str], top: int, settings: IntervalSettings
) -> DatasetPhrases:
    """Mine and test phrases on one dataset.

    Args:
        runs: All runs on this dataset.
        given: The user's templates, and the plain template to compare with.
        vlm_names: Names of VLMs to test with beside the runs' own.
        top: Number of phrases to test from each run; with 0 nothing is mined, and templates are tested on all classes.
        settings: How intervals are made; the seed also splits the classes.

    Returns:
        Classes, phrases, templates and measurements; p-values are not corrected yet.

    Raises:
        UserError: If there are too few classes, or if descriptions are of classes that the dataset does not have.
    """
    source = runs[0].recipe.dataset.source()
    names = load_dataset(source).class_names
    if len(names) < LEAST_CLASSES:
        raise UserError(
            f"dataset {source.name}: {len(names)} classes; this verb mines on one half and tests on the "
            f"other, so it needs {LEAST_CLASSES} at least."
        )
    halves = split_classes(len(names), settings.seed) if top else Halves((), tuple(range(len(names))))
    mined = {run.name: _mine(run, [names[label] for label in halves.mined], names) for run in runs if top}
    hypotheses: dict[str, Hypothesis] = {}
    for run, phrases in mined.items():
        for phrase in different(phrases, top):
            template = from_phrase(phrase.text, given.plain)
            new = Hypothesis(template, phrase.text, (), from_file=template in given.templates)
            one = hypotheses.get(template, new)
            hypotheses[template] = replace(one, runs=(*one.runs, run))
    for template in given.templates:
        hypotheses.setdefault(template, Hypothesis(template, None, (), from_file=True))
    hypotheses.pop(given.plain, None)
    plain: list[PlainAccuracy] = []
    results: list[TemplateTest] = []
    for name, its_settings in _vlms(runs, vlm_names):
        vlm = load_vlm(name, its_settings)
        embedded = test_embeddings(source, vlm)
        require_images([run.directory.seed(seed) for run in runs for seed in run.seeds], embedded.images, "phrases")
        images = restrict(embedded, halves.tested)
        label = shown_name(name, vlm)
        taken = [one.vlm for one in plain]
        label = f"{label} ({len(taken) + 1})" if label in taken else label  # the same with other settings
        own, measured = measure(vlm, images, given.plain, list(hypotheses), settings)
        plain.append(PlainAccuracy(label, own))
        results += [TemplateTest(one.template, label, one.accuracy, one.paired) for one in measured]
    return DatasetPhrases(
        dataset=source.name,
        split=source.test_split,
        runs=tuple(run.stored(settings.confidence, mined=top > 0) for run in runs),
        mined_classes=tuple(names[label] for label in halves.mined),
        tested_classes=tuple(names[label] for label in halves.tested),
        phrases={run: tuple(found[:TOLD_PHRASES]) for run, found in mined.items()},
        templates=tuple(hypotheses.values()),
        plain_template=given.plain,
        plain=tuple(plain),
        results=tuple(results),
    )


def _corrected(parts: Sequence[DatasetPhrases], alpha: float) -> tuple[DatasetPhrases, ...]:
    """Correct the p-values of all parts together by Holm's method; `alpha` is the level of the tests."""
    tests = iter(holm_tests([test.paired.p for part in parts for test in part.results], alpha))
    made = []
    for part in parts:
        both = [(test, next(tests)) for test in part.results]
        results = tuple(replace(test, p_holm=one.p, significant=one.significant) for test, one in both)
        made.append(replace(part, results=results))
    return tuple(made)


def _vlm_problems(name: str) -> list[str]:
    try:
        return vlm_problems(name, {}, "--vlms")
    except UserError as error:  # no such name
        return [str(error)]


def _by_dataset(runs: Sequence[DescribedRun]) -> list[list[DescribedRun]]:
    groups: dict[str, list[DescribedRun]] = {}
    for run in runs:
        data = run.recipe.dataset.model_dump(mode="json", exclude={"workers"})
        groups.setdefault(json.dumps(data, sort_keys=True), []).append(run)
    return list(groups.values())


def _vlms(runs: Sequence[DescribedRun], names: Sequence[str]) -> list[tuple[str, JSON]]:
    """Return the name and settings of the runs' VLMs and of the further ones, each once."""
    given = [(run.recipe.vlm.name, run.recipe.vlm.settings) for run in runs] + [(name, {}) for name in names]
    return list({json.dumps(one, sort_keys=True): one for one in given}.values())


def _mine(run: DescribedRun, classes: Sequence[str], names: Sequence[str]) -> list[Phrase]:
    strange = sorted({one.class_name for one in run.descriptions} - set(names))
    if strange:
        raise UserError(
            f"run {run.name}: descriptions of {', '.join(strange[:5])}, which the dataset "
            f"{run.recipe.dataset.name} does not have: it changed since; describe again."
        )

    def texts(policy: str) -> list[DescribedClass]:
        return [one.of_class for one in run.descriptions if one.policy == policy and one.class_name in classes]

    return mine(texts("aligned"), texts("base"))
