"""Size and SHA-256 of files, by which a later reader knows that they are still what was written."""

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

    @classmethod
    def of(cls, path: Path) -> FileDigest:
        """Read a file's size and hash."""
        return GrowingLog(path).digest()

    @classmethod
    def of_bytes(cls, content: bytes) -> FileDigest:
        """Return size and hash of a file with this content."""
        return cls(len(content), hashlib.sha256(content).hexdigest())

    def begins(self, path: Path) -> bool:
        """Say whether a log still begins with the known content: later rows do not change it."""
        state, left = hashlib.sha256(), self.size
        with path.open("rb") as file:
            while left and (piece := file.read(min(left, _PIECE))):
                state.update(piece)
                left -= len(piece)
        return not left and state.hexdigest() == self.sha256


_PIECE = 1 << 20


class GrowingLog:
    """Size and hash of a log that is being written, without reading it again each time."""

    def __init__(self, path: Path) -> None:
        self._path, self._state, self._size = path, hashlib.sha256(), 0

    def digest(self) -> FileDigest:
        """Return size and hash of the log now."""
        with self._path.open("rb") as file:
            file.seek(self._size)
            while piece := file.read(_PIECE):
                self._state.update(piece)
                self._size += len(piece)
        return FileDigest(self._size, self._state.hexdigest())


def digests_of(folder: Path, *, without: Collection[str] = ()) -> dict[str, FileDigest]:
    """Return size and hash of each file in a folder and its subfolders, by its path from the folder, in order.

    Args:
        folder: The folder.
        without: Paths from the folder that are left out.
    """
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return {name: FileDigest.of(folder / name) for name in names if name not in without}


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
            if FileDigest.of(folder / name).sha256 != one.sha256:
                return f"{name}: other content than was written"
        except OSError as error:
            return f"{name}: cannot be read: {error.strerror}"
    return ""
