"""Datasets whose splits are lists in files of their own: Food-101, SUN397, GTSRB and Hateful Memes."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import ClassVar

from torchvision import datasets

from ex2.data.datasets.archives import Archive
from ex2.data.datasets.base import ImageFile, ListedImages, require
from ex2.data.datasets.class_folder_datasets import class_folders, fetch, image_files
from ex2.data.datasets.class_lists import read_class_list
from reward.errors import UserError
from reward.strict_json import JSONFault, decode

AGAIN = "unpack the official archive again."
SHOWN = 3
"""Most faulty lines that a message names; the others are only counted."""


class Food101(ListedImages):
    """Food-101: 101 dishes, splits `train` (750 images a class, not cleaned) and `test` (250, reviewed).

    Args:
        root: Folder that holds `food-101/{images,meta}`.

    Raises:
        UserError: If a piece is missing, `classes.txt` has not 101 classes, or a list names other ones.
    """

    splits = ("train", "test")
    official_sizes: ClassVar = {"train": 75750, "test": 25250}
    archives: ClassVar = (Archive(datasets.Food101._URL, "food-101", datasets.Food101._MD5),)
    class_count: ClassVar = 101

    def __init__(self, root: str) -> None:
        lists = ("meta/classes.txt", *(f"meta/{split}.txt" for split in self.splits))
        pieces = {f"food-101/{piece}": "from food-101.tar.gz" for piece in ("images", *lists)}
        require("Food-101", root, pieces, fetch("food101", root))
        base = Path(root).expanduser() / "food-101"
        classes = own_classes(base / "meta/classes.txt", self.class_count)
        self.class_names = tuple(name.replace("_", " ") for name in classes)
        labels = {name: label for label, name in enumerate(classes)}
        self._files = {
            split: [
                ImageFile(base / "images" / f"{line}.jpg", label)
                for line, label in _labeled(base / f"meta/{split}.txt", labels, depth=1)
            ]
            for split in self.splits
        }


class SUN397(ListedImages):
    """SUN397: 397 kinds of scenes, splits `train` and `test` of 50 images a class each.

    The archive of images has no split, and neither has torchvision's reader; the authors' ten partitions are a second
    archive. CLIP and GenBench report the size of one of them.

    Args:
        root: Folder that holds `SUN397`, with `ClassName.txt` and the partitions in `SUN397/Partitions`.
        partition: Number of the official partition, 1 to 10.

    Raises:
        UserError: If a piece is missing, `ClassName.txt` has not 397 classes, or a list names other ones.
    """

    splits = ("train", "test")
    official_sizes: ClassVar = {"train": 19850, "test": 19850}
    archives: ClassVar = (
        Archive(datasets.SUN397._DATASET_URL, "SUN397", datasets.SUN397._DATASET_MD5),
        Archive(
            "https://vision.princeton.edu/projects/2010/SUN/download/Partitions.zip",
            "SUN397/Partitions",
            None,
            bare=True,
        ),
    )
    class_count: ClassVar = 397

    def __init__(self, root: str, partition: int = 1) -> None:
        if partition not in range(1, 11):
            raise UserError(f"dataset.partition: given {partition!r}; allowed: 1 to 10.")
        lists = {
            "train": f"Partitions/Training_{partition:02d}.txt",
            "test": f"Partitions/Testing_{partition:02d}.txt",
        }
        pieces = {"SUN397/ClassName.txt": "from SUN397.tar.gz"}
        pieces |= {f"SUN397/{file}": "from Partitions.zip, unpacked in SUN397/Partitions" for file in lists.values()}
        require("SUN397", root, pieces, fetch("sun397", root))
        base = Path(root).expanduser() / "SUN397"
        folders = own_classes(base / "ClassName.txt", self.class_count)
        # "/c/church/indoor": the letter sorts the folders, and what follows tells the kinds of a scene apart
        self.class_names = tuple(" ".join(name.split("/")[2:]).replace("_", " ") for name in folders)
        labels = {name: label for label, name in enumerate(folders)}
        self._files = {
            split: [
                ImageFile(base / line.lstrip("/"), label) for line, label in _labeled(base / file, labels, depth=None)
            ]
            for split, file in lists.items()
        }


class GTSRB(ListedImages):
    """German Traffic Sign Recognition Benchmark: 43 signs, splits `train` (26,640 images) and `test`.

    Args:
        root: Folder that holds `gtsrb/GTSRB/{Training,Final_Test/Images}` and `gtsrb/GT-final_test.csv`.

    Raises:
        UserError: If a piece is missing, the folders are not the 43 classes, or the list of the test is malformed.
    """

    splits = ("train", "test")
    official_sizes: ClassVar = {"train": 26640, "test": 12630}
    archives: ClassVar[tuple[Archive, ...]] = ()
    download_help: ClassVar = (
        "GTSRB is three archives for one folder, which ex2 does not unpack: get GTSRB-Training_fixed.zip, "
        "GTSRB_Final_Test_Images.zip and GTSRB_Final_Test_GT.zip from its authors' page, unpack them into ROOT/gtsrb, "
        "then check them with: ex2 data gtsrb --root ROOT"
    )

    def __init__(self, root: str) -> None:
        pieces = {
            "gtsrb/GTSRB/Training": "from GTSRB-Training_fixed.zip",
            "gtsrb/GTSRB/Final_Test/Images": "from GTSRB_Final_Test_Images.zip",
            "gtsrb/GT-final_test.csv": "the test labels, from GTSRB_Final_Test_GT.zip",
        }
        require("GTSRB", root, pieces, self.download_help.replace("ROOT", root))
        base = Path(root).expanduser() / "gtsrb"
        classes = read_class_list("gtsrb")
        self.class_names = classes.names
        folders = class_folders(base / "GTSRB/Training", classes)
        train = [ImageFile(path, label) for label, folder in enumerate(folders) for path in image_files(folder)]
        tests = self._labels(base / "GT-final_test.csv", len(folders))
        images = base / "GTSRB/Final_Test/Images"
        self._files = {"train": train, "test": [ImageFile(images / name, label) for name, label in tests.items()]}

    @staticmethod
    def _labels(path: Path, class_count: int) -> dict[str, int]:
        found: dict[str, int] = {}
        wrong = []
        with path.open(encoding="utf-8", errors="replace", newline="") as file:
            for number, row in enumerate(csv.DictReader(file, delimiter=";", skipinitialspace=True), start=2):
                name, label = row.get("Filename"), row.get("ClassId")
                if not name or label is None or not label.isdecimal() or int(label) >= class_count or name in found:
                    wrong.append(f"line {number}: Filename {name!r}, ClassId {label!r}")
                else:
                    found[name] = int(label)
        _refuse(path, wrong, f"a new file name and a class of 0 to {class_count - 1} are allowed")
        return found


class HatefulMemes(ListedImages):
    """Hateful Memes: memes of two classes, splits `train` and `dev`; `dev` is what papers report, as the labels of the
    challenge's test came later.

    Args:
        root: Folder that holds `hateful_memes/{img,train.jsonl}` and `dev.jsonl`, or `dev_seen.jsonl` as later releases
            call the same 500 memes.

    Raises:
        UserError: If a piece is missing, or a line lacks the image or a label of 0 or 1.
    """

    splits = ("train", "dev")
    official_sizes: ClassVar = {"train": 8500, "dev": 500}
    archives: ClassVar[tuple[Archive, ...]] = ()
    download_help: ClassVar = (
        "Hateful Memes is given out under terms that you accept yourself: get the challenge's archive from "
        "hatefulmemeschallenge.com and unpack it into ROOT/hateful_memes, then check it with: ex2 data hateful_memes "
        "--root ROOT"
    )

    def __init__(self, root: str) -> None:
        base = Path(root).expanduser() / "hateful_memes"
        dev = "dev_seen.jsonl" if (base / "dev_seen.jsonl").exists() else "dev.jsonl"
        lists = {"train": "train.jsonl", "dev": dev}
        pieces = {f"hateful_memes/{piece}": "from the challenge's archive" for piece in ("img", *lists.values())}
        require("Hateful Memes", root, pieces, self.download_help.replace("ROOT", root))
        self.class_names = read_class_list("hateful_memes").names
        self._files = {split: self._split(base, base / file) for split, file in lists.items()}

    @staticmethod
    def _split(base: Path, path: Path) -> list[ImageFile]:
        found, wrong = [], []
        for number, line in enumerate(_lines(path), start=1):
            if line:
                try:
                    row = decode(line)
                    found.append(ImageFile(base / row["img"], ("0", "1").index(str(row["label"]))))
                except (JSONFault, ValueError, KeyError, TypeError):
                    wrong.append(f"line {number}: '{line[:80]}'")
        _refuse(path, wrong, "an object with the path of an image, img, and a label of 0 or 1 is allowed")
        return found


def own_classes(path: Path, count: int) -> list[str]:
    """Return the classes of a list that the dataset brings, one a line, in label order.

    Raises:
        UserError: If there are more or fewer than there should be, or one stands twice.
    """
    names = [line for line in _lines(path) if line]
    if len(names) != count or len(set(names)) != count:
        raise UserError(
            f"{path}: wrong list of classes: {len(names)} lines with {len(set(names))} different names; {count} "
            f"classes are allowed, each once: {AGAIN}"
        )
    return names


def _labeled(path: Path, labels: Mapping[str, int], *, depth: int | None) -> Iterable[tuple[str, int]]:
    """Return each line of a list of images with the label of the folder that it names.

    Args:
        path: The list.
        labels: Folder → label.
        depth: How many parts of the line name the folder; None for all but the last.

    Raises:
        UserError: If a line names no folder of a class; one message names the first such lines.
    """
    found, wrong = [], []
    for number, line in enumerate(_lines(path), start=1):
        if line:
            parts = line.split("/")
            label = labels.get("/".join(parts[:-1] if depth is None else parts[:depth]))
            if label is None:
                wrong.append(f"line {number}: '{line[:80]}'")
            else:
                found.append((line, label))
    _refuse(path, wrong, "an image in a class's folder is allowed")
    return found


def _lines(path: Path) -> list[str]:
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8", errors="replace").splitlines()]
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); {AGAIN}") from error


def _refuse(path: Path, wrong: list[str], allowed: str) -> None:
    if wrong:
        more = f" ({len(wrong)} lines in all)" if len(wrong) > SHOWN else ""
        raise UserError(f"{path}: {'; '.join(wrong[:SHOWN])}{more}; {allowed}: {AGAIN}")
