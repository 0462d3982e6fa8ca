"""Distances between the embeddings of two sets of images: Fréchet distance and kernel inception distance.

Both depend on the encoder and on the number of images; a value means something only beside the encoder, the numbers of
images, and what two halves of one set are apart (`half_split`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import mean, stdev

import torch

from reward.errors import UserError

ROWS = 4096
"""Rows of embeddings in memory as float64 at once."""


@dataclass(frozen=True)
class KernelDistance:
    """A kernel inception distance.

    Attributes:
        value: The unbiased estimate; it may be below 0. The mean over subsets, where there are any.
        deviation: Standard deviation over subsets, dividing by their number; None without subsets.
    """

    value: float
    deviation: float | None


@dataclass(frozen=True)
class HalfSplit:
    """What two halves of one set are apart, which no set at the same number of images can be expected to come below.

    Attributes:
        value: Mean distance over splits.
        deviation: Standard deviation over splits; None for a single split.
        n: Images in each half.
        splits: Number of splits.
    """

    value: float
    deviation: float | None
    n: int
    splits: int


def frechet(first: torch.Tensor, second: torch.Tensor) -> float:
    """Return the squared Fréchet distance between Gaussians fitted to two sets of embeddings.

    |m1 − m2|² + tr S1 + tr S2 − 2 tr (S1 S2)^½, each covariance dividing by its own n − 1. With centered rows A1, A2,
    the eigenvalues of S1 S2 other than 0 are the squared singular values of A1 A2ᵀ / √((n1 − 1)(n2 − 1)), an n × n
    matrix; of more rows than dimensions, the triangular factor of A stands for A. So no square root of a matrix is
    taken, and none that is singular where there are fewer images than dimensions.

    Args:
        first: Embeddings, shape (N, D), N at least 2.
        second: Embeddings, shape (M, D), M at least 2.

    Returns:
        The distance, at least 0 but for rounding.

    Raises:
        UserError: If a set has fewer than two images or values that are not finite.
        ValueError: If the dimensions differ.

    Source: Heusel et al. (2017), arXiv:1706.08500, which takes Inception's pooled features.
    """
    _check(first, second)
    (mean_1, factor_1), (mean_2, factor_2) = _factor(first), _factor(second)
    shared = torch.linalg.svdvals(factor_1 @ factor_2.T).sum()
    distance = (mean_1 - mean_2).square().sum() + factor_1.square().sum() + factor_2.square().sum() - 2 * shared
    return float(distance)


def kid(
    first: torch.Tensor, second: torch.Tensor, *, subset_size: int | None = None, subsets: int = 100, seed: int = 0
) -> KernelDistance:
    """Return the kernel inception distance: the unbiased squared maximum mean discrepancy under (x·y / D + 1)³.

    Args:
        first: Embeddings, shape (N, D), N at least 2.
        second: Embeddings, shape (M, D), M at least 2.
        subset_size: Images of each set that one estimate takes; None takes all, once.
        subsets: Number of estimates, where `subset_size` is given.
        seed: Seed of the subsets.

    Raises:
        UserError: If a set has fewer than two images, fewer than a subset takes, or values that are not finite.
        ValueError: If the dimensions differ.

    Source: Bińkowski et al. (2018), arXiv:1801.01401.
    """
    _check(first, second)
    if subset_size is None:
        return KernelDistance(_discrepancy(first.double(), second.double()), None)
    fewest = min(len(first), len(second))
    if not 2 <= subset_size <= fewest:
        raise UserError(f"kernel distance: subset_size {subset_size}; from 2 to {fewest} images are allowed.")
    generator = torch.Generator().manual_seed(seed)
    values = []
    for _ in range(subsets):
        rows, other = (torch.randperm(len(data), generator=generator)[:subset_size] for data in (first, second))
        values.append(_discrepancy(first[rows].double(), second[other].double()))
    found = torch.tensor(values, dtype=torch.float64)
    return KernelDistance(float(found.mean()), float(found.std(correction=0)))


def half_split(
    embeddings: torch.Tensor,
    distance: Callable[[torch.Tensor, torch.Tensor], float],
    *,
    n: int,
    splits: int = 10,
    seed: int = 0,
) -> HalfSplit:
    """Return what two disjoint random parts of one set are apart, at the number of images of another.

    Args:
        embeddings: Embeddings of the reference, shape (N, D), N at least 4.
        distance: Distance of two sets of embeddings, such as `frechet`.
        n: Images wanted in each part; halves of the reference are taken where it has fewer than 2n.
        splits: Number of random splits, at least 1.
        seed: Seed of the splits.

    Raises:
        UserError: If the reference has fewer than four images, or `n` is below 2.
    """
    size = min(n, len(embeddings) // 2)
    if size < 2:
        raise UserError(
            f"half split: {len(embeddings)} images, {n} wanted in each half; at least 4 images and 2 in each half are "
            "needed."
        )
    generator = torch.Generator().manual_seed(seed)
    values = []
    for _ in range(splits):
        rows = torch.randperm(len(embeddings), generator=generator)
        values.append(distance(embeddings[rows[:size]], embeddings[rows[size : 2 * size]]))
    return HalfSplit(mean(values), stdev(values) if splits > 1 else None, size, splits)


def _check(first: torch.Tensor, second: torch.Tensor) -> None:
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1]:
        raise ValueError(f"embeddings {tuple(first.shape)} and {tuple(second.shape)} do not fit")
    problems = []
    for name, data in (("first", first), ("second", second)):
        if len(data) < 2:
            problems.append(f"distance: the {name} set has {len(data)} images; at least 2 are needed.")
        faulty = int((~torch.isfinite(data)).any(1).sum())
        if faulty:
            problems.append(
                f"distance: the {name} set has {faulty} of {len(data)} embeddings that are not finite; look at these "
                "images, and at the precision of the encoder."
            )
    if problems:
        raise UserError("\n".join(problems))


def _factor(data: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the mean, and an F with FᵀF equal to the covariance, of at most D rows or N, whichever is fewer.

    Of many rows, the triangular factor is made a part at a time, so that memory does not grow with their number.
    """
    parts = _parts(data)
    center = torch.stack([part.double().sum(0) for part in parts]).sum(0) / len(data)
    factor = torch.zeros(0, data.shape[1], dtype=torch.float64, device=data.device)
    for part in parts:
        factor = torch.cat([factor, part.double() - center])
        if len(factor) > data.shape[1]:
            factor = torch.linalg.qr(factor, mode="r").R
    return center, factor / (len(data) - 1) ** 0.5


def _discrepancy(first: torch.Tensor, second: torch.Tensor) -> float:
    """Return the unbiased squared maximum mean discrepancy; pairs of an image with itself are left out."""
    within = 0.0
    for data in (first, second):
        itself = float((data.square().sum(1) / data.shape[1] + 1).pow(3).sum())
        within += (_kernel_sum(data, data) - itself) / (len(data) * (len(data) - 1))
    return within - 2 * _kernel_sum(first, second) / (len(first) * len(second))


def _kernel_sum(first: torch.Tensor, second: torch.Tensor) -> float:
    return math.fsum(float((part @ second.T / first.shape[1] + 1).pow(3).sum()) for part in _parts(first))


def _parts(data: torch.Tensor) -> list[torch.Tensor]:
    return [data[start : start + ROWS] for start in range(0, len(data), ROWS)]
