"""The author `scripted`: reads its answers from a file, as for tests, and for answers that were collected elsewhere."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from ex2.sets.authors.base import Question, Reply
from ex2.sets.authors.given import given_rows
from ex2.sets.requests import DrawRequest
from reward.errors import UserError, shown
from reward.records import Record
from reward.user_paths import expanded


@dataclass(frozen=True, kw_only=True)
class Answers(Record):
    """A line of the file.

    Attributes:
        class_name: A class.
        replies: Its answers: the first for its first image, and so on.
    """

    class_name: Annotated[str, Field(alias="class")]
    replies: tuple[str, ...]


class Scripted:
    """Answers with the texts of a file of lines `{"class": …, "replies": […]}`.

    Args:
        file: The file.

    Raises:
        UserError: If it cannot be read, has no lines, or a line is none.
    """

    def __init__(self, file: str) -> None:
        path = expanded(file)
        if not os.path.isfile(path):
            raise UserError(f"generator.author.file: no file '{file}'. Give one of lines with a class and its replies.")
        rows = given_rows(path, Answers, lambda row: row.class_name, "line of replies")
        if not rows:
            raise UserError(f"generator.author.file: '{file}' has no lines; give one for each class.")
        self._file, self._replies = file, {row.class_name: row.replies for row in rows}
        self._digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]

    @property
    def settings(self) -> Mapping[str, Any]:
        """None: the file's content is told by the fingerprint, wherever it lies."""
        return {}

    def fingerprint(self) -> str:
        """Return a hash of the file."""
        return self._digest

    def problems(self, requests: Sequence[DrawRequest]) -> list[str]:
        """Return a line for each class without a line, or with too few replies."""
        wanted: dict[str, int] = {}
        for request in requests:
            wanted[request.class_name] = max(wanted.get(request.class_name, 0), request.index + 1)
        problems = []
        for name, count in wanted.items():
            have = len(self._replies.get(name, ()))
            if name not in self._replies:
                problems.append(f"generator.author.file: '{self._file}' has no line of class {shown(name)}; add it.")
            elif have < count:
                problems.append(
                    f"generator.author.file: '{self._file}' has {have} replies for class {shown(name)}, and {count} "
                    "images of it are asked for; add replies, or ask for fewer."
                )
        return problems

    def write(self, questions: Sequence[Question]) -> list[Reply]:
        """Return each image's reply. Raises `UserError` if one is not there."""
        problems = self.problems([question.request for question in questions])
        if problems:
            raise UserError("\n".join(problems))
        return [Reply(self._replies[one.request.class_name][one.request.index]) for one in questions]
