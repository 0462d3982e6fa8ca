"""From images to what recognizers see on them: each different image once, predictions kept by its content."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from analysis.images.embedded import embed_seed, embed_split
from analysis.images.given import ReadSet
from analysis.images.measure import Measuring, Prepared
from analysis.images.recognition.loading import loaded
from analysis.images.recognition.record import REAL
from analysis.images.recognition.scores import Units
from ex2.recipe import Component
from reward.cache import cache_dir
from reward.images import LabeledImage
from reward.recognizers.base import Vocabulary
from reward.recognizers.by_class_names import ByClassNames
from reward.recognizers.predictions import cached_top_classes, top_classes


class Place(NamedTuple):
    """Where an image lies: the number of a seed, or 0, and its file in the seed's folder, or its name."""

    seed: int
    image: str


@dataclass(frozen=True)
class Kind:
    """The different images of a set, or of the dataset's test split.

    Attributes:
        of: Name of the set; `REAL` for test images.
        units: Labels and seeds of N different images.
        images: The images, N of them.
        digests: Their content hashes.
        places: Where each lies first.
        rows: Of each, the numbers of seed and row under which it stands first.
    """

    of: str
    units: Units
    images: Sequence[LabeledImage]
    digests: Sequence[str]
    places: Sequence[Place]
    rows: Sequence[tuple[int, int]]


@dataclass(frozen=True)
class Sight:
    """What one recognizer sees.

    Attributes:
        name: Of the recognizer.
        labels: The words of its classes.
        vocabulary: What its classes are.
        fingerprint: Of the recognizer.
        top: Of each kind of images, numbers of the likeliest classes, shape (N, K).
    """

    name: str
    labels: Sequence[str]
    vocabulary: Vocabulary
    fingerprint: str
    top: Sequence[NDArray[np.int64]]


def kind_of_set(one: ReadSet) -> Kind:
    """Return the different images of a set: of equal ones of a class, in one seed or several, the first."""
    number: dict[tuple[int, str], int] = {}
    members: list[tuple[int, int]] = []
    images, digests, places, rows, labels = [], [], [], [], []
    for at, seed in enumerate(one.seeds):
        for row_number, (row, key) in enumerate(zip(seed.rows, seed.image_keys, strict=True)):
            if key not in number:
                number[key] = len(number)
                images.append(seed.image(row, row.label))
                digests.append(row.sha256)
                places.append(Place(seed.image_set.record.seed, row.file_name))
                rows.append((at, row_number))
                labels.append(row.label)
            members.append((number[key], at))
    seeds = np.zeros((len(number), len(one.seeds)), dtype=bool)
    for unit, at in members:
        seeds[unit, at] = True
    return Kind(one.given.name, Units(np.array(labels), seeds, one.overlap), images, digests, places, rows)


def kind_of_split(images: Sequence[LabeledImage], digests: Sequence[str], labels: torch.Tensor) -> Kind:
    """Return the different test images.

    Args:
        images: All of them.
        digests: Their content hashes.
        labels: One label for each.
    """
    first: dict[tuple[int, str], int] = {}
    for row, key in enumerate(zip(labels.tolist(), digests, strict=True)):
        first.setdefault(key, row)
    rows = [*first.values()]
    units = Units(labels.numpy()[rows], np.ones((len(rows), 1), dtype=bool))
    kept = [images[row] for row in rows]
    places = [Place(0, image.name) for image in kept]
    return Kind(REAL, units, kept, [digests[row] for row in rows], places, [(0, row) for row in rows])


def sights(what: Measuring, prepared: Prepared, kinds: Sequence[Kind], *, progress: bool = True) -> list[Sight]:
    """Ask every recognizer of the recipe, one after another, so that one at a time is in memory.

    Raises:
        UserError: If one cannot be loaded, or images cannot be read.
    """
    return [
        _sight(what, prepared, kinds, part, number, progress=progress)
        for number, part in enumerate(what.measure.recognizers)
    ]


def _sight(
    what: Measuring, prepared: Prepared, kinds: Sequence[Kind], part: Component, number: int, *, progress: bool
) -> Sight:
    recognizer = loaded(part, number, tuple(prepared.opened.class_names), what.vlm, prepared.encoder)
    if isinstance(recognizer, ByClassNames):
        top = _by_class_names(recognizer, what, prepared, kinds)
    else:
        cache = cache_dir() / "recognized"
        top = [cached_top_classes(recognizer, one.images, one.digests, cache=cache, progress=progress) for one in kinds]
    return Sight(recognizer.name, tuple(recognizer.labels), recognizer.vocabulary, recognizer.fingerprint(), top)


def _by_class_names(
    recognizer: ByClassNames, what: Measuring, prepared: Prepared, kinds: Sequence[Kind]
) -> list[NDArray[np.int64]]:
    """Return what a VLM sees, from its image banks."""
    side, embedded = prepared.side, prepared.embedded
    encoder = recognizer.encoder
    if encoder is not prepared.encoder:
        side = embed_split(encoder, prepared.opened, prepared.images, what.dataset.name, what.split)
        embedded = {
            one.given.name: [embed_seed(encoder, seed, side, one.given.name) for seed in one.seeds]
            for one in prepared.sets
        }
    assert side.test.text is not None
    recognizer.use_texts(side.test.text)
    found = []
    for kind in kinds:
        banks = [side.test.embeddings] if kind.of == REAL else [one.embeddings for one in embedded[kind.of]]
        found.append(top_classes(recognizer.scores_of(rows_of(kind, banks))))
    return found


def rows_of(kind: Kind, banks: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return the embeddings of different images, shape (N, D), from those of each seed."""
    return torch.stack([banks[seed][row] for seed, row in kind.rows])
