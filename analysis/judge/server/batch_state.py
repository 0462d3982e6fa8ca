"""What is remembered between two calls of a command in batch mode, in a small JSON file in the seed's folder."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

from pydantic import Field

from analysis.judge.base import Usage
from reward.files import read_record, write_json
from reward.records import Omitted, Record


@dataclass
class Tries(Record):
    """The tries of one question so far.

    Attributes:
        unreadable: Whether a reply came that could not be read.
        failed: Number of batches that gave no reply to the question.
        spent: Requests and tokens that these tries took.
    """

    unreadable: bool = False
    failed: int = 0
    spent: Usage = field(default_factory=Usage)


@dataclass
class HandedIn(Record):
    """A batch under way.

    Attributes:
        input_file: The server's name of the uploaded questions.
        batch_id: The server's name of the batch; None until it is created.
        keys: Keys of the batch's questions.
    """

    input_file: str
    batch_id: Annotated[str | None, Field(alias="batch")]
    keys: list[str]


@dataclass
class _Stored(Record):
    """Content of the file. Earlier versions wrote `unreadable`: what unreadable replies took, instead of `tries`."""

    batches: list[HandedIn] = field(default_factory=list)
    tries: dict[str, Tries] = field(default_factory=dict)
    unreadable: Annotated[dict[str, Usage], Omitted()] = field(default_factory=dict)


class BatchState:
    """Batches under way, and questions that were handed in without success, by key.

    Args:
        path: Path of the file; if it does not exist, nothing is under way.

    Raises:
        UserError: If the file has another form.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        stored = read_record(path, _Stored.from_json) if path.exists() else _Stored()
        self.batches = stored.batches
        earlier = {key: Tries(unreadable=True, spent=spent) for key, spent in stored.unreadable.items()}
        self._tries = earlier | stored.tries

    def save(self) -> None:
        """Write the file."""
        write_json(self._path, _Stored(self.batches, self._tries).to_json())

    def tries(self, key: str) -> Tries:
        """Return a copy of a question's tries; a new question has none."""
        return replace(self._tries.get(key, Tries()))

    def note(self, key: str, tries: Tries) -> None:
        """Remember a question's tries until `done` is called for it."""
        self._tries[key] = tries

    def done(self, key: str) -> None:
        """Forget a question that has its answer."""
        self._tries.pop(key, None)
