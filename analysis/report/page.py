"""The report: one self-contained HTML page over all seeds of a run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from analysis.agreement.section import agreement_tables
from analysis.agreement.standing import judge_caution, judge_standing
from analysis.agreement.stored import JudgeAgreement, read_judge_agreement
from analysis.attributes.section import attribute_section
from analysis.figures.accuracy import accuracy_figure, accuracy_rows
from analysis.figures.breakdown import breakdown_figure
from analysis.figures.training import training_figures
from analysis.judge.panel import DISAGREEMENTS
from analysis.paper.one_run import question_examples
from analysis.phrases.section import phrases_section
from analysis.report.accuracy import accuracy_table, confusion_table
from analysis.report.descriptions import descriptions_table
from analysis.report.findings import findings
from analysis.report.gain import gain_section
from analysis.report.images import class_images
from analysis.report.judge import both_denominators, panel, usage
from analysis.report.overview import seed_names, seed_table, tiles
from analysis.report.signs import fired_rules, sign_panel
from analysis.results.changes import changes_note
from analysis.results.experiment import Experiment
from analysis.results.headline import headline
from analysis.results.kl import kl_with_cut
from analysis.results.load import SeedResult, load_results
from analysis.results.runs import examples_of
from analysis.results.seeds import pool_seeds
from analysis.results.shown_images import SHOWN_IMAGES
from analysis.results.unread import unread_banner, without_shares
from analysis.tables.pages.templating import page_environment, page_script
from analysis.tables.rules import Rules
from analysis.tables.view import ReportSection, TableView, table_view
from ex2.recipe import Recipe
from ex2.recipe_io import to_yaml
from ex2.run.directory import RunDirectory
from ex2.run.lock import writing_stage
from ex2.run.made import used_otherwise
from ex2.run.manifest import path_of, read_manifest
from ex2.run.sealed import check_sealed
from reward.files import JSON, read_object, write_text
from reward.secrets import redacted_tree

SCRIPTS = ("report.js", "print.js")

SECTIONS = (attribute_section, phrases_section)
"""Functions that make the sections from what other commands stored in a run's folder, in the order of the paper."""


def write_report(recipe: Recipe) -> Path:
    """Write `report.html` of a run, from all of its seeds that have been analysed.

    Args:
        recipe: The experiment.

    Returns:
        Path of the page. It needs no network and no other file.

    Raises:
        UserError: If no seed has been analysed, if seeds were analysed differently, or if descriptions changed since.
        EnvironmentFault: If the page cannot be written.
    """
    run = RunDirectory.of(recipe)
    results, missing = load_results(recipe, run)
    pooled = pool_seeds(recipe.name, results)
    experiment = replace(pooled, kl=kl_with_cut(pooled.kl, recipe))
    provenance = stored_provenance(run)
    for result in results:
        otherwise = used_otherwise(recipe, run.seed(result.seed))
        if otherwise:
            provenance[f"not as this recipe says, seed {result.seed}"] = "; ".join(otherwise)
    agreement = read_judge_agreement(run.root, results, complete=not missing)
    page = render(
        recipe,
        results,
        experiment,
        missing_seeds=missing,
        provenance=provenance,
        agreement=agreement,
        images=class_images(recipe.dataset.source(), _shown_when_analyzed(run, results)),
        sections=further_sections(run),
        examples=example_table(run, experiment, results[0]),
    )
    with writing_stage(run.root, "report"):
        write_text(run.report, page)
    if missing:
        print(f"report: {run.root}: not analysed: {', '.join(f'seed {seed}' for seed in missing)}")
    print("\n".join(headline(experiment, judge_caution(experiment, agreement)).lines()))
    return run.report


def _shown_when_analyzed(run: RunDirectory, results: Sequence[SeedResult]) -> dict[Path, str]:
    found = {}
    for result in results:
        manifest = read_manifest(run.seed(result.seed).root, "analyze")
        if manifest is not None and SHOWN_IMAGES in manifest.inputs:
            found[run.seed(result.seed).root] = manifest.inputs[SHOWN_IMAGES]
    return found


def stored_provenance(run: RunDirectory) -> JSON:
    """Return what a run keeps of its versions and commands; empty for a run that never had any.

    Raises:
        UserError: If the file is missing or has other content than was written.
    """
    if not run.provenance.exists() and not path_of(run.root, run.provenance.stem).exists():
        return {}
    content: JSON = redacted_tree(read_object(run.provenance))
    check_sealed(run.provenance, "put it back as it was, or run `ex2 run RECIPE` again")
    return content


def render(
    recipe: Recipe,
    results: Sequence[SeedResult],
    experiment: Experiment,
    *,
    missing_seeds: Sequence[int],
    provenance: JSON,
    agreement: JudgeAgreement | None = None,
    images: Mapping[str, Sequence[str]] | None = None,
    sections: Sequence[ReportSection] = (),
    examples: TableView | None = None,
) -> str:
    """Return the page.

    Args:
        recipe: The experiment.
        results: Results of at least one seed.
        experiment: The experiment in which these seeds are pooled.
        missing_seeds: Seeds of the recipe without results, named on the page.
        provenance: Content of `provenance.json`; any keys.
        agreement: How far the judge agrees with people; `None` if nobody labelled the run.
        images: Thumbnails by class name, from `class_images`.
        sections: Attributes and hypotheses, from `further_sections`.
        examples: A description for every question, from `example_table`.

    Returns:
        The page as HTML, with style, script and drawings inside.

    Raises:
        UserError: If a description has no verdict, because descriptions changed since the analysis.
    """
    trust = judge_standing(experiment, agreement)
    columns = [pool_seeds(recipe.name, [result]) for result in results] if len(results) > 1 else []
    if experiment.unread:
        columns = [without_shares(column, experiment.unread) for column in columns]
    script, script_source = page_script(SCRIPTS)
    return (
        page_environment()
        .get_template("report.html")
        .render(
            recipe=recipe,
            headline=headline(experiment, judge_caution(experiment, agreement)),
            facts=_facts(recipe, experiment, trust),
            tiles=tiles(experiment),
            findings=findings(experiment, agreement),
            flows={policy: breakdown_figure(experiment, policy) for policy in ("aligned", "base")},
            accuracy_figure=accuracy_figure(accuracy_rows(experiment)),
            accuracy_table=accuracy_table(experiment),
            confusion_table=confusion_table(results),
            training=training_figures(results),
            signs=sign_panel(results),
            rules=recipe.watch.as_rules(),
            fired=fired_rules(recipe.watch.as_rules(), results),
            seed_names=seed_names(experiment),
            seed_table=seed_table([*columns, experiment]),
            changes_note=changes_note(experiment),
            missing_seeds=list(missing_seeds),
            unread=unread_banner(experiment),
            judge=experiment.judge,
            trust=trust,
            denominators=both_denominators(experiment),
            panel=panel(results),
            disagreements=[f"seed-{r.seed}/{DISAGREEMENTS}" for r in results] if panel(results) else [],
            usage=usage(results),
            agreement=agreement_tables(agreement),
            stale_agreement=agreement.stale if agreement else "",
            has_images=bool(images),
            denominator=experiment.denominator,
            classes=experiment.classes,
            confidence=f"{100 * experiment.confidence:g}",
            several_seeds=len(experiment.seeds) > 1,
            recipe_yaml=to_yaml(recipe),
            provenance=_flatten(provenance),
            sections=[*([gain] if (gain := gain_section(experiment)) else []), *sections],
            examples=examples,
            table=descriptions_table(results, images or {}),
            kl_tolerance=f"{Rules().kl_tolerance:g}",
            script=script,
            script_source=script_source,
        )
    )


def further_sections(run: RunDirectory) -> list[ReportSection]:
    """Return the sections on attributes and on hypotheses, each only if its command has been run.

    Args:
        run: The run's directory.

    Raises:
        UserError: If the file that a command stored cannot be read.
    """
    found = (section(run) for section in SECTIONS)
    return [section for section in found if section]


def example_table(run: RunDirectory, experiment: Experiment, first: SeedResult) -> TableView | None:
    """Return a table of a description for every question (the paper's Table 10, for one run); `None` without any.

    Args:
        run: The run's directory.
        experiment: The run's seeds pooled.
        first: The first seed, whose descriptions are the examples.
    """
    # Without the KL, which is the same for every cell: the page flags it once, in its tile.
    shown = replace(experiment, kl=None, folder=run.root, examples=examples_of(first))
    found = question_examples(shown, Rules())
    return table_view(replace(found, notes=found.notes[:1])) if found else None


def _facts(recipe: Recipe, experiment: Experiment, trust: str) -> list[tuple[str, str]]:
    judge, rl = experiment.judge, recipe.rl
    assert judge is not None, "every analysis names its judge"
    return [
        ("VLM", experiment.vlm),
        ("Dataset", f"{experiment.dataset}: {experiment.classes} classes, {experiment.images} test images"),
        ("Language model", recipe.policy.model),
        ("Alignment", f"{recipe.algorithm.upper()}, {rl.batches} batches of {rl.batch_size}"),
        ("Seeds", ", ".join(str(seed) for seed in experiment.seeds)),
        ("Judge", f"{judge.name} ({trust}), rubric {judge.rubric}"),
    ]


def _flatten(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Turn nested JSON into rows of dotted key and text."""
    if isinstance(value, dict):
        return [row for key, item in value.items() for row in _flatten(item, f"{prefix}.{key}" if prefix else str(key))]
    return [(prefix, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))]
