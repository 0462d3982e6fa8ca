"""Arguments of the trainers: TRL's own, with those of the KL controller and of PPO added."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from torch.utils.data import Sampler
from trl import GRPOConfig, RLOOConfig

from ex2.trainers.kl_controller import Controller, HorizonUnit, KLController, Unit
from ex2.trainers.losses import LossMean
from ex2.trainers.prompt_order import PromptSampler
from ex2.trainers.value_head import ValueInit, ValueTrunk

ValueClipUnit = Literal["reward", "spread"]


@dataclass
class KLArguments:
    """The KL controller's settings, the same for every algorithm; see `ex2.trainers.kl_controller.KLController`.

    Attributes:
        kl_controller: `adaptive`, `log` or `fixed`.
        kl_coef: Initial β.
        kl_target: Target of the mean KL, in nats per `kl_unit`.
        kl_horizon: Horizon of the controller, in `kl_horizon_unit`.
        kl_unit: `sequence` or `token`.
        kl_horizon_unit: `samples` of the global batch, or `batches`.
        kl_damping: Damping of the `log` controller.
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
    """Properties that the arguments of all three trainers share; mixed into TRL's classes."""

    @property
    def forwards_per_batch(self) -> int:
        """Forward and backward passes of one process per rollout."""
        return int(self.num_iterations * self.steps_per_generation)  # type: ignore[attr-defined]

    @property
    def updates_per_batch(self) -> int:
        """Optimizer steps per rollout."""
        return int(self.forwards_per_batch // self.gradient_accumulation_steps)  # type: ignore[attr-defined]


@dataclass
class PPOConfig(ControlledArguments, RLOOConfig):  # type: ignore[misc]  # trl is untyped
    """PPO on top of TRL's rollouts.

    PPO's sizes have TRL's names. `num_iterations` is the number of epochs. One process's rollout has
    `per_device_train_batch_size` × `steps_per_generation` responses. One optimizer step takes
    `gradient_accumulation_steps` forward passes. `num_generations` is always 1, as PPO needs no group of responses.

    Attributes:
        gamma: Discount per token.
        lam: λ of generalized advantage estimation.
        value_clip_range: Largest change of a value in an update, in units of `value_clip_unit`.
        value_coef: Weight of the value loss.
        whiten_advantages: Whether to shift and scale each batch's advantages to mean 0 and variance 1.
        ratio_threshold: Mean ratio above which a minibatch (or, with `loss_mean` responses, a response) gives no
            gradient.
        loss_mean: `tokens` weights every token of a minibatch alike, `responses` every response.
        score_centering: `first_batch` subtracts the first batch's mean score from every score, `none` nothing.
        value_trunk: `shared` lets the value loss change the policy's weights too, `detached` only the value head's.
        value_init: `default` draws the value head's first weights as PyTorch does, `zero` sets them to 0.
        value_clip_unit: What `value_clip_range` is in units of: `reward`, or the `spread` (standard deviation) of the
            batch's returns.
        value_learning_rate: Learning rate of the value head; None takes the policy's.
        value_step: If given, the value head's learning rate is set for each batch: one step of the optimizer, which is
            Adam, changes the value of an ordinary state by this many spreads (standard deviations) of the batch's
            returns at most. Then `value_learning_rate` must be None.
    """

    gamma: float = field(default=1.0)
    lam: float = field(default=0.95)
    value_clip_range: float = field(default=0.2)
    value_coef: float = field(default=0.1)
    whiten_advantages: bool = field(default=True)
    ratio_threshold: float = field(default=10.0)
    loss_mean: LossMean = field(default="tokens")
    score_centering: Literal["first_batch", "none"] = field(default="first_batch")
    value_trunk: ValueTrunk = field(default="shared")
    value_init: ValueInit = field(default="default")
    value_clip_unit: ValueClipUnit = field(default="reward")
    value_learning_rate: float | None = field(default=None)
    value_step: float | None = field(default=None)

    def __post_init__(self) -> None:
        local_rollout = self.per_device_train_batch_size * (self.steps_per_generation or 1)
        if local_rollout < 2:
            raise ValueError(f"the rollout of one process has {local_rollout} sample; PPO needs at least 2")
        if self.value_step is not None and self.value_learning_rate is not None:
            raise ValueError(
                f"value_step {self.value_step:g} and value_learning_rate {self.value_learning_rate:g} both set the "
                "value head's learning rate; give one of them"
            )
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
    """Yields prompts in the order of a `PromptSampler`, each `generations` times in a row for a group of descriptions.

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
