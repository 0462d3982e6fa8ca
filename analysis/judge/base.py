"""What a judge is: two questions in, one verdict or an unparsed answer out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

Question = Literal["informative", "visual"]
"""informative: does the text tell something about the class? visual: does it tell how the class looks?"""


@dataclass(frozen=True)
class JudgeRequest:
    """One question about one description of one class."""

    question: Question
    class_name: str
    description: str


@dataclass(frozen=True)
class Verdict:
    """A parsed answer: True for yes. `raw` is what the judge said."""

    answer: bool
    raw: str


@dataclass(frozen=True)
class Unparsed:
    """An answer that is neither yes nor no; never guessed, never counted as no."""

    raw: str


Answer = Verdict | Unparsed
OnAnswer = Callable[[JudgeRequest, Answer], None]


class Judge(Protocol):
    """Anything that answers the two questions.

    Attributes:
        name: Shown in the report and stored with every verdict.
        exact: True if the answers are true by construction (the demo world), False if they are a model's.
    """

    name: str
    exact: bool

    def answer(self, requests: Sequence[JudgeRequest], on_answer: OnAnswer) -> None:
        """Answer every request, calling `on_answer` once for each as soon as it is known.

        Raises:
            EnvironmentFault: If the judge cannot be reached; answers given so far have been passed on.
        """
        ...
