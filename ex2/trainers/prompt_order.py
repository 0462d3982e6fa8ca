"""The order of prompts, which depends on seed and batch only, so that a resumed run continues in the same order."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.utils.data import Sampler


class PromptSampler(Sampler[int]):
    """Yields prompts' indices for a whole run; each pass over the data has a new order and drops an incomplete batch.

    Each batch is yielded several times, because TRL reads the dataloader once per forward pass and generates only at
    the first.

    Args:
        size: Number of prompts in the dataset.
        batch_size: Number of prompts in a batch, over all processes.
        repeats: How often each batch is yielded.
        batches: Number of batches in the whole run.
        seed: Seed of the permutations.
        start: Number of batches already done.

    Raises:
        ValueError: If there are fewer prompts than a batch.
    """

    def __init__(self, *, size: int, batch_size: int, repeats: int, batches: int, seed: int, start: int = 0) -> None:
        if size < batch_size:
            raise ValueError(f"{size} prompts are fewer than a batch of {batch_size}")
        self.size, self.batch_size, self.repeats = size, batch_size, repeats
        self.batches, self.seed, self.start = batches, seed, start

    def batch(self, number: int) -> list[int]:
        """Return the indices of batch `number`, counted from 0."""
        per_epoch = self.size // self.batch_size
        epoch, place = divmod(number, per_epoch)
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        order = torch.randperm(self.size, generator=generator)
        return [int(i) for i in order[place * self.batch_size : (place + 1) * self.batch_size]]

    def __iter__(self) -> Iterator[int]:
        for number in range(self.start, self.batches):
            indices = self.batch(number)
            for _ in range(self.repeats):
                yield from indices

    def __len__(self) -> int:
        return (self.batches - self.start) * self.batch_size * self.repeats
