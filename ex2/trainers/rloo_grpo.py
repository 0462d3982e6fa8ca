"""RLOO and GRPO on TRL's own trainers, under the KL controller of `ex2.trainers.kl`.

Rollouts, advantages and losses are TRL's, unchanged. What is added: β comes from the controller for each batch, the KL
it answers to is measured as in PPO, a batch's row has PPO's keys, data order and sampling are functions of (seed,
batch), and a checkpoint keeps the controller. Where TRL 1.16 puts β: RLOO subtracts β · (summed log-ratio) from the
score before the leave-one-out baseline; GRPO adds β · k3, weighted by the ratio, to each token's loss, which has the
gradient of the reverse KL (`use_bias_correction_kl`). Both read `self.beta` after the rollout has begun.
`tests/test_algorithms.py` pins the parts of TRL relied on.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import logging
import math
import shutil
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

import torch
from peft import PeftModel
from torch.utils.data import Sampler
from transformers import set_seed
from trl import GRPOTrainer, RLOOTrainer

from ex2.trainers.advantages import sequence_kl
from ex2.trainers.batch_log import batch_cost, logged_by_rewards
from ex2.trainers.checkpoints import delete_old_checkpoints, mark_complete
from ex2.trainers.config import ControlledGRPOConfig, ControlledRLOOConfig, GroupSampler
from ex2.trainers.not_finite import stop_not_finite
from ex2.trainers.ppo import PPO_STATE
from ex2.trainers.prompt_order import PromptSampler
from ex2.trainers.rollout import WithValues
from ex2.trainers.scores import check_scored, combined_scores, is_news, with_reference
from ex2.trainers.seeded_sampling import SeededSampler, row_key, seeded_generation

SMALLEST_BETA = sys.float_info.min
"""For a β of 0: TRL measures no KL then. It vanishes in float32."""


_TrainerBase: Any = object  # at run time the trainer that this is mixed into; `Any` to the type checker


class _KLControlled(_TrainerBase):  # type: ignore[misc]
    """Mixed into a TRL group trainer, before it, and takes its arguments.

    After `train()`, `kl_controller.coef` is the final β.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        logging.getLogger(f"trl.trainer.{self._name.lower()}_trainer").addFilter(is_news)
        super().__init__(*args, **kwargs)
        model = self.accelerator.unwrap_model(self.model)
        self._language_model = model.get_base_model() if isinstance(model, PeftModel) else model
        self._takes_positions = "position_ids" in inspect.signature(self._language_model.forward).parameters
        # TRL casts trainable parameters of 8-bit and 4-bit bases to bf16, where a step of 1e-5 is lost.
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()
        self.kl_controller = self.args.make_kl_controller()
        self.score_mean: float | None = None  # nothing is subtracted: the group's mean takes its place
        self.batch_log: dict[str, float | int | None] = {}
        self._start_batch = 0  # the dataloader is made before the trainer's state is restored
        self._logprobs: list[torch.Tensor] = []  # of each pass since the rollout or the update began, (B, T)
        self._scores = torch.zeros(0)
        self._minibatch: dict[str, Any] = {}  # of the newest forward
        self._ratios: list[tuple[float, float]] = []  # of each update: mean and largest
        self._seconds = dict.fromkeys(("rollout", "reward", "update"), 0.0)

    # --- data -------------------------------------------------------------------------------------------------------

    def _get_train_sampler(self, dataset: Any = None) -> Sampler[int]:
        config = self.args
        prompts = PromptSampler(
            size=len(self.train_dataset if dataset is None else dataset),
            batch_size=config.generation_batch_size // config.num_generations,
            repeats=config.forwards_per_batch,
            batches=config.max_steps // config.updates_per_batch,
            seed=config.seed,
            start=self._start_batch,
        )
        return GroupSampler(prompts, config.num_generations)

    @property
    def batch_number(self) -> int:
        """Batches completed, counted from 0."""
        return int(self.state.global_step // self.args.updates_per_batch)

    # --- rollout ----------------------------------------------------------------------------------------------------

    def _generate_single_turn(self, prompt_ids: Any, *args: Any, **kwargs: Any) -> Any:
        config = self.args
        first = self.accelerator.process_index * len(prompt_ids)
        keys = [row_key(config.seed, self.batch_number, first + row) for row in range(len(prompt_ids))]
        sampler = SeededSampler(keys, temperature=self.temperature, top_k=self.top_k, top_p=self.top_p)
        with seeded_generation(self._language_model, sampler):
            return super()._generate_single_turn(prompt_ids, *args, **kwargs)

    def _get_per_token_logps_and_entropies(self, model: Any, *args: Any, **kwargs: Any) -> Any:
        positioned = WithValues(model, takes_positions=self._takes_positions)
        result = super()._get_per_token_logps_and_entropies(positioned, *args, **kwargs)
        self._logprobs.append(result[0].detach())
        return result

    def _calculate_rewards(self, inputs: Any, prompts: Any, completions: Any, completion_ids_list: Any) -> torch.Tensor:
        start = time.perf_counter()
        if self.model.training:  # TRL has run the reference last
            inputs = with_reference(inputs, self._logprobs[-1], completion_ids_list)
        rewards_per_func: torch.Tensor = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        self._seconds["reward"] += time.perf_counter() - start
        self._scores = combined_scores(rewards_per_func, self.reward_weights)
        check_scored(self._scores, self.batch_number + 1)
        return rewards_per_func

    def _generate_and_score_completions(self, inputs: Any) -> dict[str, Any]:
        self._logprobs = []
        if not self.model.training:
            evaluated: dict[str, Any] = super()._generate_and_score_completions(inputs)
            return evaluated
        start = time.perf_counter()
        words = (self.args.seed, self.batch_number, 0, self.accelerator.process_index)
        digest = hashlib.sha256(":".join(map(str, words)).encode()).digest()
        # TRL's shuffle after the rollout is a function of (seed, batch, process): a restart repeats it
        set_seed(int.from_bytes(digest[:4], "big"))
        self.beta = max(self.kl_controller.coef, SMALLEST_BETA)  # of this batch's rewards, or of its losses
        output: dict[str, Any] = super()._generate_and_score_completions(inputs)
        *policy, reference = self._logprobs
        # GRPO leaves out the policy's pass where each batch has one update
        output["old_logprobs"] = policy[0] if policy else self._policy_logprobs(output)
        self._measure(output, reference)
        self._seconds["rollout"] += time.perf_counter() - start
        return output

    def _policy_logprobs(self, output: dict[str, Any]) -> torch.Tensor:
        length = output["completion_ids"].shape[1]
        ids = torch.cat([output["prompt_ids"], output["completion_ids"]], dim=1)
        mask = torch.cat([output["prompt_mask"], output["completion_mask"]], dim=1)
        with torch.no_grad():
            logprobs: torch.Tensor = self._get_per_token_logps_and_entropies(
                self.model, ids, mask, length, batch_size=self.args.per_device_train_batch_size
            )[0]
        return logprobs

    def _measure(self, output: dict[str, Any], reference: torch.Tensor) -> None:
        """Start the batch's row and move β for the next batch."""
        mask = output["completion_mask"].bool()
        kl = sequence_kl(output["old_logprobs"], reference, mask)
        ended = torch.isin(output["completion_ids"], torch.tensor(self.eos_token_ids, device=kl.device)) & mask
        sums = torch.stack([kl.sum(), mask.sum().float(), ended.any(-1).sum().float(), kl.new_tensor(len(kl))])
        kl_sum, tokens, with_eos, count = self.accelerator.reduce(sums, reduction="sum").tolist()
        samples, mean_kl, length = round(count), kl_sum / count, tokens / count
        scored = self._scores[~self._scores.isnan()]
        self.batch_log = {
            "reward_mean": float(scored.mean()),
            "reward_std": float(scored.std()) if len(scored) > 1 else 0.0,
            "unscored": len(self._scores) - len(scored),
            "kl": mean_kl,
            "kl_per_token": kl_sum / tokens,
            "kl_coef": self.kl_controller.coef,
            "kl_target": self.kl_controller.sequence_target(length),
            "response_length": length,
            "share_without_eos": 1 - with_eos / count,
        }
        self.kl_controller.update(mean_kl, samples, length=length)

    # --- update -----------------------------------------------------------------------------------------------------

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        start, rollout_before = time.perf_counter(), self._seconds["rollout"]
        loss: torch.Tensor = super().training_step(*args, **kwargs)
        self._seconds["update"] += time.perf_counter() - start - (self._seconds["rollout"] - rollout_before)
        return loss

    def _compute_loss(self, model: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        self._logprobs = []
        loss: torch.Tensor = super()._compute_loss(model, inputs)
        mask = inputs["completion_mask"].bool()
        ratios = torch.exp(self._logprobs[-1] - inputs["old_logprobs"])[mask]
        self._ratios.append((float(ratios.mean()), float(ratios.max())))
        self._minibatch = inputs
        if not math.isfinite(float(loss.detach())):
            self._stop("the loss", float(loss.detach()))
        return loss

    def _get_grad_norm(self, *args: Any, **kwargs: Any) -> Any:
        norm = super()._get_grad_norm(*args, **kwargs)
        if norm is not None and not math.isfinite(norm):  # before the optimizer's step: the weights are still good
            self._stop("the gradient's norm", float(norm))
        return norm

    def _stop(self, what: str, value: float) -> NoReturn:
        said = zip(self._logs["prompt"], self._logs["completion"], *self._logs["rewards"].values(), strict=True)
        stop_not_finite(
            what,
            value,
            checkpoints=Path(self.args.output_dir),
            batch=self.batch_number + 1,
            rows=[{"prompt": prompt, "text": text, "score": score} for prompt, text, score, *_ in said],
            tensors={key: tensor for key, tensor in self._minibatch.items() if isinstance(tensor, torch.Tensor)},
            process=self.accelerator.process_index,
        )

    # --- logging and checkpoints ------------------------------------------------------------------------------------

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Complete the batch's row (`batch_log`) at its last update, and pass it to every logger."""
        if self._ratios:
            metrics = self._metrics["train"]
            means = torch.tensor([sum(mean for mean, _ in self._ratios) / len(self._ratios)])
            largest = self.accelerator.gather(
                torch.tensor([max(top for _, top in self._ratios)], device=self.accelerator.device)
            )
            tokens = self.batch_log["response_length"] * self.args.generation_batch_size
            clipped, entropies = metrics["clip_ratio/region_mean"], metrics["entropy"]
            self.batch_log = {
                "batch": self.batch_number,
                "samples": self.batch_number * self.args.generation_batch_size,
                **self.batch_log,
                **logged_by_rewards(metrics),
                "loss": logs.get("loss"),
                "ratio_mean": float(self.accelerator.reduce(means.to(self.accelerator.device), reduction="mean")),
                "ratio_max": float(largest.max()),
                "clip_fraction": sum(clipped) / len(clipped),
                "entropy": sum(entropies) / len(entropies),
                "grad_norm": logs.get("grad_norm"),
                "learning_rate": logs.get("learning_rate"),
                **{f"seconds_{phase}": seconds for phase, seconds in self._seconds.items()},
                **batch_cost(tokens, self._seconds),
            }
            row = {f"{self._name.lower()}/{key}": value for key, value in self.batch_log.items() if value is not None}
            logs = {**logs, **row}
            self._ratios, self._seconds = [], dict.fromkeys(self._seconds, 0.0)
        super().log(logs, start_time)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Write a checkpoint; `complete.json` comes last, and only then are older ones deleted."""
        root = Path(self._get_output_dir(trial=trial))
        folder = root / f"checkpoint-{self.state.global_step}"
        if self.args.should_save:
            shutil.rmtree(folder, ignore_errors=True)  # torn by a kill
            folder.mkdir(parents=True)
            state = {**self.kl_controller.state(), "batch": self.batch_number, "kl": self.batch_log.get("kl")}
            (folder / PPO_STATE).write_text(json.dumps(state))
        self.accelerator.wait_for_everyone()
        limit, self.args.save_total_limit = self.args.save_total_limit, None  # TRL's parent would delete too early
        try:
            super()._save_checkpoint(model, trial)
        finally:
            self.args.save_total_limit = limit
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            mark_complete(folder, {"global_step": self.state.global_step})
            delete_old_checkpoints(root, keep=limit)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        state = json.loads((Path(resume_from_checkpoint) / PPO_STATE).read_text())
        self.kl_controller.restore(state)
        self.batch_log = {"kl": state["kl"]}
        self._start_batch = state["batch"]

    def save_value_head(self, folder: Path) -> None:
        """Write nothing: there is no value head. All trainers are saved by the same calls."""

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Write nothing: TRL's card does not know the recipe."""

    def _send_telemetry(self) -> None:
        """Send nothing."""


class ControlledRLOO(_KLControlled, RLOOTrainer):  # type: ignore[misc]  # trl is untyped
    """REINFORCE leave-one-out (arXiv 2402.14740) with a KL controller."""

    _tag_names = ("ex2", "rloo")
    _name = "RLOO"
    args: ControlledRLOOConfig


class ControlledGRPO(_KLControlled, GRPOTrainer):  # type: ignore[misc]  # trl is untyped
    """Group relative policy optimisation (arXiv 2402.03300) with a KL controller."""

    _tag_names = ("ex2", "grpo")
    _name = "GRPO"
    args: ControlledGRPOConfig
