"""What an answerer is: it answers a yes/no question about an image, without being told the right answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from analysis.images.questions.files import ImageQuestion
from analysis.judge.base import Answer, CostEstimate, Usage

OnAnswer = Callable[[ImageQuestion, Answer], None]


class Answerer(Protocol):
    """Anything that answers.

    A class may also have `immaterial`, the names of settings that change no answer, and `answers_version`, the version
    of its words and of its reading: answers of another version are asked for again.

    Attributes:
        name: Shown in tables and stored with every answer.
        exact: Whether the answers are true by construction but for planted errors, as in the demo world.
    """

    name: str
    exact: bool

    def answer(self, questions: Sequence[ImageQuestion], on_answer: OnAnswer) -> None:
        """Answer every question, calling `on_answer` once for each as soon as it is known.

        Raises:
            UserError: If the answerer cannot be used as it is set up.
            EnvironmentFault: If it cannot be reached; answers given so far have been passed on.
            NotYet: If the questions were handed in and the answers will come later.
        """
        ...


@runtime_checkable
class CountsCost(Protocol):
    """An answerer whose answers cost something, and that can say how much before it is asked."""

    def estimate(self, questions: Sequence[ImageQuestion]) -> CostEstimate:
        """Estimate what answering would take; nothing is sent."""
        ...

    def cost(self, spent: Usage) -> float | None:
        """Return the price of what was spent; None without prices."""
        ...
