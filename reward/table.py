"""The reward functions that a recipe can name."""

from __future__ import annotations

REWARDS = {
    "cosine": "reward.cosine:CosineReward",
    "margin": "reward.margin:MarginReward",
    "fluency": "reward.text_rewards:Fluency",
    "length_penalty": "reward.text_rewards:LengthPenalty",
    "repetition": "reward.text_rewards:Repetition",
    "sum": "reward.weighted_sum:WeightedSum",
}
"""Name → `"module:class"`, imported on use. A recipe may also give a dotted path.

A reward is a picklable callable with a `__name__`, in TRL's contract: `prompts`, `completions` and the dataset's
columns (here `class_name` and `label`) in, `list[float | None]` out, `None` for what cannot be scored. Its constructor
may ask for what is in `SUPPLIED`; the other parameters are settings of the recipe. With `needs_reference = True` it
also gets `reference_logprobs`, the log-probability under the reference model of each token of each description.
"""

SUPPLIED = ("vlm", "class_means", "calibration")
"""What the program gives to a reward's constructor if it asks: the VLM, the image bank, and a function without
arguments that makes the VLM's calibration on this dataset."""
