"""What a judge is: two questions in, one verdict or an unparsed answer out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
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


class Usage(NamedTuple):
    """What answers took: requests sent, and tokens as the server counted them (0 where it does not)."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def plus(self, other: Usage) -> Usage:
        """Add up."""
        return Usage(*(mine + more for mine, more in zip(self, other, strict=True)))

    def minus(self, other: Usage) -> Usage:
        """Take away."""
        return Usage(*(mine - less for mine, less in zip(self, other, strict=True)))


@dataclass(frozen=True)
class Verdict:
    """A parsed answer.

    Attributes:
        answer: True for yes.
        raw: What the judge said.
        spent: What asking took; None is nothing.
        parts: Of a panel: what asking each of its judges took, in their order. They add up to `spent`.
    """

    answer: bool
    raw: str
    spent: Usage | None = field(default=None, compare=False)
    parts: tuple[Usage, ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class Unparsed:
    """An answer that is neither yes nor no; never guessed, never counted as no. Attributes as of `Verdict`."""

    raw: str
    spent: Usage | None = field(default=None, compare=False)
    parts: tuple[Usage, ...] = field(default=(), compare=False)


Answer = Verdict | Unparsed
OnAnswer = Callable[[JudgeRequest, Answer], None]


AnswerWord = Literal["yes", "no", "unparsed"]


def answer_word(answer: Answer) -> AnswerWord:
    """Return how an answer is written in logs."""
    return ("yes" if answer.answer else "no") if isinstance(answer, Verdict) else "unparsed"


def contents(messages: Iterable[Mapping[str, str]]) -> list[str]:
    """Return the texts of chat messages."""
    return [message["content"] for message in messages]


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


class CostEstimate(NamedTuple):
    """What a judge would have to do; see `EstimatesCost`.

    Attributes:
        cached: Answers that are known already.
        spent: If every first answer can be read: requests, about how many input tokens, at most how many output tokens.
        cost: Of `spent`, in the currency of the judge's prices; None without prices.
        most: The same if every answer needs its second try.
        most_cost: Of `most`.
        limited: Whether the answers' length is; if not, output tokens without a limit are in none of the numbers.
    """

    cached: int
    spent: Usage
    cost: float | None
    most: Usage
    most_cost: float | None
    limited: bool = True

    def plus(self, other: CostEstimate) -> CostEstimate:
        """Add up; a cost that is unknown makes the sum unknown."""
        return CostEstimate(
            self.cached + other.cached,
            self.spent.plus(other.spent),
            _sum(self.cost, other.cost),
            self.most.plus(other.most),
            _sum(self.most_cost, other.most_cost),
            self.limited and other.limited,
        )


def _sum(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one + other


@runtime_checkable
class EstimatesCost(Protocol):
    """A judge whose answers cost something, and that can say how much before it is asked."""

    def estimate(self, requests: Sequence[JudgeRequest]) -> CostEstimate:
        """Estimate without sending anything."""
        ...

    def cost(self, spent: Usage) -> float | None:
        """Return the price of what was spent; None without prices."""
        ...
