"""What a recipe's `watch` and `generation` sections mean for training: a reward that is watched, and a guard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ex2 import banks
from ex2.monitoring.endings import WithEndings
from ex2.monitoring.guard import Guard
from ex2.monitoring.observed_reward import Observed
from ex2.recipe import Recipe
from reward.components import build
from reward.files import JSON
from reward.image_bank import ClassMeans
from reward.table import REWARDS
from reward.vlm import VLM


def watched_reward(
    recipe: Recipe, reward: Any, *, ends: Sequence[int], checkpoints: Path, updates_per_batch: int
) -> WithEndings:
    """Wrap a reward for training: signs of reward hacking are logged, endings treated as the recipe says.

    Args:
        recipe: The experiment.
        reward: A TRL reward function.
        ends: Tokens that end a description.
        checkpoints: Folder of the seed's checkpoints.
        updates_per_batch: Of the trainer.

    Returns:
        A TRL reward function of the same name.
    """
    observed = Observed(
        reward,
        checkpoints=checkpoints,
        updates_per_batch=updates_per_batch,
        without_name_every=recipe.watch.without_name_every,
        without_name_sample=recipe.watch.without_name_sample,
    )
    generation = recipe.generation
    return WithEndings(
        observed,
        ends=ends,
        missing_end=generation.missing_end,
        penalty=generation.missing_end_penalty,
        cut=generation.cut_to_sentence,
    )


def make_guard(recipe: Recipe, *, checkpoints: Path, earlier: Sequence[JSON], enabled: bool) -> Guard:
    """Return the guard over the recipe's rules; arguments as `ex2.monitoring.guard.Guard`."""
    return Guard(recipe.watch.as_rules(), checkpoints=checkpoints, earlier=earlier, enabled=enabled)


def build_reward(name: str, settings: Mapping[str, Any], vlm: VLM, class_means: ClassMeans) -> Any:
    """Build a reward function over one VLM's class means.

    Args:
        name: A row of `reward.table.REWARDS`, or a dotted path.
        settings: Its own keyword arguments.
        vlm: Scores texts.
        class_means: Of the images that feed the reward.
    """
    supplied = {
        "vlm": vlm,
        "class_means": class_means,
        "calibration": partial(banks.calibration, vlm, class_means),
    }
    return build(name, settings, REWARDS, "reward", **supplied)
