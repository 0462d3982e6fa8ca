"""Results of one file: written with a manifest of their content, which readers check."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from ex2.run.manifest import Manifest, file_problems, not_checked, read_manifest, write_manifest
from ex2.runtime import tell_once
from reward.errors import UserError
from reward.file_digests import FileDigest
from reward.files import json_text, read_record, write_text
from reward.records import Kind, of_format


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


def read_sealed_record(path: Path, kind: type[Kind], number: int, again: str) -> Kind | None:
    """Read a result of one file, and check that it has the content that was written.

    Args:
        path: The file, which exists.
        kind: The record in it.
        number: The record's format.
        again: The command that makes it anew, in words.

    Returns:
        The record; None if it is of another format, which a line says.

    Raises:
        UserError: If the file is damaged or was changed.
    """
    found = read_record(path, of_format(kind, number), remedy=again)
    check_sealed(path, again)
    if found is None:
        tell_once(f"note: {path}: not of this version; {again}.")
    return found


def tell_changed(path: Path, file: Path, digest: str, since: str) -> None:
    """Tell in a line that a file that a result was made from is gone, or has another content.

    Args:
        path: The result.
        file: The file.
        digest: SHA-256 of its content then.
        since: What was done with it then, and what to do if it has changed: ends the sentence.
    """
    if not file.is_file():
        tell_once(f"note: {path}: {file} is not there any more; its numbers can be shown, and not made again.")
    elif hashlib.sha256(file.read_bytes()).hexdigest() != digest:
        tell_once(f"note: {path}: {file} has changed since {since}.")


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
