"""Which images are taken of a dataset, and the check that none of them feeds both reward and test."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Protocol, TypeVar

from ex2.data.datasets.base import ImageDataset, open_dataset
from ex2.data.source import DatasetSource
from reward.errors import UserError, unknown_name
from reward.images import LabeledImage

SHOWN = 10
"""Unreadable images that a message names; the rest is counted."""


class Labeled(Protocol):
    """What a choice by class looks at."""

    @property
    def label(self) -> int: ...


L = TypeVar("L", bound=Labeled)


def load_dataset(source: DatasetSource) -> ImageDataset:
    """Open a dataset, and check that its splits exist.

    Raises:
        UserError: For an unknown dataset, setting or split, a missing folder, or duplicate or empty class names.
    """
    dataset = open_dataset(source.name, source.settings)
    problems = [
        unknown_name(f"dataset.{key}", split, dataset.splits)
        for key, split in (("reward_split", source.reward_split), ("test_split", source.test_split))
        if split not in dataset.splits
    ]
    if problems:
        raise UserError("\n".join(problems))
    return dataset


def select(images: Sequence[L], per_class: int, selection: str, seed: int) -> list[L]:
    """Choose at most `per_class` images of each class.

    Args:
        images: Ordered by label, then by name.
        per_class: Most images of a class.
        selection: `first` in the given order, or `random`.
        seed: Of the random choice.

    Returns:
        The chosen images in their original order. A class's choice depends on the seed and on that class's own
        images alone: other classes may come, go or be renumbered.
    """
    by_label: dict[int, list[int]] = defaultdict(list)
    for index, image in enumerate(images):
        by_label[image.label].append(index)
    chosen: list[int] = []
    for indices in by_label.values():
        if selection == "random" and len(indices) > per_class:
            # `random()` alone gives the same numbers in every version of Python; `sample` promises nothing.
            generator = random.Random(seed)
            draws = {index: generator.random() for index in indices}
            chosen += sorted(indices, key=draws.__getitem__)[:per_class]
        else:
            chosen += indices[:per_class]
    return [images[index] for index in sorted(chosen)]


def reward_images(source: DatasetSource, dataset: ImageDataset) -> list[LabeledImage]:
    """Return the images behind the reward."""
    images = dataset.images(source.reward_split)
    return select(images, source.images_per_class, source.selection, source.selection_seed)


def check_overlap(reward: Sequence[LabeledImage], test: Sequence[LabeledImage], source: DatasetSource) -> None:
    """Refuse a test image that also feeds the reward (equal content, whatever its name).

    Raises:
        UserError: Naming the first such pair, or the files that cannot be read.
    """
    rewarded, tested = _digests(reward), _digests(test)
    unreadable = [problem for _, problem in (*rewarded, *tested) if problem]
    if unreadable:
        listed = unreadable[:SHOWN] + [f"and {len(unreadable) - SHOWN} more files"] * (len(unreadable) > SHOWN)
        raise UserError("\n".join(listed))
    by_digest = {digest: image.name for (digest, _), image in zip(rewarded, reward, strict=True)}
    shared = [
        (by_digest[digest], image.name) for (digest, _), image in zip(tested, test, strict=True) if digest in by_digest
    ]
    if shared:
        first, second = shared[0]
        raise UserError(
            f"dataset: {len(shared)} images are in both the reward split '{source.reward_split}' and the test split "
            f"'{source.test_split}', such as {first} and {second}; accuracy on them would say nothing. Use disjoint "
            "splits."
        )


def _digests(images: Sequence[LabeledImage]) -> list[tuple[str, str]]:
    """Return each image's digest and an empty string, or an empty string and why it cannot be read."""
    found = []
    for image in images:
        try:
            found.append((image.digest(), ""))
        except UserError as error:
            found.append(("", str(error)))
    return found


def counts_by_class(images: Sequence[LabeledImage], class_names: Sequence[str]) -> dict[str, int]:
    """Return images per class name, in label order."""
    counts = Counter(image.label for image in images)
    return {name: counts[label] for label, name in enumerate(class_names)}
