"""Datasets that fit into memory, many images in one file: CIFAR-10, CIFAR-100 and MNIST."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torchvision import datasets
from torchvision.datasets.utils import check_integrity

from ex2.data.datasets.archives import Archive
from ex2.data.datasets.base import require
from ex2.data.datasets.class_folder_datasets import fetch
from ex2.data.datasets.class_lists import read_class_list
from reward.errors import UserError, one_line, shortened
from reward.images import LabeledImage

AGAIN = "unpack the official archive again."


@dataclass(frozen=True, slots=True, eq=False)
class PixelImage:
    """An image that is in memory.

    Attributes:
        pixels: Grey (H, W) or RGB (H, W, 3).
        label: Index into the class names.
        name: Of the file that it is from, with its number in it.
    """

    pixels: NDArray[np.uint8]
    label: int
    name: str

    def open(self) -> Image.Image:
        """Return the image."""
        return Image.fromarray(self.pixels)

    def digest(self) -> str:
        """Return the SHA-256 of the shape and the pixels."""
        return pixel_digest(self.pixels)


class PixelImages:
    """A dataset whose images are in files that hold many of them."""

    _images: dict[str, list[LabeledImage]]

    def images(self, split: str) -> list[LabeledImage]:
        """Return a split's images, ordered by label, then by their numbers in the file."""
        return self._images[split]


class CIFAR10(PixelImages):
    """CIFAR-10: 10 classes, splits `train` and `test`.

    Args:
        root: Folder that holds `cifar-10-batches-py`. Its files are pickles, which can run code: they are read only if
            their checksums are the published ones.

    Raises:
        UserError: If a file is missing or not the official one.
    """

    splits = ("train", "test")
    official_sizes: ClassVar = {"train": 50000, "test": 10000}
    archives: ClassVar = (Archive(datasets.CIFAR10.url, datasets.CIFAR10.base_folder, datasets.CIFAR10.tgz_md5),)

    def __init__(self, root: str) -> None:
        names, self._images = _cifar(datasets.CIFAR10, "CIFAR-10", "cifar10", root)
        self.class_names = tuple(name.replace("_", " ") for name in names)


class CIFAR100(PixelImages):
    """CIFAR-100 with its 100 fine classes, splits `train` and `test`.

    Args:
        root: Folder that holds `cifar-100-python`. Its files are pickles, which can run code: they are read only if
            their checksums are the published ones.

    Raises:
        UserError: If a file is missing or not the official one.
    """

    splits = ("train", "test")
    official_sizes: ClassVar = {"train": 50000, "test": 10000}
    archives: ClassVar = (Archive(datasets.CIFAR100.url, datasets.CIFAR100.base_folder, datasets.CIFAR100.tgz_md5),)

    def __init__(self, root: str) -> None:
        names, self._images = _cifar(datasets.CIFAR100, "CIFAR-100", "cifar100", root)
        self.class_names = tuple(name.replace("_", " ") for name in names)


class MNIST(PixelImages):
    """MNIST: 10 handwritten digits, splits `train` and `test`.

    Args:
        root: Folder that holds `MNIST/raw` with the four official files, packed (`.gz`) or not.

    Raises:
        UserError: If a file is missing or malformed, or images and labels differ in number.
    """

    splits = ("train", "test")
    official_sizes: ClassVar = {"train": 60000, "test": 10000}
    archives: ClassVar = tuple(
        Archive(datasets.MNIST.mirrors[0] + file, f"MNIST/raw/{file}", md5) for file, md5 in datasets.MNIST.resources
    )
    _prefix: ClassVar = {"train": "train", "test": "t10k"}

    def __init__(self, root: str) -> None:
        raw = Path(root).expanduser() / "MNIST" / "raw"
        files = {
            f"{prefix}-{kind}": raw / f"{prefix}-{kind}-ubyte"
            for prefix in self._prefix.values()
            for kind in ("images-idx3", "labels-idx1")
        }
        packed = {key: path.with_name(f"{path.name}.gz") for key, path in files.items()}
        pieces = {
            f"MNIST/raw/{packed[key].name}": "or the same unpacked" for key, path in files.items() if not path.exists()
        }
        require("MNIST", root, pieces, fetch("mnist", root))
        found = {key: path if path.exists() else packed[key] for key, path in files.items()}
        self.class_names = read_class_list("mnist").names
        self._images = {
            split: _labeled(
                read_idx(found[f"{prefix}-images-idx3"], 3),
                read_idx(found[f"{prefix}-labels-idx1"], 1),
                found[f"{prefix}-images-idx3"],
                len(self.class_names),
            )
            for split, prefix in self._prefix.items()
        }


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """Read a file in MNIST's format: a magic number, the sizes as big-endian integers of 4 bytes, and the bytes.

    Args:
        path: The file, packed if its name ends in `.gz`.
        dimensions: How many it should have: 3 for images, 1 for labels.

    Raises:
        UserError: If it is damaged, of another kind, or shorter or longer than its sizes say.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({shortened(one_line(error), 200)}); {AGAIN}") from error
    start = 4 + 4 * dimensions
    if content[:4] != bytes([0, 0, 8, dimensions]) or len(content) < start:
        raise UserError(f"{path}: is no table of bytes in {dimensions} dimensions, as MNIST's files are; {AGAIN}")
    shape = [int(size) for size in np.frombuffer(content, ">u4", dimensions, offset=4)]
    if len(content) - start != int(np.prod(shape, dtype=object)):
        raise UserError(f"{path}: {len(content) - start} bytes for the shape {tuple(shape)}; {AGAIN}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _cifar(reader: Any, title: str, key: str, root: str) -> tuple[list[str], dict[str, list[LabeledImage]]]:
    """Return the class names and the images of each split."""
    listed = [*reader.train_list, *reader.test_list, [reader.meta["filename"], reader.meta["md5"]]]
    archive = f"from {reader.filename}"
    require(title, root, {f"{reader.base_folder}/{file}": archive for file, _ in listed}, fetch(key, root))
    base = Path(root).expanduser() / reader.base_folder
    changed = [str(base / file) for file, md5 in listed if not check_integrity(str(base / file), md5)]
    if changed:
        raise UserError(
            f"dataset.root: not the official file (md5 differs): {', '.join(changed)}. It is a pickle, which could run "
            f"code, and is not read. Delete it and fetch it again. {fetch(key, root)}"
        )
    images = {}
    for split in ("train", "test"):
        data = reader(str(Path(root).expanduser()), train=split == "train")
        images[split] = _labeled(data.data, np.array(data.targets), base / split, len(data.classes))
    return data.classes, images


def _labeled(pixels: NDArray[np.uint8], labels: NDArray[Any], path: Path, class_count: int) -> list[LabeledImage]:
    """Return images ordered by label, then by number."""
    check_labels(len(pixels), labels, path, class_count)
    order = np.argsort(labels, kind="stable")
    return [PixelImage(pixels[index], int(labels[index]), f"{path}[{index:05d}]") for index in order]


def check_labels(count: int, labels: NDArray[Any], path: Path, class_count: int) -> None:
    """Refuse labels that are more or fewer than the images, or of no class.

    Raises:
        UserError: If there are any.
    """
    if count != len(labels):
        raise UserError(f"{path}: {count} images, and {len(labels)} labels; {AGAIN}")
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < class_count:
        raise UserError(
            f"{path}: labels from {labels.min()} to {labels.max()}; 0 to {class_count - 1} are allowed: {AGAIN}"
        )


def pixel_digest(pixels: NDArray[np.uint8]) -> str:
    """Return the SHA-256 of the shape and the pixels."""
    return hashlib.sha256(f"{pixels.shape}".encode() + np.ascontiguousarray(pixels).tobytes()).hexdigest()
