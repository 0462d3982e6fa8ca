"""CUB-200-2011 and Stanford Dogs, read from the folders of their official archives."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from ex2.data.datasets.archives import Archive
from ex2.data.datasets.base import ImageFile, ListedImages, require
from ex2.data.datasets.class_lists import check_label_order, comparable, read_class_list
from reward.errors import UserError

AGAIN = "unpack the official archive again."


class CUB(ListedImages):
    """CUB-200-2011: 200 birds, splits `train` and `test`.

    Args:
        root: Folder that holds `CUB_200_2011`, as unpacked from CUB_200_2011.tgz.

    Raises:
        UserError: If a piece is missing, a list is malformed, or `classes.txt` differs from the project's list.
    """

    splits = ("train", "test")
    official_sizes: ClassVar = {"train": 5994, "test": 5794}
    archives: ClassVar = (
        # The checksum stands in several independent loaders of the dataset.
        Archive(
            "https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz",
            "CUB_200_2011",
            "97eceeb196236b17998738112f37df78",
        ),
    )

    def __init__(self, root: str) -> None:
        lists = ("classes.txt", "images.txt", "image_class_labels.txt", "train_test_split.txt")
        pieces = {f"CUB_200_2011/{piece}": "from CUB_200_2011.tgz" for piece in ("images", *lists)}
        require("CUB-200-2011", root, pieces, f"To fetch and unpack it: ex2 data cub --root {root} --download")
        base = Path(root).expanduser() / "CUB_200_2011"
        classes, paths, labels, in_train = (_numbered_lines(base / file) for file in lists)
        expected = read_class_list("cub")
        check_label_order(
            [classes[number].partition(".")[2] for number in sorted(classes)], expected, str(base / "classes.txt")
        )
        self.class_names = expected.names
        odd = sorted((paths.keys() ^ labels.keys()) | (paths.keys() ^ in_train.keys()))
        if odd:
            raise UserError(f"{base}: the lists disagree about the images {odd[:5]} ({len(odd)} in all); {AGAIN}")
        wrong = [
            f"image {number} ({path}) has label {labels[number]}, '{classes.get(_int(labels[number]), 'no class')}'"
            for number, path in paths.items()
            if classes.get(_int(labels[number])) != path.partition("/")[0]
        ]
        if wrong:
            raise UserError(
                f"{base}: labels and folders disagree: {'; '.join(wrong[:3])} ({len(wrong)} in all); {AGAIN}"
            )
        self._files = {"train": [], "test": []}
        for number, path in paths.items():
            split = "train" if in_train[number] == "1" else "test"
            self._files[split].append(ImageFile(base / "images" / path, _int(labels[number]) - 1))


class StanfordDogs(ListedImages):
    """Stanford Dogs: 120 breeds, splits `train` (100 images a class) and `test`.

    Args:
        root: Folder that holds `Images` and `lists`, as unpacked from images.tar and lists.tar.

    Raises:
        UserError: If a piece is missing, a list is malformed, or the folders are not the classes of the project's list.
    """

    splits = ("train", "test")
    official_sizes: ClassVar = {"train": 12000, "test": 8580}
    archives: ClassVar = (
        # The checksums stand in several independent loaders of the dataset.
        Archive(
            "http://vision.stanford.edu/aditya86/ImageNetDogs/images.tar", "Images", "1bb1f2a596ae7057f99d7d75860002ef"
        ),
        Archive(
            "http://vision.stanford.edu/aditya86/ImageNetDogs/lists.tar",
            "lists",
            "edbb9f16854ec66506b5f09b583e0656",
            bare=True,
        ),
    )

    def __init__(self, root: str) -> None:
        pieces = {
            "Images": "from images.tar",
            "lists/train_list.mat": "from lists.tar, unpacked in lists",
            "lists/test_list.mat": "from lists.tar, unpacked in lists",
        }
        require(
            "Stanford Dogs", root, pieces, f"To fetch and unpack it: ex2 data stanford_dogs --root {root} --download"
        )
        base = Path(root).expanduser()
        folders = sorted(p.name for p in (base / "Images").iterdir() if p.is_dir() and not p.name.startswith("."))
        expected = read_class_list("stanford_dogs")
        check_label_order([folder.partition("-")[2] for folder in folders], expected, str(base / "Images"))
        self.class_names = expected.names
        self._files = {split: self._split(base, split, folders) for split in self.splits}

    @staticmethod
    def _split(base: Path, split: str, folders: list[str]) -> list[ImageFile]:
        path = base / "lists" / f"{split}_list.mat"
        try:
            data = loadmat(path, squeeze_me=True)
            files, labels = (np.atleast_1d(data[key]) for key in ("file_list", "labels"))
            rows = [(str(file), int(label) - 1) for file, label in zip(files, labels, strict=True)]
        except (MatReadError, OSError, ValueError, KeyError, TypeError, NotImplementedError) as error:
            raise UserError(f"{path}: cannot be read ({error}); {AGAIN}") from error
        by_folder = {comparable(folder): label for label, folder in enumerate(folders)}
        wrong = [
            f"{file} has label {label + 1}"
            for file, label in rows
            if by_folder.get(comparable(file.partition("/")[0])) != label
        ]
        if wrong:
            raise UserError(
                f"{path}: wrong label order: labels and sorted folders disagree: {'; '.join(wrong[:3])} "
                f"({len(wrong)} in all); {AGAIN}"
            )
        return [ImageFile(base / "Images" / file, label) for file, label in rows]


def _int(text: str) -> int:
    return int(text) if text.isdecimal() else -1


def _numbered_lines(path: Path) -> dict[int, str]:
    """Read lines `number text`.

    Raises:
        UserError: If a line has another form or a number occurs twice; the message names the first such line.
    """
    found: dict[int, str] = {}
    for row, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        number, _, text = line.strip().partition(" ")
        if not number.isdecimal() or not text or int(number) in found:
            raise UserError(f"{path}: line {row}: '{line}' is not a new number and a value; {AGAIN}")
        found[int(number)] = text
    return found
