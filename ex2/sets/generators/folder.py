"""The generator `folder`: images of any folder that has one folder for each class."""

from __future__ import annotations

import os

from ex2.data.datasets.base import ImageFile
from ex2.data.datasets.image_folders import class_folders
from ex2.data.datasets.naming import ClassNames, name_classes
from ex2.data.source import Selection
from ex2.sets.generators.copies import Copies, CopyingGenerator
from reward.errors import UserError
from reward.user_paths import expanded


class Folder(CopyingGenerator):
    """Copies the images at `root/CLASS/image.png`.

    Args:
        root: The folder.
        class_names: Names of the classes, as the dataset `folder` takes them. Default: the folders' own, underscores
            turned into blanks.
        selection: `first` takes a class's images by file name, `random` by the set's seed.

    Raises:
        UserError: If there is no such folder, it has no folders, or their names are none of classes.
    """

    name = "folder"

    def __init__(self, root: str, class_names: ClassNames | None = None, selection: Selection = "first") -> None:
        base = expanded(root)
        if not os.path.isdir(base):
            raise UserError(
                f"generator.root: no folder '{root}'. Give the folder that holds one folder per class, with its images."
            )
        folders = class_folders(base)
        if not folders:
            raise UserError(f"generator.root: no class folders in '{root}' (expected {root}/CLASS/image.png).")
        self.class_names = name_classes([*folders], class_names, f"class folders in '{root}'", sorted_by_us=True)
        self.settings = {"selection": selection}
        self.images = {
            name: [ImageFile(path, label) for path in paths]
            for label, (name, paths) in enumerate(zip(self.class_names, folders.values(), strict=True))
        }
        self._copies = Copies(self.images, selection, f"folder '{root}'")
