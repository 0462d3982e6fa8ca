"""Miniatures of the official layouts: the full list of classes, a few images, annotation files of the real form."""

from __future__ import annotations

import hashlib
import json
import zlib
from pathlib import Path

import numpy as np
import pytest
from paths import ROOT
from PIL import Image
from scipy.io import savemat
from torchvision import datasets

CLASS_NAMES = ROOT / "ex2/data/datasets/class_names"


def official(name: str) -> list[str]:
    """The names that the dataset's own list has, in label order."""
    data = json.loads((CLASS_NAMES / f"{name}.json").read_text())
    return list(data.get("official", data["names"]))


def picture(path: Path) -> None:
    """Save a small image of a colour that its path alone decides."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (6, 5), f"#{zlib.crc32(str(path.name).encode()) & 0xFFFFFF:06x}").save(path, quality=95)


def lines(path: Path, rows: list[str]) -> None:
    """Write a text file, one row a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{row}\n" for row in rows))


def flowers(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Six images: labels 3 102 1 3 1 2 (from 1); train 2 1, val 3 4, test 6 5. The md5 table is that of these lists."""
    base = root / "flowers-102"
    for number in range(1, 7):
        picture(base / "jpg" / f"image_{number:05d}.jpg")
    savemat(base / "imagelabels.mat", {"labels": np.array([[3, 102, 1, 3, 1, 2]], dtype=np.uint8)})
    savemat(base / "setid.mat", {"trnid": [[2, 1]], "valid": [[3, 4]], "tstid": [[6, 5]]})
    table = dict(datasets.Flowers102._file_dict)
    for key in ("label", "setid"):
        file = table[key][0]
        table[key] = (file, hashlib.md5((base / file).read_bytes()).hexdigest())
    monkeypatch.setattr(datasets.Flowers102, "_file_dict", table)


def pets(root: Path, rows: dict[str, list[str]] | None = None) -> None:
    """Rows: image id, class from 1, species, breed within the species."""
    base = root / "oxford-iiit-pet"
    rows = rows or {
        "trainval": ["yorkshire_terrier_2 37 2 25", "Abyssinian_10 1 1 1"],
        "test": ["Abyssinian_2 1 1 1", "saint_bernard_7 29 2 19"],
    }
    for split, listed in rows.items():
        lines(base / "annotations" / f"{split}.txt", listed)
        for row in listed:
            picture(base / "images" / f"{row.split()[0]}.jpg")


def cub(root: Path, classes: list[str] | None = None) -> None:
    """Images 1–4: class 1 train, class 1 test, class 200 train, class 2 test."""
    base = root / "CUB_200_2011"
    spelled = [name.replace(" ", "_").replace("-", "_") for name in classes or official("cub")]
    folders = [f"{number:03d}.{name}" for number, name in enumerate(spelled, start=1)]
    lines(base / "classes.txt", [f"{number} {folder}" for number, folder in enumerate(folders, start=1)])
    images = [(1, "b.jpg"), (1, "a.jpg"), (200, "c.jpg"), (2, "d.jpg")]
    for label, file in images:
        picture(base / "images" / folders[label - 1] / file)
    lines(base / "images.txt", [f"{n} {folders[label - 1]}/{file}" for n, (label, file) in enumerate(images, start=1)])
    lines(base / "image_class_labels.txt", [f"{n} {label}" for n, (label, _) in enumerate(images, start=1)])
    lines(base / "train_test_split.txt", ["1 1", "2 0", "3 1", "4 0"])


def cell(values: list[str]) -> np.ndarray:
    """A MATLAB cell array, shape (N, 1)."""
    return np.array(values, dtype=object).reshape(-1, 1)


def stanford_dogs(root: Path, *, labels: tuple[int, ...] = (120, 1)) -> None:
    """Folder ids grow with the label as the real ones do. Train: classes 120 and 1; test: class 2."""
    folders = [f"n{2085620 + 7 * i:08d}-{name.replace(' ', '_')}" for i, name in enumerate(official("stanford_dogs"))]
    for folder in folders:
        (root / "Images" / folder).mkdir(parents=True)
    (root / "lists").mkdir()
    for split, files, numbers in (
        ("train", [f"{folders[119]}/x_1.jpg", f"{folders[0]}/x_2.jpg"], labels),
        ("test", [f"{folders[1]}/x_3.jpg"], (2,)),
    ):
        for file in files:
            picture(root / "Images" / file)
        savemat(
            root / "lists" / f"{split}_list.mat",
            {"file_list": cell(files), "labels": np.array(numbers, dtype=np.uint8).reshape(-1, 1)},
        )


def fgvc_aircraft(root: Path, variants: list[str] | None = None) -> None:
    """Five images; families and manufacturers are two each."""
    base = root / "fgvc-aircraft-2013b" / "data"
    lines(base / "variants.txt", variants or official("fgvc_aircraft"))
    lines(base / "families.txt", ["Boeing 707", "Yak-42"])
    lines(base / "manufacturers.txt", ["Boeing", "Yakovlev"])
    rows = {
        "train": [("0000003", "Yak-42"), ("0000001", "707-320")],
        "val": [("0000002", "707-320")],
        "test": [("0000004", "F-16A/B"), ("0000005", "DC-3")],
    }
    rows["trainval"] = rows["train"] + rows["val"]
    for split, listed in rows.items():
        lines(base / f"images_variant_{split}.txt", [f"{image} {variant}" for image, variant in listed])
        for level, names in (("family", ("Boeing 707", "Yak-42")), ("manufacturer", ("Boeing", "Yakovlev"))):
            lines(base / f"images_{level}_{split}.txt", [f"{image} {names[v == 'Yak-42']}" for image, v in listed])
        for image, _ in listed:
            picture(base / "images" / f"{image}.jpg")


def stanford_cars(root: Path, classes: list[str] | None = None) -> None:
    """Train: classes 196 and 1; test: classes 2 and 1."""
    base = root / "stanford_cars"
    (base / "devkit").mkdir(parents=True)
    savemat(base / "devkit" / "cars_meta.mat", {"class_names": cell(classes or official("stanford_cars")).T})
    kind = [("class", object), ("fname", object)]
    for path, folder, rows in (
        (base / "devkit" / "cars_train_annos.mat", "cars_train", [(196, "00001.jpg"), (1, "00002.jpg")]),
        (base / "cars_test_annos_withlabels.mat", "cars_test", [(2, "00009.jpg"), (1, "00008.jpg")]),
    ):
        savemat(path, {"annotations": np.array([rows], dtype=kind)})
        for _, file in rows:
            picture(base / folder / file)


def dtd(root: Path, folders: list[str] | None = None) -> None:
    """Partition 1: the splits have different classes, as only a partial copy has; labels must not shift."""
    base = root / "dtd" / "dtd"
    for folder in folders or official("dtd"):
        (base / "images" / folder).mkdir(parents=True)
    rows = {
        "train": ["zigzagged/zigzagged_0001.jpg", "banded/banded_0002.jpg"],
        "val": ["zigzagged/zigzagged_0003.jpg"],
        "test": ["woven/woven_0004.jpg", "zigzagged/zigzagged_0005.jpg"],
    }
    for split, listed in rows.items():
        lines(base / "labels" / f"{split}1.txt", listed)
        for file in listed:
            picture(base / "images" / file)
