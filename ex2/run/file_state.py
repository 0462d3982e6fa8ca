"""Size and hash of a file, by which a later reader knows that it is still what was written."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class FileState:
    """Content of a file.

    Attributes:
        size: Bytes.
        sha256: Hash of the bytes, hexadecimal.
    """

    size: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> FileState:
        """Read a file's state."""
        state, size = hashlib.sha256(), 0
        with path.open("rb") as file:
            while piece := file.read(1 << 20):
                state.update(piece)
                size += len(piece)
        return cls(size, state.hexdigest())

    @classmethod
    def of_bytes(cls, content: bytes) -> FileState:
        """Return the state of a file with this content."""
        return cls(len(content), hashlib.sha256(content).hexdigest())

    def begins(self, path: Path) -> bool:
        """Say whether a log still begins with the recorded content: later rows do not change it."""
        state, left = hashlib.sha256(), self.size
        with path.open("rb") as file:
            while left and (piece := file.read(min(left, 1 << 20))):
                state.update(piece)
                left -= len(piece)
        return not left and state.hexdigest() == self.sha256


class GrowingLog:
    """State of a log that is being written, without reading it again each time."""

    def __init__(self, path: Path) -> None:
        self._path, self._state, self._size = path, hashlib.sha256(), 0

    def state(self) -> FileState:
        """Return the state of the log now."""
        if self._path.exists():
            with self._path.open("rb") as file:
                file.seek(self._size)
                while piece := file.read(1 << 20):
                    self._state.update(piece)
                    self._size += len(piece)
        return FileState(self._size, self._state.hexdigest())
