"""The paper's reward: mean over a class's images of scale · cos(image, description), in closed form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from reward.calibration import Calibration
from reward.completions import Completion
from reward.image_bank import ClassMeans
from reward.scoring import LogMetric, Units, calibration_for, encode_scorable
from reward.vlm import VLM


def mean_scaled_cosine(
    text: torch.Tensor, class_mean: torch.Tensor, *, scale: float, bias: float = 0.0
) -> torch.Tensor:
    """Mean over images of the VLM's logit for each text.

    cos is linear in the unit image vector, so mean_i scale·(t·v_i) + bias = scale·(t · mean_i v_i) + bias. The mean
    must not be normalised again: its length is part of the value.

    Args:
        text: Unit-norm text embeddings, shape (B, D).
        class_mean: Mean unit image embedding of each text's class, shape (B, D).
        scale: Factor on the cosine.
        bias: Constant of the VLM's logits.

    Returns:
        Scores in units of the VLM's logits, float32, shape (B,).

    Raises:
        ValueError: If the shapes differ.
    """
    if text.shape != class_mean.shape:
        raise ValueError(f"text {tuple(text.shape)} and class_mean {tuple(class_mean.shape)} differ in shape")
    return scale * (text.float() * class_mean.float()).sum(-1) + bias


class CosineReward:
    """TRL reward function: how close a description comes to its class's images.

    An empty description gets `None` (it cannot be scored), never an ordinary reward. Logs the share of empty
    descriptions and of those cut at the VLM's context.

    Args:
        vlm: Encodes the descriptions.
        class_means: The image bank.
        units: `vlm`: of the VLM's own logits, as in the paper; `standardised`: see `reward.calibration`.
        calibration: Makes the calibration when it is needed.
    """

    __name__ = "cosine"

    def __init__(
        self,
        vlm: VLM,
        class_means: ClassMeans,
        units: Units = "vlm",
        calibration: Callable[[], Calibration] | None = None,
    ) -> None:
        self.vlm = vlm
        self.class_means = class_means
        self.calibration = calibration_for(units, calibration, "reward")

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
        return found.fill(scores if self.calibration is None else self.calibration.standardise(scores))
