"""PPO on TRL's RLOO trainer: rollouts, reward calls, devices, PEFT and checkpoints are TRL's; the algorithm is ours.

Every hook calls `super()` and adds to what it returns. `tests/test_trl_contract.py` pins the signatures and keys.
Works with trl 1.16; names follow `ex2.ppo.advantages`.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from pathlib import Path
from typing import Any, NamedTuple

import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from torch.utils.data import Sampler
from transformers import set_seed
from trl import RLOOTrainer

from ex2.ppo.advantages import explained_variance, gae, sequence_kl, token_rewards, whiten
from ex2.ppo.config import PPOConfig
from ex2.ppo.kl import KLController
from ex2.ppo.losses import PPOLoss, ppo_loss
from ex2.ppo.sampler import PromptSampler
from ex2.ppo.value_head import add_value_head
from reward.errors import UserError

VALUE_HEAD = "value_head.safetensors"
PPO_STATE = "ppo_state.json"
COMPLETE = "complete.json"


class Pass(NamedTuple):
    """One no-gradient pass over the rollout: log-probabilities and values of response tokens, each (B, T)."""

    logprobs: torch.Tensor
    values: torch.Tensor


class _WithValues:
    """Stands in for the model in TRL's log-probability pass, and keeps the values that TRL drops."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.values: list[torch.Tensor] = []

    def __call__(self, **inputs: Any) -> Any:
        output = self.model(**inputs)
        self.values.append(output.values)
        return output


class PPOTrainer(RLOOTrainer):  # type: ignore[misc]  # trl is untyped
    """Proximal policy optimisation with a value head and a KL-controlled per-token reward.

    Takes the arguments of `trl.RLOOTrainer`; `args` is a `PPOConfig` and `peft_config` is required. After `train()`,
    `kl_controller.coef` is the final β and `score_mean` what was subtracted from the scores.
    """

    _tag_names = ("ex2", "ppo")
    _name = "PPO"
    args: PPOConfig

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        model = self.accelerator.unwrap_model(self.model)
        if not isinstance(model, PeftModel):
            raise TypeError(f"PPOTrainer trains a PEFT adapter; got a {type(model).__name__} without peft_config")
        self.value_head = add_value_head(model.get_base_model())
        # TRL casts trainable parameters of 8-bit and 4-bit bases to bf16, where a step of 1e-5 is lost.
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()
        config = self.args
        self.kl_controller = KLController(config.kl_coef, config.kl_target, config.kl_horizon, config.kl_controller)
        self.score_mean: float | None = None
        self.batch_log: dict[str, float | int | None] = {}
        self._start_batch = 0  # the dataloader is made before the trainer's state is restored
        self._passes: list[Pass] = []
        self._scores = torch.zeros(0)
        self._rollout: dict[str, torch.Tensor] = {}
        self._order = torch.zeros(0, dtype=torch.long)
        self._updates: list[PPOLoss] = []
        self._entropies: list[float] = []
        self._seconds = dict.fromkeys(("rollout", "reward", "update"), 0.0)
        # A description without a score is counted by the reward and left out below; TRL would log each at length.
        logging.getLogger("trl.trainer.rloo_trainer").addFilter(_not_unscored)

    # --- data -------------------------------------------------------------------------------------------------------

    def _get_train_sampler(self, dataset: Any = None) -> Sampler[int]:
        config = self.args
        return PromptSampler(
            size=len(self.train_dataset if dataset is None else dataset),
            batch_size=config.generation_batch_size,
            repeats=config.forwards_per_batch,
            batches=config.max_steps // config.updates_per_batch,
            seed=config.seed,
            start=self._start_batch,
        )

    @property
    def batch_number(self) -> int:
        """Batches completed, counted from 0."""
        return int(self.state.global_step // self.args.updates_per_batch)

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        if not self.model.training:
            return super()._prepare_inputs(generation_batch)
        config = self.args
        position = self._step % config.forwards_per_batch
        epoch, place = divmod(position, config.steps_per_generation)
        if position == 0 or not self._rollout:
            start = time.perf_counter()
            set_seed(self._key(epoch=0))  # sampling is a function of (seed, batch, process): a restart repeats it
            self._rollout = self._generate_and_score_completions(generation_batch)
            self._seconds["rollout"] += time.perf_counter() - start
        if place == 0:  # a new permutation each epoch; TRL's buffer is shuffled once
            generator = torch.Generator().manual_seed(self._key(epoch=epoch + 1))
            self._order = torch.randperm(len(self._rollout["loss_mask"]), generator=generator)
        rows = self._rows(place, 1)
        minibatch_start = place - place % config.gradient_accumulation_steps
        minibatch = self._rows(minibatch_start, config.gradient_accumulation_steps)
        inputs = {key: value[rows] for key, value in self._rollout.items()}
        tokens = self._sum(self._rollout["loss_mask"][minibatch].sum().float())
        # The trainer averages over accumulation steps and processes; the loss is a mean over the minibatch's tokens.
        inputs["tokens"] = tokens / (config.gradient_accumulation_steps * self.accelerator.num_processes)
        return inputs

    def _key(self, *, epoch: int) -> int:
        """Seed of this process's random choices: epoch 0 is the rollout's, then one for each PPO epoch's order."""
        words = (self.args.seed, self.batch_number, epoch, self.accelerator.process_index)
        digest = hashlib.sha256(":".join(map(str, words)).encode()).digest()
        return int.from_bytes(digest[:4], "big")  # numpy takes 32 bits

    def _rows(self, place: int, micro_batches: int) -> torch.Tensor:
        size = self.args.per_device_train_batch_size
        return self._order[place * size : (place + micro_batches) * size].to(self.accelerator.device)

    # --- rollout ----------------------------------------------------------------------------------------------------

    def _get_per_token_logps_and_entropies(self, model: Any, *args: Any, **kwargs: Any) -> Any:
        recorder = _WithValues(model)
        logprobs, entropies, aux_loss = super()._get_per_token_logps_and_entropies(recorder, *args, **kwargs)
        self._passes.append(Pass(logprobs, torch.cat(recorder.values)[:, -logprobs.shape[1] :]))
        return logprobs, entropies, aux_loss

    def _calculate_rewards(self, inputs: Any, prompts: Any, completions: Any, completion_ids_list: Any) -> torch.Tensor:
        start = time.perf_counter()
        if len(self._passes) == 2:  # training: TRL has run the policy, then the reference
            inputs = [
                {**row, "reference_logprobs": logprobs[: len(ids)].tolist()}
                for row, logprobs, ids in zip(inputs, self._passes[1].logprobs, completion_ids_list, strict=True)
            ]
        rewards_per_func: torch.Tensor = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        self._seconds["reward"] += time.perf_counter() - start
        weights = self.reward_weights.to(rewards_per_func.device)
        scores = (rewards_per_func * weights).nansum(-1)
        # what no function could score stays NaN until it is masked
        self._scores = scores.masked_fill(rewards_per_func.isnan().all(-1), torch.nan)
        return rewards_per_func

    def _generate_and_score_completions(self, inputs: Any) -> dict[str, Any]:
        self._passes = []
        output: dict[str, Any] = super()._generate_and_score_completions(inputs)
        if self.model.training:
            output = self._add_advantages(output)
        return output

    def _add_advantages(self, output: dict[str, Any]) -> dict[str, Any]:
        config = self.args
        policy, reference = self._passes  # TRL runs the policy first, then the reference
        response_mask = output["completion_mask"].bool()
        scored = ~self._scores.isnan()
        if not scored.any():
            raise UserError(
                f"batch {self.batch_number + 1}: none of its {len(scored)} descriptions could be scored (all are "
                "empty, or the reward returned None). The policy has collapsed or does not fit its prompt: lower "
                "ppo.learning_rate, check policy.model and prompts.style, or look at the reward."
            )
        reward_mean = float(self._scores[scored].mean())
        if self.score_mean is None:
            self.score_mean = reward_mean if config.score_centering == "first_batch" else 0.0
        rows = slice(self.accelerator.process_index * len(response_mask), None)
        scores = self._scores[rows][: len(response_mask)].to(policy.logprobs.device)
        loss_mask = response_mask & ~scores.isnan().unsqueeze(1)

        kl_coef = self.kl_controller.coef
        rewards = token_rewards(
            (scores - self.score_mean).nan_to_num(0.0),
            policy.logprobs,
            reference.logprobs,
            response_mask,
            kl_coef=kl_coef,
        )
        advantages, returns = gae(rewards, policy.values, response_mask, gamma=config.gamma, lam=config.lam)
        variance = explained_variance(policy.values, returns, loss_mask, reduce=self._sum)
        if config.whiten_advantages:
            advantages = whiten(advantages, loss_mask, reduce=self._sum)

        kl = sequence_kl(policy.logprobs, reference.logprobs, response_mask)
        ended = torch.isin(output["completion_ids"], torch.tensor(self.eos_token_ids, device=kl.device)) & response_mask
        totals = self._sum(
            torch.stack([kl.sum(), response_mask.sum().float(), ended.any(-1).sum().float(), kl.new_tensor(len(kl))])
        ).tolist()
        samples = round(totals[3])
        mean_kl = totals[0] / samples
        self.batch_log = {
            "reward_mean": reward_mean,
            "reward_std": float(self._scores[scored].std()) if scored.sum() > 1 else 0.0,
            "unscored": int((~scored).sum()),
            "kl": mean_kl,
            "kl_per_token": totals[0] / totals[1],
            "kl_coef": kl_coef,
            "kl_target": config.kl_target,
            "response_length": totals[1] / samples,
            "share_without_eos": 1 - totals[2] / samples,
            "explained_variance": variance,
        }
        self.kl_controller.update(mean_kl, samples)  # takes effect in the next batch
        return output | {
            "old_logprobs": policy.logprobs,
            "old_values": policy.values,
            "advantages": advantages,
            "returns": returns,
            "loss_mask": loss_mask,
        }

    def _sum(self, values: torch.Tensor) -> torch.Tensor:
        total: torch.Tensor = self.accelerator.reduce(values, reduction="sum")
        return total

    # --- update -----------------------------------------------------------------------------------------------------

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        start, rollout_before = time.perf_counter(), self._seconds["rollout"]
        loss: torch.Tensor = super().training_step(*args, **kwargs)
        self._seconds["update"] += time.perf_counter() - start - (self._seconds["rollout"] - rollout_before)
        return loss

    def _compute_loss(self, model: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        config = self.args
        self._passes = []
        _, entropies, _ = self._get_per_token_logps_and_entropies(
            model,
            torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], dim=1),
            torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], dim=1),
            inputs["completion_ids"].shape[1],
            compute_entropy=True,
        )
        new = self._passes[-1]
        mask = inputs["loss_mask"]
        result = ppo_loss(
            new.logprobs,
            new.values,
            inputs["old_logprobs"],
            inputs["old_values"],
            inputs["advantages"],
            inputs["returns"],
            mask,
            clip_range=self.epsilon_low,
            value_clip_range=config.value_clip_range,
            value_coef=config.value_coef,
            ratio_threshold=config.ratio_threshold,
            tokens=inputs["tokens"],
        )
        self._updates.append(result)
        self._entropies.append(float((entropies.detach() * mask).sum() / mask.sum().clamp(min=1)))
        return result.loss

    # --- logging and checkpoints ------------------------------------------------------------------------------------

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Complete the batch's row (`batch_log`) at its last update, and pass it to every logger."""
        if self._updates:
            updates, count = self._updates, len(self._updates)
            means = torch.tensor(
                [
                    sum(u.policy_loss for u in updates) / count,
                    sum(u.value_loss for u in updates) / count,
                    sum(u.ratio_mean for u in updates) / count,
                    sum(u.clip_fraction for u in updates) / count,
                    sum(u.value_clip_fraction for u in updates) / count,
                    sum(self._entropies) / count,
                ],
                device=self.accelerator.device,
            )
            names = ("policy_loss", "value_loss", "ratio_mean", "clip_fraction", "value_clip_fraction", "entropy")
            means = self.accelerator.reduce(means, reduction="mean")
            self.batch_log = {
                "batch": self.batch_number,
                "samples": self.batch_number * self.args.generation_batch_size,
                **self.batch_log,
                **self._shares(),
                **dict(zip(names, means.tolist(), strict=True)),
                "ratio_max": max(u.ratio_max for u in updates),
                "skipped_minibatches": sum(u.skipped for u in updates),
                "grad_norm": logs.get("grad_norm"),
                "learning_rate": logs.get("learning_rate"),
                **{f"seconds_{phase}": seconds for phase, seconds in self._seconds.items()},
            }
            logs = {**logs, **{f"ppo/{key}": value for key, value in self.batch_log.items() if value is not None}}
            self._updates, self._entropies = [], []
            self._seconds = dict.fromkeys(self._seconds, 0.0)
        super().log(logs, start_time)

    def _shares(self) -> dict[str, float]:
        """What the reward logged through TRL's `log_metric`: shares of texts cut by the VLM, terms of a sum."""
        metrics = self._metrics["train"]
        return {key: metrics[key][-1] for key in list(metrics) if key.startswith(("share_", "term_")) and metrics[key]}

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        folder = Path(self._get_output_dir(trial=trial)) / f"checkpoint-{self.state.global_step}"
        if self.args.should_save:
            folder.mkdir(parents=True, exist_ok=True)
            self.save_value_head(folder)
            state = {"kl_coef": self.kl_controller.coef, "score_mean": self.score_mean, "batch": self.batch_number}
            (folder / PPO_STATE).write_text(json.dumps(state))
        super()._save_checkpoint(model, trial)
        if self.args.should_save:  # last: a checkpoint without it is torn
            (folder / COMPLETE).write_text(json.dumps({"global_step": self.state.global_step}))

    def save_value_head(self, folder: Path) -> None:
        """Write the value head as safetensors beside an adapter."""
        tensors = {key: value.detach().cpu().contiguous() for key, value in self.value_head.state_dict().items()}
        save_file(tensors, folder / VALUE_HEAD)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        folder = Path(resume_from_checkpoint)
        self.value_head.load_state_dict(load_file(folder / VALUE_HEAD))
        state = json.loads((folder / PPO_STATE).read_text())
        self.kl_controller.coef = state["kl_coef"]
        self.score_mean = state["score_mean"]
        self._start_batch = state["batch"]

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Write nothing: TRL's card describes another algorithm."""

    def _send_telemetry(self) -> None:
        """Send nothing."""


def newest_checkpoint(folder: Path) -> Path | None:
    """Return the newest complete checkpoint of a run; torn ones are passed over."""
    found = [path for path in folder.glob("checkpoint-*") if (path / COMPLETE).is_file()]
    return max(found, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def _not_unscored(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith("All reward functions returned None")
