"""Datasets whose labels follow from the objects that were marked in each image: VOC 2007 and KITTI's distances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from ex2.data.datasets.archives import Archive
from ex2.data.datasets.base import ImageFile, ListedImages, in_order, require
from ex2.data.datasets.class_lists import read_class_list
from reward.errors import UserError, one_line, shortened
from reward.images import LabeledImage

AGAIN = "unpack the official archive again."

PRESENT, UNCOUNTED, ABSENT = 1, 0, -1
"""What `labels_of` says of a class in an image, in the coding of VOC's own lists: seen; only in objects that are marked
as difficult, so that the image counts neither for nor against the class; not seen."""


@dataclass(frozen=True, slots=True)
class Annotation:
    """What VOC's annotation of an image says of its classes.

    Attributes:
        main: Label of the largest object, one that is not difficult if there is any.
        labels: PRESENT, UNCOUNTED or ABSENT for each class, shape (C,).
    """

    main: int
    labels: NDArray[np.int8]


class VOC2007:
    """PASCAL VOC 2007 for classification: 20 classes, several in an image; splits `train`, `val`, `trainval` (both of
    them) and `test`.

    `images` gives each image one label, that of its largest object by the area of its box: all that a bank of class
    centers, or a choice of images by class, can use. The benchmark's metric, 11-point mAP, needs `labels_of`.

    Args:
        root: Folder that holds `VOCdevkit/VOC2007/{Annotations,ImageSets,JPEGImages}`.

    Raises:
        UserError: If a piece is missing.
    """

    splits = ("train", "val", "trainval", "test")
    official_sizes: ClassVar = {"train": 2501, "val": 2510, "trainval": 5011, "test": 4952}
    parts: ClassVar = {"trainval": ("train", "val")}
    archives: ClassVar[tuple[Archive, ...]] = ()
    download_help: ClassVar = (
        "VOC 2007 is two archives for one folder, which ex2 does not unpack: get VOCtrainval_06-Nov-2007.tar and "
        "VOCtest_06-Nov-2007.tar from host.robots.ox.ac.uk, unpack both in ROOT, then check them with: ex2 data "
        "voc2007 --root ROOT"
    )

    def __init__(self, root: str) -> None:
        archive = dict.fromkeys(self.splits, "VOCtrainval_06-Nov-2007.tar") | {
            "test": "VOCtest_06-Nov-2007.tar, unpacked into the same folder"
        }
        pieces = {"Annotations": "from both archives", "JPEGImages": "from both archives"}
        pieces |= {f"ImageSets/Main/{split}.txt": f"from {archive[split]}" for split in self.splits}
        pieces = {f"VOCdevkit/VOC2007/{piece}": how for piece, how in pieces.items()}
        require("VOC 2007", root, pieces, self.download_help.replace("ROOT", root))
        self._base = Path(root).expanduser() / "VOCdevkit" / "VOC2007"
        classes = read_class_list("voc2007")
        self.class_names = classes.names
        self._label_of = {name: label for label, name in enumerate(classes.official)}
        self._read: dict[str, tuple[list[LabeledImage], NDArray[np.int8]]] = {}

    def images(self, split: str) -> Sequence[LabeledImage]:
        """Return a split's images, ordered by main label, then by file name; the annotations are read.

        Raises:
            UserError: If an annotation is missing or malformed.
        """
        return self._split(split)[0]

    def labels_of(self, split: str) -> NDArray[np.int8]:
        """Return PRESENT, UNCOUNTED or ABSENT for each class, shape (N, C), rows in the order of `images`.

        Raises:
            UserError: If an annotation is missing or malformed.
        """
        return self._split(split)[1]

    def _split(self, split: str) -> tuple[list[LabeledImage], NDArray[np.int8]]:
        if split not in self._read:
            path = self._base / "ImageSets" / "Main" / f"{split}.txt"
            try:
                names = path.read_text(encoding="utf-8", errors="replace").split()
            except OSError as error:
                raise UserError(f"{path}: cannot be read ({error.strerror}); {AGAIN}") from error
            found: dict[str, Annotation] = {}
            wrong = []
            for name in names:
                try:
                    found[name] = read_annotation(self._base / "Annotations" / f"{name}.xml", self._label_of)
                except UserError as error:
                    wrong.append(str(error))
            if wrong:
                raise UserError("\n".join(wrong[:5] + [f"and {len(wrong) - 5} more annotations"] * (len(wrong) > 5)))
            folder = self._base / "JPEGImages"
            images = in_order(ImageFile(folder / f"{name}.jpg", one.main) for name, one in found.items())
            rows = [found[Path(image.name).stem].labels for image in images]
            self._read[split] = images, np.array(rows, np.int8).reshape(len(rows), len(self._label_of))
        return self._read[split]


def read_annotation(path: Path, label_of: dict[str, int]) -> Annotation:
    """Read which classes an image of VOC shows.

    Args:
        path: The annotation.
        label_of: The dataset's name of each class → its label.

    Raises:
        UserError: If it is missing, is no annotation, or has no object of a class.
    """
    try:
        content = path.read_bytes()
        if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
            raise ValueError("it declares entities, which annotations do not")
        objects = [_Object.of(node, label_of) for node in ElementTree.fromstring(content).iterfind("object")]
    except FileNotFoundError as error:
        raise UserError(f"{path}: missing; {AGAIN}") from error
    except (OSError, ValueError, KeyError, TypeError, ElementTree.ParseError) as error:
        raise UserError(f"{path}: no annotation of VOC ({shortened(one_line(error), 200)}); {AGAIN}") from error
    if not objects:
        raise UserError(f"{path}: has no object, so that the image has no label; {AGAIN}")
    labels = np.full(len(label_of), ABSENT, np.int8)
    for one in objects:
        labels[one.label] = max(labels[one.label], UNCOUNTED if one.difficult else PRESENT)
    main = max(objects, key=lambda one: (not one.difficult, one.area, -one.label))
    return Annotation(main.label, labels)


@dataclass(frozen=True, slots=True)
class _Object:
    label: int
    difficult: bool
    area: float

    @classmethod
    def of(cls, node: ElementTree.Element, label_of: dict[str, int]) -> _Object:
        name = node.findtext("name", "").strip()
        if name not in label_of:
            raise ValueError(f"'{name}' is no class")
        left, top, right, bottom = (
            float(node.findtext(f"bndbox/{side}", "none")) for side in ("xmin", "ymin", "xmax", "ymax")
        )
        difficult = node.findtext("difficult", "0").strip() == "1"
        return cls(label_of[name], difficult, (right - left) * (bottom - top))


class KITTIDistance(ListedImages):
    """KITTI as VTAB's task `closest_vehicle_distance`: how far the nearest car, van or truck is; 4 classes, splits
    `train`, `val` and `test`.

    KITTI itself, and torchvision's reader of it, is for detection, and the labels of its test are not published: the
    images are its training images. The label is the depth z of the nearest vehicle: at most 8 m, at most 20 m, more,
    or no vehicle. Splits are those of TensorFlow Datasets: a tenth of the recordings for the test and for `val`, drawn
    with NumPy's seed 123, so that no recording is in two splits.

    Args:
        root: Folder that holds `Kitti/raw/training/{image_2,label_2}`, and in `Kitti/raw/devkit/mapping` the lists of
            the development kit that say which recording an image is of.

    Raises:
        UserError: If a piece is missing, a label file or a list of the development kit is malformed, or they disagree.

    Source: Zhai et al. 2019 (arXiv:1910.04867).
    """

    splits = ("train", "val", "test")
    official_sizes: ClassVar = {"train": 6347, "val": 423, "test": 711}
    archives: ClassVar[tuple[Archive, ...]] = ()
    download_help: ClassVar = (
        "KITTI is given out to registered users: get data_object_image_2.zip, data_object_label_2.zip and "
        "devkit_object.zip from cvlibs.net, unpack the first two into ROOT/Kitti/raw and the last one into "
        "ROOT/Kitti/raw/devkit, then check them with: ex2 data kitti_distance --root ROOT"
    )

    def __init__(self, root: str) -> None:
        pieces = {
            "training/image_2": "from data_object_image_2.zip",
            "training/label_2": "from data_object_label_2.zip",
            "devkit/mapping/train_rand.txt": "from devkit_object.zip, unpacked in devkit",
            "devkit/mapping/train_mapping.txt": "from devkit_object.zip, unpacked in devkit",
        }
        pieces = {f"Kitti/raw/{piece}": how for piece, how in pieces.items()}
        require("KITTI", root, pieces, self.download_help.replace("ROOT", root))
        base = Path(root).expanduser() / "Kitti" / "raw"
        self.class_names = read_class_list("kitti_distance").names
        recordings = _recordings(base / "devkit" / "mapping")
        held_out = held_out_recordings(recordings)
        self._files = {split: [] for split in self.splits}
        wrong = []
        for number, recording in enumerate(recordings):
            split = next((name for name, chosen in held_out.items() if recording in chosen), "train")
            try:
                label = distance_class(base / "training" / "label_2" / f"{number:06d}.txt")
            except UserError as error:
                wrong.append(str(error))
                continue
            self._files[split].append(ImageFile(base / "training" / "image_2" / f"{number:06d}.png", label))
        if wrong:
            raise UserError("\n".join(wrong[:5] + [f"and {len(wrong) - 5} more files of labels"] * (len(wrong) > 5)))


DISTANCES = (8.0, 20.0)
"""Meters up to which the nearest vehicle is in the first and in the second class."""

VEHICLES = ("Car", "Van", "Truck")


def distance_class(path: Path) -> int:
    """Return VTAB's class of a file of KITTI's labels: 0, 1 or 2 by the depth of the nearest vehicle, 3 for none.

    Raises:
        UserError: If the file is missing, or a line has not the 15 fields of a label.
    """
    nearest = float("inf")
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); {AGAIN}") from error
    for number, line in enumerate(lines, start=1):
        fields = line.split()
        try:
            depth = float(fields[13]) if len(fields) == 15 else float("nan")
        except ValueError:
            depth = float("nan")
        if not np.isfinite(depth):
            raise UserError(f"{path}: line {number}: '{line[:80]}' has not the 15 fields of a label; {AGAIN}")
        if fields[0] in VEHICLES:
            nearest = min(nearest, depth)
    return len(DISTANCES) + 1 if nearest == float("inf") else sum(nearest > limit for limit in DISTANCES)


def held_out_recordings(recordings: Sequence[str]) -> dict[str, set[str]]:
    """Return the recordings of `test` and of `val` as TensorFlow Datasets draws them.

    Args:
        recordings: The recording of each image.
    """
    names = sorted(set(recordings))
    count = max(1, 10 * len(names) // 100)
    generator = np.random.RandomState(123)
    test = {str(name) for name in generator.choice(names, count, replace=False)}
    val = {str(name) for name in generator.choice(sorted(set(names) - test), count, replace=False)}
    return {"test": test, "val": val}


def _recordings(mapping: Path) -> list[str]:
    """Return the recording that each training image is of: its line's second word in `train_mapping.txt`, and its line
    in `train_rand.txt`, counted from 1.

    Raises:
        UserError: If a list is malformed, names a line that there is not, or has fewer than three recordings.
    """
    order, lines = mapping / "train_rand.txt", mapping / "train_mapping.txt"
    try:
        numbers = [int(word) for word in order.read_text(encoding="utf-8", errors="replace").split(",")]
        rows = [line.split() for line in lines.read_text(encoding="utf-8", errors="replace").splitlines()]
        if min(numbers) < 1:
            raise ValueError(f"line {min(numbers)} of {lines.name}")
        found = [rows[number - 1][1] for number in numbers]
    except (OSError, ValueError, IndexError) as error:
        raise UserError(
            f"{mapping}: {order.name} and {lines.name} do not say which recording each image is of "
            f"({shortened(one_line(error), 200)}); {AGAIN}"
        ) from error
    if len(set(found)) < 3:
        raise UserError(f"{mapping}: {len(set(found))} recordings; train, val and test need one each: {AGAIN}")
    return found
