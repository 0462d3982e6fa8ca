"""The paper's reward in closed form: the mean of scale · cos(image, description) over the images of a class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from reward.completions import Completion
from reward.image_bank import ClassMeans
from reward.scoring import LogMetric, Units, encode_scorable, standardization_for
from reward.standardization import Standardization
from reward.vlm import VLM


def mean_scaled_cosine(
    text: torch.Tensor, class_mean: torch.Tensor, *, scale: float, bias: float = 0.0
) -> torch.Tensor:
    """Return each text's logit under the VLM, averaged over its class's images.

    cos is linear in the unit image vector, so mean_i scale·(t·v_i) + bias = scale·(t · mean_i v_i) + bias. The mean
    must not be normalised again: its length is part of the value.

    Args:
        text: Unit-norm text embeddings, shape (B, D).
        class_mean: Mean unit image embedding of each text's class, shape (B, D).
        scale: Factor on the cosine.
        bias: Constant that the VLM adds to its logits.

    Returns:
        Scores in units of the VLM's logits, float32, shape (B,).

    Raises:
        ValueError: If the shapes differ.
    """
    if text.shape != class_mean.shape:
        raise ValueError(f"text {tuple(text.shape)} and class_mean {tuple(class_mean.shape)} differ in shape")
    return scale * (text.float() * class_mean.float()).sum(-1) + bias


class CosineReward:
    """TRL reward function: the mean scaled cosine between a description and the images of its class.

    An empty description cannot be scored and gets `None`, never a number. The reward logs the share of empty
    descriptions and the share of those that were cut at the VLM's context.

    Args:
        vlm: Encodes the descriptions.
        class_means: Mean image embedding of each class under that VLM.
        units: `vlm` leaves scores in units of the VLM's logits, as in the paper; for `standardized` see
            `reward.standardization`.
        standardization: Returns the standardization; called only for standardized units.
    """

    __name__ = "cosine"

    def __init__(
        self,
        vlm: VLM,
        class_means: ClassMeans,
        units: Units = "vlm",
        standardization: Callable[[], Standardization] | None = None,
    ) -> None:
        self.vlm = vlm
        self.class_means = class_means
        self.standardization = standardization_for(units, standardization, "reward")

    def __call__(
        self,
        completions: Sequence[Completion],
        class_name: Sequence[str],
        log_metric: LogMetric | None = None,
        **columns: Any,
    ) -> list[float | None]:
        """Score each completion against the images of its class.

        Args:
            completions: Descriptions, plain or as chat messages.
            class_name: Class of each description.
            log_metric: TRL's logger, if called by a trainer.
            **columns: Other columns of the dataset, unused.

        Returns:
            A score for each description, `None` for an empty one.

        Raises:
            UserError: If a class is not in the image bank.
        """
        found = encode_scorable(self.__name__, self.vlm, self.class_means, completions, class_name, log_metric)
        if found is None:
            return [None] * len(completions)
        means = self.class_means.means[found.class_rows]
        scores = mean_scaled_cosine(found.texts, means, scale=self.vlm.scale, bias=self.vlm.bias)
        return found.fill(scores if self.standardization is None else self.standardization.standardize(scores))
