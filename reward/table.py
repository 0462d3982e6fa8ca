"""The reward functions that a recipe can name."""

from __future__ import annotations

from reward.components import Parts

REWARDS = Parts(
    {
        "cosine": "reward.cosine:CosineReward",
        "margin": "reward.margin:MarginReward",
        "drawn_cler": "reward.drawn:DrawnCler",
        "fluency": "reward.text_rewards:Fluency",
        "length_penalty": "reward.text_rewards:LengthPenalty",
        "repetition": "reward.text_rewards:Repetition",
        "sum": "reward.weighted_sum:WeightedSum",
    },
    kind="reward",
    methods=("__call__",),
)
"""Name → `"module:class"`, imported on use. A recipe may also give a dotted path.

A reward is a picklable callable with a `__name__`. As TRL's contract has it, it is called with `prompts`,
`completions` and the dataset's columns (here `class_name` and `label`) and returns `list[float | None]`, with `None`
for a completion that cannot be scored. Its constructor may have parameters named in `SUPPLIED`; its other parameters
are settings of the recipe. A reward with `needs_reference = True` is also given `reference_logprobs`: for each
description, each token's log-probability under the reference model, in nats.
"""

SUPPLIED = ("vlm", "class_means", "standardization", "draw", "run_seed")
"""Parameters of a reward's constructor that the program fills in: the VLM, the image bank (`ClassMeans`), a function
without arguments that returns the VLM's standardization on this dataset, one that makes what draws texts from a
generator's name and settings (`reward.drawn.DrawTexts`), and the run's seed."""
