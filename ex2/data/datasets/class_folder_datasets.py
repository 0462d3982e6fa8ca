"""Datasets whose official layout is one folder per class: ImageNet, Caltech-101, EuroSAT, RESISC-45, Country-211 and
Rendered SST-2.

The folders must be the classes of the project's list. Three of them have no official split; theirs are drawn by a seed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from torchvision import datasets

from ex2.data.datasets.archives import Archive
from ex2.data.datasets.base import ListedImages, require
from ex2.data.datasets.class_lists import ClassList, check_label_order, comparable, read_class_list
from ex2.data.datasets.image_folders import IMAGE_SUFFIXES
from ex2.data.datasets.manifests import FileList
from ex2.data.datasets.seeded_splits import drawn_splits
from reward.errors import UserError
from reward.images import LabeledImage


class FolderSplits:
    """A dataset with a folder per split that holds a folder per class. A split is listed when it is first asked for:
    ImageNet's training split has over a million files."""

    _base: Path
    _folders: Mapping[str, Sequence[Path]]
    _listed: dict[str, Sequence[LabeledImage]]

    def images(self, split: str) -> Sequence[LabeledImage]:
        """Return a split's images, ordered by label, then by file name; nothing is opened."""
        if split not in self._listed:
            folders = self._folders[split]
            label_of = {str(label): label for label in range(len(folders))}
            files = {
                str(path.relative_to(self._base)): str(label)
                for label, folder in enumerate(folders)
                for path in image_files(folder)
            }
            self._listed[split] = FileList(str(self._base), files, label_of)
        return self._listed[split]


class ImageNet(FolderSplits):
    """ImageNet-1K (ILSVRC 2012): 1,000 classes, splits `train` and `val`; the test labels were never published.

    Args:
        root: Folder that holds `train` and `val`, in each a folder per WordNet id, as torchvision makes them.

    Raises:
        UserError: If a folder is missing, or the folders of a split are not the 1,000 WordNet ids.
    """

    splits = ("train", "val")
    official_sizes: ClassVar = {"train": 1281167, "val": 50000}
    archives: ClassVar[tuple[Archive, ...]] = ()
    download_help: ClassVar = (
        "ImageNet is given out on request only: get ILSVRC2012_img_train.tar, ILSVRC2012_img_val.tar and "
        "ILSVRC2012_devkit_t12.tar.gz from image-net.org, put them into ROOT, and let torchvision.datasets.ImageNet "
        "unpack and sort them; then check them with: ex2 data imagenet --root ROOT"
    )

    def __init__(self, root: str) -> None:
        pieces = dict.fromkeys(self.splits, "folders of WordNet ids with images")
        require("ImageNet", root, pieces, self.download_help.replace("ROOT", root))
        self._base = Path(root).expanduser()
        flat = [split for split in self.splits if not sub_folders(self._base / split)]
        if flat:
            raise UserError(
                "\n".join(
                    f"{self._base / split}: no folders of classes, as in the archive itself. Sort the images into a "
                    f"folder per WordNet id: torchvision.datasets.imagenet.parse_{split}_archive does so."
                    for split in flat
                )
            )
        classes = read_class_list("imagenet")
        self.class_names = classes.names
        self._folders = {split: class_folders(self._base / split, classes) for split in self.splits}
        self._listed = {}


class Country211(FolderSplits):
    """Country-211: photographs by the country that they were taken in, splits `train`, `valid` and `test` of 150, 50
    and 100 images a country.

    Args:
        root: Folder that holds `country211/{train,valid,test}`.

    Raises:
        UserError: If a folder is missing, or the folders of a split are not the 211 codes of the project's list.
    """

    splits = ("train", "valid", "test")
    official_sizes: ClassVar = {"train": 31650, "valid": 10550, "test": 21100}
    archives: ClassVar = (Archive(datasets.Country211._URL, "country211", datasets.Country211._MD5),)

    def __init__(self, root: str) -> None:
        pieces = {f"country211/{split}": "from country211.tgz" for split in self.splits}
        require("Country-211", root, pieces, fetch("country211", root))
        self._base = Path(root).expanduser() / "country211"
        classes = read_class_list("country211")
        self.class_names = classes.names
        self._folders = {split: class_folders(self._base / split, classes) for split in self.splits}
        self._listed = {}


class RenderedSST2(FolderSplits):
    """Rendered SST-2: pictures of sentences from movie reviews, splits `train`, `val` and `test`.

    Args:
        root: Folder that holds `rendered-sst2/{train,valid,test}/{negative,positive}`.

    Raises:
        UserError: If a folder is missing, or a split has other folders than the two classes.
    """

    splits = ("train", "val", "test")
    official_sizes: ClassVar = {"train": 6920, "val": 872, "test": 1821}
    archives: ClassVar = (Archive(datasets.RenderedSST2._URL, "rendered-sst2", datasets.RenderedSST2._MD5),)
    _folder_of: ClassVar = {"train": "train", "val": "valid", "test": "test"}

    def __init__(self, root: str) -> None:
        pieces = {f"rendered-sst2/{folder}": "from rendered-sst2.tgz" for folder in self._folder_of.values()}
        require("Rendered SST-2", root, pieces, fetch("rendered_sst2", root))
        self._base = Path(root).expanduser() / "rendered-sst2"
        classes = read_class_list("rendered_sst2")
        self.class_names = classes.names
        self._folders = {
            split: class_folders(self._base / folder, classes) for split, folder in self._folder_of.items()
        }
        self._listed = {}


class Caltech101(ListedImages):
    """Caltech-101 with its background as a class, 102 in all. It has no official split; `train` and `test` are drawn.

    30 images a class are for training and all others for the test, as is usual for this dataset (Fei-Fei et al. 2004),
    by `drawn_splits`. Of the background only 29 are: TensorFlow Datasets, whose sizes VTAB and CLIP report, draws 30
    names of files, and that folder holds one that is no image (`tmp`), which explains the 6,085 images of their tables.
    torchvision's reader has no split and leaves the background out.

    Args:
        root: Folder that holds `caltech101/101_ObjectCategories`.
        split_seed: Of the drawing.

    Raises:
        UserError: If the folder is missing, its folders are not the 102 classes, or a class has too few images.
    """

    splits = ("train", "test")
    official_sizes: ClassVar = {"train": 3059, "test": 6085}
    archives: ClassVar[tuple[Archive, ...]] = ()
    download_help: ClassVar = (
        "Caltech-101 is an archive of archives, which ex2 does not unpack: get caltech-101.zip from data.caltech.edu "
        "(record mzrjq-6wc02), unpack it, and unpack the 101_ObjectCategories.tar.gz in it into ROOT/caltech101; then "
        "check it with: ex2 data caltech101 --root ROOT"
    )
    per_class: ClassVar = 30
    background: ClassVar = "BACKGROUND_Google"

    def __init__(self, root: str, split_seed: int = 0) -> None:
        pieces = {"caltech101/101_ObjectCategories": "from 101_ObjectCategories.tar.gz, in caltech-101.zip"}
        require("Caltech-101", root, pieces, self.download_help.replace("ROOT", root))
        base = Path(root).expanduser() / "caltech101" / "101_ObjectCategories"
        classes = read_class_list("caltech101")
        self.class_names = classes.names
        folders = class_folders(base, classes)
        train = [self.per_class - (folder.name == self.background) for folder in folders]
        sizes: dict[str, Sequence[int | None]] = {"train": train, "test": [None] * len(folders)}
        self._files = drawn_splits([image_files(folder) for folder in folders], sizes, split_seed, str(base))


class EuroSAT(ListedImages):
    """EuroSAT in RGB: 27,000 satellite images of 10 kinds of land. It has no official split; `train` and `test` are
    drawn.

    1,000 images a class are for training and 500 others for the test, as many as CLIP reports, by `drawn_splits`; the
    other 12,000 are left out.

    Args:
        root: Folder that holds `eurosat/2750`.
        split_seed: Of the drawing.

    Raises:
        UserError: If the folder is missing, its folders are not the 10 classes, or a class has too few images.
    """

    splits = ("train", "test")
    official_sizes: ClassVar = {"train": 10000, "test": 5000}
    archives: ClassVar[tuple[Archive, ...]] = ()
    download_help: ClassVar = (
        "EuroSAT's archive is not where it was first published: get EuroSAT.zip (the RGB one, md5 "
        "c8fa014336c82ac7804f0398fcb19387) from a copy that you trust, and unpack it into ROOT/eurosat, so that it "
        "holds 2750; then check it with: ex2 data eurosat --root ROOT"
    )
    per_class: ClassVar = {"train": 1000, "test": 500}

    def __init__(self, root: str, split_seed: int = 0) -> None:
        pieces = {"eurosat/2750": "from EuroSAT.zip, unpacked in eurosat"}
        require("EuroSAT", root, pieces, self.download_help.replace("ROOT", root))
        base = Path(root).expanduser() / "eurosat" / "2750"
        classes = read_class_list("eurosat")
        self.class_names = classes.names
        folders = class_folders(base, classes)
        sizes = {split: [count] * len(folders) for split, count in self.per_class.items()}
        self._files = drawn_splits([image_files(folder) for folder in folders], sizes, split_seed, str(base))


class RESISC45(ListedImages):
    """NWPU-RESISC45: 45 kinds of places from the air, 700 images a class. It has no official split; `train`, `test`
    and `val` are drawn.

    Of each class 70 images are for training, 560 others for the test, and the last 70 are `val`, by `drawn_splits`: a
    tenth and four fifths, as many as CLIP reports.

    Args:
        root: Folder that holds `NWPU-RESISC45`.
        split_seed: Of the drawing.

    Raises:
        UserError: If the folder is missing, its folders are not the 45 classes, or a class has too few images.
    """

    splits = ("train", "test", "val")
    official_sizes: ClassVar = {"train": 3150, "test": 25200, "val": 3150}
    archives: ClassVar[tuple[Archive, ...]] = ()
    download_help: ClassVar = (
        "NWPU-RESISC45 lies on a drive that only a browser reads: get NWPU-RESISC45.rar from its authors' page and "
        "unpack it into ROOT; then check it with: ex2 data resisc45 --root ROOT"
    )
    per_class: ClassVar = {"train": 70, "test": 560, "val": 70}

    def __init__(self, root: str, split_seed: int = 0) -> None:
        pieces = {"NWPU-RESISC45": "from NWPU-RESISC45.rar"}
        require("NWPU-RESISC45", root, pieces, self.download_help.replace("ROOT", root))
        base = Path(root).expanduser() / "NWPU-RESISC45"
        classes = read_class_list("resisc45")
        self.class_names = classes.names
        folders = class_folders(base, classes)
        sizes = {split: [count] * len(folders) for split, count in self.per_class.items()}
        self._files = drawn_splits([image_files(folder) for folder in folders], sizes, split_seed, str(base))


def class_folders(base: Path, classes: ClassList) -> list[Path]:
    """Return the folder of each class, in label order.

    Raises:
        UserError: If the folder cannot be listed, or its folders are not the classes of the project's list.
    """
    found = sub_folders(base)
    check_label_order(found, classes, str(base))
    by_name = {comparable(name): name for name in found}
    return [base / by_name[comparable(name)] for name in classes.official]


def sub_folders(base: Path) -> list[str]:
    """Return the names of the folders in a folder, hidden ones left out, in alphabetical order, capitals first.

    Raises:
        UserError: If the folder cannot be listed.
    """
    return sorted(entry.name for entry in _entries(base) if entry.is_dir())


def image_files(folder: Path) -> list[Path]:
    """Return the images in a folder by the endings of their names, in the order of the names.

    Raises:
        UserError: If the folder cannot be listed.
    """
    names = (entry.name for entry in _entries(folder))
    return [folder / name for name in sorted(names) if os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES]


def fetch(name: str, root: str) -> str:
    """Return the sentence that says how a dataset is fetched."""
    return f"To fetch and unpack it: ex2 data {name} --root {root} --download"


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return [entry for entry in found if not entry.name.startswith(".")]
    except OSError as error:
        raise UserError(f"{folder}: cannot be listed ({error.strerror}); unpack the official archive again.") from error
