"""Contrastive margin: how much closer a description comes to its own class's images than to other classes'."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch

from reward.completions import Completion
from reward.errors import UserError
from reward.image_bank import ClassMeans
from reward.scoring import LogMetric, Units, encode_scorable, standardization_for
from reward.standardization import Standardization
from reward.vlm import VLM

Against = Literal["mean", "hardest"]


def margins(
    text: torch.Tensor, class_means: torch.Tensor, own: torch.Tensor, *, scale: float, against: Against
) -> torch.Tensor:
    """Return each text's score against its own class minus the mean, or the largest, of those against other classes.

    Args:
        text: Unit-norm text embeddings, shape (B, D).
        class_means: Mean unit image embedding of each class, shape (C, D), C at least 2.
        own: Row of each text's class, shape (B,).
        scale: Factor on the cosine; a bias of the VLM cancels.
        against: `mean` or `hardest`.

    Returns:
        Margins in units of the VLM's logits, float32, shape (B,); negative where other classes are closer.
    """
    scores = scale * (text.float() @ class_means.float().T)
    own_scores = scores.gather(1, own.unsqueeze(1)).squeeze(1)
    if against == "mean":
        return own_scores - (scores.sum(1) - own_scores) / (scores.shape[1] - 1)
    return own_scores - scores.scatter(1, own.unsqueeze(1), -torch.inf).amax(1)


class MarginReward:
    """TRL reward function: the margin of a description (see `margins`); `None` for an empty description.

    Args:
        vlm: Encodes the descriptions.
        class_means: Mean image embedding of each class under that VLM.
        against: `mean` of the other classes' scores, or `hardest`: the largest of them.
        units: `vlm` leaves margins in units of the VLM's logits; `standardized` divides them by `other_std` of
            `reward.standardization.Standardization`.
        standardization: Returns the standardization; called only for standardized units.

    Raises:
        UserError: For fewer than two classes.
    """

    __name__ = "margin"

    def __init__(
        self,
        vlm: VLM,
        class_means: ClassMeans,
        against: Against = "mean",
        units: Units = "vlm",
        standardization: Callable[[], Standardization] | None = None,
    ) -> None:
        if len(class_means.class_names) < 2:
            raise UserError("reward margin: there is no other class to compare with; use the reward cosine.")
        self.vlm = vlm
        self.class_means = class_means
        self.against = against
        self.standardization = standardization_for(units, standardization, "reward")

    def __call__(
        self,
        completions: Sequence[Completion],
        class_name: Sequence[str],
        log_metric: LogMetric | None = None,
        **columns: Any,
    ) -> list[float | None]:
        """Return each completion's margin; arguments, result and errors are those of `CosineReward.__call__`."""
        found = encode_scorable(self.__name__, self.vlm, self.class_means, completions, class_name, log_metric)
        if found is None:
            return [None] * len(completions)
        scores = margins(
            found.texts, self.class_means.means, found.class_rows, scale=self.vlm.scale, against=self.against
        )
        return found.fill(scores if self.standardization is None else scores / self.standardization.other_std)
