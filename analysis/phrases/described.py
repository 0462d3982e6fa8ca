"""Finds and reads the runs whose descriptions are mined, and says what they lack."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from analysis.phrases.record import PhraseRun
from analysis.phrases.stored import descriptions_digest
from analysis.results.kl import kl_of_run
from ex2.policy.source import POLICIES
from ex2.recipe import Recipe
from ex2.recipe_io import read_stored_recipe
from ex2.run.descriptions import Description, stored_descriptions
from ex2.run.directory import RunDirectory, find_runs
from ex2.run.made import require
from reward.errors import UserError


@dataclass(frozen=True)
class DescribedRun:
    """A run whose descriptions are mined.

    Attributes:
        recipe: The recipe that was run, with all its settings.
        descriptions: Descriptions of the seeds that both policies described.
        directory: The run's paths.
        name: The recipe's name, with the folder if several runs have that name.
        seeds: Seeds that the descriptions are from.
        missing: Seeds of the recipe that at least one policy did not describe.
    """

    recipe: Recipe
    descriptions: list[Description]
    directory: RunDirectory
    name: str
    seeds: tuple[int, ...] = ()
    missing: tuple[int, ...] = ()

    def stored(self, confidence: float, *, mined: bool) -> PhraseRun:
        """Return the record that is stored of the run beside the results.

        Args:
            confidence: Coverage of the KL's interval, in (0, 1).
            mined: Whether the descriptions were mined; if not, the results do not depend on them.
        """
        return PhraseRun(
            run=self.name,
            vlm=self.recipe.vlm.name,
            seeds=self.seeds,
            missing_seeds=self.missing if mined else (),
            texts=descriptions_digest(self.directory, self.seeds) if mined else None,
            kl=kl_of_run(self.directory, self.recipe, self.seeds, confidence) if mined else None,
        )


def gather_described(paths: Sequence[Path], *, needed: bool) -> tuple[list[DescribedRun], list[str]]:
    """Read the runs that are named or lie below a named folder.

    Args:
        paths: Run directories, or folders that hold some at any depth.
        needed: Whether a run must have descriptions of both policies for at least one seed.

    Returns:
        The runs, and a sentence for each run below a named folder that had to be left out.

    Raises:
        UserError: If a run that was named cannot be used, or if no run below the folders can.
    """
    named = {path.resolve() for path in paths if (path / "recipe.yaml").is_file()}
    runs: list[DescribedRun] = []
    problems: list[str] = []
    left_out: list[str] = []
    for folder in find_runs(paths):
        try:
            runs.append(_read(folder, needed=needed))
        except UserError as error:
            (problems if folder.resolve() in named else left_out).append(str(error))
    if problems or not runs:
        raise UserError("\n".join(problems or left_out))
    names = Counter(run.name for run in runs)
    return [
        replace(run, name=f"{run.name} ({run.directory.root})") if names[run.name] > 1 else run for run in runs
    ], left_out


def _read(folder: Path, *, needed: bool) -> DescribedRun:
    directory = RunDirectory(folder)
    recipe = read_stored_recipe(directory.recipe)
    for seed in recipe.seeds:
        require(recipe, directory.seed(seed), "describe")
    by_seed = {seed: stored_descriptions(directory.seed(seed)) for seed in recipe.seeds}
    said = {seed: {one.policy for one in own} for seed, own in by_seed.items()}
    seeds = tuple(seed for seed in recipe.seeds if said[seed].issuperset(POLICIES))
    if needed and not seeds:
        missing = [policy for policy in reversed(POLICIES) if not any(policy in found for found in said.values())]
        lacking = "no seed has descriptions by both policies"
        if missing:
            lacking = f"no descriptions by the {' and the '.join(missing)} policy"
        raise UserError(
            f"{folder}: {lacking}, which mining compares; run `ex2 describe` with describe.policies=[base, aligned], "
            "or give --templates and --top 0."
        )
    descriptions = [one for seed in seeds for one in by_seed[seed]]
    return DescribedRun(
        recipe, descriptions, directory, recipe.name, seeds, tuple(s for s in recipe.seeds if s not in seeds)
    )
