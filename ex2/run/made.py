"""Whether a run's output fits the recipe that goes on with it: what every later stage and every reader asks first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ex2.recipe import Recipe
from ex2.recipe_io import read_stored_recipe
from ex2.run.directory import ADAPTER_DONE, RunDirectory, SeedDirectory
from ex2.run.manifest import (
    ABSENT,
    MENDS,
    Difference,
    file_problems,
    flat_recipe,
    not_checked,
    path_of,
    read_manifest,
    recipe_differences,
    refuse,
    shown,
)
from reward.errors import UserError
from reward.file_digests import FileDigest

TEST_IMAGES = "the test images"
"""Name of an input of `analyze`: the images that accuracy is measured on."""
STAGES = ("train", "describe", "analyze")


def require(recipe: Recipe, where: SeedDirectory, *stages: str) -> None:
    """Check that a seed's output of some stages was made with this recipe, is complete, and is as its stages left it.

    Args:
        recipe: The recipe that goes on with the output: the user's, or the one that the run keeps.
        where: The seed's folder.
        stages: The stages whose output is read; the recipe is compared with those of the earlier ones too.

    Raises:
        UserError: If a key of the recipe, a file, or an input of a stage differs; one line for each.
    """
    now = flat_recipe(recipe)
    found: dict[str, Difference] = {}  # the stages after one were made with its values
    problems: list[str] = []
    for stage in STAGES[: max(STAGES.index(stage) for stage in stages) + 1]:
        manifest = read_manifest(where.root, stage)
        if manifest is None or manifest.unchecked:
            if stage in stages and _output(where, stage).exists():
                not_checked(where.root)
            if manifest is None:
                continue
        for one in recipe_differences(manifest, now):
            found.setdefault(one.name, one)
        if stage not in stages:
            continue
        if not manifest.complete:
            problems.append(f"{where.root}: {stage} has not finished; run `ex2 {stage} RECIPE` (ex2 run does all).")
        problems += file_problems(where.root, manifest, MENDS[stage])
    refuse(where.root, [*found.values()])
    problems += _chain_problems(where, stages)
    if problems:
        raise UserError("\n".join(problems))


def require_stored(run: RunDirectory, seed: int, *stages: str) -> None:
    """Check a seed's output as `require` does, with the recipe that the run keeps; it is read only if it is needed.

    Args:
        run: The run's directory.
        seed: The seed.
        stages: The stages whose output is read.

    Raises:
        UserError: If a key of the recipe, a file, or an input of a stage differs; one line for each.
    """
    where = run.seed(seed)
    if any(path_of(where.root, stage).exists() for stage in STAGES):
        require(read_stored_recipe(run.recipe), where, *stages)
    else:
        not_checked(where.root)


def outgrown(recipe: Recipe) -> list[str]:
    """Return a line for each seed whose descriptions are of a policy that the recipe trains further.

    Such a run would train, and only then refuse to describe.
    """
    found = []
    for seed in recipe.seeds:
        where = RunDirectory.of(recipe).seed(seed)
        if not where.descriptions.is_file() or "aligned" not in recipe.describe.policies:
            continue
        trained, described = (read_manifest(where.root, stage) for stage in ("train", "describe"))
        had = None if trained is None else trained.recipe.get("rl.batches")
        if described is not None and isinstance(had, int) and had < recipe.rl.batches:
            found.append(
                f"{where.descriptions}: is of the policy after rl.batches={had}, now {recipe.rl.batches}; move it away "
                "to describe anew, or go on with what was used."
            )
    return found


def used_otherwise(recipe: Recipe, where: SeedDirectory) -> list[str]:
    """Return what a seed's stages used of the keys that may change, where it is not what the recipe says.

    Returns:
        Sentences such as `analyze used judge.name=openai`, one for each stage and key.
    """
    now = flat_recipe(recipe)
    found = []
    for stage in STAGES:
        manifest = read_manifest(where.root, stage)
        for key, value in {} if manifest is None else manifest.used.items():
            if key not in ELSEWHERE and now.get(key, ABSENT) != value:
                found.append(f"{stage} used {key}={shown(value)}")
    return found


ELSEWHERE = ("name", "seeds", "output_dir")
"""Keys that only say where a run lies: another value says nothing of how its output was made."""


def require_images(where: Sequence[SeedDirectory], images: str, then: str) -> None:
    """Check that the test images are those that seeds were analysed with; one that was not analysed has used none.

    Args:
        where: The seeds' folders.
        images: Hash of the test images as they are now.
        then: The verb that needs them.

    Raises:
        UserError: If they are not; one line for each seed.
    """
    problems = []
    for seed in where:
        analyzed = read_manifest(seed.root, "analyze")
        if analyzed is not None and analyzed.inputs.get(TEST_IMAGES, images) != images:
            problems.append(f"{seed.root}: the test images are not those that were analysed.")
    if problems:
        raise UserError("\n".join([*problems, f"Run `ex2 analyze RECIPE` again, then `ex2 {then}`."]))


def adapter_identity(where: SeedDirectory) -> str:
    """Return what tells a seed's adapter apart from others: the hash of the file that lists its files' hashes."""
    path = where.adapter / ADAPTER_DONE
    return FileDigest.of(path).sha256[:16] if path.is_file() else "none"


def descriptions_identity(where: SeedDirectory) -> str:
    """Return the hash of a seed's descriptions."""
    return FileDigest.of(where.descriptions).sha256[:16] if where.descriptions.is_file() else "none"


def _chain_problems(where: SeedDirectory, stages: Sequence[str]) -> list[str]:
    """Return one line for each stage of those whose input is no longer what it was made from."""
    problems = []
    described, analyzed = (
        read_manifest(where.root, stage) if stage in stages else None for stage in ("describe", "analyze")
    )
    if described and where.is_trained and described.inputs.get("adapter") not in (None, adapter_identity(where)):
        trained = read_manifest(where.root, "train")
        changed = [] if trained is None else [*file_problems(where.root, trained, MENDS["train"])]
        problems += changed or [  # not the descriptions are to be made anew if the adapter is damaged
            f"{where.descriptions}: made with another adapter than {where.adapter} is now; {MENDS['describe']}."
        ]
    if analyzed and where.accuracy.exists() and analyzed.inputs.get("descriptions") != descriptions_identity(where):
        problems.append(f"{where.accuracy}: made from other descriptions than are there now; {MENDS['analyze']}.")
    return problems


def _output(where: SeedDirectory, stage: str) -> Path:
    return {"train": where.adapter, "describe": where.descriptions, "analyze": where.accuracy}[stage]
