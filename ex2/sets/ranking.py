"""Text-to-text retrieval: the captions of a pool that are nearest to a query, and how near they are on average.

Source: Li et al., Benchmarking and Analyzing Generative Data for Visual Recognition (GenBench), sections 2.2 and 3.3.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from reward.errors import UserError

TOP = 10
"""Captions whose mean similarity is a class's (k of section 3.3, whose number the paper does not print)."""
DECIMALS = 6
"""Decimals to which similarities are equal: products of matrices of other shapes differ in the seventh, and equal
captions must tie wherever in the pool they stand."""


class Nearest(NamedTuple):
    """The nearest rows of a pool, the nearest first; of equal ones the earlier first.

    Attributes:
        similarities: Shape (Q, k).
        rows: Shape (Q, k).
    """

    similarities: NDArray[np.float64]
    rows: NDArray[np.int64]


def nearest(queries: torch.Tensor, parts: Iterable[torch.Tensor], k: int) -> Nearest:
    """Return the k rows of a pool that are nearest to each query, exactly.

    Args:
        queries: Unit-norm embeddings, shape (Q, D).
        parts: Those of the pool, shape (·, D) each, in order: one at a time is multiplied with the queries, so that
            memory does not grow with the pool.
        k: Number of rows, at least 1; all rows if there are fewer.

    Raises:
        ValueError: If k is not positive.
    """
    if k < 1:
        raise ValueError(f"k is {k}: at least 1 is needed")
    values = np.zeros((len(queries), 0))
    rows = np.zeros((len(queries), 0), dtype=np.int64)
    start = 0
    for part in parts:
        found = (queries @ part.T).double().numpy().round(DECIMALS)
        ids = np.broadcast_to(np.arange(start, start + len(part)), found.shape)
        values, rows = _best(np.concatenate([values, found], axis=1), np.concatenate([rows, ids], axis=1), k)
        start += len(part)
    return Nearest(values, rows)


def _best(
    values: NDArray[np.float64], rows: NDArray[np.int64], k: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the k greatest of each line with their rows; of equal ones the earlier row first."""
    k = min(k, values.shape[1])
    # Only what reaches the k-th greatest is sorted: a whole part would be sorted to take ten of it.
    least = np.partition(values, values.shape[1] - k, axis=1)[:, -k][:, None]
    best_values, best_rows = np.empty((len(values), k)), np.empty((len(values), k), dtype=np.int64)
    for line, reaches in enumerate(values >= least):
        (places,) = reaches.nonzero()
        order = np.lexsort((rows[line, places], -values[line, places]))[:k]
        best_values[line], best_rows[line] = values[line, places[order]], rows[line, places[order]]
    return best_values, best_rows


@dataclass(frozen=True)
class MeanTextSimilarity:
    """How near a pool's captions are to the names of a data set's classes.

    Attributes:
        value: Mean over classes.
        by_class: Mean cosine of each class's k nearest captions, in the order of the classes.
        k: Captions of each class.
    """

    value: float
    by_class: tuple[float, ...]
    k: int


def mean_text_similarity(similarities: NDArray[np.float64] | Sequence[Sequence[float]]) -> MeanTextSimilarity:
    """Return the mean text similarity of a data set (MTS).

    Args:
        similarities: Cosine of each class's k nearest captions and its name, shape (C, k).

    Raises:
        UserError: If there is no class or no caption, or a similarity is not finite.

    Source: GenBench, section 3.3.
    """
    found = np.asarray(similarities, dtype=np.float64)
    if found.ndim != 2 or not found.size or not np.isfinite(found).all():
        raise UserError(
            f"mean text similarity: similarities of shape {found.shape}; at least one class and one caption are "
            "needed, and all of them finite."
        )
    by_class = found.mean(axis=1)
    return MeanTextSimilarity(float(by_class.mean()), tuple(by_class.tolist()), found.shape[1])
