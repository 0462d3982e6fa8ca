"""Within a set: a classifier trained on some of a set's images and tested on the others.

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
from reward.image_sets.centers import class_centers, predict

MOST_FOLDS = 5
FEWEST_TO_CHOOSE = 2
"""Fewest images of each class that a probe's penalty is chosen on."""
Folds = Literal["seeds", "images"]
Classifier = Literal["probe", "centers"]
"""A linear probe; or the class centers that CLER has, where some class has too few images to choose a penalty: one that
is not chosen may be so strong that the classes with the most images take all others."""


class Within(NamedTuple):
    """Which images a classifier gets right that was trained on others of the set.

    Attributes:
        right: Of each image whether it is recognized, shape (N,).
        folds: What was left out in turn: a seed, or some images of each class.
        number: Number of folds.
        classifier: What was trained.
    """

    right: Flags
    folds: Folds
    number: int
    classifier: Classifier


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
        single = int((counts < 2).sum())
        return (
            f"{single} of {len(present)} classes {'has' if single == 1 else 'have'} a single image, and none to test on"
        )
    number = {int(label): place for place, label in enumerate(present)}
    labels = torch.tensor([number[int(label)] for label in units.labels])
    fold, kind = units.seeds.argmax(1), "seeds"
    if units.seeds.shape[1] < 2 or not _trainable(fold, labels.numpy()):
        fold, kind = drawn_folds(labels.numpy(), min(MOST_FOLDS, int(counts.min())), seed), "images"
    right = np.zeros(len(labels), dtype=bool)
    trained = [torch.from_numpy(fold != one) for one in np.unique(fold)]
    enough = min(int(torch.bincount(labels[train]).min()) for train in trained) >= FEWEST_TO_CHOOSE
    for train in trained:
        data, own, test = embeddings[train], labels[train], ~train
        if enough:
            found = (
                fit(data, own, len(present), choose_l2(data, own, len(present)).l2).scores(embeddings[test]).argmax(1)
            )
        else:
            found = predict(embeddings[test], class_centers(data, own, [*map(str, present)], "unit", unequal=True))
        right[test.numpy()] = (found == labels[test]).numpy()
    folds: Folds = "seeds" if kind == "seeds" else "images"
    return Within(right, folds, len(trained), "probe" if enough else "centers")


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
