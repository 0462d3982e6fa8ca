"""Sampling with randomness that belongs to the row: the same prompt, step and draw give the same response in any batch.

A token is argmax of (filtered logits + Gumbel noise), which is a sample from their softmax. The noise is a hash of
(row's key, position, token), so it depends neither on the other rows nor on the number of processes or the device.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

_GOLDEN = 0x9E3779B97F4A7C15
_FIRST, _SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_BITS = 53  # of a float64's mantissa


def row_key(seed: int, step: int, draw: int) -> int:
    """Return the 64-bit key of one response.

    Args:
        seed: Seed of the run.
        step: Number of the batch, from 0.
        draw: Index of the row in the global batch.
    """
    digest = hashlib.sha256(f"{seed}:{step}:{draw}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def batch_seed(*words: int) -> int:
    """Return a 32-bit seed, as numpy needs it, that is a hash of numbers such as (seed, batch, epoch)."""
    digest = hashlib.sha256(":".join(map(str, words)).encode()).digest()
    return int.from_bytes(digest[:4], "big")


def gumbel_noise(keys: torch.Tensor, position: int, vocabulary: int) -> torch.Tensor:
    """Return standard Gumbel noise for one position, float64, shape (B, vocabulary).

    The uniform variates are SplitMix64's stream (doi:10.1145/2660193.2660195) started at a hash of key and position.

    Args:
        keys: Key of each row, int64, shape (B,).
        position: Position of the token in its response, from 0.
        vocabulary: Number of tokens in the vocabulary.
    """
    starts = _mix(keys + _signed((position + 1) * _FIRST))
    counters = torch.arange(1, vocabulary + 1, device=keys.device) * _signed(_GOLDEN)
    bits = _shifted(_mix(starts.unsqueeze(1) + counters), 64 - _BITS)
    uniform = (bits.double() + 0.5) * 2.0**-_BITS
    # the largest rounds to 1, whose noise would be infinite
    return -torch.log(-torch.log(uniform.clamp(max=1 - 2.0**-_BITS)))


def _mix(values: torch.Tensor) -> torch.Tensor:
    """Return SplitMix64's finalizer of int64 values, whose overflow wraps as that of the unsigned original does."""
    values = (values ^ _shifted(values, 30)) * _signed(_FIRST)
    values = (values ^ _shifted(values, 27)) * _signed(_SECOND)
    return values ^ _shifted(values, 31)


def _shifted(values: torch.Tensor, places: int) -> torch.Tensor:
    return (values >> places) & ((1 << (64 - places)) - 1)  # logical: torch shifts the sign in


def _signed(word: int) -> int:
    word &= (1 << 64) - 1
    return word - (1 << 64) if word >> 63 else word


class SeededSampler(LogitsProcessor):
    """Samples as a logits processor: sets scores to 0 at the sampled token and to −∞ elsewhere, so that any way of
    choosing takes that token.

    Temperature, top-k and top-p are applied here. transformers applies its own after custom processors, where they no
    longer change anything.

    Args:
        keys: Key of each row, from `row_key`.
        temperature: Divides the logits.
        top_k: Number of most probable tokens kept; 0 keeps all.
        top_p: Probability mass kept, in (0, 1].
    """

    def __init__(self, keys: Sequence[int], *, temperature: float, top_k: int, top_p: float) -> None:
        self._keys = torch.tensor(list(keys), dtype=torch.long)
        self._prompt_length: int | None = None
        self._filters: list[Any] = []
        if temperature != 1.0:
            self._filters.append(TemperatureLogitsWarper(temperature))
        if top_k:
            self._filters.append(TopKLogitsWarper(top_k))
        if top_p < 1.0:
            self._filters.append(TopPLogitsWarper(top_p))

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Sample one token of every row.

        Args:
            input_ids: Prompts and the tokens sampled so far, shape (B, T).
            scores: Logits of the next token, shape (B, vocabulary).

        Returns:
            Shape (B, vocabulary): 0 at the chosen token, −∞ elsewhere.

        Raises:
            ValueError: If there is not one key per row.
        """
        if len(self._keys) != len(scores):
            raise ValueError(f"{len(self._keys)} keys for {len(scores)} rows")
        if self._prompt_length is None:
            self._prompt_length = input_ids.shape[1]
        scores = scores.float()
        for keep in self._filters:
            scores = keep(input_ids, scores)
        position = input_ids.shape[1] - self._prompt_length
        noise = gumbel_noise(self._keys.to(scores.device), position, scores.shape[1])
        chosen = (scores.double() + noise).argmax(-1, keepdim=True)
        return torch.full_like(scores, -torch.inf).scatter_(1, chosen, 0.0)


@contextmanager
def seeded_generation(model: Any, sampler: SeededSampler) -> Iterator[None]:
    """Make `model.generate` sample with `sampler` inside the block, also if a wrapper of the model calls it.

    Args:
        model: The language model itself, without PEFT or other wrappers.
        sampler: The sampler, which serves for one call of `generate` only.
    """
    generate = model.generate

    def seeded(*args: Any, **kwargs: Any) -> Any:
        return generate(*args, logits_processor=LogitsProcessorList([sampler]), **kwargs)

    model.generate = seeded
    try:
        yield
    finally:
        del model.generate
