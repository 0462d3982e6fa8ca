"""Miniatures of the official layouts of GenBench's datasets that `miniatures` has not."""

from __future__ import annotations

import gzip
import hashlib
import json
import pickle
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from miniatures import lines, official, picture
from torchvision import datasets


def folders(base: Path, names: list[str], files: dict[str, list[str]]) -> None:
    """Make a folder per class, and small images in some of them: class → file names."""
    for name in names:
        (base / name).mkdir(parents=True)
    for name, images in files.items():
        for image in images:
            picture(base / name / image)


def imagenet(root: Path, _: pytest.MonkeyPatch) -> None:
    """All 1,000 folders in both splits. Train: labels 0 and 999; val: label 1."""
    folders(
        root / "train", official("imagenet"), {"n15075141": ["n15075141_7.JPEG"], "n01440764": ["b.JPEG", "a.JPEG"]}
    )
    folders(root / "val", official("imagenet"), {"n01443537": ["ILSVRC2012_val_00000262.JPEG"]})


def country211(root: Path, _: pytest.MonkeyPatch) -> None:
    """Kosovo and Andorra in train, Zimbabwe in valid, Afghanistan in test."""
    for split, files in {
        "train": {"XK": ["x.jpg"], "AD": ["y.jpg"]},
        "valid": {"ZW": ["z.jpg"]},
        "test": {"AF": ["w.jpg"]},
    }.items():
        folders(root / "country211" / split, official("country211"), files)


def rendered_sst2(root: Path, _: pytest.MonkeyPatch) -> None:
    """One sentence of each kind in train, one in val and in test."""
    base = root / "rendered-sst2"
    names = ["negative", "positive"]
    folders(base / "train", names, {"positive": ["p.png"], "negative": ["n.png"]})
    folders(base / "valid", names, {"positive": ["v.png"]})
    folders(base / "test", names, {"negative": ["t.png"]})


def caltech101(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two images a class for training instead of 30, so one of the background; a file that is no image among those."""
    monkeypatch.setattr("ex2.data.datasets.class_folder_datasets.Caltech101.per_class", 2)
    base = root / "caltech101/101_ObjectCategories"
    folders(base, official("caltech101"), {})
    for name in official("caltech101"):
        for number in range(1, 3 if name != "accordion" else 4):
            (base / name / f"image_{number:04d}.jpg").touch()
    (base / "BACKGROUND_Google/tmp").touch()


def eurosat(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four images a class: two for training, one for the test, one left out."""
    monkeypatch.setattr("ex2.data.datasets.class_folder_datasets.EuroSAT.per_class", {"train": 2, "test": 1})
    folders(
        root / "eurosat/2750",
        official("eurosat"),
        {n: [f"{n}_{i}.jpg" for i in range(1, 5)] for n in official("eurosat")},
    )


def resisc45(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four images a class: one for training, two for the test, one for val."""
    monkeypatch.setattr("ex2.data.datasets.class_folder_datasets.RESISC45.per_class", {"train": 1, "test": 2, "val": 1})
    base = root / "NWPU-RESISC45"
    folders(base, official("resisc45"), {})
    for name in official("resisc45"):
        for number in range(1, 5):
            (base / name / f"{name}_{number:03d}.jpg").touch()


def food101(root: Path, _: pytest.MonkeyPatch) -> None:
    """101 classes of which the first is pho_0."""
    base = root / "food-101"
    lines(base / "meta/classes.txt", [f"pho_{number}" for number in range(101)])
    for split, listed in {"train": ["pho_100/7", "pho_0/9", "pho_0/8"], "test": ["pho_1/6"]}.items():
        lines(base / f"meta/{split}.txt", listed)
        for file in listed:
            picture(base / "images" / f"{file}.jpg")


def sun397(root: Path, _: pytest.MonkeyPatch) -> None:
    """397 classes; one of them has a folder in its folder."""
    base = root / "SUN397"
    lines(base / "ClassName.txt", ["/a/abbey", "/a/apse/indoor", *(f"/z/zoo_{number}" for number in range(395))])
    rows = {"Training": ["/a/apse/indoor/sun_b.jpg", "/a/abbey/sun_a.jpg"], "Testing": ["/z/zoo_394/sun_c.jpg"]}
    for split, listed in rows.items():
        lines(base / f"Partitions/{split}_01.txt", listed)
        for file in listed:
            picture(base / file.lstrip("/"))


def gtsrb(root: Path, _: pytest.MonkeyPatch) -> None:
    """Signs 42 and 0 in train, 14 in the test."""
    base = root / "gtsrb"
    folders(base / "GTSRB/Training", official("gtsrb"), {"00042": ["00000_00001.ppm"], "00000": ["00000_00000.ppm"]})
    picture(base / "GTSRB/Final_Test/Images/00000.ppm")
    lines(base / "GT-final_test.csv", ["Filename;Width;Height;Roi.X1;ClassId", "00000.ppm;53;54;6;14"])


def hateful_memes(root: Path, _: pytest.MonkeyPatch) -> None:
    """The last line has no end, as some copies' have."""
    base = root / "hateful_memes"
    rows = {"train": [("img/2.png", 1), ("img/1.png", 0)], "dev": [("img/3.png", 1)]}
    for split, listed in rows.items():
        texts = [json.dumps({"id": 1, "img": image, "label": label, "text": "…"}) for image, label in listed]
        (base / "img").mkdir(parents=True, exist_ok=True)
        (base / f"{split}.jsonl").write_text("\n".join(texts))
        for image, _label in listed:
            picture(base / image)


VOC_OBJECT = (
    "<object><name>{}</name><difficult>{}</difficult><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>{}</xmax><ymax>11</ymax>"
    "</bndbox><part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></part>"
    "</object>"
)


def voc2007(root: Path, _: pytest.MonkeyPatch) -> None:
    """000005: a person, and a larger sofa; 000009: small cats, and a large dog that is difficult; 000007: a train."""
    base = root / "VOCdevkit/VOC2007"
    objects = {
        "000005": [("person", 0, 5), ("sofa", 0, 9)],
        "000009": [("cat", 0, 3), ("dog", 1, 90), ("cat", 1, 3)],
        "000007": [("train", 0, 3)],
    }
    for name, listed in objects.items():
        lines(
            base / f"Annotations/{name}.xml",
            ["<annotation>", *(VOC_OBJECT.format(*one) for one in listed), "</annotation>"],
        )
        picture(base / f"JPEGImages/{name}.jpg")
    for split, names in {
        "train": ["000005"],
        "val": ["000009"],
        "trainval": ["000005", "000009"],
        "test": ["000007"],
    }.items():
        lines(base / f"ImageSets/Main/{split}.txt", names)


def kitti_label(kind: str, depth: float) -> str:
    """A line of KITTI's labels with its 15 fields."""
    return f"{kind} 0.00 0 -1.57 599.41 156.40 629.75 189.25 2.85 2.63 12.34 0.47 1.49 {depth} -1.56"


def kitti_distance(root: Path, _: pytest.MonkeyPatch) -> None:
    """Twenty recordings of one image each. The order is turned round: image 0 is of the last recording, r19."""
    base = root / "Kitti/raw"
    lines(base / "devkit/mapping/train_mapping.txt", [f"2011_09_26 r{number:02d} 0000000001" for number in range(20)])
    lines(base / "devkit/mapping/train_rand.txt", [",".join(str(number) for number in range(20, 0, -1))])
    for number in range(20):
        lines(base / f"training/label_2/{number:06d}.txt", [kitti_label("Car", number)] if number else [])
        picture(base / f"training/image_2/{number:06d}.png")


def _cifar(root: Path, monkeypatch: pytest.MonkeyPatch, reader: Any, key: str, names: list[str]) -> None:
    base = root / reader.base_folder
    base.mkdir()

    def write(file: str, content: Any) -> list[str]:
        (base / file).write_bytes(pickle.dumps(content))
        return [file, hashlib.md5((base / file).read_bytes()).hexdigest()]

    def batch(first: int, labels: list[int]) -> dict[str, Any]:
        return {"data": np.stack([np.full(3072, first + n, np.uint8) for n in range(len(labels))]), key: labels}

    monkeypatch.setattr(
        reader, "train_list", [write("one", batch(10, [len(names) - 1, 0])), write("two", batch(20, [0]))]
    )
    monkeypatch.setattr(reader, "test_list", [write("test_batch", batch(30, [1]))])
    file, md5 = write("meta", {reader.meta["key"]: names})
    monkeypatch.setattr(reader, "meta", {**reader.meta, "filename": file, "md5": md5})


def cifar10(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Images of one grey: 10 and 11 of labels 9 and 0, 20 of label 0; test: 30 of label 1."""
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    _cifar(root, monkeypatch, datasets.CIFAR10, "labels", names)


def cifar100(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of cifar10, with label 99 for 9."""
    _cifar(root, monkeypatch, datasets.CIFAR100, "fine_labels", [f"fine_{number}" for number in range(100)])


def idx(content: np.ndarray) -> bytes:
    """A table of bytes as MNIST stores it."""
    return (
        bytes([0, 0, 8, content.ndim]) + np.array(content.shape, ">u4").tobytes() + content.astype(np.uint8).tobytes()
    )


def mnist(root: Path, _: pytest.MonkeyPatch) -> None:
    """Training files packed, those of the test not. Images of 2 × 3 pixels."""
    raw = root / "MNIST/raw"
    raw.mkdir(parents=True)
    train = np.arange(18).reshape(3, 2, 3)
    (raw / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(train)))
    (raw / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(np.array([7, 0, 7]))))
    (raw / "t10k-images-idx3-ubyte").write_bytes(idx(train[:1] + 100))
    (raw / "t10k-labels-idx1-ubyte").write_bytes(idx(np.array([5])))


def fer2013(root: Path, _: pytest.MonkeyPatch) -> None:
    """Rows of one grey: 1 neutral and 2 angry in train, 3 happy public, 4 sad private."""
    rows = [(6, 1, "Training"), (0, 2, "Training"), (3, 3, "PublicTest"), (4, 4, "PrivateTest")]
    texts = [f"{label},{' '.join([str(grey)] * 2304)},{usage}" for label, grey, usage in rows]
    lines(root / "fer2013/fer2013.csv", ["emotion,pixels,Usage", *texts])


def pcam(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arrays of NumPy in place of HDF5, and a stand-in for the package that reads it."""
    base = root / "pcam"
    base.mkdir()
    for first, (split, labels) in zip((10, 20, 30), {"train": [1, 0], "valid": [1], "test": [0]}.items(), strict=True):
        pixels = np.stack([np.full((96, 96, 3), first + n, np.uint8) for n in range(len(labels))])
        for kind, content in (("x", pixels), ("y", np.array(labels, np.uint8).reshape(-1, 1, 1, 1))):
            with (base / f"camelyonpatch_level_2_split_{split}_{kind}.h5").open("wb") as file:
                np.savez(file, **{kind: content})
    monkeypatch.setitem(sys.modules, "h5py", SimpleNamespace(File=np.load))
