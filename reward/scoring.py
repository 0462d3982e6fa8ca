"""Shared by the rewards that compare embeddings: which completions can be scored, and their embeddings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import torch

from reward.completions import Completion, texts_of
from reward.errors import UserError
from reward.image_bank import ClassMeans
from reward.standardization import Standardization
from reward.vlm import VLM

LogMetric = Callable[[str, float], None]
Units = Literal["vlm", "standardized"]


class Scorable(NamedTuple):
    """The completions of a batch that have a text.

    Attributes:
        positions: Their S positions in the batch.
        texts: Their unit-norm embeddings, shape (S, D).
        class_rows: Row of each one's class in the image bank, shape (S,).
        batch_size: Number of completions in the whole batch.
    """

    positions: list[int]
    texts: torch.Tensor
    class_rows: torch.Tensor
    batch_size: int

    def fill(self, scores: torch.Tensor) -> list[float | None]:
        """Return one entry per completion of the batch: its entry of `scores`, shape (S,), or `None` without a text."""
        filled: list[float | None] = [None] * self.batch_size
        for position, score in zip(self.positions, scores.tolist(), strict=True):
            filled[position] = score
        return filled


def class_rows(name: str, class_means: ClassMeans, class_name: Sequence[str]) -> torch.Tensor:
    """Return the row of each class in the image bank, int64, shape (N,).

    Args:
        name: Name of the reward, for messages.
        class_means: The image bank.
        class_name: Class of each description.

    Raises:
        UserError: If a class is not in the image bank.
    """
    row = {known: index for index, known in enumerate(class_means.class_names)}
    unknown = sorted(set(class_name) - set(row))
    if unknown:
        raise UserError(
            f"reward {name}: no images of class {', '.join(map(repr, unknown))} in the image bank, which holds "
            f"{len(row)} classes; add images of it to the dataset's reward split."
        )
    return torch.tensor([row[one] for one in class_name], dtype=torch.long)


def encode_scorable(
    name: str,
    vlm: VLM,
    class_means: ClassMeans,
    completions: Sequence[Completion],
    class_name: Sequence[str],
    log_metric: LogMetric | None,
) -> Scorable | None:
    """Encode the texts of a batch, equal ones once; log the shares of empty and of cut descriptions.

    Args:
        name: Name of the reward, for messages.
        vlm: The encoder.
        class_means: The image bank, for its class names.
        completions: Descriptions, plain or as chat messages.
        class_name: Class of each description.
        log_metric: TRL's logger, if called by a trainer.

    Returns:
        The completions that can be scored; `None` if there are none.

    Raises:
        UserError: If a class is not in the image bank.
    """
    of_class = class_rows(name, class_means, class_name)
    texts = texts_of(completions)
    positions = [index for index, text in enumerate(texts) if text.strip()]
    cut_share = 0.0
    found = None
    if positions:
        place = {text: index for index, text in enumerate(dict.fromkeys(texts[index] for index in positions))}
        encoded = vlm.encode_texts(list(place))
        rows = torch.tensor([place[texts[index]] for index in positions])
        cut_share = encoded.cut[rows].float().mean().item()
        found = Scorable(positions, encoded.embeddings[rows], of_class[positions], len(texts))
    if log_metric is not None:
        log_metric("share_empty", 1 - len(positions) / len(texts))
        log_metric("share_cut_by_vlm", cut_share)
    return found


def standardization_for(
    units: Units, standardization: Callable[[], Standardization] | None, where: str
) -> Standardization | None:
    """Return the standardization for standardized units, or `None` for the VLM's own units.

    Args:
        units: `vlm` or `standardized`.
        standardization: Returns the standardization; None if there is none to be had.
        where: Key for messages.

    Raises:
        UserError: If standardized units are asked for where no standardization can be made.
    """
    if units == "vlm":
        return None
    if standardization is None:
        raise UserError(
            f"{where}.units: standardized scores need a standardization, which only a recipe's dataset gives."
        )
    return standardization()
