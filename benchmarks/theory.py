"""What the method's theory predicts: the base model's descriptions, reweighted by exp(score / β).

Maximising E[score] − β · KL(π‖ref) has one solution, π(text) ∝ ref(text) · exp(score(text) / β). With many samples of
the base model it can be computed without any training. β is chosen so that its KL is the one that training reached.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

BISECTIONS = 45


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


class Tilt(NamedTuple):
    """Distributions over texts, reweighted by exp(score / β) so that their mean KL over classes is a given one.

    Attributes:
        weights: Share of each text of a class, shape (..., C, T); sums to 1 over T.
        beta: Weight of the KL, shape (...).
        kl: KL to the base distribution that was reached, mean over classes, in nats, shape (...).
    """

    weights: Array
    beta: Array
    kl: Array


def tilted_weights(scores: Array, beta: float | Array, masses: Array | None = None) -> Array:
    """Return weights ∝ mass · exp(score / β) that sum to 1 over the last axis, shape (..., N).

    Args:
        scores: One per text of the base model, shape (..., N).
        beta: Above 0; infinity gives the masses. A number, or one for each distribution with a last axis of 1.
        masses: Share of each text among the base model's, 0 for none; default: equal ones. Shape as of the scores, or
            one that fits them.
    """
    exponents = scores / beta
    if masses is not None:
        with np.errstate(divide="ignore"):  # a text of no mass has no weight
            exponents = exponents + np.log(masses)
    weights: Array = np.exp(exponents - exponents.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    return weights


def sample_kl(weights: Array, masses: Array | None = None) -> Array:
    """Return KL(weights ‖ masses) over the last axis, in nats; without masses, KL(weights ‖ equal weights)."""
    base = np.full(weights.shape[-1], 1 / weights.shape[-1]) if masses is None else masses
    ratio = np.divide(weights, base, out=np.ones_like(weights), where=weights > 0)
    return np.asarray((weights * np.log(ratio)).sum(axis=-1))


def tilt_to_kl(scores: Array, masses: Array, kl: float) -> Tilt:
    """Reweight each class's texts by exp(score / β), with the β at which the mean KL over classes is a given one.

    Args:
        scores: Score of each text, shape (..., C, T); each entry of the leading axes has a β of its own.
        masses: Share of each text among the base model's of its class, shape (C, T); 0 where a class has fewer texts.
        kl: Mean KL over classes, in nats, at least 0.

    Returns:
        The optimum whose mean KL is `kl`, or the nearest that the texts can show.
    """
    inside = np.where(masses > 0, scores, -np.inf)
    below = np.where(masses > 0, scores - inside.max(axis=-1, keepdims=True), 0.0)  # at most 0: no exponent overflows
    spread = -below.min(axis=(-2, -1))
    spread = np.where(spread > 0, spread, 1.0)

    def mean_kl(beta: Array) -> Array:
        """KL = E[score] / β − log E_base[exp(score / β)] for weights ∝ mass · exp(score / β)."""
        exponents = below / beta[..., None, None]
        terms = masses * np.exp(exponents)
        total = terms.sum(axis=-1)
        each: Array = (terms * exponents).sum(axis=-1) / total - np.log(total)
        return np.asarray(each.mean(axis=-1))

    low, high = np.log(spread * 1e-6), np.log(spread * 1e6)  # KL falls as β grows
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        above = mean_kl(np.exp(middle)) > kl
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    beta = np.exp(high)
    return Tilt(tilted_weights(scores, beta[..., None, None], masses), beta, mean_kl(beta))


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
    sizes = [len(scores) for scores, _ in groups.values()]
    if kl < 0 or not sizes or 0 in sizes:
        raise ValueError(f"cannot reweight {len(sizes)} groups to a KL of {kl}: every group needs a sample, KL ≥ 0")
    scores, masses = (np.zeros((len(sizes), max(sizes))) for _ in range(2))
    for row, (values, _) in enumerate(groups.values()):
        scores[row, : len(values)], masses[row, : len(values)] = values, 1 / len(values)
    tilt = tilt_to_kl(scores, masses, kl)
    shares: dict[Hashable, float] = {}
    for weights, (_, kinds) in zip(tilt.weights, groups.values(), strict=True):
        for kind, weight in zip(kinds, weights.tolist(), strict=False):  # the rest is padding
            shares[kind] = shares.get(kind, 0.0) + weight / len(groups)
    effective = float((1 / (tilt.weights**2).sum(axis=-1)).min())
    return Prediction(shares, float(tilt.beta), float(tilt.kl), effective)


def guessed_share(base: float, dose: float, planted: float) -> float:
    """Return the share of a kind that one would guess without any theory: from the base's to the planted by the dose.

    Args:
        base: Share among the base model's texts.
        dose: How much of the preference is planted, from 0 to 1.
        planted: Share among the texts that are preferred: 1 for the planted kind, 0 for the others.
    """
    return base + dose * (planted - base)
