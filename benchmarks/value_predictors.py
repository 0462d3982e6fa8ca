"""What predicts the values of recorded rollouts: a value head, ridge regression, means. Each learns batch by batch."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple, Protocol

import torch
from recorded_rollouts import RecordedBatch

from ex2.trainers.advantages import explained_variance, gae, spread, token_rewards
from ex2.trainers.config import PPOConfig
from ex2.trainers.losses import ppo_loss, token_weights
from ex2.trainers.rollout import MinibatchSizes, minibatch_rows
from ex2.trainers.seeded_sampling import batch_seed
from ex2.trainers.value_head import ValueHead, rescale, step_learning_rate

# --- what is predicted, and from what ---------------------------------------------------------------------------------


def hidden_states(model: Any, batch: RecordedBatch) -> torch.Tensor:
    """Return a causal language model's last hidden states before each response token, shape (B, T, hidden)."""
    mask = torch.cat([batch.prompt_mask, batch.response_mask], dim=1).long()
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    with torch.no_grad():
        output = model.base_model(
            input_ids=torch.cat([batch.prompt_ids, batch.completion_ids], dim=1),
            attention_mask=mask,
            position_ids=positions,
        )
    last: torch.Tensor = output.last_hidden_state[:, batch.prompt_ids.shape[1] - 1 : -1]
    return last.float()


def rewards_of(batch: RecordedBatch, score_mean: float) -> torch.Tensor:
    """Return the reward of each token as the trainer makes it, in units of the reward, shape (B, T)."""
    return token_rewards(
        (batch.scores - score_mean).nan_to_num(0.0) / batch.reward_unit,
        batch.logprobs,
        batch.ref_logprobs,
        batch.response_mask,
        kl_coef=batch.kl_coef / batch.reward_unit,
    )


def loss_mask(batch: RecordedBatch) -> torch.Tensor:
    """Return True on the tokens that count, which are those of responses with a score, shape (B, T)."""
    return batch.response_mask & ~batch.scores.isnan().unsqueeze(1)


def rewards_to_go(batch: RecordedBatch, score_mean: float, gamma: float) -> torch.Tensor:
    """Return what the value function estimates: the discounted sum of the rewards from each token on, shape (B, T)."""
    rewards = rewards_of(batch, score_mean)
    return gae(rewards, torch.zeros_like(rewards), batch.response_mask, gamma=gamma, lam=1.0).returns


# --- predictors -------------------------------------------------------------------------------------------------------


class Predictor(Protocol):
    """Predicts values of states, and learns from each batch after it has predicted it."""

    def predict(self, states: torch.Tensor) -> torch.Tensor:
        """Return values, shape (B, T), of hidden states, shape (B, T, hidden)."""

    def learn(self, states: torch.Tensor, values: torch.Tensor, returns: torch.Tensor, mask: torch.Tensor) -> None:
        """Learn from a batch.

        Args:
            states: Hidden states, shape (B, T, hidden).
            values: What was predicted, shape (B, T).
            returns: What is to be predicted, shape (B, T).
            mask: True on tokens that count, shape (B, T).
        """

    def rescale(self, factor: float) -> None:
        """Multiply what will be predicted by a factor: the returns have a new unit."""


class Head:
    """A value head that is trained as `PPOTrainer` trains it, but on hidden states that do not change.

    Minibatches that the run's ratio guard left out are not left out here.

    Args:
        width: Of a hidden state.
        config: The trainer's arguments.
    """

    def __init__(self, width: int, config: PPOConfig) -> None:
        torch.manual_seed(config.seed)
        self._config, self._batch = config, 0
        self._head = ValueHead(width, "detached", config.value_init)
        self._optimizer = torch.optim.AdamW(
            self._head.parameters(),
            lr=config.learning_rate if config.value_learning_rate is None else config.value_learning_rate,
            betas=(config.adam_beta1, config.adam_beta2),
            eps=config.adam_epsilon,
            weight_decay=config.weight_decay,
        )

    def predict(self, states: torch.Tensor) -> torch.Tensor:
        """As `Predictor`."""
        with torch.no_grad():
            values: torch.Tensor = self._head(states)
        return values

    def learn(self, states: torch.Tensor, values: torch.Tensor, returns: torch.Tensor, mask: torch.Tensor) -> None:
        """As `Predictor`."""
        config = self._config
        sizes = MinibatchSizes(config.per_device_train_batch_size, config.gradient_accumulation_steps, 1)
        unit = spread(returns, mask)
        clip_range = config.value_clip_range * (unit if config.value_clip_unit == "spread" else 1.0)
        if config.value_step is not None:
            rate = step_learning_rate(config.value_step * unit, states.abs().sum(-1), mask)
            for group in self._optimizer.param_groups:
                group["lr"] = rate
        for epoch in range(config.num_iterations):
            generator = torch.Generator().manual_seed(batch_seed(config.seed, self._batch, epoch + 1))
            order = torch.randperm(len(mask), generator=generator)
            for place in range(0, config.steps_per_generation, config.gradient_accumulation_steps):
                rows = minibatch_rows(order, place, sizes)
                nothing = torch.zeros_like(values[rows])  # a ratio of 1 and no advantages leave the value loss alone
                self._optimizer.zero_grad()
                ppo_loss(
                    nothing,
                    self._head(states[rows]),
                    nothing,
                    values[rows],
                    nothing,
                    returns[rows],
                    mask[rows],
                    clip_range=config.epsilon,
                    value_clip_range=clip_range,
                    value_coef=config.value_coef,
                    ratio_threshold=config.ratio_threshold,
                    weights=token_weights(mask[rows], mask[rows], config.loss_mean),
                ).loss.backward()
                self._optimizer.step()
        self._batch += 1

    def rescale(self, factor: float) -> None:
        """As `Predictor`."""
        rescale(self._head, self._optimizer, factor, gathering=_Whole)


class _Whole:
    """Stands in for TRL's `DistributedBackend`: the parameters are all here."""

    @staticmethod
    def gather_params(_parameters: Any) -> Any:
        return nullcontext()


PENALTIES = tuple(10.0**power for power in range(9))


class Ridge:
    """Ridge regression on all earlier batches: its weights minimise Σ (w·x + b − y)² + penalty · |w|².

    The penalty is the one whose own predictions of the earlier batches, each made from those before it, had the
    smallest squared error.

    Args:
        width: Number of features.
        penalties: Those to choose from.
    """

    def __init__(self, width: int, penalties: Sequence[float] = PENALTIES) -> None:
        self._penalties = penalties
        self._errors = torch.zeros(len(penalties), dtype=torch.float64)
        self._count, self._y = 0, torch.zeros((), dtype=torch.float64)
        self._x, self._xy = torch.zeros(width, dtype=torch.float64), torch.zeros(width, dtype=torch.float64)
        self._xx = torch.zeros(width, width, dtype=torch.float64)

    def _candidates(self, states: torch.Tensor) -> list[torch.Tensor]:
        x = states.double()
        if not self._count:
            return [torch.zeros(x.shape[:-1], dtype=torch.float64) for _ in self._penalties]
        mean_x, mean_y = self._x / self._count, self._y / self._count
        scales, axes = torch.linalg.eigh(self._xx - self._count * torch.outer(mean_x, mean_x))
        along = axes.T @ (self._xy - self._count * mean_x * mean_y)
        return [(x - mean_x) @ (axes @ (along / (scales + penalty))) + mean_y for penalty in self._penalties]

    def predict(self, states: torch.Tensor) -> torch.Tensor:
        """As `Predictor`."""
        return self._candidates(states)[int(self._errors.argmin())].float()

    def learn(self, states: torch.Tensor, values: torch.Tensor, returns: torch.Tensor, mask: torch.Tensor) -> None:
        """As `Predictor`."""
        made = self._candidates(states)
        self._errors += torch.stack([((candidate - returns)[mask] ** 2).sum() for candidate in made])
        x, y = states[mask].double(), returns[mask].double()
        self._count += len(x)
        self._x, self._y = self._x + x.sum(0), self._y + y.sum()
        self._xx, self._xy = self._xx + x.T @ x, self._xy + x.T @ y

    def rescale(self, factor: float) -> None:
        """As `Predictor`."""
        self._y, self._xy, self._errors = self._y * factor, self._xy * factor, self._errors * factor**2


class PositionMeans:
    """The mean of the earlier batches' returns at each position; of all of them where no response was so long.

    Args:
        longest: Tokens of the longest response.
    """

    def __init__(self, longest: int) -> None:
        self._sums, self._counts = torch.zeros(longest), torch.zeros(longest)

    def predict(self, states: torch.Tensor) -> torch.Tensor:
        """As `Predictor`."""
        overall = self._sums.sum() / self._counts.sum().clamp(min=1)
        means = torch.where(self._counts > 0, self._sums / self._counts.clamp(min=1), overall)
        return means[: states.shape[1]].expand(states.shape[:2])

    def learn(self, states: torch.Tensor, values: torch.Tensor, returns: torch.Tensor, mask: torch.Tensor) -> None:
        """As `Predictor`."""
        self._sums[: mask.shape[1]] += (returns * mask).sum(0)
        self._counts[: mask.shape[1]] += mask.sum(0)

    def rescale(self, factor: float) -> None:
        """As `Predictor`."""
        self._sums *= factor


class Constant(PositionMeans):
    """The mean of the earlier batches' returns."""

    def predict(self, states: torch.Tensor) -> torch.Tensor:
        """As `Predictor`."""
        return (self._sums.sum() / self._counts.sum().clamp(min=1)).expand(states.shape[:2])


# --- replay -----------------------------------------------------------------------------------------------------------


class Replayed(NamedTuple):
    """What a predictor said of each batch before it learnt from it; tensors have shape (B, T).

    Attributes:
        values: Its values, in units of the batch's reward.
        returns: The λ-returns with these values.
        explained: The explained variance of the returns.
    """

    values: list[torch.Tensor]
    returns: list[torch.Tensor]
    explained: list[float]


def replay(
    predictor: Predictor,
    batches: Sequence[RecordedBatch],
    hidden: Sequence[torch.Tensor],
    config: PPOConfig,
    score_mean: float,
    *,
    to_go: bool,
) -> Replayed:
    """Let a predictor predict each batch and then learn from it, in the order of the run.

    Args:
        predictor: The predictor, new.
        batches: The rollouts.
        hidden: Hidden states before each response token of each batch, shape (B, T, hidden).
        config: The trainer's arguments.
        score_mean: What was subtracted from the scores.
        to_go: Whether the rewards to go are to be explained rather than the λ-returns; a head is trained on the latter
            in any case.
    """
    replayed, unit = Replayed([], [], []), batches[0].reward_unit
    for batch, states in zip(batches, hidden, strict=True):
        if unit != batch.reward_unit:
            predictor.rescale(unit / batch.reward_unit)
            unit = batch.reward_unit
        mask, rewards = loss_mask(batch), rewards_of(batch, score_mean)
        values = predictor.predict(states)
        returns = gae(rewards, values, batch.response_mask, gamma=config.gamma, lam=config.lam).returns
        target = rewards_to_go(batch, score_mean, config.gamma) if to_go else returns
        replayed.values.append(values)
        replayed.returns.append(returns)
        replayed.explained.append(explained_variance(values, target, mask))
        predictor.learn(states, values, returns if isinstance(predictor, Head) else target, mask)
    return replayed
