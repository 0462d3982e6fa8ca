"""A reward that looks at how a description ends: what a missing end token costs, and what is cut off."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from ex2.monitoring.signs import cut_to_sentence
from reward.completions import Completion, texts_of

MissingEnd = Literal["keep", "penalty", "none"]


def shown_text(text: str, *, ended: bool, cut: bool) -> str:
    """Return what counts as the description.

    Args:
        text: As decoded.
        ended: Whether an end token ended it: then it is whole as it is.
        cut: Whether to cut others back to their last full sentence.
    """
    return cut_to_sentence(text) if cut and not ended else text


class WithEndings:
    """A TRL reward function that treats descriptions without an end token as a recipe says.

    Tokens behind the last full sentence stay in PPO's loss: the policy wrote them, and they cost KL.

    Args:
        reward: The reward proper; it sees the cut descriptions.
        ends: Tokens that end a description.
        missing_end: `keep`: scored as any other, as in the paper; `penalty`: `penalty` is subtracted; `none`: cannot
            be scored, and is left out of the loss.
        penalty: In units of the score.
        cut: Cut a description without an end token back to its last full sentence before it is scored.
    """

    def __init__(
        self, reward: Any, *, ends: Sequence[int], missing_end: MissingEnd, penalty: float = 0.0, cut: bool = False
    ) -> None:
        self.reward, self.ends, self.missing_end = reward, frozenset(ends), missing_end
        self.penalty, self.cut = penalty, cut
        self.__name__ = reward.__name__

    @property
    def needs_reference(self) -> bool:
        """Whether the reward proper asks for the reference model's log-probabilities."""
        return bool(getattr(self.reward, "needs_reference", False))

    def __call__(
        self, completions: Sequence[Completion], completion_ids: Sequence[Sequence[int]], **columns: Any
    ) -> list[float | None]:
        """Score each completion.

        Args:
            completions: Descriptions, plain or as chat messages.
            completion_ids: Tokens of each, the end token included.
            **columns: Handed on.
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
    """Return completions of the same form, plain or chat, with other texts."""
    return [
        text if isinstance(completion, str) else [{"role": "assistant", "content": text}]
        for completion, text in zip(completions, texts, strict=True)
    ]
