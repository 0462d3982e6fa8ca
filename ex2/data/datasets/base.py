"""The protocol of an image dataset, the table of those that a recipe can name, and helpers for their readers."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

from ex2.data.datasets.naming import class_name_problems
from reward.components import Parts, build
from reward.errors import UserError
from reward.images import LabeledImage, decode, open_regular
from reward.user_paths import expanded

DATASETS = Parts(
    {
        "caltech101": "ex2.data.datasets.class_folder_datasets:Caltech101",
        "cifar10": "ex2.data.datasets.pixel_datasets:CIFAR10",
        "cifar100": "ex2.data.datasets.pixel_datasets:CIFAR100",
        "country211": "ex2.data.datasets.class_folder_datasets:Country211",
        "cub": "ex2.data.datasets.folder_layouts:CUB",
        "dtd": "ex2.data.datasets.torchvision_datasets:DTD",
        "eurosat": "ex2.data.datasets.class_folder_datasets:EuroSAT",
        "fer2013": "ex2.data.datasets.row_datasets:FER2013",
        "fgvc_aircraft": "ex2.data.datasets.torchvision_datasets:FGVCAircraft",
        "flowers": "ex2.data.datasets.torchvision_datasets:Flowers102",
        "folder": "ex2.data.datasets.image_folders:ImageFolder",
        "food101": "ex2.data.datasets.listed_datasets:Food101",
        "gtsrb": "ex2.data.datasets.listed_datasets:GTSRB",
        "hateful_memes": "ex2.data.datasets.listed_datasets:HatefulMemes",
        "huggingface": "ex2.data.datasets.hub_datasets:HuggingFace",
        "image_set": "ex2.data.datasets.image_sets:ImageSetDataset",
        "imagenet": "ex2.data.datasets.class_folder_datasets:ImageNet",
        "kitti_distance": "ex2.data.datasets.annotated_datasets:KITTIDistance",
        "manifest": "ex2.data.datasets.manifests:Manifest",
        "mnist": "ex2.data.datasets.pixel_datasets:MNIST",
        "pcam": "ex2.data.datasets.row_datasets:PCAM",
        "pets": "ex2.data.datasets.torchvision_datasets:OxfordPets",
        "rendered_sst2": "ex2.data.datasets.class_folder_datasets:RenderedSST2",
        "resisc45": "ex2.data.datasets.class_folder_datasets:RESISC45",
        "shapes": "ex2.data.demo.shapes:Shapes",
        "stanford_cars": "ex2.data.datasets.torchvision_datasets:StanfordCars",
        "stanford_dogs": "ex2.data.datasets.folder_layouts:StanfordDogs",
        "sun397": "ex2.data.datasets.listed_datasets:SUN397",
        "voc2007": "ex2.data.datasets.annotated_datasets:VOC2007",
    },
    kind="dataset",
    methods=("images",),
)
"""Name → `"module:class"`, imported on use. A recipe may also give a dotted path."""


class ImageDataset(Protocol):
    """A labelled image dataset. Opening one reads lists, never images.

    A published dataset also has `official_sizes` (split → number of images), `archives` (what `ex2 data --download`
    fetches) and, if a split is a union of other splits, `parts` (split → those splits). A dataset that takes what it
    finds in folders has `passed_over(splits)`, which says in one line what lies there and is no image of a class. A
    dataset whose images show several classes has `labels_of(split)`, shape (N, C) of int8, rows in the order of
    `images`: 1 for a class that is seen, -1 for one that is not, 0 where the image counts neither way; an image's
    `label` is then its main class.

    Attributes:
        class_names: Names in label order, as they appear in prompts.
        splits: Names that `images` accepts.
    """

    @property
    def class_names(self) -> tuple[str, ...]: ...

    @property
    def splits(self) -> tuple[str, ...]: ...

    def images(self, split: str) -> Sequence[LabeledImage]:
        """Return a split's images, ordered by label, then by name, without opening them."""
        ...


def open_dataset(name: str, settings: Mapping[str, Any], where: str = "dataset") -> ImageDataset:
    """Open a dataset by its row in the table or a dotted path.

    Raises:
        UserError: For an unknown dataset or setting, a missing folder, or class names that are duplicate, empty,
            numbers, or otherwise no names.
    """
    dataset: ImageDataset = build(name, settings, DATASETS, where)
    problems = class_name_problems(dataset.class_names, f"{where} {name}")
    if problems:
        raise UserError("\n".join(problems))
    return dataset


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image on disk."""

    path: Path
    label: int

    @property
    def name(self) -> str:
        return str(self.path)

    def open(self) -> Image.Image:
        """Decode the file.

        Raises:
            UserError: If it is missing, no regular file, truncated or no image.
        """
        try:
            with open_regular(self.path) as file:
                return decode(file, self.name)
        except FileNotFoundError as error:
            raise UserError(f"{self.path}: missing; unpack the dataset again or take it off its list.") from error
        except OSError as error:
            raise UserError(f"{self.path}: cannot be read ({error.strerror}).") from error

    def digest(self) -> str:
        """Return the SHA-256 of the file's bytes. A process reads a file once for it, unless the file changes.

        Raises:
            UserError: If it is missing or cannot be read.
        """
        try:
            found = self.path.stat()
            state = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
            return _file_digest(self.path, state).hex()
        except FileNotFoundError as error:
            raise UserError(f"{self.path}: missing; unpack the dataset again or take it off its list.") from error
        except OSError as error:
            raise UserError(f"{self.path}: cannot be read ({error.strerror}).") from error


@functools.lru_cache(maxsize=1 << 18)
def _file_digest(path: Path, state: tuple[int, ...]) -> bytes:
    """Return a file's SHA-256; `state` is part of the cache's key, so that a changed file is read again."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").digest()


def in_order(images: Iterable[ImageFile]) -> list[LabeledImage]:
    """Return images ordered by label, then by file name, whatever the order in which a dataset lists them."""
    return [*sorted(images, key=_by_label_and_name)]


def _by_label_and_name(image: ImageFile) -> tuple[int, str, str]:
    return image.label, image.path.name, str(image.path)


class ListedImages:
    """A dataset whose splits are lists of files, read when it is opened."""

    _files: dict[str, list[ImageFile]]

    def images(self, split: str) -> list[LabeledImage]:
        """Return a split's images, ordered by label, then by file name; nothing is opened."""
        return in_order(self._files[split])


def require(title: str, root: str, pieces: Mapping[str, str], hint: str) -> None:
    """Refuse a dataset of which files are missing.

    Args:
        title: Name of the dataset.
        root: The dataset's folder as the user gave it.
        pieces: Path below the root that must exist → how the user gets it there.
        hint: Last sentence of the message: where to get the whole dataset.

    Raises:
        UserError: If a path is missing; one line names every missing one.
    """
    base = expanded(root)
    missing = {path: how for path, how in pieces.items() if not os.path.exists(base / path)}
    if not missing:
        return
    listed = "; ".join(f"{base / path} ({how})" for path, how in missing.items())
    state = f"no {title} in '{root}'" if len(missing) == len(pieces) else f"{title} in '{root}' is incomplete"
    raise UserError(f"dataset.root: {state}. Missing: {listed}. {hint}")
