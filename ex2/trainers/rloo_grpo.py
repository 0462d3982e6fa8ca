"""RLOO and GRPO on TRL's own trainers, under the KL controller of `ex2.trainers.kl_controller`.

Rollouts, advantages and losses are TRL's, unchanged. Added are `ex2.trainers.controlled`, and here that β comes from
the controller for each batch. TRL 1.16 uses β as follows. RLOO subtracts β · (summed log-ratio) from the score before
the leave-one-out baseline; GRPO adds β · k3, weighted by the ratio, to each token's loss, which has the gradient of the
reverse KL (`use_bias_correction_kl`). Both read `self.beta` after the rollout has begun. `test_trl_contract.py`
pins the parts of TRL that this relies on.
"""

from __future__ import annotations

import math
import sys
import time
from typing import Any

import torch
from transformers import set_seed
from trl import GRPOTrainer, RLOOTrainer

from ex2.trainers.config import ControlledGRPOConfig, ControlledRLOOConfig
from ex2.trainers.controlled import ControlledTrainer
from ex2.trainers.seeded_sampling import batch_seed

SMALLEST_BETA = sys.float_info.min
"""Used in place of a β of 0, with which TRL would not measure the KL. It is so small that it becomes 0 in float32."""


class _GroupTrainer(ControlledTrainer):
    """Base of RLOO and GRPO. `score_mean` stays None: the group's mean is subtracted from the scores instead."""

    _updates: list[tuple[float, float]]  # mean and largest ratio of each forward
    _loss_unit = 1.0

    @property
    def _loss_scales_with_rewards(self) -> bool:
        """Whether TRL's loss grows with scores and β, so that dividing it divides them."""
        return True

    def _generate_and_score_completions(self, inputs: Any) -> dict[str, Any]:
        if not self.model.training:
            return super()._generate_and_score_completions(inputs)
        start = time.perf_counter()
        # TRL's shuffle after the rollout is a function of (seed, batch, process): a restart repeats it
        set_seed(batch_seed(self.args.seed, self.batch_number, 0, self.accelerator.process_index))
        self.beta = max(self.kl_controller.coef, SMALLEST_BETA)  # of this batch's rewards, or of its losses
        self._loss_unit = self.reward_unit if self._loss_scales_with_rewards else 1.0
        output = super()._generate_and_score_completions(inputs)
        *policy, reference = self._passes
        if policy:
            logprobs = policy[0].logprobs
        else:  # GRPO leaves out the policy's pass where each batch has one update
            with torch.no_grad():
                logprobs, *_ = self._response_pass(self.model, output, batch_size=self.args.per_device_train_batch_size)
        output["old_logprobs"] = logprobs
        self.batch_log = self._measure(output, logprobs, reference.logprobs)
        self._seconds["rollout"] += time.perf_counter() - start
        return output

    def _compute_loss(self, model: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        self._passes = []
        loss: torch.Tensor = super()._compute_loss(model, inputs)
        loss = loss / self._loss_unit
        mask = inputs["completion_mask"].bool()
        ratios = torch.exp(self._passes[-1].logprobs.detach() - inputs["old_logprobs"])[mask]
        self._updates.append((float(ratios.mean()), float(ratios.max())))
        self._minibatch = inputs
        if not math.isfinite(float(loss.detach())):
            self._stop("the loss", float(loss.detach()), inputs)
        return loss

    def _update_row(self, logs: dict[str, float]) -> dict[str, float | int | None]:
        metrics, device = self._metrics["train"], self.accelerator.device
        mean = torch.tensor([sum(mean for mean, _ in self._updates) / len(self._updates)], device=device)
        largest = self.accelerator.gather(torch.tensor([max(top for _, top in self._updates)], device=device))
        clipped, entropies = metrics["clip_ratio/region_mean"], metrics["entropy"]
        return {
            "loss": logs.get("loss"),
            "ratio_mean": float(self.accelerator.reduce(mean, reduction="mean")),
            "ratio_max": float(largest.max()),
            "clip_fraction": sum(clipped) / len(clipped),
            "entropy": sum(entropies) / len(entropies),
        }


class ControlledRLOO(_GroupTrainer, RLOOTrainer):  # type: ignore[misc]  # trl is untyped
    """REINFORCE leave-one-out (arXiv 2402.14740) with a KL controller."""

    _tag_names = ("ex2", "rloo")
    _name = "RLOO"
    trl_logger = "trl.trainer.rloo_trainer"
    args: ControlledRLOOConfig

    @property
    def _loss_scales_with_rewards(self) -> bool:
        return not self.args.normalize_advantages


class ControlledGRPO(_GroupTrainer, GRPOTrainer):  # type: ignore[misc]  # trl is untyped
    """Group relative policy optimisation (arXiv 2402.03300) with a KL controller."""

    _tag_names = ("ex2", "grpo")
    _name = "GRPO"
    trl_logger = "trl.trainer.grpo_trainer"
    args: ControlledGRPOConfig
