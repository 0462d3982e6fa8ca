"""Datasets that torchvision reads, in the folders that torchvision expects.

Labels come from torchvision and class names from the project's lists; each reader checks that both agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar

from torchvision import datasets
from torchvision.datasets.utils import check_integrity

from ex2.data.datasets.archives import Archive
from ex2.data.datasets.base import ImageFile, ListedImages, require
from ex2.data.datasets.class_lists import check_label_order, comparable, prompt_name, read_class_list
from reward.errors import UserError, unknown_name


class Flowers102(ListedImages):
    """Oxford Flowers 102, splits `train`, `val` and `test`.

    Args:
        root: Folder that holds `flowers-102/{jpg,imagelabels.mat,setid.mat}`.

    Raises:
        UserError: If a piece is missing, or a list is not the official one.
    """

    splits = ("train", "val", "test")
    official_sizes: ClassVar = {"train": 1020, "val": 1020, "test": 6149}
    archives: ClassVar = tuple(
        Archive(datasets.Flowers102._download_url_prefix + file, f"flowers-102/{target}", md5)
        for (file, md5), target in zip(
            datasets.Flowers102._file_dict.values(), ("jpg", "imagelabels.mat", "setid.mat"), strict=True
        )
    )

    def __init__(self, root: str) -> None:
        require("Flowers 102", root, _pieces(self.archives), _fetch("flowers", root))
        base = Path(root).expanduser() / "flowers-102"
        changed = [
            str(base / file)
            for file, md5 in (datasets.Flowers102._file_dict[key] for key in ("label", "setid"))
            if not check_integrity(str(base / file), md5)
        ]
        if changed:  # the labels have no names in them: their checksum is what vouches for the label order
            raise UserError(
                f"dataset.root: not the official file (md5 differs): {', '.join(changed)}. Delete it and fetch it "
                f"again. {_fetch('flowers', root)}"
            )
        self.class_names = read_class_list("flowers").names
        read = _reader(datasets.Flowers102, root)
        self._files = {split: _paired((d := read(split=split))._image_files, d._labels) for split in self.splits}


class OxfordPets(ListedImages):
    """Oxford-IIIT Pets: 37 breeds, splits `trainval` and `test`.

    Args:
        root: Folder that holds `oxford-iiit-pet/{images,annotations}`.

    Raises:
        UserError: If a piece is missing, or an image's label is another breed than its file name says.
    """

    splits = ("trainval", "test")
    official_sizes: ClassVar = {"trainval": 3680, "test": 3669}
    archives: ClassVar = tuple(
        Archive(url, f"oxford-iiit-pet/{target}", md5)
        for (url, md5), target in zip(datasets.OxfordIIITPet._RESOURCES, ("images", "annotations"), strict=True)
    )

    def __init__(self, root: str) -> None:
        require("Oxford-IIIT Pets", root, _pieces(self.archives), _fetch("pets", root))
        classes = read_class_list("pets")
        self.class_names = classes.names
        read = _reader(datasets.OxfordIIITPet, root)
        self._files = {split: _paired((d := read(split=split))._images, d._labels) for split in self.splits}
        labels = classes.label_of()
        wrong = [
            f"{image.path.name} has label {image.label}, which {classes.file} names '{_named(classes.names, image)}'"
            for images in self._files.values()
            for image in images
            if labels.get(comparable(image.path.stem.rpartition("_")[0])) != image.label
        ]
        _refuse_wrong(wrong, Path(root) / "oxford-iiit-pet" / "annotations")


class FGVCAircraft(ListedImages):
    """FGVC Aircraft 2013b: 100 variants of 100 images; splits `train`, `val`, `trainval` (both of them) and `test`.

    Args:
        root: Folder that holds `fgvc-aircraft-2013b/data`.
        annotation_level: `variant`, or `family` or `manufacturer`, whose names come from the dataset's own files.

    Raises:
        UserError: If a piece is missing, or `variants.txt` differs from the project's list of classes.
    """

    splits = ("train", "val", "trainval", "test")
    official_sizes: ClassVar = {"train": 3334, "val": 3333, "trainval": 6667, "test": 3333}
    parts: ClassVar = {"trainval": ("train", "val")}
    archives: ClassVar = (
        # torchvision has no checksum; this one stands in several independent loaders of the dataset.
        Archive(datasets.FGVCAircraft._URL, "fgvc-aircraft-2013b", "d4acdd33327262359767eeaa97a4f732"),
    )
    _lists: ClassVar = {"variant": "variants.txt", "family": "families.txt", "manufacturer": "manufacturers.txt"}

    def __init__(self, root: str, annotation_level: str = "variant") -> None:
        if annotation_level not in self._lists:
            raise UserError(unknown_name("dataset.annotation_level", annotation_level, self._lists))
        data = "fgvc-aircraft-2013b/data"
        files = [
            "images",
            self._lists[annotation_level],
            *(f"images_{annotation_level}_{split}.txt" for split in self.splits),
        ]
        pieces = {f"{data}/{file}": "from fgvc-aircraft-2013b.tar.gz" for file in files}
        require("FGVC Aircraft", root, pieces, _fetch("fgvc_aircraft", root))
        read = _reader(datasets.FGVCAircraft, root)
        by_split = {split: read(split=split, annotation_level=annotation_level) for split in self.splits}
        official = by_split["test"].classes
        if annotation_level == "variant":
            classes = read_class_list("fgvc_aircraft")
            check_label_order(official, classes, str(Path(root) / data / "variants.txt"))
            self.class_names = classes.names
        else:
            self.class_names = tuple(prompt_name("fgvc_aircraft", name) for name in official)
        self._files = {split: _paired(d._image_files, d._labels) for split, d in by_split.items()}


class StanfordCars(ListedImages):
    """Stanford Cars: 196 classes, splits `train` and `test`. Its official page is gone; nothing can be downloaded.

    Args:
        root: Folder that holds `stanford_cars/{cars_train,cars_test,devkit,cars_test_annos_withlabels.mat}`.

    Raises:
        UserError: If a piece is missing, or `cars_meta.mat` differs from the project's list of classes.
    """

    splits = ("train", "test")
    official_sizes: ClassVar = {"train": 8144, "test": 8041}
    archives: ClassVar[tuple[Archive, ...]] = ()
    download_help: ClassVar = (
        "Stanford Cars cannot be downloaded: its official page is gone. Get cars_train.tgz, cars_test.tgz, "
        "car_devkit.tgz and cars_test_annos_withlabels.mat from a copy that you trust and unpack them into "
        "ROOT/stanford_cars, then check them with: ex2 data stanford_cars --root ROOT"
    )

    def __init__(self, root: str) -> None:
        pieces = {
            "cars_train": "from cars_train.tgz",
            "cars_test": "from cars_test.tgz",
            "devkit/cars_meta.mat": "from car_devkit.tgz",
            "devkit/cars_train_annos.mat": "from car_devkit.tgz",
            "cars_test_annos_withlabels.mat": "the test labels, a separate file that no archive contains",
        }
        pieces = {f"stanford_cars/{path}": how for path, how in pieces.items()}
        require("Stanford Cars", root, pieces, self.download_help.replace("ROOT", root))
        read = _reader(datasets.StanfordCars, root)
        by_split = {split: read(split=split) for split in self.splits}
        classes = read_class_list("stanford_cars")
        check_label_order(
            by_split["train"].classes, classes, str(Path(root) / "stanford_cars" / "devkit" / "cars_meta.mat")
        )
        self.class_names = classes.names
        self._files = {
            split: _paired((path for path, _ in d._samples), (int(label) for _, label in d._samples))
            for split, d in by_split.items()
        }


class DTD(ListedImages):
    """Describable Textures: 47 classes, splits `train`, `val` and `test` of 40 images a class.

    Args:
        root: Folder that holds `dtd/dtd/{images,labels}`.
        partition: Number of the official partition into splits, 1 to 10.

    Raises:
        UserError: If a piece is missing, or the folders are not the classes of the project's list.
    """

    splits = ("train", "val", "test")
    official_sizes: ClassVar = {"train": 1880, "val": 1880, "test": 1880}
    archives: ClassVar = (Archive(datasets.DTD._URL, "dtd/dtd", datasets.DTD._MD5),)

    def __init__(self, root: str, partition: int = 1) -> None:
        if partition not in range(1, 11):
            raise UserError(f"dataset.partition: given {partition!r}; allowed: 1 to 10.")
        lists = [f"labels/{split}{partition}.txt" for split in self.splits]
        pieces = {f"dtd/dtd/{piece}": "from dtd-r1.0.1.tar.gz, unpacked in dtd" for piece in ("images", *lists)}
        require("DTD", root, pieces, _fetch("dtd", root))
        classes = read_class_list("dtd")
        images = Path(root).expanduser() / "dtd" / "dtd" / "images"
        folders = sorted(path.name for path in images.iterdir() if path.is_dir() and not path.name.startswith("."))
        check_label_order(folders, classes, str(images))
        self.class_names = classes.names
        # torchvision numbers the classes of each split apart; a class's folder says which label is meant.
        labels = {folder: label for label, folder in enumerate(folders)}
        read = _reader(datasets.DTD, root)
        self._files = {}
        for split in self.splits:
            data = read(split=split, partition=partition)
            stray = sorted(set(data.classes) - set(labels))
            if stray:
                raise UserError(f"{images.parent}: {split}{partition}.txt: classes without a folder: {stray}.")
            self._files[split] = _paired(data._image_files, (labels[p.parent.name] for p in data._image_files))


def _pieces(archives: Iterable[Archive]) -> dict[str, str]:
    return {archive.destination: f"from {archive.file_name}" for archive in archives}


def _fetch(name: str, root: str) -> str:
    return f"To fetch and unpack it: ex2 data {name} --root {root} --download"


def _reader(dataset: Callable[..., Any], root: str) -> Callable[..., Any]:
    """Return a torchvision class wrapped so that its exceptions for malformed lists become `UserError`."""

    def read(**settings: Any) -> Any:
        try:
            return dataset(str(Path(root).expanduser()), **settings)
        except (RuntimeError, OSError, ValueError, KeyError, IndexError, TypeError, NotImplementedError) as error:
            raise UserError(
                f"dataset.root: the lists in '{root}' cannot be read ({type(error).__name__}: {error}). Unpack the "
                "official archives again."
            ) from error

    return read


def _paired(paths: Iterable[Any], labels: Iterable[int]) -> list[ImageFile]:
    return [ImageFile(Path(path), int(label)) for path, label in zip(paths, labels, strict=True)]


def _named(names: tuple[str, ...], image: ImageFile) -> str:
    return names[image.label] if 0 <= image.label < len(names) else "nothing"


def _refuse_wrong(wrong: list[str], where: Path) -> None:
    if wrong:
        more = f" ({len(wrong)} images in all)" if len(wrong) > 3 else ""
        raise UserError(
            f"{where}: wrong label order: {'; '.join(wrong[:3])}{more}. Names would go to other classes' images: use "
            "the official files, unchanged."
        )
