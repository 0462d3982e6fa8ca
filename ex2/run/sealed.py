"""Results of one file: written with a manifest of their content, which readers check."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from ex2.run.manifest import Manifest, file_problems, not_checked, read_manifest, write_manifest
from reward.errors import UserError
from reward.file_digests import FileDigest
from reward.files import json_text, write_text


def write_sealed(path: Path, value: Any, *, by: str | None = None) -> None:
    """Replace the content of `path` by `value` as JSON, and write `manifests/NAME.json` beside it.

    The manifest is written first, and knows the content that is replaced until it is: whenever a kill comes, the file
    is one that was written here.

    Args:
        path: The file.
        value: What it is to hold.
        by: The verb that writes it, if the file is not named like it.

    Raises:
        EnvironmentFault: If they cannot be written.
    """
    text = json_text(value)
    written = FileDigest.of_bytes(text.encode())
    manifest = Manifest(stage=by or path.stem, complete=True, recipe={}, inputs={}, files={path.name: written})
    before = FileDigest.of(path) if path.is_file() else None
    write_manifest(path.parent, replace(manifest, earlier=before), name=path.stem)
    write_text(path, text)
    if before is not None:
        write_manifest(path.parent, manifest, name=path.stem)


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
    if problems and not (path.is_file() and manifest.earlier == FileDigest.of(path)):
        raise UserError("\n".join(problems))
