"""Train one seed of a recipe, or continue it, and save the policy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from accelerate import PartialState
from datasets import Dataset
from transformers import PrinterCallback, ProgressCallback

from ex2 import banks
from ex2.data.prompts import make_prompts, too_few_prompts
from ex2.monitoring.kl_reach import KLWatch
from ex2.monitoring.progress import TrainingProgress
from ex2.monitoring.stopping import StopWhenTold
from ex2.policy.generation import end_tokens
from ex2.policy.loading import load_model, load_tokenizer
from ex2.policy.source import ModelSource
from ex2.recipe import Recipe
from ex2.run.adapter import FILES, adapter_digests, verify_adapter
from ex2.run.card import MODEL_CARD, model_card
from ex2.run.directory import ADAPTER_DONE, RunDirectory, SeedDirectory
from ex2.run.lock import writing_stage
from ex2.run.made import require
from ex2.run.manifest import MENDS, begin, complete, flat_recipe, manifest_of, read_manifest, recipe_differences, refuse
from ex2.run.training_log import read_train_log
from ex2.runtime import is_main_process, leave_process_group, quiet_libraries, set_threads
from ex2.sets.texts import Drawers
from ex2.trainers.checkpoints import newest_checkpoint, read_complete
from ex2.trainers.controlled import ControlledTrainer
from ex2.training.arguments import TRAINERS, batches_line, kl_lines, lora_config, trainer_arguments
from ex2.training.inputs import inputs_of
from ex2.training.rewards import build_reward, make_guard, watched_reward
from reward.errors import UserError
from reward.file_digests import FileDigest
from reward.files import JSON, finish, read_object, unfinished, write_json, write_jsonl, write_text, writing
from reward.presets import load_vlm
from reward.signals import deferred


def train(recipe: Recipe, seed: int) -> None:
    """Train one seed, or continue it; does nothing if its adapter is complete.

    Args:
        recipe: A checked recipe.
        seed: One of `recipe.seeds`.

    A run whose recipe asks for more batches than were trained goes on from its last checkpoint; the adapter that it had
    is kept as `adapter.batch-N`.

    Raises:
        UserError: If what is there was made otherwise, there are fewer prompts than a batch, no description of a batch
            can be scored, a loss, score or gradient is infinite or NaN, or a rule stops the run before its first
            checkpoint.
        EnvironmentFault: If the run directory cannot be written or a model cannot be fetched.
        KeyboardInterrupt: After SIGTERM or Ctrl-C, when the batch under way is finished and kept.
    """
    directory = RunDirectory.of(recipe).seed(seed)
    if _is_done(recipe, directory):
        return
    with writing_stage(directory.root, "train"):
        if not _is_done(recipe, directory):  # else another process finished it meanwhile
            _train(recipe, seed, directory)


def _is_done(recipe: Recipe, directory: SeedDirectory) -> bool:
    """Say whether the adapter is complete and has seen the recipe's batches.

    Raises:
        UserError: If it was made otherwise, or cannot be trained on.
    """
    if not directory.is_trained:
        return False
    verify_adapter(directory.adapter)
    trained = read_object(directory.adapter / ADAPTER_DONE)
    stopped = "stopped_by" in trained
    manifest = read_manifest(directory.root, "train")
    if manifest is not None and not manifest.complete:  # killed while training on, or before the manifest's end
        refuse(directory.root, recipe_differences(manifest, flat_recipe(recipe)))
        if trained["batches"] < recipe.rl.batches and not stopped:
            return False
        if is_main_process():
            complete(directory.root, manifest, [directory.adapter / ADAPTER_DONE, directory.train_log])
        return True
    require(recipe, directory, "train")
    asked = manifest.recipe["rl.batches"] if manifest else recipe.rl.batches if stopped else trained["batches"]
    if recipe.rl.batches <= asked:
        return True
    if stopped:
        raise UserError(
            f"{directory.adapter}: a rule stopped its training at batch {trained['stopped_at']}, so that it cannot be "
            f"trained on to rl.batches={recipe.rl.batches}; keep rl.batches={asked}, or give another name (name=…)."
        )
    if newest_checkpoint(directory.checkpoints, of=manifest.identity if manifest else "") is None:
        raise UserError(
            f"{directory.checkpoints}: no checkpoint to train on from, to rl.batches={recipe.rl.batches}; keep "
            f"rl.batches={asked}, or give another name (name=…)."
        )
    return False


def _train(recipe: Recipe, seed: int, directory: SeedDirectory) -> None:
    quiet_libraries()
    set_threads(recipe.threads)
    state = PartialState(cpu=not torch.cuda.is_available())
    vlm = load_vlm(recipe.vlm.name, recipe.vlm.settings)
    class_means = banks.class_means(recipe.dataset.source(), vlm)  # all processes make the image bank together
    prompts = make_prompts(class_means.class_names, recipe.prompts.questions)
    if len(prompts) < recipe.prompts_per_batch:
        raise UserError(too_few_prompts(len(prompts), recipe.prompts_per_batch))
    if state.is_main_process:
        print(f"{len(prompts)} prompts; {batches_line(recipe)}", *kl_lines(recipe), sep="\n")

    before = read_manifest(directory.root, "train")
    checkpoint = newest_checkpoint(
        directory.checkpoints, of=before.identity if before else "", say=print if state.is_main_process else None
    )
    if checkpoint is not None:
        _check_log(directory, checkpoint)
    drawers = Drawers(recipe.reward.settings)
    reward = build_reward(recipe.reward.name, recipe.reward.settings, vlm, class_means, seed, drawers)
    manifest = begin(
        directory.root,
        manifest_of("train", recipe, inputs_of(recipe, vlm, class_means, drawers)),
        has_output=checkpoint is not None or directory.is_trained or directory.train_log.exists(),
        write=state.is_main_process,
    )
    progress = TrainingProgress(
        total=recipe.rl.batches,
        log=directory.train_log,
        samples_every=recipe.training.show_samples_every,
        enabled=state.is_main_process,
    )
    kl_watch = KLWatch(total=recipe.rl.batches, enabled=state.is_main_process)
    stop = StopWhenTold()
    with writing(directory.checkpoints):
        directory.checkpoints.mkdir(parents=True, exist_ok=True)
        model, tokenizer = load_model(trained_source(recipe), state.device), load_tokenizer(recipe.policy.source())
        arguments = trainer_arguments(recipe, seed, directory, state.num_processes)
        done = 0 if checkpoint is None else int(checkpoint.name.rpartition("-")[2]) // arguments.updates_per_batch
        earlier = [row for row in read_train_log(directory) if row["batch"] <= done]
        guard = make_guard(recipe, checkpoints=directory.checkpoints, earlier=earlier, enabled=state.is_main_process)
        trainer = TRAINERS[recipe.algorithm](
            model=model,
            reward_funcs=watched_reward(
                recipe,
                reward,
                ends=end_tokens(model.generation_config, tokenizer),
                checkpoints=directory.checkpoints,
                updates_per_batch=arguments.updates_per_batch,
            ),
            args=arguments,
            train_dataset=Dataset.from_list([prompt.row(recipe.prompts.style) for prompt in prompts]),
            processing_class=tokenizer,
            peft_config=lora_config(recipe.lora),
            callbacks=[kl_watch, progress, guard, stop],  # the last sees what the others decide
        )
        for noisy in (ProgressCallback, PrinterCallback):
            trainer.remove_callback(noisy)
        if state.is_main_process:  # rows after the checkpoint will be written again
            write_jsonl(directory.train_log, earlier)
        trainer.facts = lambda: {"identity": manifest.identity, "log": FileDigest.of(directory.train_log).to_json()}
        with deferred() as stop.told:
            trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
            if stop.has_stopped:
                leave_process_group()  # whoever ends first has the launcher end the others, who may still be writing
            else:
                save_policy(trainer, directory, recipe, seed, guard.settle(trainer.load_checkpoint, manifest.identity))
                if state.is_main_process:
                    complete(directory.root, manifest, [directory.adapter / ADAPTER_DONE, directory.train_log])


def _check_log(directory: SeedDirectory, checkpoint: Path) -> None:
    """Check that the log of training is what it was when a checkpoint was written; later rows do not matter.

    Raises:
        UserError: If it is not.
    """
    log = read_complete(checkpoint).log
    path = directory.train_log
    if log is None:
        return
    if not path.is_file() or not log.begins(path):
        what = "its content is not what train wrote" if path.is_file() else "not found, but train wrote it"
        raise UserError(f"{path}: {what} until {checkpoint}; put it back as it was, or {MENDS['train']}.")


def trained_source(recipe: Recipe) -> ModelSource:
    """Return the model as training loads it: with `dtype` float32 if every weight is trained.

    At the paper's learning rate an update is smaller than the spacing of 16-bit weights, which would never change. The
    forward passes still compute in the recipe's own dtype.
    """
    source = recipe.policy.source()
    return source if recipe.lora else replace(source, dtype="float32")


def save_policy(trainer: ControlledTrainer, directory: SeedDirectory, recipe: Recipe, seed: int, stopped: JSON) -> None:
    """Write adapter (or model), value head, tokenizer and card into a new folder, and move it into place when complete.

    Args:
        trainer: The trainer after training.
        directory: Directory of the seed.
        recipe: The recipe.
        seed: The seed.
        stopped: Keys for `training.json` about a rule that stopped the run, from `Guard.settle`; empty if none did.
    """
    folder = directory.adapter.with_name("adapter.unfinished")
    if trainer.accelerator.is_main_process:
        unfinished(directory.adapter).mkdir()
    trainer.accelerator.wait_for_everyone()
    trainer.save_model(str(folder))  # collective under FSDP and DeepSpeed
    trainer.save_value_head(folder)
    if trainer.accelerator.is_main_process:
        # written by the trainer and readable only with pickle; everything in it is in recipe.yaml
        (folder / "training_args.bin").unlink(missing_ok=True)
        summary = {**trainer.summary(), "recipe": recipe.name, **stopped}
        write_text(folder / MODEL_CARD, model_card(recipe, seed, summary))
        write_json(folder / ADAPTER_DONE, summary | {FILES: adapter_digests(folder)})
        if directory.is_trained:  # of fewer batches
            batches = read_object(directory.adapter / ADAPTER_DONE)["batches"]
            finish(directory.adapter, directory.adapter.with_name(f"adapter.batch-{batches}"))
        finish(folder, directory.adapter)
    trainer.accelerator.wait_for_everyone()
