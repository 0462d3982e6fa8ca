"""Tokens and money: estimated before judging, computed after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from analysis.judge.base import Usage, contents

BYTES_PER_TOKEN = 4
"""Bytes of English text per token in the usual vocabularies; other languages take more tokens."""
TOKENS_PER_MESSAGE = 4
"""Tokens that a chat template adds to each message."""

PRICES = ("input", "output")


def estimate_tokens(messages: Sequence[Mapping[str, Any]]) -> int:
    """Estimate the tokens of a conversation's texts without the model's vocabulary, rounded up for each message."""
    return sum(-(-len(text.encode()) // BYTES_PER_TOKEN) + TOKENS_PER_MESSAGE for text in contents(messages))


def cost(spent: Usage, price_per_million: Mapping[str, float] | None) -> float | None:
    """Return the price of tokens.

    Args:
        spent: Numbers of tokens.
        price_per_million: Price of a million `input` and of a million `output` tokens, in any currency; None if
            unknown.

    Returns:
        The price in the same currency, or None if prices are unknown.
    """
    if price_per_million is None:
        return None
    tokens = (spent.input_tokens, spent.output_tokens)
    return sum(price_per_million[kind] * count / 1e6 for kind, count in zip(PRICES, tokens, strict=True))
