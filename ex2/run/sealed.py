"""Results of one file: written with a manifest of their content, which readers check."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ex2.run.manifest import FileState, Manifest, file_problems, not_checked, path_of, read_manifest
from reward.errors import UserError
from reward.files import write_json


def write_sealed(path: Path, value: Any, *, by: str | None = None) -> None:
    """Replace the content of `path` by `value` as JSON, and write `manifests/NAME.json` beside it.

    Args:
        path: The file.
        value: What it is to hold.
        by: The verb that writes it, if the file is not named like it.

    Raises:
        EnvironmentFault: If they cannot be written.
    """
    write_json(path, value)
    manifest = Manifest(
        stage=by or path.stem, complete=True, recipe={}, inputs={}, files={path.name: FileState.of(path)}
    )
    write_json(path_of(path.parent, path.stem), manifest.to_json())


def check_sealed(path: Path, again: str) -> None:
    """Check that a file that exists has the content that was written; a line says if there is no manifest.

    Args:
        path: The file.
        again: The command that makes it anew, in words.

    Raises:
        UserError: If it has another content.
    """
    manifest = read_manifest(path.parent, path.stem)
    if manifest is None:
        not_checked(path.parent)
        return
    problems = [*file_problems(path.parent, manifest, again)]
    if problems:
        raise UserError("\n".join(problems))
