"""Image datasets by name: class names in label order, and images per split."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from PIL import Image, UnidentifiedImageError

from reward.errors import UserError
from reward.images import LabeledImage

DATASETS = {
    "folder": "ex2.data.image_datasets:ImageFolder",
    "pets": "ex2.data.torchvision_datasets:OxfordPets",
    "shapes": "ex2.data.shapes:Shapes",
}
"""Name → class, imported on use. A recipe may also give a dotted path."""

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm"})


class ImageDataset(Protocol):
    """A labelled image dataset.

    Attributes:
        class_names: Names in label order, as they appear in prompts.
        splits: Names that `images` accepts.
    """

    @property
    def class_names(self) -> tuple[str, ...]: ...

    @property
    def splits(self) -> tuple[str, ...]: ...

    def images(self, split: str) -> Sequence[LabeledImage]:
        """Return a split's images, ordered by label, then by name."""
        ...


@dataclass(frozen=True)
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
            UserError: If it is missing, truncated or no image.
        """
        try:
            with Image.open(self.path) as image:
                image.load()
                return image
        except (OSError, UnidentifiedImageError, SyntaxError) as error:
            raise UserError(
                f"{self.path}: not a readable image ({error}); replace the file or remove it from the dataset."
            ) from error

    def digest(self) -> str:
        try:
            return hashlib.sha256(self.path.read_bytes()).hexdigest()
        except OSError as error:
            raise UserError(f"{self.path}: cannot be read ({error.strerror}).") from error


class ImageFolder:
    """A folder `root/SPLIT/CLASS/image.png`; every split has the same classes, in the order of their names.

    Args:
        root: The folder.
        class_names: Names in prompts, in the order of the sorted folder names; default: the folders' own,
            underscores turned into spaces.

    Raises:
        UserError: If the folder is missing, or splits differ in their classes.
    """

    def __init__(self, root: str, class_names: Sequence[str] | None = None) -> None:
        self.root = Path(root).expanduser()
        if not self.root.is_dir():
            raise UserError(
                f"dataset.root: no folder '{root}'. Give the folder that holds one folder per split, each with one "
                "folder per class."
            )
        self.splits = tuple(sorted(path.name for path in self.root.iterdir() if _is_shown_folder(path)))
        folders = {split: _class_folders(self.root / split) for split in self.splits}
        self._folders = sorted(set().union(*folders.values()))
        if not self._folders:
            raise UserError(f"dataset.root: no class folders in '{root}' (expected {root}/SPLIT/CLASS/image.png).")
        if class_names is not None and len(class_names) != len(self._folders):
            raise UserError(
                f"dataset.class_names: {len(class_names)} names for {len(self._folders)} class folders in '{root}'."
            )
        self.class_names = tuple(class_names or (name.replace("_", " ") for name in self._folders))

    def images(self, split: str) -> list[LabeledImage]:
        """Return a split's images, ordered by label, then by file name."""
        found: list[LabeledImage] = []
        for label, folder in enumerate(self._folders):
            directory = self.root / split / folder
            if directory.is_dir():
                files = sorted(path for path in directory.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
                found += [ImageFile(path, label) for path in files]
        return found


def _is_shown_folder(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith(".")


def _class_folders(split: Path) -> set[str]:
    return {path.name for path in split.iterdir() if _is_shown_folder(path)}
