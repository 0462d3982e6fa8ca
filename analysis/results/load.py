"""Reads what the stages stored of a run's seeds; only seeds that were analysed in the same way can be pooled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from analysis.accuracy.record import Accuracy, read_accuracy
from analysis.statistics.intervals import IntervalSettings
from analysis.verdicts.record import Breakdown, read_breakdown
from analysis.verdicts.verdicts import Kind, Verdicts, read_verdicts
from ex2.recipe import Recipe
from ex2.run.descriptions import Description, stored_descriptions
from ex2.run.directory import RunDirectory, SeedDirectory
from ex2.run.made import require
from ex2.run.manifest import read_manifest
from ex2.run.training_log import read_train_log
from reward.errors import UserError
from reward.files import JSON

ALIKE: dict[str, Callable[[SeedResult], object]] = {
    "vlm": lambda result: result.accuracy.vlm,
    "VLM's weights (vlm_fingerprint)": lambda result: result.accuracy.vlm_fingerprint,
    "dataset": lambda result: result.accuracy.dataset,
    "test_split": lambda result: result.accuracy.split,
    "test images": lambda result: result.accuracy.images,
    "classes": lambda result: result.accuracy.classes,
    "judge.name": lambda result: result.breakdown.judge.name,
    "judge's settings": lambda result: result.breakdown.judge.settings,
    "judge's rubric": lambda result: result.breakdown.judge.rubric,
    "analysis.denominator": lambda result: result.breakdown.denominator,
    "analysis.confidence": lambda result: result.accuracy.confidence,
    "analysis.confidence of the shares": lambda result: result.breakdown.confidence,
    "analysis.bootstrap_samples": lambda result: result.accuracy.samples,
}
"""What must be the same in all seeds for a mean over them to make sense: name → how to get it from a seed's result."""


def load_results(recipe: Recipe, run: RunDirectory) -> tuple[list[SeedResult], list[int]]:
    """Read what the stages stored of a run's seeds.

    Args:
        recipe: The recipe, which names the seeds.
        run: The run's directory.

    Returns:
        Results of the analysed seeds in the recipe's order, and the seeds that have not been analysed.

    Raises:
        UserError: If no seed has been analysed, if one has been analysed only in part, or if seeds were analysed
            differently.
    """
    results, missing = [], []
    for seed in recipe.seeds:
        where = run.seed(seed)
        found = where.accuracy.exists() and where.breakdown.exists()
        if not found and read_manifest(where.root, "analyze") is None:
            missing.append(seed)
            continue
        require(recipe, where, "describe", "analyze")
        breakdown = read_breakdown(where.breakdown)
        results.append(
            SeedResult(
                seed,
                read_accuracy(where.accuracy),
                breakdown,
                _analyzed_descriptions(where, breakdown),
                read_verdicts(where.verdicts, digest=breakdown.judge.settings),
                read_train_log(where),
            )
        )
    if not results:
        raise UserError(f"{run.root}: no seed has been analysed; run `ex2 analyze RECIPE` first (ex2 run does all).")
    torn = [r.seed for r in results if r.accuracy.analysis_id != r.breakdown.analysis_id]
    if torn:
        raise UserError(
            f"{run.root}: {_named(torn)}: accuracy.json and breakdown.json are of two analyses, the later of which was "
            f"interrupted; run `ex2 analyze RECIPE --seeds {','.join(map(str, torn))}` again."
        )
    differences = unlike(results)
    if differences:
        raise UserError(
            "\n  ".join([f"{run.root}: the seeds were not analysed alike, so that no mean can be taken:", *differences])
            + "\nRun `ex2 analyze RECIPE` again, for all seeds; verdicts that are in their logs are not asked again."
        )
    return results, missing


def _analyzed_descriptions(where: SeedDirectory, breakdown: Breakdown) -> list[Description]:
    """Return the descriptions that an analysis was made of, after checking that the file still has as many."""
    descriptions = stored_descriptions(where, finished=True)
    counts = Counter(one.policy for one in descriptions)
    for name, policy in breakdown.policies.items():
        if counts[name] != policy.descriptions:
            raise UserError(
                f"{where.descriptions}: line {len(descriptions)}: ends after {counts[name]} descriptions of the policy "
                f"{name}, but {policy.descriptions} were analysed; put the file back, or run `ex2 run RECIPE`."
            )
    return descriptions


def unlike(results: Sequence[SeedResult]) -> list[str]:
    """Name everything that differs between seeds although it must not, with each value and its seeds."""
    found = []
    for name, value_of in ALIKE.items():
        seeds: dict[object, list[int]] = {}
        for result in results:
            seeds.setdefault(value_of(result), []).append(result.seed)
        if len(seeds) > 1:
            found.append(f"{name}: " + "; ".join(f"{value} ({_named(which)})" for value, which in seeds.items()))
    return found


def _named(seeds: Sequence[int]) -> str:
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"


@dataclass(frozen=True)
class SeedResult:
    """What the stages stored of one seed.

    Attributes:
        seed: The seed.
        accuracy: Content of `accuracy.json`.
        breakdown: Content of `breakdown.json`.
        descriptions: Descriptions of all policies.
        verdicts: Verdicts of the judge that `breakdown` names.
        train: Rows of `train.jsonl`; may be empty.
    """

    seed: int
    accuracy: Accuracy
    breakdown: Breakdown
    descriptions: list[Description]
    verdicts: Verdicts
    train: list[JSON]

    def kind(self, description: Description) -> Kind:
        """Return what the verdicts make of one of the descriptions.

        Raises:
            UserError: If the description has no verdict, because descriptions changed since the analysis.
        """
        try:
            return self.verdicts.kind(*description.of_class)
        except KeyError as error:
            raise UserError(
                f"seed {self.seed}: a description of '{description.class_name}' has no verdict: descriptions or "
                "verdicts changed since the analysis; run `ex2 analyze RECIPE` again."
            ) from error


def confidence_of(results: Sequence[SeedResult]) -> float:
    """Return the confidence of the run's intervals."""
    return float(results[0].accuracy.confidence)


def settings_of(results: Sequence[SeedResult]) -> IntervalSettings:
    """Return how the run's intervals were made."""
    first, usual = results[0].accuracy, IntervalSettings()
    return IntervalSettings(
        confidence_of(results),
        usual.samples if first.samples is None else first.samples,
        usual.seed if first.seed is None else first.seed,
    )
