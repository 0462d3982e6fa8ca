"""The reward functions that a recipe can name."""

from __future__ import annotations

REWARDS = {
    "cosine": "reward.cosine:CosineReward",
    "length_penalty": "reward.length:LengthPenalty",
}
"""Name → `"module:class"`, imported on use. A recipe may also give a dotted path.

A reward is a picklable callable with a `__name__`, in TRL's contract: `prompts`, `completions` and the dataset's
columns (here `class_name` and `label`) in, `list[float | None]` out, `None` for what cannot be scored. Its constructor
may ask for `vlm` and `class_means`; the other parameters are settings of the recipe.
"""
