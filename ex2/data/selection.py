"""Which images of a dataset are used, and the check that none of them is used both for the reward and for the test."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from ex2.data.datasets.base import ImageDataset, open_dataset
from ex2.data.source import DatasetSource
from reward.errors import UserError, unknown_name
from reward.image_labels import relabeled_problems
from reward.images import LabeledImage

SHOWN = 10
"""Most unreadable images that a message names; the others are only counted."""


class Labeled(Protocol):
    """Anything with a class label: all that choosing images by class needs."""

    @property
    def label(self) -> int: ...


L = TypeVar("L", bound=Labeled)


def load_dataset(source: DatasetSource) -> ImageDataset:
    """Open a dataset, and check that its splits exist and differ, and that there are classes to tell apart.

    Raises:
        UserError: For an unknown dataset, setting or split, a missing folder, class names that are none, fewer than two
            classes, or one split for both the reward and the test.
    """
    dataset = open_dataset(source.name, source.settings)
    problems = [
        unknown_name(f"dataset.{key}", split, dataset.splits)
        for key, split in (("reward_split", source.reward_split), ("test_split", source.test_split))
        if split not in dataset.splits
    ]
    if source.reward_split == source.test_split:
        problems.append(
            f"dataset.test_split: '{source.test_split}' feeds the reward too; accuracy on it would say nothing: give "
            f"another split. Available: {', '.join(dataset.splits)}."
        )
    if len(dataset.class_names) < 2:
        problems.append(too_few_classes(dataset.class_names, f"dataset {source.name}"))
    if problems:
        raise UserError("\n".join(problems))
    return dataset


def too_few_classes(class_names: Sequence[str], where: str) -> str:
    """Return the message for a dataset of one class, on which any classifier is right."""
    return f"{where}: one class, '{class_names[0]}'; accuracy would be 100 % whatever the texts say. Give two at least."


def passed_over(source: DatasetSource, dataset: ImageDataset) -> str:
    """Return one line on what lies in a dataset's folders of the used splits and is not read, or an empty text."""
    tell: Callable[[Sequence[str]], str] | None = getattr(dataset, "passed_over", None)
    return "" if tell is None else tell((source.reward_split, source.test_split))


def select(images: Sequence[L], per_class: int, selection: str, seed: int) -> list[L]:
    """Choose at most `per_class` images of each class.

    Args:
        images: Ordered by label, then by name.
        per_class: Most images of a class.
        selection: `first` takes the first ones in the given order, `random` draws at random.
        seed: Seed of the random choice.

    Returns:
        The chosen images in their original order. The choice in a class depends only on the seed and on that class's
        images: it stays the same if other classes are added, removed or renumbered.
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
    """Return the images that feed the reward: the chosen ones of the reward split."""
    images = dataset.images(source.reward_split)
    return select(images, source.images_per_class, source.selection, source.selection_seed)


def check_overlap(reward: Sequence[LabeledImage], test: Sequence[LabeledImage], source: DatasetSource) -> None:
    """Check that no test image also feeds the reward, and that no image has two labels in a split.

    Images of equal content are the same, whatever their names.

    Raises:
        UserError: If there is such an image, or if files cannot be read; the message names the first such pairs, or the
            files.
    """
    rewarded, tested = _digests(reward), _digests(test)
    unreadable = [problem for _, problem in (*rewarded, *tested) if problem]
    if unreadable:
        listed = unreadable[:SHOWN] + [f"and {len(unreadable) - SHOWN} more files"] * (len(unreadable) > SHOWN)
        raise UserError("\n".join(listed))
    problems = relabeled_problems(reward, [digest for digest, _ in rewarded], f"dataset, split '{source.reward_split}'")
    problems += relabeled_problems(test, [digest for digest, _ in tested], f"dataset, split '{source.test_split}'")
    by_digest = {digest: image.name for (digest, _), image in zip(rewarded, reward, strict=True)}
    shared = [
        (by_digest[digest], image.name) for (digest, _), image in zip(tested, test, strict=True) if digest in by_digest
    ]
    if shared:
        first, second = shared[0]
        problems.append(
            f"dataset: {len(shared)} images are in both the reward split '{source.reward_split}' and the test split "
            f"'{source.test_split}', such as {first} and {second}; accuracy on them would say nothing. Use disjoint "
            "splits."
        )
    if problems:
        raise UserError("\n".join(problems))


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
    """Return class name → number of images, in label order."""
    counts = Counter(image.label for image in images)
    return {name: counts[label] for label, name in enumerate(class_names)}
