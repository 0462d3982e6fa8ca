"""Hand a trained policy on: its model card, a copy of the adapter, or one model with the adapter merged in.

    ex2 export RECIPE --out DIR [--merge]

The adapter's folder is what plain PEFT loads; the merged folder is what transformers and vLLM load.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from ex2.recipe_io import read_recipe, to_yaml
from ex2.run_dir import JSON, RunDirectory, SeedDirectory, read_json, write_text, writing
from reward.errors import UserError

if TYPE_CHECKING:
    from ex2.recipe import Policy, Recipe

ADAPTER_DONE = "training.json"
"""Written last into the adapter's folder: without it, training is not done."""
MODEL_CARD = "README.md"
NOT_FOR_SERVING = ("value_head.safetensors", ADAPTER_DONE)
ARMS = {"templates": "the templates", "base": "the base policy", "aligned": "the aligned policy"}


def main(options: argparse.Namespace) -> int:
    """Entry point of `ex2 export`.

    Raises:
        UserError: If a seed is not trained, is none of the recipe's, or the folder is not empty.
        EnvironmentFault: If a model cannot be fetched or the folder cannot be written.
    """
    recipe = read_recipe(options.recipe, options.overrides)
    seeds = options.seeds or recipe.seeds
    if set(seeds) - set(recipe.seeds):
        raise UserError(f"--seeds: {seeds} are not all among the recipe's seeds {recipe.seeds}.")
    out = Path(options.out)
    _check(recipe, seeds, out)
    for seed in seeds:
        folder = out if len(seeds) == 1 else out / f"seed-{seed}"
        export(recipe, seed, folder, merge=options.merge)
        print(f"exported: {folder}")
    return 0


def export(recipe: Recipe, seed: int, folder: Path, *, merge: bool) -> None:
    """Write one seed's policy into a new folder, complete or not at all.

    Args:
        recipe: The run's.
        seed: Of a finished training.
        folder: Must not exist, or be empty.
        merge: Write one model in `policy.dtype`, not quantised, instead of the adapter.
    """
    source = RunDirectory.of(recipe).seed(seed)
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    with writing(folder):
        shutil.rmtree(unfinished, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        if merge and recipe.lora is not None:
            merge_adapter(recipe.policy, source.adapter, unfinished)
        else:
            left_out = NOT_FOR_SERVING if merge else ()
            shutil.copytree(source.adapter, unfinished, ignore=shutil.ignore_patterns(*left_out))
        write_text(unfinished / MODEL_CARD, stored_card(recipe, seed, source, merged=merge))
        if folder.is_dir():
            folder.rmdir()  # empty, as was checked
        unfinished.rename(folder)


def merge_adapter(policy: Policy, adapter: Path, folder: Path) -> None:
    """Write base plus adapter as one model with its tokenizer, on the CPU and not quantised.

    Args:
        policy: The recipe's section; its `dtype` is that of the copy.
        adapter: Folder of the adapter.
        folder: Where the model goes.
    """
    import torch
    from peft import PeftModel

    from ex2.policy import load_model, load_tokenizer

    base = load_model(policy.model_copy(update={"quantization": "none"}), torch.device("cpu"))
    model: Any = PeftModel.from_pretrained(base, str(adapter))
    with writing(folder):
        model.merge_and_unload().save_pretrained(folder)
        load_tokenizer(policy).save_pretrained(folder)


def stored_card(recipe: Recipe, seed: int, directory: SeedDirectory, *, merged: bool = False) -> str:
    """Return the card of a finished training, with the accuracy if it has been measured."""
    measured = read_json(directory.accuracy) if directory.accuracy.is_file() else None
    return model_card(recipe, seed, read_json(directory.adapter / ADAPTER_DONE), accuracy=measured, merged=merged)


def refresh_card(recipe: Recipe, seed: int) -> None:
    """Write the card in the adapter's folder again, such as after the accuracy has been measured."""
    directory = RunDirectory.of(recipe).seed(seed)
    if (directory.adapter / ADAPTER_DONE).is_file():
        write_text(directory.adapter / MODEL_CARD, stored_card(recipe, seed, directory))


def model_card(recipe: Recipe, seed: int, summary: JSON, *, accuracy: JSON | None = None, merged: bool = False) -> str:
    """Return the model card as Markdown with the front matter that model hubs read.

    Args:
        recipe: The resolved recipe; the card ends with it.
        seed: Of the training.
        summary: Content of `training.json`.
        accuracy: Content of `accuracy.json`; None if descriptions have not been analysed yet.
        merged: Whether the adapter has been merged into the model.
    """
    whole = merged or recipe.lora is None
    front: JSON = {
        "library_name": "transformers" if whole else "peft",
        "pipeline_tag": "text-generation",
        "base_model": recipe.policy.model,
        "tags": ["ex2", recipe.algorithm] + ([] if recipe.lora is None else ["lora"]),
    }
    kind = "weights" if recipe.lora is None else f"LoRA adapter of rank {recipe.lora.r}"
    kl = summary.get("kl")
    spread = "on average per description" if recipe.ppo.kl.unit == "sequence" else "per token"
    lines = [
        "---",
        yaml.safe_dump(front, sort_keys=False, allow_unicode=True).strip(),
        "---",
        f"# {recipe.name}, seed {seed}",
        "",
        f"A language model aligned by {recipe.algorithm.upper()} with what a vision-language model rewards: "
        f"{kind} on `{recipe.policy.model}`{', merged' if merged and recipe.lora else ''}.",
        "",
        f"- Reward: `{recipe.reward.name}` by the VLM `{recipe.vlm.name}` on images of `{recipe.dataset.name}`, "
        f"split `{recipe.dataset.reward_split}`.",
        f"- Training: {summary['batches']} batches of {recipe.ppo.batch_size} descriptions.",
        f"- KL to the base model in the last batch: {'not measured' if kl is None else f'{kl:.3g} nats {spread}'} "
        f"(target {recipe.ppo.kl.target:g}, final β {summary['kl_coef']:.3g}).",
        *_accuracy_lines(accuracy),
    ]
    if merged and recipe.lora and recipe.policy.quantization != "none":
        lines.append(
            f"- Trained on a base of {recipe.policy.quantization.removesuffix('bit')} bits and merged into the one in "
            f"{recipe.policy.dtype}: probabilities differ a little from those in training."
        )
    lines += ["", "## Recipe", "", "```yaml", to_yaml(recipe).strip(), "```", ""]
    return "\n".join(lines)


def _accuracy_lines(accuracy: JSON | None) -> list[str]:
    if accuracy is None:
        return ["- Accuracy: not measured yet."]
    lines = []
    for arm, words in ARMS.items():
        found = accuracy["arms"].get(arm)
        if found:
            lines.append(
                f"- Zero-shot accuracy on `{accuracy['dataset']}`, split `{accuracy['split']}`, with descriptions of "
                f"{words}: {found['accuracy']:.1%} (n = {found['n']}, {accuracy['confidence']:.0%} interval "
                f"{found['low']:.1%} to {found['high']:.1%})."
            )
    return lines


def _check(recipe: Recipe, seeds: list[int], out: Path) -> None:
    problems = [
        f"{directory.adapter}: seed {seed} is not trained; run `ex2 train` (or `ex2 run`) first."
        for seed in seeds
        if not ((directory := RunDirectory.of(recipe).seed(seed)).adapter / ADAPTER_DONE).is_file()
    ]
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        problems.append(f"--out: {out} is not an empty folder; give a new one.")
    if problems:
        raise UserError("\n".join(problems))
