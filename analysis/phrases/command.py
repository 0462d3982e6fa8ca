"""`ex2 phrases`: mine phrases on one half of the classes, test them as templates on the other, on several VLMs."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from analysis.phrases.described import Run, gather_described
from analysis.phrases.figure import phrases_figure
from analysis.phrases.mining import Phrase, different, mine
from analysis.phrases.stored import FORMAT, RESULT, part_of, trials
from analysis.phrases.tables import KEY, tables_of
from analysis.phrases.templates import PLAIN, TemplateFile, from_phrase, read_templates
from analysis.phrases.terminal import show
from analysis.phrases.testing import Halves, measure, restrict, split_classes
from analysis.statistics.holm import mark
from analysis.statistics.intervals import Settings
from analysis.tables.files import hand_over
from ex2.banks import load_vlm, test_embeddings
from ex2.data.selection import load_dataset
from ex2.recipe import Component
from ex2.run.descriptions import DescribedClass
from reward.errors import UserError
from reward.files import JSON
from reward.presets import shown_name, vlm_problems

TOLD_PHRASES = 200
"""Mined phrases of a run that the result keeps."""
LEAST_CLASSES = 4


@dataclass
class Hypothesis:
    """A template under test and where it comes from."""

    template: str
    phrase: str | None = None
    runs: list[str] = field(default_factory=list)


def main(options: argparse.Namespace) -> int:
    """Run the verb.

    Args:
        options: `runs`, `templates`, `vlms`, `top`, `seed` and `out` of the command line.

    Returns:
        0. Every run's own part is kept in its folder too, where `ex2 report` and `ex2 tables` find it.

    Raises:
        UserError: For a path that is no run, a run named without descriptions of both policies, faulty templates, an
            unknown VLM, or too few classes.
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
    settings = Settings(max(one.confidence for one in asked), max(one.bootstrap_samples for one in asked), options.seed)
    datasets = [results_of(group, given, options.vlms, options.top, settings) for group in _by_dataset(runs)]
    results = [row for dataset in datasets for row in dataset["results"]]
    mark(results, 1 - settings.confidence)
    result: JSON = {
        "format": FORMAT,
        "seed": options.seed,
        "confidence": settings.confidence,
        "bootstrap_samples": settings.samples,
        "templates_source": given.source,
        "tests": len(results),
        "correction": "Holm over all tests of this file",
        "datasets": datasets,
    }
    console = Console()
    show(result, console)
    drawn = phrases_figure(trials(datasets), settings.confidence)
    hand_over(
        RESULT,
        result,
        {run.directory.root: part_of(result, run.name) for run in runs},
        options.out,
        tables=tables_of([result], left_out=left_out),
        drawings={KEY: drawn} if drawn else {},
        left_out=left_out,
        console=console,
    )
    return 0


def results_of(
    runs: Sequence[Run], given: TemplateFile, vlm_names: Sequence[str], top: int, settings: Settings
) -> JSON:
    """Mine and test on one dataset.

    Args:
        runs: All on this dataset.
        given: The user's templates, and the plain one.
        vlm_names: Further VLMs than the runs' own.
        top: Phrases to mine from each run; with 0 nothing is mined, and all classes are tested.
        settings: How intervals are made; the seed also splits the classes.

    Returns:
        Classes, phrases, templates and measurements, p-values not yet corrected.

    Raises:
        UserError: If there are too few classes, or descriptions are of others.
    """
    recipe = runs[0].recipe
    names = load_dataset(recipe.dataset).class_names
    if len(names) < LEAST_CLASSES:
        raise UserError(
            f"dataset {recipe.dataset.name}: {len(names)} classes; this verb mines on one half and tests on the "
            f"other, so it needs {LEAST_CLASSES} at least."
        )
    halves = split_classes(len(names), settings.seed) if top else Halves((), tuple(range(len(names))))
    mined = {run.name: _mine(run, [names[label] for label in halves.mined], names) for run in runs if top}
    hypotheses: dict[str, Hypothesis] = {}
    for run, phrases in mined.items():
        for phrase in different(phrases, top):
            template = from_phrase(phrase.text, given.plain)
            hypotheses.setdefault(template, Hypothesis(template, phrase.text)).runs.append(run)
    for template in given.templates:
        hypotheses.setdefault(template, Hypothesis(template))
    hypotheses.pop(given.plain, None)
    plain: list[JSON] = []
    results: list[JSON] = []
    for section in _vlms(runs, vlm_names):
        vlm = load_vlm(section)
        images = restrict(test_embeddings(recipe.model_copy(update={"vlm": section}), vlm), halves.tested)
        label = shown_name(section.name, vlm)
        taken = [row["vlm"] for row in plain]
        label = f"{label} ({len(taken) + 1})" if label in taken else label  # the same with other settings
        own, measured = measure(vlm, images, given.plain, list(hypotheses), settings)
        plain.append({"vlm": label, "accuracy": own.value, "low": own.low, "high": own.high, "n": own.n})
        for one in measured:
            paired = {key: value for key, value in one.paired._asdict().items() if key not in ("low", "high", "n")}
            results.append(
                {
                    "template": one.template,
                    "vlm": label,
                    "accuracy": one.accuracy.value,
                    "low": one.accuracy.low,
                    "high": one.accuracy.high,
                    "n": one.accuracy.n,
                    **paired,
                    "difference_low": one.paired.low,
                    "difference_high": one.paired.high,
                }
            )
    return {
        "dataset": recipe.dataset.name,
        "split": recipe.dataset.test_split,
        "runs": [run.stored(settings.confidence, mined=top > 0) for run in runs],
        "mined_classes": [names[label] for label in halves.mined],
        "tested_classes": [names[label] for label in halves.tested],
        "phrases": {run: [phrase._asdict() for phrase in found[:TOLD_PHRASES]] for run, found in mined.items()},
        "templates": [
            {"template": h.template, "phrase": h.phrase, "runs": h.runs, "from_file": h.template in given.templates}
            for h in hypotheses.values()
        ],
        "plain_template": given.plain,
        "plain": plain,
        "results": results,
    }


def _vlm_problems(name: str) -> list[str]:
    try:
        return vlm_problems(name, {}, "--vlms")
    except UserError as error:  # no such name
        return [str(error)]


def _by_dataset(runs: Sequence[Run]) -> list[list[Run]]:
    groups: dict[str, list[Run]] = {}
    for run in runs:
        data = run.recipe.dataset.model_dump(mode="json", exclude={"workers"})
        groups.setdefault(json.dumps(data, sort_keys=True), []).append(run)
    return list(groups.values())


def _vlms(runs: Sequence[Run], names: Sequence[str]) -> list[Component]:
    sections = [run.recipe.vlm for run in runs] + [Component(name=name) for name in names]
    return list({json.dumps(section.model_dump(mode="json"), sort_keys=True): section for section in sections}.values())


def _mine(run: Run, classes: Sequence[str], names: Sequence[str]) -> list[Phrase]:
    strange = sorted({one.class_name for one in run.descriptions} - set(names))
    if strange:
        raise UserError(
            f"run {run.name}: descriptions of {', '.join(strange[:5])}, which the dataset "
            f"{run.recipe.dataset.name} does not have: it changed since; describe again."
        )

    def texts(policy: str) -> list[DescribedClass]:
        return [one.of_class for one in run.descriptions if one.policy == policy and one.class_name in classes]

    return mine(texts("aligned"), texts("base"))
