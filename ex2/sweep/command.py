"""`ex2 sweep`: a grid of recipes × seeds, resumable, each run in a process of its own."""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from ex2.checks.sets import examine_sets
from ex2.checks.validate import AnalysisChecks, Depth, examine
from ex2.recipe import Recipe
from ex2.recipe_io import is_of_sets, read_recipe, read_set_recipe
from ex2.run.directory import RunDirectory
from ex2.set_recipe import SetRecipe
from ex2.sweep.display import LiveDisplay, PlainDisplay, Row, display
from ex2.sweep.engines import Engine, start_engine
from ex2.sweep.jobs import Job, duration, is_done, progress, read_record
from reward.errors import EX2Error, UserError
from reward.terminal import PlainConsole

POLL_SECONDS = 0.5
AnyRecipe = Recipe | SetRecipe
NOT_IN_DIGEST = {"seeds", "output_dir", "threads", "training", "resources"}
"""Sections of a recipe without influence on a seed's results; they do not enter a job's digest."""
NOT_IN_SETS_DIGEST = {"output_dir", "threads"}
"""The same of a recipe of image sets."""
MEASURES = "measures.json"
"""What a recipe of image sets ends with, in its run directory."""


def main(options: argparse.Namespace, analysis: AnalysisChecks) -> int:
    """Run the grid that the command line names.

    Args:
        options: `recipes`, `seeds`, `overrides`, `engine` and `accelerate_config` of the command line.
        analysis: Checks of `analysis`, which looks at what a run needs before the first one starts.

    Returns:
        Exit status: 0 if every run is done, 1 if any failed.

    Raises:
        UserError: If a recipe is faulty or two recipes have the same run directory; the message has all problems.
        KeyboardInterrupt: If the sweep is interrupted; raised after all child processes have ended.
    """
    overrides = list(options.overrides)
    seeds = list(options.seeds or ())
    # Other machines do what Ray is given: this one's disk, memory and keys say nothing of theirs.
    depth: Depth = "all" if options.engine == "local" else "settings"
    recipes = read_grid(options.recipes, overrides, analysis.judges, analysis, depth, seeds)
    jobs = [
        job
        for path, recipe in recipes
        for job in make_jobs(path, recipe, words_for(recipe, overrides, seeds), options.accelerate_config)
    ]
    console = PlainConsole()
    engine = start_engine(options.engine)
    try:
        with display(console) as shown:
            rows = run_jobs(jobs, engine, shown)
    finally:
        engine.stop()
    failed = [row for row in rows if row.state == "failed"]
    for row in failed:
        console.print(f"{row.job.label}: log in {row.job.log}", markup=False, highlight=False, soft_wrap=True)
    reported = [_report(path, recipe, words_for(recipe, overrides, seeds), rows, console) for path, recipe in recipes]
    return 0 if not failed and all(reported) else 1


def read_grid(
    paths: Sequence[str],
    overrides: Sequence[str],
    judges: Mapping[str, str],
    analysis: AnalysisChecks | None = None,
    depth: Depth = "settings",
    seeds: Sequence[int] = (),
) -> list[tuple[str, AnyRecipe]]:
    """Read and check every recipe; return each with its path.

    Args:
        paths: The recipes' files.
        overrides: Words `section.key=value`.
        judges: Judges that a recipe can name: name → `"module:class"`.
        analysis: Checks of `analysis`; None leaves them out.
        depth: How far to look, see `ex2.checks.validate.examine`.
        seeds: Seeds instead of each recipe's own; empty for these.

    Raises:
        UserError: If a recipe has problems; the message has those of all recipes, one per line.
    """
    problems: list[str] = []
    recipes: list[tuple[str, AnyRecipe]] = []
    owners: dict[Path, str] = {}
    for path in paths:
        recipe: AnyRecipe
        try:
            if is_of_sets(path):
                recipe = read_set_recipe(path, [*overrides, *_seeds_word(seeds, "images.seeds")])
                problems += examine_sets(recipe, path, depth=depth).problems
            else:
                recipe = read_recipe(path, [*overrides, *_seeds_word(seeds, "seeds")])
                problems += examine(recipe, path, analysis or AnalysisChecks(judges), depth=depth).problems
        except EX2Error as error:
            problems += str(error).splitlines()
            continue
        root = RunDirectory.of(recipe).root
        if root in owners:
            problems.append(
                f"{path}: its run directory {root} is also that of {owners[root]}; give one of them another name."
            )
        owners.setdefault(root, path)
        recipes.append((path, recipe))
    if problems:
        raise UserError("\n".join(dict.fromkeys(problems)))
    return recipes


def words_for(recipe: AnyRecipe, overrides: Sequence[str], seeds: Sequence[int]) -> list[str]:
    """Return the words `section.key=value` of a recipe's command, seeds among them if they are not its own."""
    return [*overrides, *_seeds_word(seeds, "images.seeds" if isinstance(recipe, SetRecipe) else "seeds")]


def _seeds_word(seeds: Sequence[int], key: str) -> list[str]:
    return [f"{key}={list(seeds)}"] if seeds else []


def make_jobs(
    path: str, recipe: AnyRecipe, overrides: Sequence[str], accelerate_config: str | None = None
) -> list[Job]:
    """Return one job per seed of a recipe; of a recipe of image sets one, which no launcher of training starts."""
    if isinstance(recipe, SetRecipe):
        return [_sets_job(path, recipe, overrides)]
    settings = recipe.model_dump(mode="json", exclude=NOT_IN_DIGEST)
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]
    launcher = ["--accelerate-config", accelerate_config] if accelerate_config else []
    words = [sys.executable, "-m", "ex2.cli", "run", path, *overrides, "--no-report", *launcher]
    return [
        Job(
            name=recipe.name,
            seed=seed,
            command=(*words, "--seeds", str(seed)),
            root=RunDirectory.of(recipe).root.absolute(),
            folder=Path.cwd(),
            digest=digest,
            batches=recipe.rl.batches,
            gpus=recipe.resources.gpus,
            cpus=recipe.resources.cpus,
        )
        for seed in recipe.seeds
    ]


def _sets_job(path: str, recipe: SetRecipe, overrides: Sequence[str]) -> Job:
    settings = recipe.model_dump(mode="json", exclude=NOT_IN_SETS_DIGEST)
    return Job(
        name=recipe.name,
        seed=0,
        command=(sys.executable, "-m", "ex2.cli", "run", path, *overrides, "--no-report"),
        root=RunDirectory.of(recipe).root.absolute(),
        folder=Path.cwd(),
        digest=hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16],
        batches=0,
        result=MEASURES,
    )


def run_jobs(jobs: Sequence[Job], engine: Engine, shown: LiveDisplay | PlainDisplay) -> list[Row]:
    """Do every job that is not done yet, and show the state of each; the failure of one does not stop the others.

    Returns:
        The rows as they were last shown; the state of each is done, failed or skipped.
    """
    sweep = uuid.uuid4().hex
    rows = {(job.name, job.seed): Row(job, "skipped", "done before") if is_done(job) else Row(job) for job in jobs}
    shown.update(list(rows.values()))
    engine.start([row.job for row in rows.values() if row.state == "waiting"], sweep)
    while any(row.state in ("waiting", "running") for row in rows.values()):
        for job, outcome in engine.poll(POLL_SECONDS):
            row = rows[job.name, job.seed]
            took = duration(read_record(job).get("seconds", time.time() - row.since))
            row.state, row.detail = ("done", took) if outcome.status == 0 else ("failed", outcome.error)
        for row in rows.values():
            if row.state in ("waiting", "running"):
                _refresh(row, engine, sweep)
        shown.update(list(rows.values()))
    return list(rows.values())


def _refresh(row: Row, engine: Engine, sweep: str) -> None:
    record = read_record(row.job)
    if record.get("sweep") == sweep:
        row.state, row.since = "running", float(record["started"])
        row.detail = progress(row.job, row.since)
    else:
        row.detail = engine.note(row.job)


def _report(path: str, recipe: AnyRecipe, overrides: Sequence[str], rows: Sequence[Row], console: Console) -> bool:
    """Write a recipe's report if all of its seeds are done; return False if the report cannot be written."""
    mine = [row.state for row in rows if row.job.name == recipe.name]
    run = RunDirectory.of(recipe)
    if "failed" in mine or ("done" not in mine and run.report.is_file()):
        return True
    command = [sys.executable, "-m", "ex2.cli", "report", path, *overrides]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    said = (ended.stdout if ended.returncode == 0 else ended.stderr).strip()
    console.print(said, markup=False, highlight=False, soft_wrap=True)
    return ended.returncode == 0
