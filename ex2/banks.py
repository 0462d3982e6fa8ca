"""From a recipe's dataset and VLM to image banks: selection, the overlap check, the cache."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Sequence

from ex2.data.image_datasets import DATASETS, ImageDataset
from ex2.recipe import Component, Data, Recipe
from reward import image_bank, presets
from reward.cache import cache_dir
from reward.components import build
from reward.errors import UserError, unknown_name
from reward.image_bank import ClassMeans, ImageEmbeddings
from reward.images import LabeledImage
from reward.vlm import VLM


def load_vlm(section: Component) -> VLM:
    """Load a recipe's VLM."""
    return presets.load_vlm(section.name, section.settings)


def load_dataset(section: Data) -> ImageDataset:
    """Open a recipe's dataset, and check that its splits exist.

    Raises:
        UserError: For an unknown dataset, setting or split, or a missing folder.
    """
    dataset: ImageDataset = build(section.name, section.settings, DATASETS, "dataset")
    problems = [
        unknown_name(f"dataset.{key}", split, dataset.splits)
        for key, split in (("reward_split", section.reward_split), ("test_split", section.test_split))
        if split not in dataset.splits
    ]
    if problems:
        raise UserError("\n".join(problems))
    return dataset


def select(images: Sequence[LabeledImage], per_class: int, selection: str, seed: int) -> list[LabeledImage]:
    """Choose at most `per_class` images of each class.

    Args:
        images: Ordered by label, then by name.
        per_class: Most images of a class.
        selection: `first` in the given order, or `random`.
        seed: Of the random choice.

    Returns:
        The chosen images in their original order.
    """
    by_label: dict[int, list[int]] = defaultdict(list)
    for index, image in enumerate(images):
        by_label[image.label].append(index)
    chosen: list[int] = []
    for label, indices in sorted(by_label.items()):
        if selection == "random" and len(indices) > per_class:
            chosen += random.Random(f"{seed}:{label}").sample(indices, per_class)
        else:
            chosen += indices[:per_class]
    return [images[index] for index in sorted(chosen)]


def reward_images(section: Data, dataset: ImageDataset) -> list[LabeledImage]:
    """Return the images behind the reward."""
    images = dataset.images(section.reward_split)
    return select(images, section.images_per_class, section.selection, section.selection_seed)


def check_overlap(reward: Sequence[LabeledImage], test: Sequence[LabeledImage], section: Data) -> None:
    """Refuse a test image that also feeds the reward (equal content, whatever its name).

    Raises:
        UserError: Naming the first such pair.
    """
    by_digest = {image.digest(): image.name for image in reward}
    shared = [(by_digest[image.digest()], image.name) for image in test if image.digest() in by_digest]
    if shared:
        first, second = shared[0]
        raise UserError(
            f"dataset: {len(shared)} images are in both the reward split '{section.reward_split}' and the test split "
            f"'{section.test_split}', such as {first} and {second}; accuracy on them would say nothing. Use disjoint "
            "splits."
        )


def class_means(recipe: Recipe, vlm: VLM) -> ClassMeans:
    """Return the reward's class means for a recipe, from the cache if they are there."""
    section = recipe.dataset
    dataset = load_dataset(section)
    images = reward_images(section, dataset)
    where = f"dataset {section.name}, split '{section.reward_split}'"
    return image_bank.class_means(vlm, images, dataset.class_names, cache=cache_dir() / "banks", where=where)


def test_embeddings(recipe: Recipe, vlm: VLM) -> ImageEmbeddings:
    """Return the test images' embeddings for a recipe, after checking that none of them feeds the reward."""
    section = recipe.dataset
    dataset = load_dataset(section)
    test = list(dataset.images(section.test_split))
    check_overlap(reward_images(section, dataset), test, section)
    where = f"dataset {section.name}, split '{section.test_split}'"
    return image_bank.image_embeddings(vlm, test, dataset.class_names, cache=cache_dir() / "banks", where=where)


def counts_by_class(images: Sequence[LabeledImage], class_names: Sequence[str]) -> dict[str, int]:
    """Return images per class name, in label order."""
    counts = Counter(image.label for image in images)
    return {name: counts[label] for label, name in enumerate(class_names)}
