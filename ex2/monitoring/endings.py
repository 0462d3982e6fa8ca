"""A reward that depends on how a description ends: what a missing end token costs, and whether text is cut off."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from ex2.monitoring.signs import cut_to_sentence
from reward.completions import Completion, texts_of

MissingEnd = Literal["keep", "penalty", "none"]


def shown_text(text: str, *, ended: bool, cut: bool) -> str:
    """Return the text of a description that is scored and shown.

    Args:
        text: The description as decoded.
        ended: Whether an end token ended it. Such a text is returned as it is.
        cut: Whether a text without an end token is cut back to its last full sentence.
    """
    return cut_to_sentence(text) if cut and not ended else text


class WithEndings:
    """A TRL reward function that treats descriptions without an end token as a recipe says.

    Tokens that are cut off stay in the trainer's loss: the policy wrote them, and they count in its KL.

    Args:
        reward: The reward that scores descriptions; it is given them as cut.
        ends: Ids of the tokens that end a description.
        missing_end: Treatment of a description without an end token. `keep` scores it like any other, as in the paper;
            `penalty` subtracts `penalty` from its score; `none` gives it no score, which leaves it out of the loss.
        penalty: Subtracted for a missing end token, in units of the score.
        cut: Whether to cut a description without an end token back to its last full sentence before it is scored.
    """

    def __init__(
        self, reward: Any, *, ends: Sequence[int], missing_end: MissingEnd, penalty: float = 0.0, cut: bool = False
    ) -> None:
        self.reward, self.ends, self.missing_end = reward, frozenset(ends), missing_end
        self.penalty, self.cut = penalty, cut
        self.__name__ = reward.__name__

    @property
    def needs_reference(self) -> bool:
        """Whether the wrapped reward asks for the reference model's log-probabilities."""
        return bool(getattr(self.reward, "needs_reference", False))

    def __call__(
        self, completions: Sequence[Completion], completion_ids: Sequence[Sequence[int]], **columns: Any
    ) -> list[float | None]:
        """Score each completion.

        Args:
            completions: Descriptions, plain or as chat messages.
            completion_ids: Token ids of each completion, its end token included.
            **columns: Other columns, passed to the wrapped reward.

        Returns:
            A score for each completion, None for one without a score.
        """
        ended = [bool(ids) and ids[-1] in self.ends for ids in completion_ids]
        texts = [
            shown_text(text, ended=end, cut=self.cut) for text, end in zip(texts_of(completions), ended, strict=True)
        ]
        scores: list[float | None] = self.reward(
            completions=with_texts(completions, texts), completion_ids=completion_ids, **columns
        )
        if self.missing_end == "keep":
            return scores
        if self.missing_end == "none":
            return [score if end else None for score, end in zip(scores, ended, strict=True)]
        return [
            score if end or score is None else score - self.penalty for score, end in zip(scores, ended, strict=True)
        ]


def with_texts(completions: Sequence[Completion], texts: Sequence[str]) -> list[Completion]:
    """Return completions with the given texts in place of their own, each plain or a chat as it was."""
    return [
        text if isinstance(completion, str) else [{"role": "assistant", "content": text}]
        for completion, text in zip(completions, texts, strict=True)
    ]
