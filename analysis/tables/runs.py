"""Run directories as experiments: found on disk, read, their seeds pooled."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.accuracy import LabeledText
from analysis.breakdown import Denominator
from analysis.judging import is_empty
from analysis.pooling import Difference, Pooled, SeedResult, accuracy_difference, accuracy_of, confidence
from analysis.pooling import end_of_training as end_of
from analysis.report import load_results
from analysis.statistics import mean_t
from analysis.tables.experiment import Counts, Example, Experiment
from ex2.recipe import Recipe
from ex2.recipe_io import read_recipe
from ex2.run_dir import JSON, RunDirectory, read_json
from reward.errors import UserError

CROSS = "cross.json"
"""In a seed's folder: accuracy of other runs' VLMs with its descriptions, written by `ex2 cross`."""


@dataclass(frozen=True)
class Run:
    """A run directory that has been analysed.

    Attributes:
        directory: Its paths.
        recipe: As resolved when it was run.
        results: Of the analysed seeds.
        missing: Seeds of the recipe that have not been analysed.
    """

    directory: RunDirectory
    recipe: Recipe
    results: Sequence[SeedResult]
    missing: Sequence[int]


def find_runs(paths: Sequence[Path]) -> list[Path]:
    """Return the run directories that are named, or lie below a named folder.

    Args:
        paths: Run directories, or folders that hold some at any depth.

    Returns:
        Directories with a `recipe.yaml`, each once, those below a folder sorted.

    Raises:
        UserError: Naming every path that is not there or holds no run.
    """
    found: dict[Path, None] = {}
    problems = []
    for path in paths:
        if (path / "recipe.yaml").is_file():
            found[path] = None
            continue
        below = sorted(file.parent for file in path.rglob("recipe.yaml")) if path.is_dir() else []
        if not below:
            what = "holds no run" if path.is_dir() else "is no folder" if path.exists() else "not found"
            problems.append(f"{path}: {what}; give a run's folder (it holds recipe.yaml) or a folder of such.")
        found |= dict.fromkeys(below)
    if problems:
        raise UserError("\n".join(problems))
    return list(found)


def read_run(folder: Path) -> Run:
    """Read an analysed run.

    Raises:
        UserError: If its files are broken, or no seed has been analysed.
    """
    directory = RunDirectory(folder)
    recipe = read_recipe(directory.recipe)
    results, missing = load_results(recipe, directory)
    return Run(directory, recipe, results, missing)


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """Read several runs.

    Raises:
        UserError: With the problems of all runs that cannot be read.
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


def experiment_of(run: Run, denominator: Denominator | None = None) -> Experiment:
    """Pool a run's seeds.

    Args:
        run: Analysed.
        denominator: Of the shares; default: the one it was analysed with.
    """
    results = run.results
    first = results[0].accuracy
    arms = dict.fromkeys(arm for result in results for arm in result.accuracy["arms"])
    pairs = dict.fromkeys((part["arm"], part["against"]) for r in results for part in r.accuracy["differences"])
    target = end_of(results, "kl_target")
    cross, changes = _cross(run)
    return Experiment(
        name=run.recipe.name,
        vlm=str(first["vlm"]),
        dataset=str(first["dataset"]),
        accuracies={arm: number for arm in arms if (number := accuracy_of(results, arm))},
        differences={pair: change for pair in pairs if (change := accuracy_difference(results, *pair))},
        counts=tuple(count for result in results if (count := counts_of(result))),
        denominator=denominator or results[0].breakdown["denominator"],
        confidence=confidence(results),
        kl=end_of(results, "kl"),
        kl_target=target.value if target else None,
        kl_setting=None if run.recipe.ppo.kl.controller == "fixed" else run.recipe.ppo.kl.target,
        cross=cross,
        cross_differences=changes,
        examples=_examples(results[0]),
        folder=run.directory.root,
    )


def counts_of(result: SeedResult) -> Counts | None:
    """Return one seed's counts of aligned descriptions, or `None` if only the base model was described."""
    part = result.breakdown["policies"].get("aligned")
    if part is None:
        return None
    kinds = part["kinds"]
    informative = kinds["visual"] + kinds["non_visual"] + kinds["informative_unparsed"]
    return Counts(part["descriptions"], kinds["spurious"], informative, kinds["visual"], kinds["non_visual"])


def aligned_texts(result: SeedResult) -> list[LabeledText]:
    """Return the class index and text of each aligned description that is not empty."""
    rows = (row for row in result.descriptions if row["policy"] == "aligned" and not is_empty(row["text"]))
    return [(int(row["label"]), row["text"]) for row in rows]


def texts_digest(texts: Sequence[LabeledText]) -> str:
    """Return a hash of labelled texts in order: what was measured of others is not taken for theirs."""
    return hashlib.sha256(json.dumps(texts, ensure_ascii=False).encode()).hexdigest()[:16]


def stored_cross(path: Path, texts: Sequence[LabeledText]) -> list[JSON]:
    """Return what `ex2 cross` kept of these descriptions; nothing of others that the file may hold."""
    if not path.exists():
        return []
    content: JSON = read_json(path)
    rows: list[JSON] = content["classifiers"]
    return rows if content["descriptions"] == texts_digest(texts) else []


def _cross(run: Run) -> tuple[dict[str, Pooled], dict[str, Difference]]:
    """Pool what `ex2 cross` left in the seeds, by the classifier's shown name."""
    rows: dict[str, list[JSON]] = {}
    for result in run.results:
        for row in stored_cross(run.directory.seed(result.seed).root / CROSS, aligned_texts(result)):
            rows.setdefault(row["fingerprint"], []).append(row)
    shown = [found[0]["vlm"] for found in rows.values()]
    names = {
        fingerprint: name if shown.count(name) == 1 else f"{name} ({fingerprint[:8]})"
        for (fingerprint, found), name in zip(rows.items(), shown, strict=True)
    }
    coverage = confidence(run.results)
    accuracies = {names[key]: _pooled_accuracy(found, coverage) for key, found in rows.items()}
    changes = {
        names[key]: change
        for key, found in rows.items()
        if (change := _pooled_difference([row["against_own"] for row in found if row["against_own"]], coverage))
    }
    return accuracies, changes


def _pooled_accuracy(rows: Sequence[JSON], coverage: float) -> Pooled:
    n, correct = rows[0]["n"], sum(row["correct"] for row in rows)
    if len(rows) == 1:
        return Pooled(rows[0]["accuracy"], rows[0]["low"], rows[0]["high"], n, 1, correct, shared=True)
    over = mean_t([row["accuracy"] for row in rows], coverage)
    return Pooled(over.value, over.low, over.high, n, len(rows), correct, shared=True)


def _pooled_difference(rows: Sequence[JSON], coverage: float) -> Difference | None:
    if not rows:
        return None
    n = rows[0]["n"]
    if len(rows) == 1:
        part = rows[0]
        significant = part["p"] < 1 - coverage
        return Difference(part["difference"], part["low"], part["high"], significant, part["p"], n, 1, True)
    over = mean_t([row["difference"] for row in rows], coverage)
    apart = None if over.low is None or over.high is None else over.low > 0 or over.high < 0
    return Difference(over.value, over.low, over.high, apart, None, n, len(rows), True)


def _examples(result: SeedResult) -> tuple[Example, ...]:
    """Keep the first description of each class and question that is neither empty nor left unjudged."""
    kept: dict[tuple[str, int], Example] = {}
    for number, row in enumerate(result.descriptions):
        key = (row["class"], int(row.get("question_id", number)))
        if row["policy"] != "aligned" or key in kept or is_empty(row["text"]):
            continue
        try:
            kind = result.verdicts.kind(row["class"], row["text"])
        except KeyError as error:
            raise UserError(
                f"seed {result.seed}: a description of '{row['class']}' has no verdict: descriptions or verdicts "
                "changed since the analysis; run `ex2 analyze RECIPE` again."
            ) from error
        kept[key] = Example(*key, row.get("question", ""), row["text"], kind, row.get("reward"))
    return tuple(kept.values())
