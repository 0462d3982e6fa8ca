"""Answers of paid or slow judges, kept across runs in SQLite: JSON in, JSON out, nothing executable."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from reward.cache import cache_dir
from reward.errors import EnvironmentFault


def cache_key(
    base_url: str, model: str, messages: Sequence[Mapping[str, str]], sampling: Mapping[str, Any], rubric: str = ""
) -> str:
    """Return the hash of all that determines an answer.

    Args:
        base_url: Server; the same model name may mean another model elsewhere.
        model: Model name.
        messages: The whole conversation, so a changed rubric or description asks anew.
        sampling: Temperature and the like.
        rubric: Its version; a new one asks anew even if the words are the same.

    Returns:
        SHA-256 in hexadecimal; independent of the order of mapping keys.
    """
    request = [base_url.rstrip("/"), model, [dict(message) for message in messages], dict(sampling), rubric]
    return hashlib.sha256(json.dumps(request, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


class AnswerCache:
    """A table of raw answers by key; processes may share the file."""

    def __init__(self, path: str | None = None) -> None:
        """Open the cache, and make it if absent.

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
            # 30 s is how long a writer of another process is waited for.
            self._connection = sqlite3.connect(self.path, timeout=30, isolation_level=None, check_same_thread=False)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")  # a power cut loses answers, never the file
            self._connection.execute("CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, answer TEXT NOT NULL)")
            self._connection.execute(
                "CREATE TABLE IF NOT EXISTS formats (server TEXT PRIMARY KEY, format TEXT NOT NULL)"
            )

    def get(self, key: str) -> str | None:
        """Look an answer up.

        Args:
            key: From `cache_key`.

        Returns:
            What the judge said, or `None` if that is not known.

        Raises:
            EnvironmentFault: If the file cannot be read.
        """
        with self._faults():
            row = self._connection.execute("SELECT answer FROM answers WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(json.loads(row[0])["raw"])

    def put(self, key: str, raw: str) -> None:
        """Keep an answer.

        Args:
            key: From `cache_key`.
            raw: What the judge said.

        Raises:
            EnvironmentFault: If the file cannot be written.
        """
        with self._faults():
            self._connection.execute(
                "INSERT OR REPLACE INTO answers VALUES (?, ?)", (key, json.dumps({"raw": raw}, ensure_ascii=False))
            )

    def format_of(self, server: str) -> str | None:
        """Return the answer format that a server was found to take; `None` if that is not known."""
        with self._faults():
            row = self._connection.execute("SELECT format FROM formats WHERE server = ?", (server,)).fetchone()
        return None if row is None else str(row[0])

    def remember_format(self, server: str, name: str) -> None:
        """Keep the answer format that a server takes."""
        with self._faults():
            self._connection.execute("INSERT OR REPLACE INTO formats VALUES (?, ?)", (server, name))

    def __enter__(self) -> AnswerCache:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @contextlib.contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise EnvironmentFault(
                f"{self.path}: the judge's cache cannot be used ({error}); delete the file, free some space, or give "
                "another place as judge.cache or EX2_CACHE."
            ) from error
