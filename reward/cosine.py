"""The paper's reward: mean over a class's images of scale · cos(image, description), in closed form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from reward.completions import Completion, texts_of
from reward.errors import UserError
from reward.image_bank import ClassMeans
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
    """

    __name__ = "cosine"

    def __init__(self, vlm: VLM, class_means: ClassMeans) -> None:
        self.vlm = vlm
        self.class_means = class_means
        self._row = {name: row for row, name in enumerate(class_means.class_names)}

    def __call__(
        self,
        completions: Sequence[Completion],
        class_name: Sequence[str],
        log_metric: Callable[[str, float], None] | None = None,
        **columns: Any,
    ) -> list[float | None]:
        """Score each completion against the images of its class.

        Args:
            completions: Descriptions, plain or as chat messages.
            class_name: Class of each description.
            log_metric: TRL's logger, if called by a trainer.
            **columns: Other columns of the dataset, unused.

        Returns:
            A score in units of the VLM's logits for each description, `None` for an empty one.

        Raises:
            UserError: If a class is not in the image bank.
        """
        unknown = sorted(set(class_name) - set(self._row))
        if unknown:
            raise UserError(
                f"reward cosine: no images of class {', '.join(map(repr, unknown))} in the image bank, which holds "
                f"{len(self._row)} classes; add images of it to the dataset's reward split."
            )
        texts = texts_of(completions)
        scored = [index for index, text in enumerate(texts) if text.strip()]
        unique = list(dict.fromkeys(texts[index] for index in scored))
        scores: list[float | None] = [None] * len(texts)
        cut_share = 0.0
        if scored:
            encoded = self.vlm.encode_texts(unique)
            position = {text: index for index, text in enumerate(unique)}
            text_rows = torch.tensor([position[texts[index]] for index in scored])
            class_rows = torch.tensor([self._row[class_name[index]] for index in scored])
            values = mean_scaled_cosine(
                encoded.embeddings[text_rows],
                self.class_means.means[class_rows],
                scale=self.vlm.scale,
                bias=self.vlm.bias,
            )
            cut_share = encoded.cut[text_rows].float().mean().item()
            for index, value in zip(scored, values.tolist(), strict=True):
                scores[index] = value
        if log_metric is not None:
            log_metric("share_empty", 1 - len(scored) / len(texts))
            log_metric("share_cut_by_vlm", cut_share)
        return scores
