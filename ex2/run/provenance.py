"""The record of what a run was made with: resolved recipe, versions, commit, command."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ex2.recipe import Recipe
from ex2.recipe_io import read_stored_recipe, stored_tree, to_yaml
from ex2.run.directory import RunDirectory
from ex2.run.manifest import Manifest, flat, flat_recipe, recipe_differences, refusal
from ex2.run.sealed import write_sealed
from reward.errors import UserError
from reward.files import write_text
from reward.secrets import redacted

PACKAGES = ("ex2", "torch", "transformers", "trl", "peft", "accelerate", "open_clip_torch", "bitsandbytes", "openai")


def start_run(recipe: Recipe) -> RunDirectory:
    """Make the run directory; if it exists, check that it belongs to the same experiment.

    Args:
        recipe: The resolved recipe.

    Returns:
        The run directory, with `recipe.yaml` and `provenance.json`.

    Raises:
        UserError: If the directory holds results of a recipe that differs in what may not change
            (`ex2.run.manifest.MAY_CHANGE`); together the results would not belong to any one recipe.
        EnvironmentFault: If the directory cannot be written.
    """
    directory = RunDirectory.of(recipe)
    problem = clash(recipe)
    if problem:
        raise UserError(problem)
    write_text(directory.recipe, to_yaml(recipe))
    write_sealed(directory.provenance, provenance(), by="run")
    return directory


def clash(recipe: Recipe) -> str | None:
    """Say why `start_run` would refuse a recipe; None if it would not. Nothing is written.

    Raises:
        UserError: If the recipe in the run directory cannot be read.
    """
    directory = RunDirectory.of(recipe)
    if not directory.recipe.is_file() or not any(directory.root.glob("seed-*/*")):
        return None
    read_stored_recipe(directory.recipe)
    known = flat(stored_tree(directory.recipe))
    if not any(directory.root.glob("seed-*/descriptions.jsonl")):  # nothing depends on it yet
        known = {key: value for key, value in known.items() if not key.startswith("describe.")}
    before = Manifest(stage="the run", complete=False, recipe=known, inputs={})
    return refusal(directory.recipe, recipe_differences(before, flat_recipe(recipe)))


def provenance() -> dict[str, Any]:
    """Return versions, platform, commit and command."""
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": redacted(" ".join([Path(sys.argv[0]).name, *sys.argv[1:]])),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in PACKAGES},
        "commit": _commit(),
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """Return the commit of the source tree, with `-dirty` if it has changes; None for an installed package."""
    root = Path(__file__).resolve().parents[2]
    try:
        described = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return described.stdout.strip() or None if described.returncode == 0 else None
