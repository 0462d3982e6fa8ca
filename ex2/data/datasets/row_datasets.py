"""Datasets whose images are read one at a time from a file that holds them all: FER-2013 and PatchCamelyon."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torchvision import datasets

from ex2.data.datasets.archives import Archive
from ex2.data.datasets.base import require
from ex2.data.datasets.class_lists import read_class_list
from ex2.data.datasets.pixel_datasets import PixelImages, check_labels, pixel_digest
from reward.errors import EnvironmentFault, UserError, one_line, shortened
from reward.images import LabeledImage

AGAIN = "unpack the official archive again."


class FER2013(PixelImages):
    """FER-2013: faces with one of 7 expressions, splits `train`, `val` (the challenge's public test) and `test` (its
    private test).

    Labels are the numbers of the challenge's own file, in which neutral is the last: not the alphabetical order of the
    copies in folders. The test has 3,589 images; the 3,574 in CLIP's and GenBench's tables are, as CLIP's authors said
    later, an error of their table.

    Args:
        root: Folder that holds `fer2013/fer2013.csv`, or `icml_face_data.csv`, which has the same rows.

    Raises:
        UserError: If the file is missing, or a row has not 48 × 48 pixels, an expression and a split.
    """

    splits = ("train", "val", "test")
    official_sizes: ClassVar = {"train": 28709, "val": 3589, "test": 3589}
    archives: ClassVar[tuple[Archive, ...]] = ()
    download_help: ClassVar = (
        "FER-2013 is given out to registered users: get fer2013.tar.gz or icml_face_data.csv of the challenge on "
        "facial expressions from kaggle.com and put the .csv file into ROOT/fer2013, then check it with: ex2 data "
        "fer2013 --root ROOT"
    )
    _usage: ClassVar = {"Training": "train", "PublicTest": "val", "PrivateTest": "test"}

    def __init__(self, root: str) -> None:
        base = Path(root).expanduser() / "fer2013"
        path = base / "icml_face_data.csv"
        if not path.exists():
            path = base / "fer2013.csv"
            pieces = {"fer2013/fer2013.csv": "or icml_face_data.csv; train.csv and test.csv lack the test's labels"}
            require("FER-2013", root, pieces, self.download_help.replace("ROOT", root))
        self.class_names = read_class_list("fer2013").names
        self._images = {split: [] for split in self.splits}
        for split, image in _faces(path, self._usage, len(self.class_names)):
            self._images[split].append(image)
        for images in self._images.values():
            images.sort(key=lambda image: image.label)  # stable: equal labels keep the order of the file


class PCAM(PixelImages):
    """PatchCamelyon: 96 × 96 patches of lymph nodes, of which the middle shows a tumor or not; splits `train`, `val`
    and `test`. Needs the package `h5py`.

    Args:
        root: Folder that holds `pcam/camelyonpatch_level_2_split_{train,valid,test}_{x,y}.h5`, unpacked.

    Raises:
        UserError: If a file is missing or malformed, or images and labels differ in number.
        EnvironmentFault: If `h5py` is not installed.
    """

    splits = ("train", "val", "test")
    official_sizes: ClassVar = {"train": 262144, "val": 32768, "test": 32768}
    archives: ClassVar[tuple[Archive, ...]] = ()
    download_help: ClassVar = (
        "PatchCamelyon lies on a drive that only a browser reads: get its six .h5.gz files from its authors' page "
        "(basveeling/pcam) and unpack them into ROOT/pcam, then check them with: ex2 data pcam --root ROOT"
    )

    def __init__(self, root: str) -> None:
        files = {
            (split, kind): f"pcam/{datasets.PCAM._FILES[split][key][0]}"
            for split in self.splits
            for kind, key in (("x", "images"), ("y", "targets"))
        }
        pieces = {file: f"from {Path(file).name}.gz" for file in files.values()}
        require("PatchCamelyon", root, pieces, self.download_help.replace("ROOT", root))
        base = Path(root).expanduser()
        self.class_names = read_class_list("pcam").names
        self._images = {
            split: _patches(base / files[split, "x"], base / files[split, "y"], len(self.class_names))
            for split in self.splits
        }


@dataclass(frozen=True, slots=True)
class Patch:
    """An image in an HDF5 file; opening it reads that image alone."""

    path: Path
    index: int
    label: int

    @property
    def name(self) -> str:
        return f"{self.path}[{self.index:06d}]"

    def pixels(self) -> NDArray[np.uint8]:
        """Read the pixels, shape (96, 96, 3).

        Raises:
            UserError: If the file cannot be read.
        """
        try:
            with _h5py().File(self.path) as file:
                return np.asarray(file["x"][self.index], np.uint8)
        except (OSError, KeyError, ValueError) as error:
            raise UserError(f"{self.name}: cannot be read ({shortened(one_line(error), 200)}); {AGAIN}") from error

    def open(self) -> Image.Image:
        """Read the image."""
        return Image.fromarray(self.pixels())

    def digest(self) -> str:
        """Return the SHA-256 of the shape and the pixels."""
        return pixel_digest(self.pixels())


@dataclass(frozen=True, slots=True)
class Face:
    """An image in a row of FER-2013's table.

    Attributes:
        path: The table.
        row: Number of the row, the header's being 0.
        label: Index into the class names.
        start: Byte of the file at which the pixels begin.
        length: Bytes of the pixels' text.
    """

    path: Path
    row: int
    label: int
    start: int
    length: int

    @property
    def name(self) -> str:
        return f"{self.path}[{self.row:05d}]"

    def pixels(self) -> NDArray[np.uint8]:
        """Read the pixels, shape (48, 48).

        Raises:
            UserError: If there are not 48 × 48 numbers of 0 to 255.
        """
        try:
            with self.path.open("rb") as file:
                file.seek(self.start)
                numbers = [int(word) for word in file.read(self.length).split()]
            return np.array(numbers, np.uint8).reshape(48, 48)
        except (OSError, ValueError, OverflowError) as error:
            raise UserError(
                f"{self.name}: not 48 × 48 numbers of 0 to 255 ({shortened(one_line(error), 200)}); {AGAIN}"
            ) from error

    def open(self) -> Image.Image:
        """Read the image."""
        return Image.fromarray(self.pixels())

    def digest(self) -> str:
        """Return the SHA-256 of the shape and the pixels."""
        return pixel_digest(self.pixels())


def _faces(path: Path, usage: dict[str, str], class_count: int) -> list[tuple[str, Face]]:
    """Return the split and the image of each row; of a row only the short fields are looked at."""
    wrong = []
    found = []
    try:
        with path.open("rb") as file:
            header = [name.strip() for name in file.readline().decode("utf-8-sig", "replace").split(",")]
            if sorted(header) != ["Usage", "emotion", "pixels"]:
                raise UserError(f"{path}: columns {header[:9]}; emotion, pixels and Usage are allowed: {AGAIN}")
            places = [header.index(name) for name in ("emotion", "pixels", "Usage")]
            start = file.tell()
            for row, line in enumerate(file, start=1):
                fields = line.split(b",")
                emotion, pixels, split = (fields[place] if len(fields) == 3 else b"" for place in places)
                label, kind = emotion.strip(b' "').decode("latin1"), split.strip(b' "\r\n').decode("latin1")
                if label.isdecimal() and int(label) < class_count and kind in usage:
                    skipped = sum(len(field) + 1 for field in fields[: places[1]])
                    text = pixels.strip(b' "\r\n')
                    begin = start + skipped + pixels.index(text)
                    found.append((usage[kind], Face(path, row, int(label), begin, len(text))))
                elif line.strip():
                    wrong.append(f"row {row}: emotion '{label[:20]}', Usage '{kind[:20]}'")
                start += len(line)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); {AGAIN}") from error
    if wrong:
        more = f" ({len(wrong)} rows in all)" if len(wrong) > 3 else ""
        raise UserError(
            f"{path}: {'; '.join(wrong[:3])}{more}; an emotion of 0 to {class_count - 1} and one of "
            f"{', '.join(usage)} are allowed: {AGAIN}"
        )
    return found


def _patches(path: Path, labels_path: Path, class_count: int) -> list[LabeledImage]:
    try:
        with _h5py().File(path) as file:
            count = len(file["x"])
        with _h5py().File(labels_path) as file:
            labels = np.asarray(file["y"]).reshape(-1)
    except (OSError, KeyError, TypeError) as error:
        raise UserError(
            f"{path}: it or {labels_path.name} cannot be read ({shortened(one_line(error), 200)}); {AGAIN}"
        ) from error
    check_labels(count, labels, path, class_count)
    return [Patch(path, int(index), int(labels[index])) for index in np.argsort(labels, kind="stable")]


def _h5py() -> Any:
    """Import the package that reads HDF5, which few need.

    Raises:
        EnvironmentFault: If it is not installed.
    """
    try:
        return importlib.import_module("h5py")
    except ModuleNotFoundError as error:
        raise EnvironmentFault(
            "dataset pcam: PatchCamelyon's files are HDF5, and the package 'h5py', which reads them, is not installed; "
            "install it with: pip install h5py"
        ) from error
