"""What is remembered between two calls of a command in batch mode: a small JSON file of the seed's folder."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from analysis.judge.base import Usage
from reward.files import JSON, read_json, write_json


@dataclass
class Tries:
    """What became of a question so far.

    Attributes:
        unreadable: A reply came that could not be read.
        failed: How often a batch gave no reply to it.
        spent: On all that.
    """

    unreadable: bool = False
    failed: int = 0
    spent: Usage = field(default_factory=Usage)


class BatchState:
    """Batches under way (`input_file`, `batch`, `keys`), and questions that were handed in without success, by key."""

    def __init__(self, path: Path) -> None:
        self._path = path
        content = read_json(path) if path.exists() else {}
        self.batches: list[JSON] = content.get("batches", [])
        self._tries = {
            key: Tries(row["unreadable"], row["failed"], Usage(*row["spent"]))
            for key, row in content.get("tries", {}).items()
        }
        for key, spent in content.get("unreadable", {}).items():  # written by an earlier version
            self._tries.setdefault(key, Tries(unreadable=True, spent=Usage(*spent)))

    def save(self) -> None:
        """Write the file."""
        tries = {
            key: {"unreadable": row.unreadable, "failed": row.failed, "spent": row.spent}
            for key, row in self._tries.items()
        }
        write_json(self._path, {"batches": self.batches, "tries": tries})

    def tries(self, key: str) -> Tries:
        """Return a question's tries: a copy, none if it is new."""
        known = self._tries.get(key, Tries())
        return Tries(known.unreadable, known.failed, known.spent)

    def note(self, key: str, tries: Tries) -> None:
        """Keep a question's tries, until it is `done`."""
        self._tries[key] = tries

    def done(self, key: str) -> None:
        """Forget a question that has its answer."""
        self._tries.pop(key, None)
