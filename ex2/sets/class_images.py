"""Images by class that a generator starts from or learns from: of a dataset's split, or of a folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ex2.data.datasets.base import open_dataset
from ex2.data.selection import select
from ex2.sets.strategies.base import seeded
from reward.errors import UserError, shown, unknown_name
from reward.images import LabeledImage

KEYS = ("dataset", "split", "folder", "per_class", "selection")
DEFAULT_PER_CLASS = 5
SELECTIONS = ("first", "random")


@dataclass(frozen=True)
class ClassImages:
    """Images by class.

    Attributes:
        images: Class → its images, in order.
        settings: Which images these are, as JSON.
        where: Key of the recipe that asked for them, for messages.
    """

    images: Mapping[str, Sequence[LabeledImage]]
    settings: Mapping[str, Any]
    where: str

    def digest(self) -> str:
        """Return a hash of the classes and of the content of their images; every file is read."""
        digests = {name: [image.digest() for image in images] for name, images in self.images.items()}
        return hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()

    def problems(self, class_names: Sequence[str]) -> list[str]:
        """Return a line for each class that has no image here."""
        return [
            f"{self.where}: class '{name}' has no image ({len(self.images)} classes have); add some, or leave it out."
            for name in dict.fromkeys(class_names)
            if not self.images.get(name)
        ]

    def of(self, class_name: str, index: int, set_seed: int) -> LabeledImage:
        """Return the image that number `index` of a class takes.

        A class's images are taken in an order that the set's seed and the class give, each once, then each once in
        another order.
        """
        images = self.images[class_name]
        turn, place = divmod(index, len(images))
        order = sorted(range(len(images)), key=lambda at: seeded(set_seed, "start", class_name, turn, at))
        return images[order[place]]


def read_class_images(given: Mapping[str, Any], where: str) -> ClassImages:
    """Find images by class; none is opened.

    Args:
        given: `dataset` (name and settings) with `split`, or `folder` (one folder a class); `per_class` (default 5) and
            `selection` (`first` by file name, or `random`, always the same ones).
        where: Key for messages.

    Raises:
        UserError: If a key is unknown or does not fit, or the dataset or folder is not there; every problem at once.
    """
    problems = [unknown_name(where, key, KEYS) for key in given if key not in KEYS]
    dataset, folder = given.get("dataset"), given.get("folder")
    per_class, selection = given.get("per_class", DEFAULT_PER_CLASS), given.get("selection", "first")
    if (dataset is None) == (folder is None):
        problems.append(f"{where}: given {shown(dict(given))}; give either dataset with split, or folder.")
    if dataset is not None and not (isinstance(dataset, Mapping) and isinstance(dataset.get("name"), str)):
        problems.append(
            f"{where}.dataset: given {shown(dataset)}; give a dataset's name under 'name', and its settings."
        )
    if dataset is not None and not isinstance(given.get("split"), str):
        problems.append(f"{where}.split: given {shown(given.get('split'))}; give the split that the images are of.")
    if isinstance(per_class, bool) or not isinstance(per_class, int) or per_class < 1:
        problems.append(f"{where}.per_class: given {shown(per_class)}; at least one image of a class is needed.")
    if selection not in SELECTIONS:
        problems.append(unknown_name(f"{where}.selection", str(selection), SELECTIONS))
    if problems:
        raise UserError("\n".join(problems))
    if folder is not None:
        dataset_name, settings, split = "folder", {"root": str(folder)}, None
    else:
        assert isinstance(dataset, Mapping)
        settings = {str(key): value for key, value in dataset.items() if key != "name"}
        dataset_name, split = str(dataset["name"]), str(given["split"])
    names, images = _images(dataset_name, settings, split, where)
    chosen: dict[str, list[LabeledImage]] = {name: [] for name in names}
    for image in select(images, per_class, selection, 0):
        chosen[names[image.label]].append(image)
    told = {"from": dataset_name, "split": split, "per_class": per_class, "selection": selection}
    return ClassImages(chosen, told, where)


def _images(
    dataset: str, settings: Mapping[str, Any], split: str | None, where: str
) -> tuple[tuple[str, ...], Sequence[LabeledImage]]:
    """Return class names and images of a dataset's split, or of a folder of class folders."""
    if split is None:
        from ex2.sets.generators.folder import Folder

        try:
            folder = Folder(**settings)
        except UserError as error:
            raise UserError(str(error).replace("generator.root", f"{where}.folder")) from error
        return tuple(folder.class_names), [image for images in folder.images.values() for image in images]
    opened = open_dataset(dataset, settings, f"{where}.dataset")
    if split not in opened.splits:
        raise UserError(unknown_name(f"{where}.split", split, opened.splits))
    return tuple(opened.class_names), opened.images(split)
