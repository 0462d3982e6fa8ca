"""Tokens and money, before and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from analysis.judge.base import Usage, contents

BYTES_PER_TOKEN = 4
"""Of English text in the usual vocabularies; other languages take more tokens."""
TOKENS_PER_MESSAGE = 4
"""What a chat template adds to each message."""

PRICES = ("input", "output")


def estimate_tokens(messages: Sequence[Mapping[str, str]]) -> int:
    """Estimate the tokens of a conversation, without its model's vocabulary: rounded up for each message."""
    return sum(-(-len(text.encode()) // BYTES_PER_TOKEN) + TOKENS_PER_MESSAGE for text in contents(messages))


def cost(spent: Usage, price_per_million: Mapping[str, float] | None) -> float | None:
    """Return the price of tokens.

    Args:
        spent: Tokens.
        price_per_million: Price of a million `input` and `output` tokens, in any currency; None is unknown.

    Returns:
        The price in the same currency, or None.
    """
    if price_per_million is None:
        return None
    tokens = (spent.input_tokens, spent.output_tokens)
    return sum(price_per_million[kind] * count / 1e6 for kind, count in zip(PRICES, tokens, strict=True))
