"""Rewards computed from the words alone: fluency, repetition and length. They mostly serve as terms of a sum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reward.completions import Completion, texts_of


class Fluency:
    """Mean log-probability per token of a description under the reference model, in nats, at most 0.

    It costs no extra forward pass, as the trainer computes the log-probabilities anyway. An empty description gets
    `None`.
    """

    __name__ = "fluency"
    needs_reference = True

    def __call__(
        self, completions: Sequence[Completion], reference_logprobs: Sequence[Sequence[float]], **columns: Any
    ) -> list[float | None]:
        """Score each completion.

        Args:
            completions: Descriptions.
            reference_logprobs: Log-probability of each of a description's tokens, its end token included.
            **columns: Unused.
        """
        texts = texts_of(completions)
        return [
            sum(logprobs) / len(logprobs) if text.strip() and logprobs else None
            for text, logprobs in zip(texts, reference_logprobs, strict=True)
        ]


class LengthPenalty:
    """Minus the number of words beyond `limit`; 0 for a description of at most `limit` words."""

    __name__ = "length_penalty"

    def __init__(self, limit: int) -> None:
        self.limit = limit

    def __call__(self, completions: Sequence[Completion], **columns: Any) -> list[float | None]:
        return [-float(max(0, len(text.split()) - self.limit)) for text in texts_of(completions)]


class Repetition:
    """Minus the share of a description's word n-grams that occurred in it before, from 0 to −1; case is ignored."""

    __name__ = "repetition"

    def __init__(self, n: int = 2) -> None:
        self.n = n

    def __call__(self, completions: Sequence[Completion], **columns: Any) -> list[float | None]:
        return [-repeated_share(text.lower().split(), self.n) for text in texts_of(completions)]


def repeated_share(words: Sequence[str], n: int) -> float:
    """Return the share of n-grams of `words` that occurred before in it, in [0, 1); 0 for fewer than n words."""
    grams = [tuple(words[start : start + n]) for start in range(len(words) - n + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0
