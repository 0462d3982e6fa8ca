"""The model card of an aligned model: its base, how it was trained, and what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import yaml
from pydantic import Field

from ex2.recipe_io import to_yaml
from ex2.run.directory import ADAPTER_DONE, RunDirectory, SeedDirectory
from reward.files import JSON, read_record, write_text
from reward.numerals import compact
from reward.plain_text import markdown_block
from reward.plain_text import markdown_code as code
from reward.records import Record

if TYPE_CHECKING:
    from ex2.recipe import Recipe

MODEL_CARD = "README.md"
NOT_FOR_SERVING = ("value_head.safetensors", ADAPTER_DONE)
ARM_NAMES = {"templates": "the templates", "base": "the base policy", "aligned": "the aligned policy"}


@dataclass(frozen=True)
class TrainingSummary(Record):
    """What readers take from `training.json`; None is a number that is not known."""

    batches: Annotated[int, Field(strict=True, ge=0)]
    kl_coef: float
    kl: float | None = None


@dataclass(frozen=True)
class _Arm(Record):
    accuracy: float
    n: int
    low: float
    high: float


@dataclass(frozen=True)
class _Accuracy(Record):
    """What the card takes from `accuracy.json`."""

    dataset: str
    split: str
    confidence: float
    arms: Mapping[str, _Arm | None]


def stored_card(recipe: Recipe, seed: int, directory: SeedDirectory, *, merged: bool = False) -> str:
    """Return the model card of a trained seed, with the accuracy if it has been measured.

    Args:
        recipe: The resolved recipe.
        seed: Seed of the training.
        directory: Directory of the seed, from which the results are read.
        merged: Whether the adapter has been merged into the model.
    """
    measured = read_record(directory.accuracy, _accuracy) if directory.accuracy.is_file() else None
    summary = read_record(directory.adapter / ADAPTER_DONE, _summary)
    return model_card(recipe, seed, summary, accuracy=measured, merged=merged)


def _accuracy(stored: JSON) -> JSON:
    _Accuracy.from_json(stored)
    return stored


def _summary(stored: JSON) -> JSON:
    TrainingSummary.from_json(stored)
    return stored


def refresh_card(recipe: Recipe, seed: int) -> None:
    """Write the card in the adapter's folder again, for instance after the accuracy has been measured.

    What a process that was killed left of a card is removed, since the folder is handed on: the caller holds its lock.
    """
    directory = RunDirectory.of(recipe).seed(seed)
    if directory.is_trained:
        for unfinished in directory.adapter.glob(f".{MODEL_CARD}.*"):
            unfinished.unlink(missing_ok=True)
        write_text(directory.adapter / MODEL_CARD, stored_card(recipe, seed, directory))


def model_card(recipe: Recipe, seed: int, summary: JSON, *, accuracy: JSON | None = None, merged: bool = False) -> str:
    """Return the model card as Markdown with the front matter that model hubs read.

    Args:
        recipe: The resolved recipe; the card ends with it.
        seed: Seed of the training.
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
    reached = "not measured" if kl is None else f"{compact(kl, 3)} nats"
    spread = "on average per description" if recipe.rl.kl.unit == "sequence" else "per token"
    lines = [
        "---",
        yaml.safe_dump(front, sort_keys=False, allow_unicode=True).strip(),
        "---",
        f"# {recipe.name}, seed {seed}",
        "",
        f"A language model aligned by {recipe.algorithm.upper()} with what a vision-language model rewards: "
        f"{kind} on {code(recipe.policy.model)}{', merged' if merged and recipe.lora else ''}.",
        "",
        f"- Reward: {code(recipe.reward.name)} by the VLM {code(recipe.vlm.name)} on images of "
        f"{code(recipe.dataset.name)}, split {code(recipe.dataset.reward_split)}.",
        f"- Training: {summary['batches']} batches of {recipe.rl.batch_size} descriptions.",
        f"- KL to the base model in the last batch: {reached}{'' if kl is None else f' {spread}'} "
        f"(target {recipe.rl.kl.target:g}, final β {summary['kl_coef']:.3g}).",
        *([f"- {note}"] if (note := recipe.generation.kl_note()) else []),
        *_accuracy_lines(accuracy),
    ]
    if merged and recipe.lora and recipe.policy.quantization != "none":
        lines.append(
            f"- Trained on a base of {recipe.policy.quantization.removesuffix('bit')} bits and merged into the one in "
            f"{recipe.policy.dtype}: probabilities differ a little from those in training."
        )
    lines += ["", "## Recipe", "", markdown_block(to_yaml(recipe), "yaml"), ""]
    return "\n".join(lines)


def _accuracy_lines(accuracy: JSON | None) -> list[str]:
    if accuracy is None:
        return ["- Accuracy: not measured yet."]
    lines = []
    for arm, words in ARM_NAMES.items():
        found = accuracy["arms"].get(arm)
        if found:
            lines.append(
                f"- Zero-shot accuracy on {code(accuracy['dataset'])}, split {code(accuracy['split'])}, with "
                f"descriptions of {words}: {found['accuracy']:.1%} (n = {found['n']}, {accuracy['confidence']:.0%} "
                f"interval {found['low']:.1%} to {found['high']:.1%})."
            )
    return lines
