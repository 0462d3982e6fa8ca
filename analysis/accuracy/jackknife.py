"""How much an accuracy would change if the policy described again, from the several draws that were made.

Each class and question is described several times. Where one draw of one class weighs less in every arm, one class
vector of each changes, and with it some predictions: a jackknife over the draws of each class. The classes were
described independently of each other, so their variances add up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch.nn.functional import normalize

from analysis.accuracy.draws import Draws
from analysis.accuracy.zero_shot import ClassVectors
from reward.image_bank import ImageEmbeddings

LESS = 0.7
"""Part of its weight that a draw loses; the rest is Fay's factor, as in Judkins. Without a whole draw of two, a class
vector is that of half as many texts, which classifies worse and varies otherwise. Where one draw has all texts of a
class, it loses all of it, as another draw may have none."""

MOST_FREEDOM = 9.0
"""Most degrees of freedom of a variance. Satterthwaite's number takes the classes for independent and grows with them;
they share images, so that their parts vary together. Over 1,200 describings by the demo's base policy with four draws
it says 24, while the estimates have a standard deviation of 0.7 of their mean, that of 4 degrees. With nine, tests of
two describings keep their level (`make calibrate-full`) and intervals are hardly wider (`make coverage`)."""

MOST_CELLS = 2**24
"""Predictions (arm × draw × image × class) that are in memory at once."""


class DrawnTexts(NamedTuple):
    """An arm's texts as they were drawn.

    Attributes:
        embeddings: Embeddings of the texts, shape (T, D).
        labels: Class of each text, int64, shape (T,).
        draw: Number of the draw that each text is of, from 0, int64, shape (T,).
        made: The class vectors of all the texts.
    """

    embeddings: torch.Tensor
    labels: torch.Tensor
    draw: torch.Tensor
    made: ClassVectors


def draw_variances(
    images: ImageEmbeddings,
    arms: Mapping[str, DrawnTexts],
    pairs: Sequence[tuple[str, ...]],
    fallback: torch.Tensor,
) -> dict[tuple[str, ...], Draws]:
    """Estimate the variance over draws of accuracies and of differences of two.

    Args:
        images: Test images of C classes.
        arms: Arms whose texts were drawn, by name. A draw weighs less in all of them at once, so that arms which share
            texts vary together as they do.
        pairs: One name for the accuracy of an arm, two for the first's minus the second's.
        fallback: Embedding that stands for a class without texts, shape (C, D).

    Returns:
        The variances by the names given; empty with a single draw. Let k be the number of draws, x_ij whether image i
        is right (or the difference of two arms in that) where draw j of a class weighs less, divided by how far the
        draw's share of the class vector then is from 1/k, in units of 1/k, and T_j the sum of x_ij over images. Then a
        class adds (k − 1)/k · [Σ_j (T_j − T̄)² − Σ_ij (x_ij − x̄_i)²], in images squared. The second sum is what single
        images that change to and fro add to the first, and the interval over images holds that already.

    Limits: where classes take images from each other, their variances do not quite add up; with two draws of a policy
        whose descriptions differ much, the variance may be half as much again.

    Source: the jackknife with stratified groups, Wolter (2007), Introduction to Variance Estimation, chapter 4, with
        weights as in Judkins (1990), Journal of Official Statistics 6. Of two crossed samples (images and draws) the
        part of both is counted once, Owen (2007), Annals of Applied Statistics 1. Degrees of freedom: Satterthwaite
        (1946), Biometrics Bulletin 2, from squares of estimates that have k − 1 degrees each, at most `MOST_FREEDOM`.
    """
    draws = 1 + max((int(texts.draw.max()) for texts in arms.values() if len(texts.draw)), default=0)
    if draws < 2:
        return {}
    changed = {arm: _with_less_of_each(texts, draws, fallback) for arm, texts in arms.items()}
    classes, n = len(fallback), len(images.labels)
    totals = {pair: torch.zeros(draws, classes, dtype=torch.float64) for pair in pairs}
    single = {pair: torch.zeros(classes, dtype=torch.float64) for pair in pairs}
    chunk = max(1, MOST_CELLS // (draws * classes * max(1, len(arms))))
    for start in range(0, n, chunk):
        embeddings, labels = images.embeddings[start : start + chunk], images.labels[start : start + chunk]
        right = {
            arm: _right_with(embeddings, labels, texts.made.vectors, changed[arm].vectors) / changed[arm].moved
            for arm, texts in arms.items()
        }
        for pair in pairs:
            parts = right[pair[0]] if len(pair) == 1 else right[pair[0]] - right[pair[1]]
            parts = parts - parts.mean(0)
            totals[pair] += parts.sum(1, dtype=torch.float64)
            single[pair] += (parts * parts).sum((0, 1), dtype=torch.float64)
    found = {}
    for pair in pairs:
        spread = (totals[pair] ** 2).sum(0)
        variance = float((spread - single[pair]).sum()) * (draws - 1) / draws / n**2
        squares = float((spread**2).sum())
        freedom = (draws + 1) * float(spread.sum()) ** 2 / squares - 2 if squares else float(draws - 1)
        found[pair] = Draws(draws, max(0.0, variance), min(max(freedom, draws - 1.0), MOST_FREEDOM))
    return found


class _Changed(NamedTuple):
    """Class vectors in which one draw weighs less.

    Attributes:
        vectors: Shape (draws, C, D).
        moved: How far the draw's share of the class vector is from 1/draws then, in units of 1/draws, shape (C,).
    """

    vectors: torch.Tensor
    moved: torch.Tensor


def _with_less_of_each(texts: DrawnTexts, draws: int, fallback: torch.Tensor) -> _Changed:
    classes, dim = fallback.shape
    sums = torch.zeros(draws * classes, dim, dtype=torch.float64)
    place = texts.draw * classes + texts.labels
    sums.index_add_(0, place, normalize(texts.embeddings.double(), dim=-1))
    counts = torch.bincount(place, minlength=draws * classes).view(draws, classes)
    left = counts.sum(0) - counts
    less = torch.where((left == 0).any(0), 1.0, LESS)
    each = sums.view(draws, classes, dim)
    vectors = normalize(each.sum(0) - less.unsqueeze(-1) * each, dim=-1).float()
    vectors = torch.where((left == 0).unsqueeze(-1), normalize(fallback.double(), dim=-1).float(), vectors)
    # Where the draw has no text of the class nothing changes, not even in the last digit, which would break ties.
    vectors = torch.where((counts == 0).unsqueeze(-1), texts.made.vectors, vectors)
    return _Changed(vectors, (draws - 1) * less / (draws - less))


def _right_with(
    embeddings: torch.Tensor, labels: torch.Tensor, full: torch.Tensor, changed: torch.Tensor
) -> torch.Tensor:
    """Say which images are right with one class vector changed, shape (draws, images, C); ties as in `rank_classes`."""
    scores, rows = embeddings @ full.T, torch.arange(len(labels))
    earlier = torch.arange(full.shape[0]) < labels.unsqueeze(1)
    own = scores[rows, labels].unsqueeze(1)
    before = (scores > own) | ((scores == own) & earlier)
    others = before.sum(1, keepdim=True) - before.int()
    found = []
    for vectors in changed:
        new = embeddings @ vectors.T
        right = (others + ((new > own) | ((new == own) & earlier)).int()) == 0
        mine = new[rows, labels].unsqueeze(1)
        ahead = (scores > mine) | ((scores == mine) & earlier)
        ahead[rows, labels] = False
        right[rows, labels] = ~ahead.any(1)
        found.append(right)
    return torch.stack(found).float()
