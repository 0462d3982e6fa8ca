"""What a judge is: two questions in, one verdict or an unparsed answer out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol, runtime_checkable

from reward.errors import EX2Error

Question = Literal["informative", "visual"]
"""informative: does the text tell something about the class? visual: does it tell how the class looks?"""


@dataclass(frozen=True)
class JudgeRequest:
    """One question about one description of one class."""

    question: Question
    class_name: str
    description: str


class Spent(NamedTuple):
    """What answers took: requests sent, and tokens as the server counted them (0 where it does not)."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def plus(self, other: Spent) -> Spent:
        """Add up."""
        return Spent(*(mine + more for mine, more in zip(self, other, strict=True)))


@dataclass(frozen=True)
class Verdict:
    """A parsed answer: True for yes. `raw` is what the judge said, `spent` what asking took (None: nothing)."""

    answer: bool
    raw: str
    spent: Spent | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Unparsed:
    """An answer that is neither yes nor no; never guessed, never counted as no."""

    raw: str
    spent: Spent | None = field(default=None, compare=False)


Answer = Verdict | Unparsed
OnAnswer = Callable[[JudgeRequest, Answer], None]


def answer_word(answer: Answer) -> Literal["yes", "no", "unparsed"]:
    """Return how an answer is written in logs."""
    return ("yes" if answer.answer else "no") if isinstance(answer, Verdict) else "unparsed"


class NotYet(EX2Error):
    """Nothing is wrong, but the answers are not there yet: the same command, later, continues."""

    exit_code = 75  # EX_TEMPFAIL of sysexits.h


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
            NotYet: If the questions were handed in and the answers come later.
        """
        ...


class Estimate(NamedTuple):
    """What a judge would have to do; see `Estimates`.

    Attributes:
        cached: Answers that are known already.
        spent: Requests, about how many input tokens, at most how many output tokens.
        cost: In the currency of the judge's prices; None without prices.
    """

    cached: int
    spent: Spent
    cost: float | None


@runtime_checkable
class Estimates(Protocol):
    """A judge whose answers cost something, and that can say how much before it is asked."""

    def estimate(self, requests: Sequence[JudgeRequest]) -> Estimate:
        """Estimate without sending anything."""
        ...

    def cost(self, spent: Spent) -> float | None:
        """Return the price of what was spent; None without prices."""
        ...
