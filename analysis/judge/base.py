"""What a judge is: it answers two questions about a description, each with a verdict or an unparsed answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol, TypeVar, runtime_checkable

from reward.errors import EXIT_LATER, EX2Error
from reward.records import JSON, Record

Question = Literal["informative", "visual"]
"""`informative` asks whether the text says something about the class, `visual` whether it says how the class looks."""


@dataclass(frozen=True)
class JudgeRequest:
    """One question about one description of one class."""

    question: Question
    class_name: str
    description: str


class Usage(NamedTuple):
    """What answers took: requests sent, and tokens as the server counted them (0 if the server does not count)."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def plus(self, other: Usage) -> Usage:
        """Return the sum of both."""
        return Usage(*(mine + more for mine, more in zip(self, other, strict=True)))

    def minus(self, other: Usage) -> Usage:
        """Return this minus the other."""
        return Usage(*(mine - less for mine, less in zip(self, other, strict=True)))


@dataclass(frozen=True)
class Verdict:
    """A parsed answer.

    Attributes:
        answer: True for yes.
        raw: What the judge said.
        spent: Requests and tokens that asking took; None if it took none.
        parts: For a panel's answer, what asking each of its judges took, in the order of the judges; it adds up to
            `spent`.
        p_yes: The model's own probability that its next word is "Yes"; None if it tells none.
    """

    answer: bool
    raw: str
    spent: Usage | None = field(default=None, compare=False)
    parts: tuple[Usage, ...] = field(default=(), compare=False)
    p_yes: float | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Unparsed:
    """An answer that is neither yes nor no: never guessed, never counted as no. Attributes as of `Verdict`."""

    raw: str
    spent: Usage | None = field(default=None, compare=False)
    parts: tuple[Usage, ...] = field(default=(), compare=False)
    p_yes: float | None = field(default=None, compare=False)


Answer = Verdict | Unparsed
OnAnswer = Callable[[JudgeRequest, Answer], None]


AnswerWord = Literal["yes", "no", "unparsed"]


def answer_word(answer: Answer) -> AnswerWord:
    """Return how an answer is written in logs."""
    return ("yes" if answer.answer else "no") if isinstance(answer, Verdict) else "unparsed"


Message = dict[str, Any]
"""A chat message: `role`, and `content`, which is a text or a list of parts; a part of the type `text` has a `text`."""


@dataclass(frozen=True)
class _PartText(Record):
    text: str = ""


def contents(messages: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the texts of chat messages; of a message of parts, those of its parts together."""
    found = []
    for message in messages:
        content = message["content"]
        parts = [content] if isinstance(content, str) else [_PartText.from_json(part).text for part in content]
        found.append("\n".join(text for text in parts if text))
    return found


class Prompt(NamedTuple):
    """What is sent to ask a question.

    Attributes:
        messages: The conversation. It determines the answer: two questions with equal messages are one.
        schema_name: Name of the answer's JSON schema.
        schema: The answer's JSON schema.
        attach: Puts what is too large to be held for every question, such as an image, in the place of its name; called
            just before messages are sent. None if nothing is attached.
        attached_tokens: About how many input tokens the attachments take.
    """

    messages: list[Message]
    schema_name: str
    schema: JSON
    attach: Callable[[list[Message]], list[Message]] | None = None
    attached_tokens: int = 0


Q = TypeVar("Q")


class Prompts(Protocol[Q]):
    """The words in which questions of one kind are asked, and how their answers are read.

    Attributes:
        version: Version of the words and of the reading.
    """

    @property
    def version(self) -> str: ...

    def prompt(self, request: Q) -> Prompt:
        """Return what is sent to ask a question."""
        ...

    def example_of(self, request: Q) -> Q:
        """Return a question of the same kind that no server has reason to refuse."""
        ...

    def parse(self, request: Q, raw: str, *, cut: bool = False) -> Answer:
        """Read an answer; `cut` says whether it ended at its greatest length."""
        ...


class NotYet(EX2Error):
    """The answers are not there yet, though nothing is wrong. The same command, called again later, continues."""

    exit_code = EXIT_LATER


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
            NotYet: If the questions were handed in and the answers will come later.
        """
        ...


@runtime_checkable
class ReadsAgain(Protocol):
    """A judge that finds its answers in texts, and can read a stored text by the rules of today."""

    def read_again(self, request: JudgeRequest, answer: Answer) -> Answer:
        """Return what a stored answer's text says by the rules of today, with what asking for it took."""
        ...


class CostEstimate(NamedTuple):
    """What judging would take, as `EstimatesCost.estimate` returns it.

    Attributes:
        cached: Number of answers that are known already.
        spent: What is taken if every first answer can be read: the requests, about how many input tokens, and at most
            how many output tokens.
        cost: Price of `spent`, in the currency of the judge's prices; None without prices.
        most: What is taken if every answer needs its second try.
        most_cost: Price of `most`; None without prices.
        limited: Whether the length of all answers is limited; output tokens of answers without a limit are not in the
            numbers.
    """

    cached: int
    spent: Usage
    cost: float | None
    most: Usage
    most_cost: float | None
    limited: bool = True

    def plus(self, other: CostEstimate) -> CostEstimate:
        """Return the sum of both; if one cost is unknown, so is the sum's."""
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
        """Estimate what answering would take; nothing is sent."""
        ...

    def cost(self, spent: Usage) -> float | None:
        """Return the price of what was spent; None without prices."""
        ...
