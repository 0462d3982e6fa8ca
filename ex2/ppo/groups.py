"""Groups of descriptions of one prompt: the arguments of RLOO and GRPO, and the order of the prompts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch.utils.data import Sampler
from trl import GRPOConfig, RLOOConfig

from ex2.ppo.config import KLArguments
from ex2.ppo.sampler import PromptSampler


@dataclass
class GroupArguments(KLArguments):
    """What RLOO's and GRPO's arguments share."""

    @property
    def forwards_per_batch(self) -> int:
        """Forward-backward passes per rollout."""
        return int(self.num_iterations * self.steps_per_generation)  # type: ignore[attr-defined]

    @property
    def updates_per_batch(self) -> int:
        """Optimizer steps per rollout."""
        return int(self.forwards_per_batch // self.gradient_accumulation_steps)  # type: ignore[attr-defined]


@dataclass
class ControlledRLOOConfig(GroupArguments, RLOOConfig):  # type: ignore[misc]  # trl is untyped
    """TRL's `RLOOConfig` with the KL controller's settings; `beta` is not read."""


@dataclass
class ControlledGRPOConfig(GroupArguments, GRPOConfig):  # type: ignore[misc]  # trl is untyped
    """TRL's `GRPOConfig` with the KL controller's settings; `beta` is not read."""


class GroupSampler(Sampler[int]):
    """`PromptSampler`'s order with every prompt yielded `generations` times in a row: a group's descriptions.

    Args:
        prompts: Order of the prompts; its `batch_size` counts prompts.
        generations: Descriptions per prompt.
    """

    def __init__(self, prompts: PromptSampler, generations: int) -> None:
        self.prompts, self.generations = prompts, generations

    def __iter__(self) -> Iterator[int]:
        for index in self.prompts:
            yield from [index] * self.generations

    def __len__(self) -> int:
        return len(self.prompts) * self.generations
