"""Zero-shot classification with description ensembles: a class's texts are averaged into one vector, as in CLIP."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch.nn.functional import normalize

CHUNK = 4096
"""Number of images whose scores, or of texts whose float64 embeddings, are in memory at once."""

PLAIN_TEMPLATE = "a photo of a {}"
"""The text of a class that has no text of its own in a group of descriptions."""


class ClassVectors(NamedTuple):
    """A zero-shot classifier: one vector for each class.

    Attributes:
        vectors: Unit-norm, float32, shape (C, D).
        fallback: Indices of the classes that had no text and took the fallback vector, ascending.
    """

    vectors: torch.Tensor
    fallback: tuple[int, ...]


def class_vectors(
    text_embeddings: torch.Tensor, class_index: torch.Tensor, n_classes: int, fallback: torch.Tensor
) -> ClassVectors:
    """Average each class's texts into one vector: normalise, mean, normalise.

    Args:
        text_embeddings: Shape (T, D); a text given twice counts twice.
        class_index: Class of each text, in [0, C), shape (T,). Classes may have unequal numbers of texts.
        n_classes: C.
        fallback: Embedding of the plain template for each class, used where a class has no text, shape (C, D).

    Returns:
        The class vectors and which of them are fallbacks.

    Raises:
        ValueError: If the shapes do not fit, or a class index is out of range.

    Source: arXiv 2103.00020, section 3.1.4.
    """
    if text_embeddings.shape[0] != class_index.shape[0] or fallback.shape != (n_classes, text_embeddings.shape[-1]):
        raise ValueError(
            f"text_embeddings {tuple(text_embeddings.shape)}, class_index {tuple(class_index.shape)} and "
            f"fallback {tuple(fallback.shape)} do not fit {n_classes} classes"
        )
    if class_index.numel() and not 0 <= int(class_index.min()) <= int(class_index.max()) < n_classes:
        raise ValueError(f"class_index must lie in [0, {n_classes}), got up to {int(class_index.max())}")
    sums = torch.zeros(n_classes, text_embeddings.shape[-1], dtype=torch.float64)
    # Summed in float64 and one class after the other, so that the result does not depend on the order of the texts.
    for start in range(0, len(text_embeddings), CHUNK):
        part = slice(start, start + CHUNK)
        sums.index_add_(0, class_index[part], normalize(text_embeddings[part].double(), dim=-1))
    without = torch.bincount(class_index, minlength=n_classes) == 0
    sums[without] = fallback.double()[without]
    return ClassVectors(normalize(sums, dim=-1).float(), tuple(without.nonzero().flatten().tolist()))


class Ranking(NamedTuple):
    """How a classifier orders the classes for each image.

    Attributes:
        predicted: Nearest class, int64, shape (N,); on a tie the lowest index.
        rank: Number of classes before the true one, 0 where the true one is predicted, int64, shape (N,).
    """

    predicted: torch.Tensor
    rank: torch.Tensor

    def hits(self, k: int) -> list[bool]:
        """Return for each image whether the true class is among the first k."""
        return [bool(hit) for hit in self.rank < k]


def rank_classes(image_embeddings: torch.Tensor, vectors: torch.Tensor, labels: torch.Tensor) -> Ranking:
    """Order the classes by cosine for each image, some thousand images at a time.

    Args:
        image_embeddings: Unit-norm, shape (N, D).
        vectors: Unit-norm class vectors, shape (C, D).
        labels: True class of each image, shape (N,).

    Returns:
        The predicted class and the true class's rank, for each image. Of two classes with equal scores, the one with
        the lower index comes first.
    """
    predicted, ranks = [], []
    for start in range(0, len(labels), CHUNK):
        scores = image_embeddings[start : start + CHUNK] @ vectors.T
        own = labels[start : start + CHUNK].unsqueeze(1)
        score = scores.gather(1, own)
        earlier = torch.arange(len(vectors)) < own
        ranks.append(((scores > score) | ((scores == score) & earlier)).sum(1))
        predicted.append(scores.argmax(1))
    empty = torch.zeros(0, dtype=torch.long)
    return Ranking(torch.cat([empty, *predicted]), torch.cat([empty, *ranks]))


class Confusion(NamedTuple):
    """Images of one class that are taken for another.

    Attributes:
        label: Index of the true class.
        predicted: Index of the class that the images are taken for.
        images: Number of images.
        of: Number of all images of the true class.
    """

    label: int
    predicted: int
    images: int
    of: int


def confusions(predicted: torch.Tensor, labels: torch.Tensor, most: int) -> list[Confusion]:
    """Return the most frequent confusions, by number of images, then by class.

    Args:
        predicted: Predicted class of each image, shape (N,).
        labels: True class of each image, shape (N,).
        most: Largest number of confusions to return.
    """
    wrong = predicted != labels
    pairs = Counter(zip(labels[wrong].tolist(), predicted[wrong].tolist(), strict=True))
    sizes = Counter(labels.tolist())
    ordered = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))
    return [Confusion(label, taken, count, sizes[label]) for (label, taken), count in ordered[:most]]


def pack_correct(correct: Sequence[bool] | torch.Tensor) -> str:
    """Pack one bit per image as base64, so that paired tests stay possible later."""
    return base64.b64encode(np.packbits(np.asarray(correct, dtype=bool)).tobytes()).decode("ascii")


def unpack_correct(packed: str, n: int) -> list[bool]:
    """Return the `n` truth values that `pack_correct` packed."""
    bits = np.unpackbits(np.frombuffer(base64.b64decode(packed), dtype=np.uint8), count=n)
    return [bool(bit) for bit in bits]
