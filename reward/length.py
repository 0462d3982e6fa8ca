"""A length penalty: the smallest example of a reward of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reward.completions import Completion, texts_of


class LengthPenalty:
    """Minus one per word beyond `limit` (words)."""

    __name__ = "length_penalty"

    def __init__(self, limit: int) -> None:
        self.limit = limit

    def __call__(self, completions: Sequence[Completion], **columns: Any) -> list[float | None]:
        return [-float(max(0, len(text.split()) - self.limit)) for text in texts_of(completions)]
