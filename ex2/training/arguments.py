"""From a recipe to a trainer: its class, its arguments, and what is printed about them before a run."""

from __future__ import annotations

from typing import Any

import torch
from peft import LoraConfig

from ex2.recipe import KL, Lora, Recipe
from ex2.run.directory import SeedDirectory
from ex2.trainers.config import ControlledGRPOConfig, ControlledRLOOConfig, PPOConfig
from ex2.trainers.kl_controller import reach_lines
from ex2.trainers.ppo import PPOTrainer
from ex2.trainers.rloo_grpo import ControlledGRPO, ControlledRLOO
from reward.errors import UserError

Arguments = PPOConfig | ControlledRLOOConfig | ControlledGRPOConfig

TRAINERS: dict[str, Any] = {"ppo": PPOTrainer, "rloo": ControlledRLOO, "grpo": ControlledGRPO}
"""Trainer class by the recipe's `algorithm`."""

VALUE_STEP = 0.3
"""`PPOConfig.value_step` of `ppo.value_learning_rate: step`. The larger it is, up to 0.8, the more a head explains of
SmolLM2's returns (`benchmarks/value_rollouts.py --steps`); in the demo world 0.2 to 0.4 are best, 0.8 is too much."""


def kl_arguments(kl: KL) -> dict[str, Any]:
    """Turn a recipe's `rl.kl` into the fields of `ex2.trainers.config.KLArguments`."""
    return {
        "kl_controller": kl.controller,
        "kl_coef": kl.init_coef,
        "kl_target": kl.target,
        "kl_horizon": kl.horizon,
        "kl_unit": kl.unit,
        "kl_horizon_unit": kl.horizon_unit,
        "kl_damping": kl.damping,
    }


def kl_lines(recipe: Recipe) -> list[str]:
    """Return lines on how far β can move, with a warning if not far, and on a KL that is not of what is sampled."""
    note = recipe.generation.kl_note()
    lines = reach_lines(recipe.rl.kl.at_start(), recipe.rl.batch_size, recipe.rl.batches)
    return [*lines, f"note: {note}"] if note else lines


def batches_line(recipe: Recipe) -> str:
    """Return a line that says how many batches there are and what is in one."""
    rl, prompts = recipe.rl, recipe.prompts_per_batch
    updates = rl.epochs * (rl.batch_size // rl.minibatch_size)
    size = (
        f"{prompts} prompts"
        if recipe.algorithm == "ppo"
        else (f"{rl.batch_size} descriptions, {recipe.group.generations} of each of {prompts} prompts")
    )
    return f"{recipe.algorithm.upper()}, {rl.batches} batches of {size}, {updates} optimizer steps each"


def reference_arguments(recipe: Recipe) -> dict[str, Any] | None:
    """Return the settings with which TRL loads the reference model; None if that is the policy without its adapter."""
    if recipe.lora:
        return None
    policy = recipe.policy
    settings: dict[str, Any] = {"dtype": policy.dtype, "trust_remote_code": policy.trust_remote_code}
    return settings | ({"revision": policy.revision} if policy.revision else {})


def trainer_arguments(recipe: Recipe, seed: int, directory: SeedDirectory, processes: int) -> Arguments:
    """Turn a recipe into the trainer's arguments.

    Args:
        recipe: The recipe; its batch sizes are those of all processes together.
        seed: Seed of sampling, data order and initialisation.
        directory: The seed's folder, in which checkpoints are written.
        processes: Number of processes that the batch is divided over.

    Raises:
        UserError: If the batch sizes cannot be divided evenly over the processes.
    """
    rl, ppo, generation, training = recipe.rl, recipe.ppo, recipe.generation, recipe.training
    if rl.minibatch_size % processes:
        raise UserError(
            f"rl.minibatch_size: {rl.minibatch_size} does not divide over {processes} processes; "
            f"use a multiple of {processes}, or another number of processes."
        )
    local_minibatch = rl.minibatch_size // processes
    micro = rl.micro_batch_size or local_minibatch
    if local_minibatch % micro:
        raise UserError(
            f"rl.micro_batch_size: {micro} does not divide the {local_minibatch} samples of a minibatch on each of "
            f"{processes} processes."
        )
    updates = rl.epochs * (rl.batch_size // rl.minibatch_size)
    common: dict[str, Any] = dict(
        output_dir=str(directory.checkpoints),
        seed=seed,
        data_seed=seed,
        # sizes
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=local_minibatch // micro,
        steps_per_generation=rl.batch_size // processes // micro,
        num_iterations=rl.epochs,
        max_steps=rl.batches * updates,
        # optimizer: AdamW without decay is Adam
        learning_rate=rl.learning_rate,
        lr_scheduler_type="constant",
        optim="adamw_torch",
        weight_decay=0.0,
        adam_beta1=rl.adam_beta1,
        adam_beta2=rl.adam_beta2,
        adam_epsilon=rl.adam_epsilon,
        max_grad_norm=rl.max_grad_norm,
        # algorithm
        beta=1.0,  # not our β: TRL computes reference log-probabilities only if it is not 0
        epsilon=rl.clip_range,
        **kl_arguments(rl.kl),
        disable_dropout=True,  # rollouts and updates see the same policy: the first ratio is 1
        # sampling
        max_completion_length=generation.max_new_tokens,
        temperature=generation.temperature,
        top_p=generation.top_p,
        top_k=generation.top_k,
        # precision and memory
        bf16=recipe.policy.dtype == "bfloat16" and torch.cuda.is_available(),
        use_cpu=not torch.cuda.is_available(),
        gradient_checkpointing=recipe.policy.gradient_checkpointing,
        model_init_kwargs=reference_arguments(recipe),
        ddp_find_unused_parameters=False,
        dataloader_pin_memory=torch.cuda.is_available(),
        # logs and checkpoints: both only between batches
        logging_steps=updates,
        save_steps=training.save_every * updates,
        save_total_limit=training.save_total_limit,
        ignore_data_skip=True,  # the sampler starts at the right place itself
        report_to=training.report_to,
        run_name=f"{recipe.name}-seed-{seed}",
        disable_tqdm=True,
    )
    if recipe.algorithm == "ppo":
        return PPOConfig(
            **common,
            gamma=ppo.gamma,
            lam=ppo.lam,
            value_clip_range=ppo.value_clip_range,
            value_coef=ppo.value_coef,
            whiten_advantages=rl.whiten_advantages,
            ratio_threshold=ppo.ratio_threshold,
            loss_mean=ppo.loss_mean,
            score_centering=ppo.score_centering,
            value_trunk=ppo.value_trunk,
            value_init=ppo.value_init,
            value_clip_unit=ppo.value_clip_unit,
            value_learning_rate=value_learning_rate(recipe),
            value_step=VALUE_STEP if ppo.value_learning_rate == "step" else None,
        )
    generations = recipe.group.generations
    if recipe.algorithm == "rloo":
        return ControlledRLOOConfig(**common, num_generations=generations, normalize_advantages=rl.whiten_advantages)
    return ControlledGRPOConfig(**common, num_generations=generations, scale_rewards=recipe.group.scale_scores)


def value_learning_rate(recipe: Recipe) -> float | None:
    """Return the learning rate of PPO's value head; None where it is the policy's, or set by `VALUE_STEP`."""
    rate = recipe.ppo.value_learning_rate
    if rate == "tenth":
        return recipe.rl.learning_rate / 10
    return None if isinstance(rate, str) else rate


def lora_config(lora: Lora | None) -> LoraConfig | None:
    """Turn a recipe's `lora` into PEFT's configuration; None stands for training every weight."""
    if lora is None:
        return None
    return LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.target_modules,
        bias="none",
        task_type="CAUSAL_LM",
    )
