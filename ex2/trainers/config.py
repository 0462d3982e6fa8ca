"""Arguments of the PPO trainer: TRL's `RLOOConfig` with what PPO adds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from torch.utils.data import Sampler
from trl import GRPOConfig, RLOOConfig

from ex2.trainers.kl import Controller, HorizonUnit, KLController, Unit
from ex2.trainers.losses import LossMean
from ex2.trainers.prompt_order import PromptSampler


@dataclass
class KLArguments:
    """The KL controller's settings, the same for every algorithm; see `ex2.trainers.kl.KLController`.

    Attributes:
        kl_controller: `adaptive`, `log` or `fixed`.
        kl_coef: Initial β.
        kl_target: Target of the mean KL, in nats per `kl_unit`.
        kl_horizon: Horizon of the controller, in `kl_horizon_unit`.
        kl_unit: `sequence` or `token`.
        kl_horizon_unit: `samples` of the global batch, or `batches`.
        kl_damping: Of `log`: the power of the KL's change by which β follows at once.
    """

    kl_controller: Controller = field(default="adaptive")
    kl_coef: float = field(default=0.2)
    kl_target: float = field(default=10.0)
    kl_horizon: int = field(default=10_000)
    kl_unit: Unit = field(default="sequence")
    kl_horizon_unit: HorizonUnit = field(default="samples")
    kl_damping: float = field(default=1.0)

    def make_kl_controller(self) -> KLController:
        """Return the controller at the start of a run."""
        return KLController(
            self.kl_coef,
            self.kl_target,
            self.kl_horizon,
            self.kl_controller,
            self.kl_unit,
            self.kl_horizon_unit,
            self.kl_damping,
        )


@dataclass
class ControlledArguments(KLArguments):
    """What the arguments of all three trainers share, mixed into TRL's."""

    @property
    def forwards_per_batch(self) -> int:
        """Forward-backward passes per rollout."""
        return int(self.num_iterations * self.steps_per_generation)  # type: ignore[attr-defined]

    @property
    def updates_per_batch(self) -> int:
        """Optimizer steps per rollout."""
        return int(self.forwards_per_batch // self.gradient_accumulation_steps)  # type: ignore[attr-defined]


@dataclass
class PPOConfig(ControlledArguments, RLOOConfig):  # type: ignore[misc]  # trl is untyped
    """PPO on top of TRL's rollouts.

    TRL's names for PPO's sizes: epochs are `num_iterations`; the rollout of one process is
    `per_device_train_batch_size` × `steps_per_generation`; one optimizer step takes `gradient_accumulation_steps`
    forwards. `num_generations` is always 1: PPO needs no group.

    Attributes:
        gamma: Discount per token.
        lam: λ of generalized advantage estimation.
        value_clip_range: Furthest a value may move in an update, in units of the reward.
        value_coef: Weight of the value loss.
        whiten_advantages: Shift and scale the advantages of each batch.
        ratio_threshold: Mean ratio above which a minibatch (or, with `loss_mean` responses, a response) gives no
            gradient.
        loss_mean: `tokens` weights every token of a minibatch alike, `responses` every response.
        score_centering: `first_batch` subtracts the first batch's mean score from every score, `none` nothing.
    """

    gamma: float = field(default=1.0)
    lam: float = field(default=0.95)
    value_clip_range: float = field(default=0.2)
    value_coef: float = field(default=0.1)
    whiten_advantages: bool = field(default=True)
    ratio_threshold: float = field(default=10.0)
    loss_mean: LossMean = field(default="tokens")
    score_centering: Literal["first_batch", "none"] = field(default="first_batch")

    def __post_init__(self) -> None:
        local_rollout = self.per_device_train_batch_size * (self.steps_per_generation or 1)
        if local_rollout < 2:
            raise ValueError(f"the rollout of one process has {local_rollout} sample; PPO needs at least 2")
        # RLOOConfig refuses num_generations < 2. Let it check everything else with a divisor that passes.
        self.num_generations = local_rollout
        super().__post_init__()
        self.num_generations = 1


@dataclass
class ControlledRLOOConfig(ControlledArguments, RLOOConfig):  # type: ignore[misc]  # trl is untyped
    """TRL's `RLOOConfig` with the KL controller's settings; `beta` is not read."""


@dataclass
class ControlledGRPOConfig(ControlledArguments, GRPOConfig):  # type: ignore[misc]  # trl is untyped
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
