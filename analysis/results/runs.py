"""Run directories as experiments: finds them on disk, reads them, and pools their seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from analysis.accuracy.cross_record import CrossRow, read_cross
from analysis.results.experiment import Example, Experiment
from analysis.results.kl import kl_with_cut
from analysis.results.load import SeedResult, load_results, settings_of
from analysis.results.pooling import Difference, Pooled, as_denominator, pool_accuracies, pool_differences
from analysis.results.seeds import pool_seeds
from analysis.verdicts.breakdown import Denominator
from ex2.recipe import Recipe
from ex2.recipe_io import read_stored_recipe
from ex2.run.descriptions import LabeledText, digest_of
from ex2.run.directory import RunDirectory, _named_and_below
from reward.errors import UserError
from reward.files import T

CROSS = "cross.json"
"""Name of the file in a seed's folder that holds other VLMs' accuracies with the seed's descriptions, from `ex2
cross`."""


@dataclass(frozen=True)
class Run:
    """A run directory that has been analysed.

    Attributes:
        directory: The run's paths.
        recipe: The recipe that was run, with all its settings.
        results: Results of the analysed seeds.
        missing: Seeds of the recipe that have not been analysed.
    """

    directory: RunDirectory
    recipe: Recipe
    results: Sequence[SeedResult]
    missing: Sequence[int]


def read_run(folder: Path) -> Run:
    """Read an analysed run.

    Raises:
        UserError: If the run's files are broken, if no seed has been analysed, or if seeds were analysed differently.
    """
    directory = RunDirectory(folder)
    recipe = read_stored_recipe(directory.recipe)
    results, missing = load_results(recipe, directory)
    return Run(directory, recipe, results, missing)


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """Read several runs.

    Raises:
        UserError: If a run cannot be read; the message lists the problems of all such runs.
    """
    runs, problems = [], []
    for folder in folders:
        try:
            runs.append(read_run(folder))
        except UserError as error:
            problems.append(str(error))
    if problems:
        raise UserError("\n".join(problems))
    return runs


def gather_runs(paths: Sequence[Path]) -> tuple[list[Run], list[str]]:
    """Read the runs that are named or lie below a named folder.

    Args:
        paths: Run directories, or folders that hold some at any depth.

    Returns:
        The runs, and a sentence for each run below a named folder that had to be left out, such as one not analysed
        yet.

    Raises:
        UserError: If a run that was named cannot be read, or if no run below the folders can.
    """
    named, below = _named_and_below(paths)
    runs, left_out = read_runs(named), []
    for folder in below:
        try:
            runs.append(read_run(folder))
        except UserError as error:
            left_out.append(str(error))
    if not runs:
        raise UserError("\n".join(left_out))
    return runs, left_out


def stored_results(
    runs: Sequence[Run], read: Callable[[RunDirectory], tuple[T | None, str]], lacking: str
) -> tuple[list[T], list[str]]:
    """Return the stored results of a command in the runs' folders, and sentences on the runs that have none.

    Args:
        runs: The runs, in the order that the results will have.
        read: Reads a run's stored result: returns the result and "", or `None` and what is wrong ("" if nothing is
            stored).
        lacking: What to say, after its name, of a run with nothing stored.
    """
    results, left_out = [], []
    for run in runs:
        content, problem = read(run.directory)
        if content is not None:
            results.append(content)
        else:
            left_out.append(problem or f"{run.recipe.name}: {lacking}")
    return results, left_out


def with_denominator(run: Run, denominator: Denominator | None) -> Run:
    """Return a run with all of its shares by the given denominator; `None` leaves them as they were analysed."""
    if denominator is None:
        return run
    return replace(run, results=[as_denominator(result, denominator) for result in run.results])


def experiment_of(run: Run, denominator: Denominator | None = None) -> Experiment:
    """Pool a run's seeds.

    Args:
        run: An analysed run.
        denominator: Denominator of the shares; `None` takes the one that the run was analysed with.
    """
    run = with_denominator(run, denominator)
    cross, changes = _cross(run)
    pooled = pool_seeds(run.recipe.name, run.results)
    return replace(
        pooled,
        kl=kl_with_cut(pooled.kl, run.recipe),
        kl_setting=None if run.recipe.rl.kl.controller == "fixed" else run.recipe.rl.kl.target,
        cross=cross,
        cross_differences=changes,
        examples=examples_of(run.results[0]),
        folder=run.directory.root,
        missing_seeds=tuple(run.missing),
    )


def aligned_texts(result: SeedResult) -> list[LabeledText]:
    """Return the class index and text of each aligned description that is not empty."""
    return [one.of_label for one in result.descriptions if one.policy == "aligned" and not one.is_empty]


def stored_cross(path: Path, texts: Sequence[LabeledText]) -> tuple[CrossRow, ...]:
    """Return the rows that `ex2 cross` stored for these descriptions; none if the file is of other descriptions.

    Raises:
        UserError: If the file is not JSON, or lacks what every version of `ex2 cross` has written.
    """
    if not path.exists():
        return ()
    content = read_cross(path)
    return content.classifiers if content.descriptions == digest_of(texts) else ()


def _cross(run: Run) -> tuple[dict[str, Pooled], dict[str, Difference]]:
    """Pool what `ex2 cross` stored in the seeds' folders, by the classifier's shown name."""
    rows: dict[str, list[CrossRow]] = {}
    for result in run.results:
        for row in stored_cross(run.directory.seed(result.seed).root / CROSS, aligned_texts(result)):
            rows.setdefault(row.fingerprint, []).append(row)
    shown = [found[0].vlm for found in rows.values()]
    names = {
        fingerprint: name if shown.count(name) == 1 else f"{name} ({fingerprint[:8]})"
        for (fingerprint, found), name in zip(rows.items(), shown, strict=True)
    }
    settings = settings_of(run.results)
    accuracies = {
        names[key]: number
        for key, found in rows.items()
        if (number := pool_accuracies([row.hits for row in found], settings.confidence))
    }
    changes: dict[str, Difference] = {}
    for key, found in rows.items():
        compared = [(row.hits, row.against_own) for row in found if row.against_own]
        parts = [own.paired for _, own in compared]
        bits = [(hits.correct_bits, own.own_correct_bits) for hits, own in compared]
        change = pool_differences(parts, bits, settings)
        if change:
            changes[names[key]] = change
    return accuracies, changes


def examples_of(result: SeedResult) -> tuple[Example, ...]:
    """Return the first aligned description of each class and question that is not empty.

    Raises:
        UserError: If a description has no verdict, because descriptions changed since the analysis.
    """
    kept: dict[tuple[str, int], Example] = {}
    for number, one in enumerate(result.descriptions):
        key = (one.class_name, number if one.question_id is None else one.question_id)
        if one.policy == "aligned" and key not in kept and not one.is_empty:
            kept[key] = Example(*key, one.question, one.text, result.kind(one), one.reward)
    return tuple(kept.values())
