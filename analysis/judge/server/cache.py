"""Answers of paid or slow judges, kept across runs in SQLite: JSON in, JSON out, nothing executable."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
import sys
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

from analysis.judge.base import Usage
from reward.cache import cache_dir
from reward.errors import EnvironmentFault
from reward.strict_json import encodable

FORMAT_DAYS = 7
"""Days for which a server is assumed to take the answer format that it was found to take."""

_TABLES: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "answers": ("key TEXT PRIMARY KEY", ("answer TEXT NOT NULL", "spent TEXT", "payer TEXT", "digest TEXT")),
    "formats": ("server TEXT PRIMARY KEY", ("format TEXT NOT NULL", "learnt REAL")),
}
"""For each table its first column and the others. Columns after the second were added later, and are NULL in rows
written before. `digest` is the hash of the row's other columns."""

_DAMAGED: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
"""SQLite's codes for a file that is not what SQLite wrote."""

_BESIDE: Final = ("-wal", "-shm")
"""Endings of the files that SQLite keeps beside its own."""

_T = TypeVar("_T")


def cache_key(
    base_url: str, model: str, messages: Sequence[Mapping[str, Any]], sampling: Mapping[str, Any], rubric: str = ""
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


class _OtherLayoutError(Exception):
    """A table has other columns than any version of it."""


def _digest(*columns: str | None) -> str:
    return hashlib.sha256(json.dumps(columns, ensure_ascii=False).encode()).hexdigest()


class AnswerCache:
    """A table of raw answers by key; processes may share the file."""

    def __init__(self, path: str | None = None, named_in: str = "judge") -> None:
        """Open the cache, and create it if it does not exist; a file of an earlier version is extended.

        Args:
            path: SQLite file, or `:memory:`; default `judge.sqlite` in the cache folder.
            named_in: The recipe's section that may name another file, for messages.

        Raises:
            EnvironmentFault: If the file cannot be opened.
        """
        self._named_in = named_in
        self.path = path if path is not None else str(cache_dir() / "judge.sqlite")
        with self._faults():
            if self.path != ":memory:":
                self.path = str(Path(self.path).expanduser())
                Path(self.path).parent.mkdir(parents=True, exist_ok=True)
            if self.path != ":memory:" and not Path(self.path).exists():
                Path(self.path).touch()  # with the user's permissions: SQLite never makes files that a group can write
            self._open()
            self._mending(self._prepare)

    def get(self, key: str) -> Kept | None:
        """Look an answer up.

        Args:
            key: Key of the answer, from `cache_key`.

        Returns:
            The answer, or `None` if the cache has none under this key.

        Raises:
            EnvironmentFault: If the file cannot be read.
        """
        words = "SELECT answer, spent, payer, digest FROM answers WHERE key = ?"
        row = self._run(words, (key,))
        if row is None:
            return None
        answer, spent, payer, digest = row
        if digest is None or digest == _digest(key, answer, spent, payer):  # none: an earlier version wrote the row
            with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError):
                return Kept(str(json.loads(answer)["raw"]), None if spent is None else Usage(*json.loads(spent)), payer)
        print(f"{self.path}: an answer is damaged: it is asked for again", file=sys.stderr)
        return None

    def put(self, key: str, kept: Kept) -> None:
        """Keep an answer.

        Args:
            key: Key of the answer, from `cache_key`.
            kept: The answer.

        Raises:
            EnvironmentFault: If the file cannot be written.
        """
        spent = None if kept.spent is None else json.dumps(kept.spent)
        answer = json.dumps({"raw": encodable(kept.raw)}, ensure_ascii=False)
        self._run(
            "INSERT OR REPLACE INTO answers (key, answer, spent, payer, digest) VALUES (?, ?, ?, ?, ?)",
            (key, answer, spent, kept.payer, _digest(key, answer, spent, kept.payer)),
        )

    def format_of(self, server: str) -> str | None:
        """Return the answer format that a server was found to take; `None` if none is stored or it is too old.

        After `FORMAT_DAYS` the server is asked again in the strictest format: it may have been upgraded.
        """
        since = time.time() - FORMAT_DAYS * 86_400
        row = self._run("SELECT format FROM formats WHERE server = ? AND learnt > ?", (server, since))
        return None if row is None else str(row[0])

    def remember_format(self, server: str, name: str) -> None:
        """Store the answer format that a server has just been found to take."""
        self._run(
            "INSERT OR REPLACE INTO formats (server, format, learnt) VALUES (?, ?, ?)", (server, name, time.time())
        )

    def _run(self, words: str, values: Sequence[object]) -> Any:
        """Run a statement and return the first row that it finds, None if there is none."""
        with self._faults():
            return self._mending(lambda: self._connection.execute(words, values).fetchone())

    def _open(self) -> None:
        # 30 s is how long a writer of another process is waited for.
        self._connection = sqlite3.connect(self.path, timeout=30, isolation_level=None, check_same_thread=False)
        self._connection.text_factory = lambda stored: stored.decode(errors="replace")  # the digest tells then
        self._opened = None if self.path == ":memory:" else Path(self.path).stat()
        self._end = weakref.finalize(self, self._connection.close)  # a judge has no end at which it could close

    def _prepare(self) -> None:
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")  # a power cut loses answers, never the file
        for table, (key, columns) in _TABLES.items():
            self._connection.execute(f"CREATE TABLE IF NOT EXISTS {table} ({key}, {', '.join(columns)})")
            if not self._has(table, [key, columns[0]]) or not self._is_key(table, key.split()[0]):
                raise _OtherLayoutError(f"the table {table} has other columns")
            if not self._has(table, columns):
                self._extend(table, columns)

    def _mending(self, use: Callable[[], _T]) -> _T:
        """Use the file; if it is damaged, set it aside, make it anew and use that."""
        try:
            return use()
        except (sqlite3.DatabaseError, _OtherLayoutError) as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # SQLite tells more of a fault in the higher bits
            if self._opened is None or (isinstance(error, sqlite3.Error) and code not in _DAMAGED):
                raise
            self._set_aside(str(error))
            self._prepare()
            return use()

    def _set_aside(self, fault: str) -> None:
        self.close()
        path = Path(self.path)
        aside = path.with_name(f"{path.name}.damaged")
        if self._opened and path.exists() and os.path.samestat(path.stat(), self._opened):
            # else another process has made it anew meanwhile
            path.replace(aside)
            for ending in _BESIDE:
                with contextlib.suppress(FileNotFoundError):
                    path.with_name(path.name + ending).replace(aside.with_name(aside.name + ending))
            print(f"{path}: damaged ({fault[:200]}): set aside as {aside.name} and made anew", file=sys.stderr)
        self._open()

    def _is_key(self, table: str, column: str) -> bool:
        found = self._connection.execute(f"PRAGMA table_info({table})").fetchall()
        return [row[1] for row in found if row[5]] == [column]

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
                f"another place as {self._named_in}.cache or EX2_CACHE."
            ) from error
