"""Datasets that torchvision reads. Nothing is downloaded: a missing dataset is an error that says what goes where."""

from __future__ import annotations

import json
from pathlib import Path

from torchvision import datasets

from ex2.data.image_datasets import ImageFile
from reward.errors import UserError
from reward.images import LabeledImage

CLASS_NAMES = Path(__file__).parent / "class_names"


class OxfordPets:
    """Oxford-IIIT Pets: 37 breeds, splits `trainval` (3,680 images) and `test` (3,669).

    Args:
        root: Folder that holds torchvision's `oxford-iiit-pet/{images,annotations}`.

    Raises:
        UserError: If the images or annotations are missing.
    """

    splits = ("trainval", "test")

    def __init__(self, root: str) -> None:
        self.class_names: tuple[str, ...] = tuple(json.loads((CLASS_NAMES / "pets.json").read_text())["names"])
        try:
            self._by_split = {split: datasets.OxfordIIITPet(root, split=split) for split in self.splits}
        except (RuntimeError, OSError) as error:
            raise UserError(
                f"dataset.root: no Oxford-IIIT Pets in '{root}'. Unpack images.tar.gz and annotations.tar.gz of its "
                f"official page into {Path(root) / 'oxford-iiit-pet'}."
            ) from error

    def images(self, split: str) -> list[LabeledImage]:
        """Return a split's images, ordered by label, then by file name."""
        data = self._by_split[split]
        pairs = sorted(zip(data._labels, data._images, strict=True), key=lambda pair: (pair[0], pair[1].name))
        return [ImageFile(path, label) for label, path in pairs]
