"""The text bank: one VLM's embeddings of texts, kept in SQLite beside the image banks.

Most texts are needed more than once: the templates for every seed, all others when an analysis is repeated. The file's
name holds a hash of the VLM's fingerprint, so that embeddings of other weights cannot be used.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from reward.cache import cache_dir
from reward.errors import EnvironmentFault
from reward.vlm import VLM

MOST_BYTES = 1 << 30
"""Most bytes of embeddings kept for one VLM: half a million texts at D = 512. The oldest are removed first."""

CHUNK = 500
"""Number of texts looked up in one SQL statement."""


def text_banks() -> Path:
    """Return the folder of text banks, shared by all runs."""
    return cache_dir() / "texts"


class TextBank:
    """A file of embeddings by text; several processes may use it at once.

    Args:
        vlm: The VLM that makes the embeddings.
        folder: Folder of the file.
        most_bytes: Most bytes of embeddings to keep; the file is somewhat larger.

    Raises:
        EnvironmentFault: If the file cannot be opened. All methods raise it too, if the file cannot be read or written.
    """

    def __init__(self, vlm: VLM, folder: Path, *, most_bytes: int = MOST_BYTES) -> None:
        self.dim = vlm.dim
        self.path = folder / f"{hashlib.sha256(vlm.fingerprint().encode()).hexdigest()[:32]}.sqlite"
        self._most = max(1, most_bytes // (4 * self.dim))
        with self._faults():
            folder.mkdir(parents=True, exist_ok=True)
            if not self.path.exists():
                self.path.touch()  # with the user's permissions: a group can never write a file of SQLite's
            # 30 s is how long a writer of another process is waited for.
            self._connection = sqlite3.connect(self.path, timeout=30)
            try:
                self._connection.execute("PRAGMA synchronous=OFF")  # only computing time is at stake
                self._connection.execute(
                    "CREATE TABLE IF NOT EXISTS texts "
                    "(id INTEGER PRIMARY KEY, key BLOB UNIQUE, embedding BLOB NOT NULL)"
                )
            except sqlite3.Error:
                self._connection.close()
                raise

    def get(self, texts: Sequence[str], into: torch.Tensor) -> list[int]:
        """Look texts up.

        Args:
            texts: N texts.
            into: Tensor to fill, float32 on the CPU, contiguous, shape (N, D). The rows of known texts are filled.

        Returns:
            Indices of the rows whose texts are not known, which stay as they are.
        """
        rows, missing = into.numpy(), []
        with self._faults():
            for start in range(0, len(texts), CHUNK):
                keys = [_key(text) for text in texts[start : start + CHUNK]]
                marks = ",".join("?" * len(keys))
                query = f"SELECT key, embedding FROM texts WHERE key IN ({marks})"  # nosec B608 # marks are question marks
                found = dict(self._connection.execute(query, keys))
                for row, key in enumerate(keys, start):
                    known = found.get(key, b"")
                    if len(known) == 4 * self.dim:
                        rows[row] = np.frombuffer(known, dtype="<f4")
                    else:
                        missing.append(row)
        return missing

    def put(self, texts: Sequence[str], embeddings: torch.Tensor) -> None:
        """Keep the embeddings of texts, float32, shape (len(texts), D)."""
        values = embeddings.numpy().astype("<f4", copy=False)
        with self._faults(), self._connection:
            self._connection.executemany(
                "INSERT OR REPLACE INTO texts (key, embedding) VALUES (?, ?)",
                ((_key(text), value.tobytes()) for text, value in zip(texts, values, strict=True)),
            )

    def close(self) -> None:
        """Remove the oldest embeddings beyond the bound and close the file."""
        with self._faults(), self._connection:
            self._connection.execute(
                "DELETE FROM texts WHERE id <= (SELECT id FROM texts ORDER BY id DESC LIMIT 1 OFFSET ?)", (self._most,)
            )
        self._connection.close()

    @contextlib.contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise EnvironmentFault(
                f"{self.path}: the text bank cannot be used ({error}); delete the file, free some space, or set "
                "EX2_CACHE to another folder."
            ) from error


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:16]
