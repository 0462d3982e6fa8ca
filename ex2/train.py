"""Stage 1, Extract: align the policy with the VLM by PPO.

    accelerate launch --config_file accelerate_configs/cpu.yaml -m ex2.train RECIPE [section.key=value …]

Run again after a kill, the same command continues from the last complete checkpoint.
"""

from __future__ import annotations

import os

# before transformers is imported: its hub client reads this once
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import logging
import shutil
import sys
import warnings
from functools import partial
from typing import Any

import torch
from accelerate import PartialState
from datasets import Dataset
from datasets.utils.logging import disable_progress_bar
from peft import LoraConfig
from transformers import PrinterCallback, ProgressCallback
from transformers.utils import logging as transformers_logging

from ex2 import banks
from ex2.data.prompts import make_prompts
from ex2.policy import load_model, load_tokenizer
from ex2.ppo.config import PPOConfig
from ex2.ppo.kl import reach
from ex2.ppo.trainer import PPOTrainer, newest_checkpoint
from ex2.progress import TrainingProgress
from ex2.recipe import Lora, Recipe
from ex2.run_dir import RunDirectory, SeedDirectory, read_jsonl, write_json, write_jsonl, writing
from ex2.validate import too_few_prompts
from reward.components import build
from reward.errors import UserError
from reward.image_bank import ClassMeans
from reward.table import REWARDS
from reward.vlm import VLM

ADAPTER_DONE = "training.json"
"""Written last into the adapter's folder: without it, training is not done."""


def train(recipe: Recipe, seed: int) -> None:
    """Train one seed, or continue it; does nothing if its adapter is complete.

    Args:
        recipe: A checked recipe.
        seed: One of `recipe.seeds`.

    Raises:
        UserError: If there are fewer prompts than a batch, or no description of a batch can be scored.
        EnvironmentFault: If the run directory cannot be written or a model cannot be fetched.
    """
    directory = RunDirectory.of(recipe).seed(seed)
    if is_trained(directory):
        return
    quiet_libraries()
    set_threads(recipe.threads)
    state = PartialState(cpu=not torch.cuda.is_available())
    vlm = banks.load_vlm(recipe.vlm)
    class_means = banks.class_means(recipe, vlm)  # all processes make the image bank together
    prompts = make_prompts(class_means.class_names, recipe.prompts.questions)
    if len(prompts) < recipe.ppo.batch_size:
        raise UserError(too_few_prompts(len(prompts), recipe.ppo.batch_size))
    if state.is_main_process:
        print(kl_reach_line(recipe, len(prompts)))

    checkpoint = newest_checkpoint(directory.checkpoints)
    progress = TrainingProgress(
        total=recipe.ppo.batches,
        log=directory.train_log,
        samples_every=recipe.training.show_samples_every,
        enabled=state.is_main_process,
    )
    with writing(directory.checkpoints):
        directory.checkpoints.mkdir(parents=True, exist_ok=True)
        trainer = PPOTrainer(
            model=load_model(recipe.policy, state.device),
            reward_funcs=build_reward(recipe, vlm, class_means),
            args=trainer_arguments(recipe, seed, directory, state.num_processes),
            train_dataset=Dataset.from_list([prompt.row(recipe.prompts.style) for prompt in prompts]),
            processing_class=load_tokenizer(recipe.policy),
            peft_config=lora_config(recipe.lora),
            callbacks=[progress],
        )
        for noisy in (ProgressCallback, PrinterCallback):
            trainer.remove_callback(noisy)
        progress.trainer = trainer
        done = 0 if checkpoint is None else int(checkpoint.name.rpartition("-")[2]) // trainer.args.updates_per_batch
        if state.is_main_process:  # rows after the checkpoint will be written again
            write_jsonl(directory.train_log, [row for row in read_jsonl(directory.train_log) if row["batch"] <= done])
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
        save_adapter(trainer, directory, recipe)


def is_trained(directory: SeedDirectory) -> bool:
    """Whether a seed's adapter is complete."""
    return (directory.adapter / ADAPTER_DONE).is_file()


def build_reward(recipe: Recipe, vlm: VLM, class_means: ClassMeans) -> Any:
    """Build the recipe's reward function."""
    supplied = {
        "vlm": vlm,
        "class_means": class_means,
        "calibration": partial(banks.calibration, vlm, class_means),
    }
    return build(recipe.reward.name, recipe.reward.settings, REWARDS, "reward", **supplied)


def lora_config(lora: Lora) -> LoraConfig:
    """Turn a recipe's section into PEFT's configuration."""
    return LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.target_modules,
        bias="none",
        task_type="CAUSAL_LM",
    )


def trainer_arguments(recipe: Recipe, seed: int, directory: SeedDirectory, processes: int) -> PPOConfig:
    """Turn a recipe into the trainer's arguments.

    Args:
        recipe: The recipe; its sizes are global.
        seed: Of sampling, data order and initialisation.
        directory: Where checkpoints go.
        processes: Over which the batch is split.

    Raises:
        UserError: If the sizes do not divide over the processes.
    """
    ppo, generation, training = recipe.ppo, recipe.generation, recipe.training
    if ppo.minibatch_size % processes:
        raise UserError(
            f"ppo.minibatch_size: {ppo.minibatch_size} does not divide over {processes} processes; "
            f"use a multiple of {processes}, or another number of processes."
        )
    local_minibatch = ppo.minibatch_size // processes
    micro = ppo.micro_batch_size or local_minibatch
    if local_minibatch % micro:
        raise UserError(
            f"ppo.micro_batch_size: {micro} does not divide the {local_minibatch} samples of a minibatch on each of "
            f"{processes} processes."
        )
    updates = ppo.epochs * (ppo.batch_size // ppo.minibatch_size)
    return PPOConfig(
        output_dir=str(directory.checkpoints),
        seed=seed,
        data_seed=seed,
        # sizes
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=local_minibatch // micro,
        steps_per_generation=ppo.batch_size // processes // micro,
        num_iterations=ppo.epochs,
        max_steps=ppo.batches * updates,
        # optimizer: AdamW without decay is Adam
        learning_rate=ppo.learning_rate,
        lr_scheduler_type="constant",
        optim="adamw_torch",
        weight_decay=0.0,
        adam_beta1=ppo.adam_beta1,
        adam_beta2=ppo.adam_beta2,
        adam_epsilon=ppo.adam_epsilon,
        max_grad_norm=ppo.max_grad_norm,
        # PPO
        beta=1.0,  # not our β: TRL computes reference log-probabilities only if it is not 0
        epsilon=ppo.clip_range,
        gamma=ppo.gamma,
        lam=ppo.lam,
        value_clip_range=ppo.value_clip_range,
        value_coef=ppo.value_coef,
        whiten_advantages=ppo.whiten_advantages,
        ratio_threshold=ppo.ratio_threshold,
        score_centering=ppo.score_centering,
        kl_controller=ppo.kl.controller,
        kl_coef=ppo.kl.init_coef,
        kl_target=ppo.kl.target,
        kl_horizon=ppo.kl.horizon,
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


def save_adapter(trainer: PPOTrainer, directory: SeedDirectory, recipe: Recipe) -> None:
    """Write adapter, value head and tokenizer into a new folder and put it in place when it is complete."""
    trainer.accelerator.wait_for_everyone()
    unfinished = directory.adapter.with_name("adapter.unfinished")
    trainer.save_model(str(unfinished))  # collective under FSDP and DeepSpeed
    if trainer.accelerator.is_main_process:
        trainer.save_value_head(unfinished)
        # written by the trainer and readable only with pickle; everything in it is in recipe.yaml
        (unfinished / "training_args.bin").unlink(missing_ok=True)
        summary = {
            "batches": trainer.batch_number,
            "kl": trainer.batch_log.get("kl"),
            "kl_coef": trainer.kl_controller.coef,
            "score_mean": trainer.score_mean,
            "recipe": recipe.name,
        }
        write_json(unfinished / ADAPTER_DONE, summary)
        shutil.rmtree(directory.adapter, ignore_errors=True)
        unfinished.rename(directory.adapter)
    trainer.accelerator.wait_for_everyone()


def kl_reach_line(recipe: Recipe, prompts: int) -> str:
    """One line before a run: how far β can move."""
    ppo = recipe.ppo
    low, high = reach(ppo.kl.init_coef, ppo.kl.horizon, ppo.batch_size, ppo.batches, ppo.kl.controller)
    return (
        f"{prompts} prompts, {ppo.batches} batches of {ppo.batch_size}; KL target {ppo.kl.target:g}: "
        f"β starts at {ppo.kl.init_coef:g} and can reach {low:.3g} to {high:.3g}"
    )


def set_threads(threads: int | None) -> None:
    """Set torch's threads, if the recipe says how many."""
    if threads is not None:
        torch.set_num_threads(threads)


def quiet_libraries() -> None:
    """Silence what libraries say about their own insides; errors stay."""
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    disable_progress_bar()
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    # TRL 1.16 passes arguments that transformers 5.23 has renamed; remove with the next TRL.
    warnings.filterwarnings("ignore", message=".*gradient_checkpointing` is deprecated", category=FutureWarning)


def main() -> int:
    """Entry point of `python -m ex2.train`: the same as `ex2 train`."""
    from ex2.cli import main as command_line

    return command_line(["train", *sys.argv[1:]])


if __name__ == "__main__":
    raise SystemExit(main())
