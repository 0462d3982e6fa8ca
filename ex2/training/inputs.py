"""What training and describing depend on beyond the recipe: model, images, VLM, generators and a user's own code."""

from __future__ import annotations

from ex2.data.datasets.base import DATASETS
from ex2.policy.identity import policy_identity
from ex2.recipe import Recipe
from ex2.sets.texts import Drawers
from reward.image_bank import ClassMeans
from reward.own_code import code_digest
from reward.presets import BACKENDS, PRESETS
from reward.table import REWARDS
from reward.vlm import VLM


def inputs_of(recipe: Recipe, vlm: VLM, class_means: ClassMeans, drawers: Drawers) -> dict[str, str]:
    """Return the identities of what a stage depends on: name for messages → hash, or name and commit.

    Args:
        recipe: A checked recipe.
        vlm: The recipe's VLM.
        class_means: Its class means of the images that feed the reward.
        drawers: What has made the generators of the recipe's reward.
    """
    code = {
        "vlm.name": code_digest(recipe.vlm.name, (*PRESETS, *BACKENDS)),
        "reward.name": code_digest(recipe.reward.name, REWARDS),
        "dataset.name": code_digest(recipe.dataset.name, DATASETS),
    }
    return {
        "policy.model's files": policy_identity(recipe.policy.source()),
        "the VLM's weights": vlm.fingerprint(),
        "the images that feed the reward": class_means.images,
        **{f"the code of {key}": digest for key, digest in code.items() if digest is not None},
        **drawers.identities(),
    }
