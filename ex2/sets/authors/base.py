"""The protocol of an author of code, and the table of those that a recipe can name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ex2.sets.requests import DrawRequest
from reward.components import Parts, build

AUTHORS = Parts(
    {
        "local": "ex2.sets.authors.local:Local",
        "scripted": "ex2.sets.authors.scripted:Scripted",
    },
    kind="author",
    methods=("fingerprint", "write"),
)
"""Name → `"module:class"`, imported on use. A recipe may also give a dotted path."""


@dataclass(frozen=True)
class Question:
    """What an author is asked for one image.

    Attributes:
        request: The image.
        text: The question.
        examples: Questions like this one with their answers, in the order in which they are to be read first.
        opening: How an answer begins that is only code, as a fenced block does.
    """

    request: DrawRequest
    text: str
    examples: tuple[tuple[str, str], ...] = ()
    opening: str = ""


@dataclass(frozen=True)
class Reply:
    """What an author has answered.

    Attributes:
        text: The answer; it need not have any code.
        seconds: Time that it took.
        truncated: Whether it was cut off at the limit of its length.
    """

    text: str
    seconds: float = 0.0
    truncated: bool = False


class Author(Protocol):
    """What writes code.

    An author may also have `problems(requests)`, which returns a line for each reason why some of the images cannot be
    written for, and `offline`, False for one that asks a server.

    Attributes:
        settings: All that its answers depend on besides the question, as JSON.
    """

    @property
    def settings(self) -> Mapping[str, Any]: ...

    def fingerprint(self) -> str:
        """Return a hash of what writes: of a model's weights, of a file of answers."""
        ...

    def write(self, questions: Sequence[Question]) -> list[Reply]:
        """Answer each question, in order; an answer depends on its question and the seed of its image alone.

        Raises:
            UserError: If what the user gave has no answer.
            EnvironmentFault: If the machine, or a server, fails.
        """
        ...


def build_author(name: str, settings: Mapping[str, Any], where: str = "generator.author") -> Author:
    """Build an author by its row in the table or a dotted path.

    Raises:
        UserError: For an unknown author or setting, or settings that do not fit.
    """
    author: Author = build(name, settings, AUTHORS, where)
    return author
