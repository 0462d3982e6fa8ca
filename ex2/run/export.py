"""`ex2 export`: writes a trained policy with its model card, as the adapter or as one model with the adapter merged in.

    ex2 export RECIPE --out DIR [--merge]

What is written is put in place once it is known to compute, on a few texts, the logits of what was trained.

The adapter's folder is what plain PEFT loads; the merged folder is what transformers and vLLM load.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from ex2.policy.merging import check_copy, merge_adapter
from ex2.recipe_io import read_recipe
from ex2.run.adapter import verify_adapter
from ex2.run.card import MODEL_CARD, NOT_FOR_SERVING, stored_card
from ex2.run.directory import RunDirectory
from ex2.run.lock import writing_stage
from ex2.run.made import require
from reward.cache import cache_dir
from reward.errors import UserError
from reward.files import new_folder, write_text, writing

if TYPE_CHECKING:
    from ex2.recipe import Recipe


def main(options: argparse.Namespace) -> int:
    """Entry point of `ex2 export`.

    Raises:
        UserError: If a seed is not trained or not among the recipe's, or if the folder is not empty.
        EnvironmentFault: If a model cannot be fetched or the folder cannot be written.
    """
    if options.layout and not Path(options.recipe).expanduser().is_file():
        raise UserError(f"{options.recipe}: no such folder; --layout goes with the folder of an image set; give one.")
    if options.layout:
        raise UserError(
            f"--layout: goes with the folder of an image set, and {options.recipe} is a recipe; leave it out."
        )
    recipe = read_recipe(options.recipe, options.overrides)
    seeds = options.seeds or recipe.seeds
    if set(seeds) - set(recipe.seeds):
        raise UserError(f"--seeds: {seeds} are not all among the recipe's seeds {recipe.seeds}.")
    out = Path(options.out)
    _check(recipe, seeds, out)
    place = hashlib.sha256(str(out.resolve()).encode()).hexdigest()[:16]
    with writing_stage(cache_dir(), f"export-{place}"):  # beside the new folder nothing is left
        for seed in seeds:
            folder = out if len(seeds) == 1 else out / f"seed-{seed}"
            export(recipe, seed, folder, merge=options.merge)
            print(f"exported: {folder}")
    return 0


def export(recipe: Recipe, seed: int, folder: Path, *, merge: bool) -> None:
    """Write one seed's policy into a new folder, complete or not at all.

    Args:
        recipe: The run's recipe.
        seed: A seed that is trained.
        folder: Folder to write; it must not exist, or be empty.
        merge: Whether to write one model with the adapter merged in, in `policy.dtype` and not quantised, in place of
            the adapter.

    Raises:
        UserError: If a file of the adapter is not what training wrote.
        EnvironmentFault: If what was written computes other logits than what was trained, or cannot be written.
    """
    source = RunDirectory.of(recipe).seed(seed)
    require(recipe, source, "train")
    verify_adapter(source.adapter)
    with writing(folder), new_folder(folder) as fresh:
        if merge and recipe.lora is not None:
            merge_adapter(recipe.policy.source(), source.adapter, fresh)
        else:
            left_out = (".*", *(NOT_FOR_SERVING if merge else ()))  # what a killed process left is hidden
            shutil.copytree(source.adapter, fresh, ignore=shutil.ignore_patterns(*left_out))
            check_copy(recipe.policy.source(), source.adapter, fresh)
        write_text(fresh / MODEL_CARD, stored_card(recipe, seed, source, merged=merge))


def _check(recipe: Recipe, seeds: list[int], out: Path) -> None:
    problems = [
        f"{directory.adapter}: seed {seed} is not trained; run `ex2 train` (or `ex2 run`) first."
        for seed in seeds
        if not (directory := RunDirectory.of(recipe).seed(seed)).is_trained
    ]
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        problems.append(f"--out: {out} is not an empty folder; give a new one.")
    if problems:
        raise UserError("\n".join(problems))
