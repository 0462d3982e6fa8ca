"""Rollouts of `make real`: training that keeps them, and the file that holds them.

    python benchmarks/recorded_rollouts.py FILE.npz [section.key=value …]

Trains the recipe of `make real` for 40 batches and writes what the value head was trained on: tokens, scores,
log-probabilities, values, returns. Needs `make real-assets`; 36 minutes on one core.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import yaml
from common import processor

from ex2.recipe import Recipe
from ex2.recipe_io import read_recipe, to_yaml
from ex2.run.provenance import provenance
from ex2.trainers.ppo import PPOTrainer
from ex2.training import stage

RECIPE = Path(__file__).resolve().parents[1] / "recipes/real/smollm2_conse.yaml"
ROLLOUTS = Path(__file__).resolve().parent / "rollouts/smollm2_conse.npz"
BATCHES = 40


@dataclass(frozen=True)
class RecordedBatch:
    """One batch's rollout, as the trainer saw it: B descriptions, padded to P prompt and T response tokens.

    Attributes:
        prompt_ids: Token ids, padded on the left, shape (B, P).
        prompt_mask: True on the prompts' tokens, shape (B, P).
        completion_ids: Token ids, padded on the right, shape (B, T).
        response_mask: True on the responses' tokens, their end tokens included, shape (B, T).
        scores: As the reward gave them, NaN for none, shape (B,).
        logprobs: Of the response tokens under the policy that sampled them, in nats, shape (B, T).
        ref_logprobs: The same under the reference, shape (B, T).
        old_values: Of the run's own value head, in units of the reward, shape (B, T).
        returns: Targets that the run's value head was given, in units of the reward, shape (B, T).
        kl_coef: β.
        reward_unit: What scores and β were divided by.
    """

    prompt_ids: torch.Tensor
    prompt_mask: torch.Tensor
    completion_ids: torch.Tensor
    response_mask: torch.Tensor
    scores: torch.Tensor
    logprobs: torch.Tensor
    ref_logprobs: torch.Tensor
    old_values: torch.Tensor
    returns: torch.Tensor
    kl_coef: float
    reward_unit: float


TOKENS = {
    "prompt_mask": ("prompt_ids",),
    "response_mask": ("completion_ids", "logprobs", "ref_logprobs", "old_values", "returns"),
}
"""Mask → what has a number for each token on it. In the file, a mask is the number of its tokens in each row."""


class RecordingTrainer(PPOTrainer):
    """Keeps every rollout.

    Attributes:
        batches: The rollouts so far.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.batches: list[RecordedBatch] = []
        super().__init__(*args, **kwargs)

    def _add_advantages(self, output: dict[str, Any]) -> dict[str, Any]:
        kl_coef, unit = self.kl_controller.coef, self.reward_unit  # the controller moves on below
        policy, reference = self._passes
        result = super()._add_advantages(output)
        mask = result["completion_mask"].bool()
        self.batches.append(
            RecordedBatch(
                prompt_ids=result["prompt_ids"].cpu(),
                prompt_mask=result["prompt_mask"].bool().cpu(),
                completion_ids=result["completion_ids"].cpu(),
                response_mask=mask.cpu(),
                scores=self._scores.float().cpu(),
                logprobs=(policy.logprobs * mask).cpu(),
                ref_logprobs=(reference.logprobs * mask).cpu(),
                old_values=(result["old_values"] * mask).cpu(),
                returns=result["returns"].cpu(),
                kl_coef=kl_coef,
                reward_unit=unit,
            )
        )
        return result


def write_rollouts(path: Path, batches: Sequence[RecordedBatch], about: dict[str, Any]) -> None:
    """Write rollouts as a compressed `.npz` without padding: token after token, with the lengths beside them.

    Args:
        path: The file.
        batches: The rollouts, in the order of the run.
        about: What they were made with, kept as JSON.
    """
    joined: dict[str, Any] = {
        "about": np.array(json.dumps(about)),
        "batch_sizes": np.array([len(one.scores) for one in batches], np.int32),
        "scores": np.concatenate([one.scores.numpy() for one in batches]).astype(np.float32),
        "kl_coef": np.array([one.kl_coef for one in batches]),
        "reward_unit": np.array([one.reward_unit for one in batches]),
    }
    for mask, names in TOKENS.items():
        masks = [getattr(one, mask) for one in batches]
        joined[mask] = np.concatenate([counted.sum(-1).numpy() for counted in masks]).astype(np.int32)
        for name in names:
            flat = np.concatenate([getattr(one, name)[m].numpy() for one, m in zip(batches, masks, strict=True)])
            joined[name] = flat.astype(np.int32 if name.endswith("_ids") else np.float32)
    with path.open("wb") as file:
        np.savez_compressed(file, **joined)


class Rollouts(NamedTuple):
    """What `write_rollouts` wrote.

    Attributes:
        batches: The rollouts, in the order of the run.
        about: What they were made with.
    """

    batches: list[RecordedBatch]
    about: dict[str, Any]


def read_rollouts(path: Path) -> Rollouts:
    """Read what `write_rollouts` wrote; padding has the token id 0, and is 0 in all else."""
    with np.load(path) as stored:
        joined = {name: stored[name] for name in stored.files}
    starts = {name: np.concatenate([[0], joined[name].cumsum()]) for name in ("batch_sizes", *TOKENS)}
    batches = []
    for number, (first, end) in enumerate(pairwise(starts["batch_sizes"])):
        tokens: dict[str, torch.Tensor] = {}
        for mask, names in TOKENS.items():
            lengths = torch.from_numpy(joined[mask][first:end])
            places = torch.arange(int(lengths.max()))
            if mask == "prompt_mask":
                places = places.flip(0)  # padded on the left
            tokens[mask] = places < lengths.unsqueeze(1)
            for name in names:
                flat = torch.from_numpy(joined[name][starts[mask][first] : starts[mask][end]])
                flat = flat.long() if name.endswith("_ids") else flat
                tokens[name] = flat.new_zeros(tokens[mask].shape).masked_scatter(tokens[mask], flat)
        batches.append(
            RecordedBatch(
                **tokens,
                scores=torch.from_numpy(joined["scores"][first:end]),
                kl_coef=float(joined["kl_coef"][number]),
                reward_unit=float(joined["reward_unit"][number]),
            )
        )
    return Rollouts(batches, json.loads(str(joined["about"])))


def record(path: Path, overrides: Sequence[str]) -> None:
    """Train the recipe for `BATCHES` batches, with its own settings but for `overrides`, and write its rollouts."""
    about = provenance()
    with tempfile.TemporaryDirectory() as folder:
        recipe: Recipe = read_recipe(RECIPE, [f"rl.batches={BATCHES}", f"output_dir={folder}", *overrides])
        made: list[RecordingTrainer] = []

        def recording(*args: Any, **kwargs: Any) -> RecordingTrainer:
            made.append(RecordingTrainer(*args, **kwargs))
            return made[-1]

        stage.TRAINERS["ppo"] = recording
        stage.train(recipe, recipe.seeds[0])
    (trainer,) = made
    about |= {
        "machine": processor(),
        "recipe": to_yaml(recipe),
        "seed": recipe.seeds[0],
        "score_mean": trainer.score_mean,
    }
    write_rollouts(path, trainer.batches, about)


def recipe_of(rollouts: Rollouts) -> Recipe:
    """Return the recipe that rollouts were recorded with."""
    return Recipe.model_validate(yaml.safe_load(rollouts.about["recipe"]))


def main() -> None:
    """Record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("overrides", nargs="*", metavar="section.key=value")
    options = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    record(options.file, options.overrides)


if __name__ == "__main__":
    main()
