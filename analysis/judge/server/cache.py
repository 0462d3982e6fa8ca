"""Answers of paid or slow judges, kept across runs in SQLite: JSON in, JSON out, nothing executable."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from analysis.judge.base import Usage
from reward.cache import cache_dir
from reward.errors import EnvironmentFault

FORMAT_DAYS = 7
"""Days for which a server is assumed to take the answer format that it was found to take."""

_TABLES: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "answers": ("key TEXT PRIMARY KEY", ("answer TEXT NOT NULL", "spent TEXT", "payer TEXT")),
    "formats": ("server TEXT PRIMARY KEY", ("format TEXT NOT NULL", "learnt REAL")),
}
"""For each table its first column and the others. Columns after the second were added later, and are NULL in rows
written before."""


def cache_key(
    base_url: str, model: str, messages: Sequence[Mapping[str, str]], sampling: Mapping[str, Any], rubric: str = ""
) -> str:
    """Return the hash of all that determines an answer.

    Args:
        base_url: Address of the server; the same model name may mean another model on another server.
        model: Model name.
        messages: The whole conversation, so that a changed rubric or description has another key.
        sampling: Settings of the sampling, such as the temperature.
        rubric: Version of the rubric; another version has another key even if the words are the same.

    Returns:
        SHA-256 in hexadecimal; independent of the order of mapping keys.
    """
    request = [base_url.rstrip("/"), model, [dict(message) for message in messages], dict(sampling), rubric]
    return hashlib.sha256(json.dumps(request, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


class Kept(NamedTuple):
    """An answer in the cache.

    Attributes:
        raw: What the judge said.
        spent: Requests and tokens that the answer took; None if that was not stored.
        payer: Path of the results folder for which the answer was asked and paid; None if it is not known.
    """

    raw: str
    spent: Usage | None
    payer: str | None


class AnswerCache:
    """A table of raw answers by key; processes may share the file."""

    def __init__(self, path: str | None = None) -> None:
        """Open the cache, and create it if it does not exist; a file of an earlier version is extended.

        Args:
            path: SQLite file, or `:memory:`; default `judge.sqlite` in the cache folder.

        Raises:
            EnvironmentFault: If the file cannot be opened or is no SQLite file.
        """
        self.path = path if path is not None else str(cache_dir() / "judge.sqlite")
        with self._faults():
            if self.path != ":memory:":
                self.path = str(Path(self.path).expanduser())
                Path(self.path).parent.mkdir(parents=True, exist_ok=True)
                if not Path(self.path).exists():
                    Path(
                        self.path
                    ).touch()  # with the user's permissions: SQLite never makes files that a group can write
            # 30 s is how long a writer of another process is waited for.
            self._connection = sqlite3.connect(self.path, timeout=30, isolation_level=None, check_same_thread=False)
            self._end = weakref.finalize(self, self._connection.close)  # a judge has no end at which it could close
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")  # a power cut loses answers, never the file
            for table, (key, columns) in _TABLES.items():
                self._connection.execute(f"CREATE TABLE IF NOT EXISTS {table} ({key}, {', '.join(columns)})")
                if not self._has(table, columns):
                    self._extend(table, columns)

    def get(self, key: str) -> Kept | None:
        """Look an answer up.

        Args:
            key: Key of the answer, from `cache_key`.

        Returns:
            The answer, or `None` if the cache has none under this key.

        Raises:
            EnvironmentFault: If the file cannot be read.
        """
        with self._faults():
            row = self._connection.execute("SELECT answer, spent, payer FROM answers WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        return Kept(str(json.loads(row[0])["raw"]), None if row[1] is None else Usage(*json.loads(row[1])), row[2])

    def put(self, key: str, kept: Kept) -> None:
        """Keep an answer.

        Args:
            key: Key of the answer, from `cache_key`.
            kept: The answer.

        Raises:
            EnvironmentFault: If the file cannot be written.
        """
        spent = None if kept.spent is None else json.dumps(kept.spent)
        with self._faults():
            self._connection.execute(
                "INSERT OR REPLACE INTO answers (key, answer, spent, payer) VALUES (?, ?, ?, ?)",
                (key, json.dumps({"raw": kept.raw}, ensure_ascii=False), spent, kept.payer),
            )

    def format_of(self, server: str) -> str | None:
        """Return the answer format that a server was found to take; `None` if none is stored or it is too old.

        After `FORMAT_DAYS` the server is asked again in the strictest format: it may have been upgraded.
        """
        since = time.time() - FORMAT_DAYS * 86_400
        with self._faults():
            row = self._connection.execute(
                "SELECT format FROM formats WHERE server = ? AND learnt > ?", (server, since)
            ).fetchone()
        return None if row is None else str(row[0])

    def remember_format(self, server: str, name: str) -> None:
        """Store the answer format that a server has just been found to take."""
        with self._faults():
            self._connection.execute(
                "INSERT OR REPLACE INTO formats (server, format, learnt) VALUES (?, ?, ?)", (server, name, time.time())
            )

    def _has(self, table: str, columns: Sequence[str]) -> bool:
        present = {row[1] for row in self._connection.execute(f"PRAGMA table_info({table})")}
        return {column.split()[0] for column in columns} <= present

    def _extend(self, table: str, columns: Sequence[str]) -> None:
        """Add columns that a file of an earlier version lacks; two processes may do so at once."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            for column in columns:
                if not self._has(table, [column]):
                    self._connection.execute(f"ALTER TABLE {table} ADD COLUMN {column}")
        finally:
            self._connection.execute("COMMIT")

    def __enter__(self) -> AnswerCache:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; this also happens when the cache is garbage-collected."""
        self._end()

    @contextlib.contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise EnvironmentFault(
                f"{self.path}: the judge's cache cannot be used ({error}); delete the file, free some space, or give "
                "another place as judge.cache or EX2_CACHE."
            ) from error
