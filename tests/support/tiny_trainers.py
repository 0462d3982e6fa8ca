"""Trainers on tiny models: settings that several tests share, a reward, and a PPO trainer that keeps what it does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer

from ex2.trainers.config import PPOConfig
from ex2.trainers.losses import PPOLoss
from ex2.trainers.ppo import PPOTrainer

PLAIN: dict[str, Any] = {
    "lr_scheduler_type": "constant",
    "max_grad_norm": 0.0,
    "beta": 1.0,
    "disable_dropout": True,
    "gradient_checkpointing": False,
    "ignore_data_skip": True,
    "bf16": False,
    "use_cpu": True,
    "report_to": [],
    "disable_tqdm": True,
    "dataloader_pin_memory": False,
}
"""float32 on the CPU, one learning rate throughout, gradients as they are, and nothing reported."""


def four_updates(folder: Path, *, batches: int, micro: int = 4) -> dict[str, Any]:
    """Settings of batches of 8 descriptions: two epochs of two minibatches of 4, sampled from the whole vocabulary.

    Args:
        folder: Of the checkpoints.
        batches: In the run.
        micro: Rows of one forward, a divisor of 4.
    """
    return PLAIN | {
        "output_dir": str(folder),
        "seed": 3,
        "per_device_train_batch_size": micro,
        "gradient_accumulation_steps": 4 // micro,
        "steps_per_generation": 8 // micro,
        "num_iterations": 2,
        "max_steps": batches * 4,
        "logging_steps": 4,
        "save_steps": 8,
        "learning_rate": 3e-3,
        "max_completion_length": 10,
        "top_k": 0,
    }


class Letters:
    """Number of Latin letters plus `offset`; None if the text has `none_from` characters or more.

    Attributes:
        seen: What each call was given.
    """

    __name__ = "letters"

    def __init__(self, none_from: int = 10_000, offset: float = 0.0) -> None:
        self.none_from, self.offset = none_from, offset
        self.seen: list[dict[str, Any]] = []

    def __call__(self, completions: list[str], **columns: Any) -> list[float | None]:
        self.seen.append({"completions": completions, **columns})
        return [
            None if len(text) >= self.none_from else self.offset + sum(c.isascii() and c.isalpha() for c in text)
            for text in completions
        ]


def things(count: int) -> Dataset:
    """Prompts about `count` things, labelled by their numbers."""
    return Dataset.from_list([{"prompt": f"Describe a thing {index}.\n\n", "label": index} for index in range(count)])


class Recording(PPOTrainer):
    """Keeps every rollout and every update."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.rollouts: list[dict[str, torch.Tensor]] = []
        self.updates: list[PPOLoss] = []
        self.orders: list[list[int]] = []
        super().__init__(*args, **kwargs)

    def _add_advantages(self, output: dict[str, Any]) -> dict[str, Any]:
        reference = self._passes[1]
        result = super()._add_advantages(output)
        self.rollouts.append(
            {k: v.clone() for k, v in result.items() if isinstance(v, torch.Tensor)}
            | {"scores": self._scores.clone(), "ref_logprobs": reference.logprobs.clone()}
        )
        return result

    def _compute_loss(self, model: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        loss = super()._compute_loss(model, inputs)
        self.updates.append(self._updates[-1])
        self.orders.append(self._order.tolist())
        return loss


def make_ppo(
    mistral: Path,
    folder: Path,
    *,
    batches: int = 3,
    reward: Any = None,
    micro: int = 4,
    targets: Any = ("q_proj", "v_proj"),
    prompts: int = 20,
    **changes: Any,
) -> Recording:
    """PPO on an adapter of a tiny model, with `four_updates` and changes of them."""
    return Recording(
        model=AutoModelForCausalLM.from_pretrained(mistral),
        reward_funcs=reward or Letters(),
        args=PPOConfig(**(four_updates(folder, batches=batches, micro=micro) | changes)),
        train_dataset=things(prompts),
        processing_class=AutoTokenizer.from_pretrained(mistral, padding_side="left"),
        peft_config=LoraConfig(
            r=4,
            lora_dropout=0.05,
            target_modules=targets if isinstance(targets, str) else list(targets),
            task_type="CAUSAL_LM",
        ),
    )
