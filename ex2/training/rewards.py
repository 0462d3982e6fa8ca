"""From a recipe to its reward function, wrapped as its sections `watch` and `generation` say, and to its guard."""

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
from ex2.sets.texts import Drawers
from reward.components import build
from reward.files import JSON
from reward.image_bank import ClassMeans
from reward.table import REWARDS
from reward.vlm import VLM


def watched_reward(
    recipe: Recipe, reward: Any, *, ends: Sequence[int], checkpoints: Path, updates_per_batch: int
) -> WithEndings:
    """Wrap a reward for training, so that signs of reward hacking are logged and endings treated as the recipe says.

    Args:
        recipe: The recipe.
        reward: A TRL reward function.
        ends: Ids of the tokens that end a description.
        checkpoints: Folder of the seed's checkpoints.
        updates_per_batch: Optimizer steps in a batch.

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
    """Return a guard with the recipe's rules; the other arguments are those of `ex2.monitoring.guard.Guard`."""
    return Guard(recipe.watch.as_rules(), checkpoints=checkpoints, earlier=earlier, enabled=enabled)


def build_reward(
    name: str,
    settings: Mapping[str, Any],
    vlm: VLM,
    class_means: ClassMeans,
    run_seed: int = 0,
    drawers: Drawers | None = None,
) -> Any:
    """Build a reward function over one VLM's class means.

    Args:
        name: A row of `reward.table.REWARDS`, or a dotted path.
        settings: Keyword arguments of the reward.
        vlm: Scores texts.
        class_means: Mean image embedding of each class under that VLM.
        run_seed: The run's seed.
        drawers: Makes what draws texts, and says afterwards what it has made.

    Returns:
        A TRL reward function.
    """
    supplied = {
        "vlm": vlm,
        "class_means": class_means,
        "draw": Drawers(settings) if drawers is None else drawers,
        "run_seed": run_seed,
        "standardization": partial(banks.standardization, vlm, class_means),
    }
    return build(name, settings, REWARDS, "reward", **supplied)
