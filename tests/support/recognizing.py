"""Recognizers for tests: one that knows what it is asked, and what recognizers see, made up."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from analysis.images.recognition.scores import Units
from analysis.images.recognition.seen import Kind, Place, Sight
from reward.preprocess import to_rgb
from reward.recognizers.base import Vocabulary

IMAGENET = 1000


def pixels_of(image: Image.Image) -> str:
    return hashlib.sha256(to_rgb(image).tobytes()).hexdigest()


class Knowing:
    """Knows images by their pixels and counts those that it is asked about; of others it says class 0."""

    known: ClassVar[dict[str, int]] = {}
    asked: ClassVar[list[int]] = []
    vocabulary: Vocabulary = "classes"
    batch_size = 4

    def __init__(self, classes: Sequence[str], title: str = "knowing") -> None:
        self.name, self.labels = title, tuple(classes)

    def fingerprint(self) -> str:
        return f"knowing {self.name}"

    def scores(self, images: Sequence[Image.Image]) -> torch.Tensor:
        self.asked.append(len(images))
        found = torch.zeros(len(images), len(self.labels))
        for row, image in enumerate(images):
            found[row, self.known.get(pixels_of(image), 0)] = 1.0
        return found


def kind(of: str, labels: Sequence[int], seeds: NDArray[np.bool_] | None = None, overlap: float = 0.0) -> Kind:
    """Different images of some categories, all of one seed unless it is said."""
    count = len(labels)
    units = Units(np.array(labels), np.ones((count, 1), dtype=bool) if seeds is None else seeds, overlap)
    places = [Place(0, f"images/{at}.png") for at in range(count)]
    return Kind(of, units, [None] * count, ["0"] * count, places, [(0, at) for at in range(count)])  # type: ignore[list-item]


def sight(
    name: str, top: Sequence[NDArray[np.int64]], labels: Sequence[str], vocabulary: Vocabulary = "classes"
) -> Sight:
    """What a recognizer sees on each kind of images."""
    return Sight(name, tuple(labels), vocabulary, name, list(top))


def planted(labels: NDArray[np.int64], wrong: float, classes: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Return five guesses of each image, the first of which is wrong with a probability, shape (N, 5)."""
    first = np.where(
        random.random(len(labels)) < wrong, (labels + random.integers(1, classes, len(labels))) % classes, labels
    )
    rows = []
    for one in first:
        others = [other for other in random.permutation(classes) if other != one]
        rows.append([one, *others[:4]])
    return np.array(rows)


def imagenet_labels(changed: Mapping[int, str]) -> list[str]:
    """A list of 1,000 labels, some of which are given."""
    return [changed.get(number, f"thing {number}") for number in range(IMAGENET)]
