"""Sizes and SHA-256 of a folder's files, by which a later reader knows that the folder is still what was written."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from reward.records import Record


@dataclass(frozen=True)
class FileDigest(Record):
    """What is known about a file.

    Attributes:
        size: Its size, in bytes.
        sha256: SHA-256 of its content, in hexadecimal.
    """

    size: Annotated[int, Field(strict=True)]
    sha256: str


def digests_of(folder: Path, *, without: Collection[str] = ()) -> dict[str, FileDigest]:
    """Return size and hash of each file in a folder and its subfolders, by its path from the folder, in order.

    Args:
        folder: The folder.
        without: Paths from the folder that are left out.
    """
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return {name: _digest(folder / name) for name in names if name not in without}


def fault_of(folder: Path, known: Mapping[str, FileDigest]) -> str:
    """Compare a folder's files with what is known about them; files that are not known are passed over.

    Returns:
        The first file that differs and how, such as `optimizer.pt: missing`; empty if none does. Sizes of all files
        are compared before any is read.
    """
    for name, one in known.items():
        path = folder / name
        if not path.is_file():
            return f"{name}: missing"
        if path.stat().st_size != one.size:
            return f"{name}: {path.stat().st_size:,} bytes, not {one.size:,}"
    for name, one in known.items():
        try:
            if _digest(folder / name).sha256 != one.sha256:
                return f"{name}: other content than was written"
        except OSError as error:
            return f"{name}: cannot be read: {error.strerror}"
    return ""


def _digest(path: Path) -> FileDigest:
    with path.open("rb") as file:
        return FileDigest(path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())
