"""Within a set: a linear probe trained on some of a set's images and tested on the others.

If a classifier that was trained on such images cannot tell the classes of others of them apart, the images are at
fault; if it can, and classifiers of real images cannot, it is the shift between both (Borji, 2022, section 4, names it
as future work).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from analysis.images.probe import choose_l2, fit
from analysis.images.recognition.scores import Flags, Units

MOST_FOLDS = 5
FEWEST_TO_CHOOSE = 2
"""Fewest images of each class that a penalty is chosen on; with fewer it is 1."""
Folds = Literal["seeds", "images"]


class Within(NamedTuple):
    """Which images a probe gets right that was trained on others of the set.

    Attributes:
        right: Of each image whether it is recognized, shape (N,).
        folds: What was left out in turn: a seed, or some images of each class.
        number: Number of folds.
        chosen: Whether the penalty was chosen on the images trained on; else it is 1, at which unit embeddings are told
            apart nearly by class means.
    """

    right: Flags
    folds: Folds
    number: int
    chosen: bool


def within_set(embeddings: torch.Tensor, units: Units, classes: int, seed: int = 0) -> Within | str:
    """Train on all folds but one and test on that one, in turn; no image is trained and tested on.

    A fold is a seed's images, an image of several seeds being that of the first. Where a class would then be without
    images to train on, or there is a single seed, folds are drawn within each class.

    Args:
        embeddings: Unit embeddings of the set's different images, shape (N, D).
        units: Their labels and seeds.
        classes: Number of the dataset's classes.
        seed: Of the folds that are drawn.

    Returns:
        What was found; or why nothing can be, in words.
    """
    present = np.unique(units.labels)
    counts = np.bincount(units.labels, minlength=classes)[present]
    if len(present) < 2:
        return "fewer than two classes have images"
    if counts.min() < 2:
        return f"{int((counts < 2).sum())} of {len(present)} classes have a single image, and none to test on"
    number = {int(label): place for place, label in enumerate(present)}
    labels = torch.tensor([number[int(label)] for label in units.labels])
    fold, kind = units.seeds.argmax(1), "seeds"
    if units.seeds.shape[1] < 2 or not _trainable(fold, labels.numpy()):
        fold, kind = drawn_folds(labels.numpy(), min(MOST_FOLDS, int(counts.min())), seed), "images"
    right = np.zeros(len(labels), dtype=bool)
    chosen = True
    for one in np.unique(fold):
        test, train = torch.from_numpy(fold == one), torch.from_numpy(fold != one)
        data, own = embeddings[train], labels[train]
        enough = int(torch.bincount(own).min()) >= FEWEST_TO_CHOOSE
        chosen = chosen and enough
        l2 = choose_l2(data, own, len(present)).l2 if enough else 1.0
        found = fit(data, own, len(present), l2).scores(embeddings[test]).argmax(1)
        right[fold == one] = (found == labels[test]).numpy()
    return Within(right, "seeds" if kind == "seeds" else "images", len(np.unique(fold)), chosen)


def drawn_folds(labels: NDArray[np.int64], count: int, seed: int) -> NDArray[np.int64]:
    """Return a fold for each image, each class divided as evenly as can be, shape (N,)."""
    random = np.random.default_rng(seed)
    fold = np.zeros(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        fold[random.permutation(rows)] = np.arange(len(rows)) % count
    return fold


def _trainable(fold: NDArray[np.int64], labels: NDArray[np.int64]) -> bool:
    """Say whether every class has images outside each fold."""
    return all(len(np.unique(labels[fold != one])) == len(np.unique(labels)) for one in np.unique(fold))
