"""The report: one self-contained HTML page over all seeds of a run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from analysis.accuracy_tables import accuracy_table, confusion_table
from analysis.breakdown import GROUPS
from analysis.figure_accuracy import accuracy_figure, accuracy_rows
from analysis.figure_breakdown import breakdown_figure
from analysis.figure_training import training_figures
from analysis.judge.panel import DISAGREEMENTS
from analysis.judging import read_verdicts
from analysis.pooling import (
    SeedResult,
    accuracy_difference,
    accuracy_of,
    confidence,
    end_of_training,
    reward_gain,
    share_change,
    share_of,
)
from analysis.reading import LEAVES, findings, headline, judge_standing
from analysis.report_descriptions import descriptions_table
from analysis.report_images import class_images
from analysis.report_judge import (
    Calibration,
    both_denominators,
    calibration_tables,
    panel,
    read_calibration,
    usage,
)
from analysis.signs import fired_rules, sign_panel
from analysis.wording import (
    ARM_NAMES,
    KIND_NAMES,
    count,
    percent,
    percent_value,
    plain,
    points,
    signed,
    significance,
)
from ex2.recipe import Recipe
from ex2.recipe_io import to_yaml
from ex2.run_dir import JSON, RunDirectory, read_json, read_jsonl, write_text
from reward.errors import UserError


def write_report(recipe: Recipe) -> Path:
    """Write `report.html` of a run, from all of its seeds that have been analysed.

    Args:
        recipe: The experiment.

    Returns:
        Path of the page. It needs no network and no other file.

    Raises:
        UserError: If no seed has been analysed, or descriptions changed since.
        EnvironmentFault: If the page cannot be written.
    """
    run = RunDirectory.of(recipe)
    results, missing = load_results(recipe, run)
    provenance = read_json(run.provenance) if run.provenance.exists() else {}
    page = render(
        recipe,
        results,
        missing_seeds=missing,
        provenance=provenance,
        calibration=read_calibration(run.root, results, complete=not missing),
        images=class_images(recipe),
    )
    write_text(run.report, page)
    said = headline(results)
    print(f"{said.answer.rstrip('.')}. {said.evidence}")
    return run.report


def load_results(recipe: Recipe, run: RunDirectory) -> tuple[list[SeedResult], list[int]]:
    """Read what the stages left.

    Args:
        recipe: Names the seeds.
        run: The run's directory.

    Returns:
        Results of the analysed seeds in the recipe's order, and the seeds that have not been analysed.

    Raises:
        UserError: If no seed has been analysed.
    """
    results, missing = [], []
    for seed in recipe.seeds:
        where = run.seed(seed)
        if not (where.accuracy.exists() and where.breakdown.exists()):
            missing.append(seed)
            continue
        breakdown = read_json(where.breakdown)
        results.append(
            SeedResult(
                seed,
                read_json(where.accuracy),
                breakdown,
                read_jsonl(where.descriptions),
                read_verdicts(where.verdicts, digest=breakdown["judge"]["settings"]),
                _batches(read_jsonl(where.train_log)),
            )
        )
    if not results:
        raise UserError(f"{run.root}: no seed has been analysed; run `ex2 analyze RECIPE` first (ex2 run does all).")
    return results, missing


def _batches(rows: Sequence[JSON]) -> list[JSON]:
    """Keep the last row of each batch: a resumed run may have logged some twice."""
    return [row for _, row in sorted({row.get("batch", number): row for number, row in enumerate(rows, 1)}.items())]


def render(
    recipe: Recipe,
    results: Sequence[SeedResult],
    *,
    missing_seeds: Sequence[int],
    provenance: JSON,
    calibration: Calibration | None = None,
    images: Mapping[str, Sequence[str]] | None = None,
) -> str:
    """Fill the template.

    Args:
        recipe: The experiment.
        results: At least one seed.
        missing_seeds: Seeds of the recipe without results, named on the page.
        provenance: Content of `provenance.json`; any keys.
        calibration: What people said of the judge.
        images: Thumbnails by class name, from `class_images`.

    Returns:
        The page as HTML, with style, script and drawings inside.

    Raises:
        UserError: If a description has no verdict, because descriptions changed since the analysis.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,  # for every template, whatever its name: model text is on the page
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    rows = accuracy_rows(results)
    trust = judge_standing(results, calibration)
    return environment.get_template("report_template.html").render(
        recipe=recipe,
        headline=headline(results),
        facts=_facts(recipe, results, trust),
        tiles=_tiles(results),
        findings=findings(results, calibration),
        flows={policy: breakdown_figure(results, policy) for policy in ("aligned", "base")},
        accuracy_figure=accuracy_figure(rows),
        accuracy_table=accuracy_table(results),
        confusion_table=confusion_table(results),
        training=training_figures(results),
        signs=sign_panel(results),
        rules=recipe.watch.as_rules(),
        fired=fired_rules(recipe.watch.as_rules(), results),
        seed_names=[f"seed {result.seed}" for result in results] + (["all seeds"] if len(results) > 1 else []),
        seed_table=_seed_table(results),
        missing_seeds=list(missing_seeds),
        judge=results[0].breakdown["judge"],
        trust=trust,
        denominators=both_denominators(results),
        panel=panel(results),
        disagreements=[f"seed-{r.seed}/{DISAGREEMENTS}" for r in results] if panel(results) else [],
        usage=usage(results),
        calibration=calibration_tables(calibration),
        stale_calibration=calibration.stale if calibration else "",
        has_images=bool(images),
        denominator=results[0].breakdown["denominator"],
        confidence=f"{100 * confidence(results):g}",
        several_seeds=len(results) > 1,
        recipe_yaml=to_yaml(recipe),
        provenance=_flatten(provenance),
        table=descriptions_table(results, images or {}),
    )


def _facts(recipe: Recipe, results: Sequence[SeedResult], trust: str) -> list[tuple[str, str]]:
    accuracy, judge = results[0].accuracy, results[0].breakdown["judge"]
    ppo = recipe.ppo
    return [
        ("VLM", str(accuracy["vlm"])),
        ("Dataset", f"{accuracy['dataset']}: {accuracy['classes']} classes, {accuracy['images']} test images"),
        ("Language model", recipe.policy.model),
        ("Alignment", f"{recipe.algorithm.upper()}, {ppo.batches} batches of {ppo.batch_size}"),
        ("Seeds", ", ".join(str(result.seed) for result in results)),
        ("Judge", f"{judge['name']} ({trust}), rubric {judge['rubric']}"),
    ]


def _tiles(results: Sequence[SeedResult]) -> list[dict[str, str]]:
    """Four numbers to take away: label, value, what it is compared with, n and interval."""
    tiles = []
    most = max(LEAVES, key=lambda leaf: share.value if (share := share_of(results, "aligned", leaf)) else -1.0)
    kind = headline(results).kind or most
    after, before = share_of(results, "aligned", kind), share_of(results, "base", kind)
    if after:
        note = f"before: {percent(before, 0)}, {count(before)}" if before else "base model not described"
        tiles.append(
            _tile(f"{KIND_NAMES[kind]} descriptions", percent_value(after, 0), percent(after), count(after), note, kind)
        )
    gain = reward_gain(results)
    if gain:
        value = signed(gain).split(" [")[0]
        tiles.append(
            _tile("reward gained", value, signed(gain), count(gain, "pairs"), "same class and question", "all")
        )
    own, change = accuracy_of(results, "aligned"), accuracy_difference(results, "aligned", "templates")
    if own and change:
        note = f"{points(change)} on templates{', not significant' if change.significant is False else ''}"
        tiles.append(_tile("accuracy of EX2", percent_value(own), percent(own), count(own, "images"), note, "all"))
    kl = end_of_training(results, "kl")
    if kl:
        note = f"target {targets[0]:g}" if (targets := _last_values(results, "kl_target")) else "end of training"
        tiles.append(_tile("nats of KL", f"{kl.value:.1f}", plain(kl), count(kl, "batches"), note, "all"))
    return tiles


def _tile(label: str, value: str, full: str, n: str, note: str, css: str) -> dict[str, str]:
    interval = full[full.index("[") :] if "[" in full else "no interval"
    return {"label": label, "value": value, "detail": f"{interval}, {n}", "note": note, "css": css}


def _last_values(results: Sequence[SeedResult], key: str) -> list[float]:
    return [float(row[key]) for result in results for row in result.train[-1:] if row.get(key) is not None]


def _seed_table(results: Sequence[SeedResult]) -> list[tuple[str, list[str]]]:
    """One row per number; first the seeds alone, then all together."""
    columns: list[Sequence[SeedResult]] = [[result] for result in results]
    if len(results) > 1:
        columns.append(results)
    table: list[tuple[str, list[str]]] = []
    for group in GROUPS:
        cells = []
        for column in columns:
            share, change = share_of(column, "aligned", group), share_change(column, group)
            cell = f"{percent(share)}, {count(share)}" if share else "–"
            cells.append(f"{cell}; {points(change)}" if change else cell)
        table.append((f"{KIND_NAMES[group]}, aligned; change", cells))
    for arm in ("templates", "base", "aligned"):
        accuracies = [accuracy_of(column, arm) for column in columns]
        cells = [f"{percent(value)}, {count(value)}" if value else "–" for value in accuracies]
        table.append((f"accuracy, {ARM_NAMES[arm]}", cells))
    changes = [accuracy_difference(column, "aligned", "templates") for column in columns]
    cells = [f"{points(value)}; {significance(value)}".removesuffix("; ") if value else "–" for value in changes]
    table.append(("accuracy, EX2 minus templates", cells))
    gains = [reward_gain(column) for column in columns]
    table.append(("reward gained", [f"{signed(gain)}, {count(gain, 'pairs')}" if gain else "–" for gain in gains]))
    for name, key in (("reward at the end", "reward_mean"), ("KL at the end, nats", "kl")):
        reached = [end_of_training(column, key) for column in columns]
        table.append((name, [f"{plain(end)}, {count(end, 'batches')}" if end else "–" for end in reached]))
    return table


def _flatten(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Turn nested JSON into rows of dotted key and text."""
    if isinstance(value, dict):
        return [row for key, item in value.items() for row in _flatten(item, f"{prefix}.{key}" if prefix else str(key))]
    return [(prefix, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))]
