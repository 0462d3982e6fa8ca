"""PPO on TRL's RLOO trainer, which provides rollouts, reward calls, devices, PEFT and checkpoints.

Variables have the names and shapes of `ex2.trainers.advantages`. What PPO shares with the other algorithms is in
`ex2.trainers.controlled`.
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import set_seed
from trl import RLOOTrainer

from ex2.trainers.advantages import explained_variance, gae, spread, token_rewards, whiten
from ex2.trainers.checkpoints import load_parameters, save_parameters
from ex2.trainers.config import PPOConfig
from ex2.trainers.controlled import ControlledTrainer
from ex2.trainers.losses import PPOLoss, ppo_loss, token_weights
from ex2.trainers.rollout import MinibatchSizes, gather_rollout, local_rows, minibatch_rows
from ex2.trainers.seeded_sampling import batch_seed
from ex2.trainers.value_head import add_value_head, rescale, step_learning_rate

VALUE_HEAD = "value_head.safetensors"


class PPOTrainer(ControlledTrainer, RLOOTrainer):  # type: ignore[misc]  # trl is untyped
    """Proximal policy optimisation with a value head and a KL-controlled per-token reward.

    Takes the arguments of `trl.RLOOTrainer`; `args` is a `PPOConfig`. With `peft_config` the reference is the policy
    without its adapter, else a second model. After `train()`, `kl_controller.coef` is the final β, and `score_mean` is
    the constant that was subtracted from the scores.

    Every process holds the whole rollout. Minibatches are taken from one permutation of the global batch, so that they
    do not depend on the number of processes.
    """

    _tag_names = ("ex2", "ppo")
    _name = "PPO"
    trl_logger = "trl.trainer.rloo_trainer"
    args: PPOConfig

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.value_head = add_value_head(self._language_model, self.args.value_trunk, self.args.value_init)
        self.value_unit = self.reward_unit  # of the head's values, in units of the score
        self._value_clip_range = self.args.value_clip_range  # of this batch, in the values' unit
        self._value_rate = 0.0  # of this batch, if `value_step` is given
        self._judged = 0  # so many of `_updates` are of minibatches that the ratio guard has judged
        self._skipped = 0  # minibatches of the batch in progress that the ratio guard left out, whole or in part
        self._rollout: dict[str, torch.Tensor] = {}
        self._order = torch.zeros(0, dtype=torch.long)
        self._updates: list[PPOLoss] = []
        self._entropies: list[float] = []

    # --- data -------------------------------------------------------------------------------------------------------

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        if not self.model.training:
            return super()._prepare_inputs(generation_batch)
        config = self.args
        position = self._step % config.forwards_per_batch
        epoch, place = divmod(position, config.steps_per_generation)
        if position == 0 or not self._rollout:
            start = time.perf_counter()
            if self.value_unit != self.reward_unit:
                rescale(self.value_head, self.optimizer, self.value_unit / self.reward_unit, gathering=self._dist)
                self.value_unit = self.reward_unit
            set_seed(self._key(epoch=0))  # sampling is a function of (seed, batch, process): a restart repeats it
            local = self._generate_and_score_completions(generation_batch)
            self._rollout = gather_rollout(local, self.accelerator, self._tokenizer.pad_token_id)
            sizes, mask = self._rollout.pop("state_sizes"), self._rollout["loss_mask"]
            unit = spread(self._rollout["returns"], mask)
            if config.value_clip_unit == "spread":
                self._value_clip_range = config.value_clip_range * unit
            if config.value_step is not None:
                self._value_rate = step_learning_rate(config.value_step * unit, sizes, mask)
            self._seconds["rollout"] += time.perf_counter() - start
        if place == 0:  # a new permutation each epoch; TRL's buffer is shuffled once
            generator = torch.Generator().manual_seed(self._key(epoch=epoch + 1))
            self._order = torch.randperm(len(self._rollout["loss_mask"]), generator=generator)
        if config.value_step is not None:
            for group in self.optimizer.param_groups:
                if group.get("value_head"):
                    group["lr"] = self._value_rate  # again in each forward: the schedule sets it back after each step
        rows = self._rows(place, 1)
        inputs = {key: value[rows] for key, value in self._rollout.items()}
        minibatch = self._rollout["loss_mask"][minibatch_rows(self._order, place, self._sizes).to(rows.device)]
        # The trainer averages over accumulation steps and processes; the loss is a mean over the minibatch.
        forwards = config.gradient_accumulation_steps * self.accelerator.num_processes
        inputs["weights"] = forwards * token_weights(inputs["loss_mask"], minibatch, config.loss_mean)
        return inputs

    def _key(self, *, epoch: int) -> int:
        """Return the seed of random choices in the present batch.

        Args:
            epoch: 0 for the rollout, n for the order of rows in the n-th PPO epoch.
        """
        return batch_seed(self.args.seed, self.batch_number, epoch)

    @property
    def _sizes(self) -> MinibatchSizes:
        config = self.args
        return MinibatchSizes(
            config.per_device_train_batch_size, config.gradient_accumulation_steps, self.accelerator.num_processes
        )

    def _rows(self, place: int, micro_batches: int) -> torch.Tensor:
        process = self.accelerator.process_index
        rows = local_rows(self._order, place, self._sizes, process=process, forwards=micro_batches)
        return rows.to(self.accelerator.device)

    # --- rollout ----------------------------------------------------------------------------------------------------

    def _generate_and_score_completions(self, inputs: Any) -> dict[str, Any]:
        output = super()._generate_and_score_completions(inputs)
        return self._add_advantages(output) if self.model.training else output

    def _add_advantages(self, output: dict[str, Any]) -> dict[str, Any]:
        config = self.args
        policy, reference = self._passes  # TRL runs the policy first, then the reference
        response_mask = output["completion_mask"].bool()
        if self.score_mean is None:
            first_batch = config.score_centering == "first_batch"
            self.score_mean = float(self._scores[~self._scores.isnan()].mean()) if first_batch else 0.0
        rows = slice(self.accelerator.process_index * len(response_mask), None)
        scores = self._scores[rows][: len(response_mask)].to(policy.logprobs.device)
        loss_mask = response_mask & ~scores.isnan().unsqueeze(1)

        rewards = token_rewards(
            (scores - self.score_mean).nan_to_num(0.0) / self.reward_unit,
            policy.logprobs,
            reference.logprobs,
            response_mask,
            kl_coef=self.kl_controller.coef / self.reward_unit,
        )
        advantages, returns = gae(rewards, policy.values, response_mask, gamma=config.gamma, lam=config.lam)
        variance = explained_variance(policy.values, returns, loss_mask, reduce=self._sum)
        if config.whiten_advantages:
            advantages = whiten(advantages, loss_mask, reduce=self._sum)

        self.batch_log = {
            **self._measure(output, policy.logprobs, reference.logprobs),
            "explained_variance": variance,
        }
        return output | {
            "old_logprobs": policy.logprobs,
            "old_values": policy.values,
            "advantages": advantages,
            "returns": returns,
            "loss_mask": loss_mask,
            "state_sizes": policy.state_sizes,
        }

    def create_optimizer(self, model: Any = None) -> Any:
        optimizer = super().create_optimizer() if model is None else super().create_optimizer(model)
        rate, head = self.args.value_learning_rate, {id(parameter) for parameter in self.value_head.parameters()}
        groups = optimizer.param_groups
        has_own = rate is not None or self.args.value_step is not None
        if not has_own or any("value_head" in group for group in groups):
            return optimizer
        for group in list(groups):
            own = [parameter for parameter in group["params"] if id(parameter) in head]
            if own:
                group["params"] = [parameter for parameter in group["params"] if id(parameter) not in head]
                rate = group["lr"] if rate is None else rate  # of `value_step`, each batch sets it
                optimizer.add_param_group({**group, "params": own, "lr": rate, "value_head": True})
        return optimizer

    # --- update -----------------------------------------------------------------------------------------------------

    def _compute_loss(self, model: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        config = self.args
        self._passes = []
        _, entropies, _ = self._response_pass(model, inputs, compute_entropy=True)
        new = self._passes[-1]
        mask, guard_responses = inputs["loss_mask"], config.loss_mean == "responses"
        result = ppo_loss(
            new.logprobs,
            new.values,
            inputs["old_logprobs"],
            inputs["old_values"],
            inputs["advantages"],
            inputs["returns"],
            mask,
            clip_range=self.epsilon_low,
            value_clip_range=self._value_clip_range,
            value_coef=config.value_coef,
            # a minibatch is judged when all its forward passes on all processes are done: see `training_step`
            ratio_threshold=config.ratio_threshold if guard_responses else math.inf,
            weights=inputs["weights"],
            guard_responses=guard_responses,
        )
        for what, value in (("the policy's loss", result.policy_loss), ("the value loss", result.value_loss)):
            if not math.isfinite(value):
                self._stop(what, value, {**inputs, "new_logprobs": new.logprobs, "new_values": new.values})
        self._minibatch = inputs
        self._updates.append(result)
        self._entropies.append(float((entropies.detach() * mask).sum() / mask.sum().clamp(min=1)))
        return result.loss

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        loss = super().training_step(*args, **kwargs)
        if self.accelerator.sync_gradients:
            self._judge_minibatch()
        return loss

    def _judge_minibatch(self) -> None:
        """Take the gradient of a minibatch away if its mean ratio, over all passes and processes, is too large."""
        done = self._updates[self._judged :]
        sums = [
            sum(part.ratio_mean * part.tokens for part in done),
            float(sum(part.tokens for part in done)),
            float(any(part.skipped for part in done)),
        ]
        ratios, tokens, skipped = self._sum(torch.tensor(sums, device=self.accelerator.device)).tolist()
        too_large = self.args.loss_mean == "tokens" and ratios > self.args.ratio_threshold * max(tokens, 1.0)
        if too_large:
            for parameter in self.model.parameters():
                if parameter.grad is not None:
                    parameter.grad.zero_()
            self._updates[self._judged :] = [part._replace(policy_loss=0.0, value_loss=0.0) for part in done]
        self._skipped += bool(skipped) or too_large
        self._judged = len(self._updates)

    # --- logging and checkpoints ------------------------------------------------------------------------------------

    def _update_row(self, logs: dict[str, float]) -> dict[str, float | int | None]:
        updates, device = self._updates, self.accelerator.device
        names = ("policy_loss", "value_loss", "ratio_mean", "clip_fraction", "value_clip_fraction")
        lists = {name: [getattr(update, name) for update in updates] for name in names}
        lists["entropy"], self._entropies = self._entropies, []
        means = torch.tensor([sum(values) / len(values) for values in lists.values()], device=device)
        means = self.accelerator.reduce(means, reduction="mean")
        largest = self.accelerator.gather(torch.tensor([max(u.ratio_max for u in updates)], device=device))
        skipped, self._skipped, self._judged = self._skipped, 0, 0
        return {
            **dict(zip(lists, means.tolist(), strict=True)),
            "ratio_max": float(largest.max()),
            "skipped_minibatches": skipped,
        }

    def _own_state(self) -> dict[str, Any]:
        return {"score_mean": self.score_mean, "value_unit": self.value_unit}

    def _restore_own(self, folder: Path, state: dict[str, Any]) -> None:
        load_parameters(self.value_head, folder / VALUE_HEAD, gathering=self._dist)
        self.score_mean = state["score_mean"]
        self.value_unit = state.get("value_unit", 1.0)  # earlier versions did not divide

    def save_value_head(self, folder: Path) -> None:
        """Write the value head as safetensors into a folder; all processes must call this, and the main one writes."""
        save_parameters(self.value_head, folder / VALUE_HEAD, gathering=self._dist, write=self.args.should_save)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        if not isinstance(self.accelerator.unwrap_model(self.model), PeftModel):
            # a whole model is saved as its class defines it; the value head lies beside it
            weights = self.model.state_dict() if state_dict is None else state_dict
            state_dict = {name: value for name, value in weights.items() if not name.startswith("value_head.")}
        super()._save(output_dir, state_dict)
