"""What the method's theory predicts: the base model's descriptions, reweighted by exp(score / β).

Maximising E[score] − β · KL(π‖ref) has one solution, π(text) ∝ ref(text) · exp(score(text) / β). With many samples of
the base model it can be computed without any training. β is chosen so that its KL is the one that training reached.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

BISECTIONS = 60


class Prediction(NamedTuple):
    """The optimum at one β.

    Attributes:
        shares: Share of each kind, mean over groups.
        beta: Weight of the KL.
        kl: KL to the base model, mean over groups, in nats.
        samples: Least effective sample size of a group, (Σw)² / Σw²: below some ten the shares are rough.
    """

    shares: dict[Hashable, float]
    beta: float
    kl: float
    samples: float


def tilted_weights(scores: Array, beta: float) -> Array:
    """Return weights ∝ exp(score / β) that sum to 1, shape (N,).

    Args:
        scores: One per sample of the base model, shape (N,).
        beta: Above 0; infinity gives equal weights.
    """
    exponents = scores / beta
    weights: Array = np.exp(exponents - exponents.max())
    weights /= weights.sum()
    return weights


def sample_kl(weights: Array) -> float:
    """Return KL(weights ‖ equal weights) in nats: from 0 to log N."""
    positive = weights[weights > 0]
    return float((positive * np.log(positive * len(weights))).sum())


def predict_shares(groups: Mapping[Hashable, tuple[Sequence[float], Sequence[Hashable]]], kl: float) -> Prediction:
    """Predict the shares of kinds after alignment at a given KL.

    Args:
        groups: For each class the scores of samples of the base model, and their kinds.
        kl: That training reached, mean over descriptions, in nats.

    Returns:
        The optimum whose mean KL over groups is `kl`, or the nearest that the samples can show.

    Raises:
        ValueError: If a group has no sample or `kl` is below 0.
    """
    scores = {name: np.asarray(values, dtype=np.float64) for name, (values, _) in groups.items()}
    if kl < 0 or not scores or any(len(values) == 0 for values in scores.values()):
        raise ValueError(f"cannot reweight {len(scores)} groups to a KL of {kl}: every group needs a sample, KL ≥ 0")
    spread = max(float(np.ptp(values)) for values in scores.values()) or 1.0
    low, high = math.log(spread * 1e-6), math.log(spread * 1e6)  # KL falls as β grows
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        if _mean_kl(scores, math.exp(middle)) > kl:
            low = middle
        else:
            high = middle
    beta = math.exp(high)
    shares: dict[Hashable, float] = {}
    effective = math.inf
    for name, (_, kinds) in groups.items():
        weights = tilted_weights(scores[name], beta)
        effective = min(effective, float(1 / (weights**2).sum()))
        for kind, weight in zip(kinds, weights.tolist(), strict=True):
            shares[kind] = shares.get(kind, 0.0) + weight / len(groups)
    return Prediction(shares, beta, _mean_kl(scores, beta), effective)


def _mean_kl(scores: Mapping[Hashable, Array], beta: float) -> float:
    return sum(sample_kl(tilted_weights(values, beta)) for values in scores.values()) / len(scores)
