"""The record of what a run was made with: resolved recipe, versions, commit, command."""

from __future__ import annotations

import importlib.metadata
import platform
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from ex2.recipe import Recipe
from ex2.recipe_io import stored_tree, to_yaml
from ex2.run.directory import RunDirectory
from reward.errors import UserError
from reward.files import write_json, write_text

PACKAGES = ("ex2", "torch", "transformers", "trl", "peft", "accelerate", "open_clip_torch", "bitsandbytes", "openai")


def start_run(recipe: Recipe) -> RunDirectory:
    """Make the run directory; if it exists, check that it belongs to the same experiment.

    Args:
        recipe: The resolved recipe.

    Returns:
        The run directory, with `recipe.yaml` and `provenance.json`.

    Raises:
        UserError: If the directory holds results of a recipe that differs in a section that is not in `REPEATABLE`;
            together the results would not belong to any one recipe.
        EnvironmentFault: If the directory cannot be written.
    """
    directory = RunDirectory.of(recipe)
    problem = clash(recipe)
    if problem:
        raise UserError(problem)
    write_text(directory.recipe, to_yaml(recipe))
    write_json(directory.provenance, provenance())
    return directory


def clash(recipe: Recipe) -> str | None:
    """Say why `start_run` would refuse a recipe; None if it would not. Nothing is written.

    Raises:
        UserError: If the recipe in the run directory cannot be read.
    """
    directory = RunDirectory.of(recipe)
    if not directory.recipe.is_file() or not any(directory.root.glob("seed-*/*")):
        return None
    before, now = stored_tree(directory.recipe), yaml.safe_load(to_yaml(recipe))
    changed = sorted(key for key in {*before, *now} - REPEATABLE if before.get(key) != now.get(key))
    if not changed:
        return None
    had = [line for key in changed for line in _differences(before.get(key), now.get(key), key)]
    return (
        f"{directory.root}: holds results of a recipe with another {', '.join(changed)}. Give this one another "
        f"name (name=…), remove that folder, or go on with what it had: {' '.join(had)}"
    )


def _differences(before: Any, now: Any, key: str) -> list[str]:
    """Return what a section had, as settings for the command line; only what is different now."""
    if isinstance(before, dict) and isinstance(now, dict):
        names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
        return [line for name in names for line in _differences(before.get(name), now.get(name), f"{key}.{name}")]
    value = yaml.safe_dump(before, default_flow_style=True, width=10_000).removesuffix("...\n").strip()
    return [shlex.quote(f"{key}={value}")]


REPEATABLE = {"seeds", "output_dir", "threads", "describe", "judge", "analysis", "training", "resources"}
"""Sections that may change between two calls on one run directory."""


def provenance() -> dict[str, Any]:
    """Return versions, platform, commit and command."""
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
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
