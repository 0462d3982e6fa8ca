"""The further datasets of GenBench against miniatures of their official layouts: classes, pairs, splits, errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import benchmark_miniatures
import numpy as np
import pytest
from miniatures import lines, official
from PIL import Image

from ex2.data.datasets.annotated_datasets import VOC2007, distance_class
from ex2.data.datasets.base import open_dataset
from ex2.data.datasets.class_folder_datasets import Caltech101, EuroSAT, ImageNet
from ex2.data.datasets.listed_datasets import GTSRB, SUN397, Food101, HatefulMemes
from reward.errors import UserError

# Class name, label counted from 1, name of the file or number in it: read off the miniatures by hand.
PAIRS: dict[str, dict[str, list[tuple[str, int, str]]]] = {
    "imagenet": {
        "train": [("tench", 1, "a.JPEG"), ("tench", 1, "b.JPEG"), ("toilet paper", 1000, "n15075141_7.JPEG")],
        "val": [("goldfish", 2, "ILSVRC2012_val_00000262.JPEG")],
    },
    "country211": {
        "train": [("Andorra", 1, "y.jpg"), ("Kosovo", 207, "x.jpg")],
        "valid": [("Zimbabwe", 211, "z.jpg")],
        "test": [("Afghanistan", 3, "w.jpg")],
    },
    "rendered_sst2": {
        "train": [("negative review of a movie", 1, "n.png"), ("positive review of a movie", 2, "p.png")],
        "val": [("positive review of a movie", 2, "v.png")],
        "test": [("negative review of a movie", 1, "t.png")],
    },
    "food101": {
        "train": [("pho 0", 1, "8.jpg"), ("pho 0", 1, "9.jpg"), ("pho 100", 101, "7.jpg")],
        "test": [("pho 1", 2, "6.jpg")],
    },
    "sun397": {
        "train": [("abbey", 1, "sun_a.jpg"), ("apse indoor", 2, "sun_b.jpg")],
        "test": [("zoo 394", 397, "sun_c.jpg")],
    },
    "gtsrb": {
        "train": [
            ("red and white circle 20 kph speed limit traffic sign", 1, "00000_00000.ppm"),
            (
                "white circle with gray strike bar indicating no passing for trucks has ended traffic sign",
                43,
                "00000_00001.ppm",
            ),
        ],
        "test": [("stop traffic sign", 15, "00000.ppm")],
    },
    "hateful_memes": {
        "train": [("meme", 1, "1.png"), ("hatespeech meme", 2, "2.png")],
        "dev": [("hatespeech meme", 2, "3.png")],
    },
    "voc2007": {
        "train": [("sofa", 18, "000005.jpg")],
        "val": [("cat", 8, "000009.jpg")],
        "trainval": [("cat", 8, "000009.jpg"), ("sofa", 18, "000005.jpg")],
        "test": [("train", 19, "000007.jpg")],
    },
    "cifar10": {
        "train": [("airplane", 1, "[00001]"), ("airplane", 1, "[00002]"), ("truck", 10, "[00000]")],
        "test": [("automobile", 2, "[00000]")],
    },
    "cifar100": {
        "train": [("fine 0", 1, "[00001]"), ("fine 0", 1, "[00002]"), ("fine 99", 100, "[00000]")],
        "test": [("fine 1", 2, "[00000]")],
    },
    "mnist": {
        "train": [("number 0", 1, "[00001]"), ("number 7", 8, "[00000]"), ("number 7", 8, "[00002]")],
        "test": [("number 5", 6, "[00000]")],
    },
    "fer2013": {
        "train": [("angry looking face", 1, "[00002]"), ("neutral looking face", 7, "[00001]")],
        "val": [("happy looking face", 4, "[00003]")],
        "test": [("sad looking face", 5, "[00004]")],
    },
    "pcam": {
        "train": [("lymph node", 1, "[000001]"), ("lymph node containing metastatic tumor tissue", 2, "[000000]")],
        "val": [("lymph node containing metastatic tumor tissue", 2, "[000000]")],
        "test": [("lymph node", 1, "[000000]")],
    },
}
COUNTS = {"imagenet": 1000, "country211": 211, "rendered_sst2": 2, "food101": 101, "sun397": 397, "gtsrb": 43}
COUNTS |= {"hateful_memes": 2, "voc2007": 20, "cifar10": 10, "cifar100": 100, "mnist": 10, "fer2013": 7, "pcam": 2}
# Number in the file of the first image of the first split → its first pixel.
FIRST_PIXEL: dict[str, Any] = {"cifar10": [11] * 3, "cifar100": [11] * 3, "mnist": 6, "fer2013": 2, "pcam": [11] * 3}


def opened(name: str, root: Path, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> Any:
    getattr(benchmark_miniatures, name)(root, monkeypatch)
    return open_dataset(name, {"root": str(root), **settings})


def label_and_file(images: Any) -> list[tuple[int, str]]:
    return [(image.label, Path(image.name).name) for image in images]


@pytest.mark.parametrize("name", PAIRS)
def test_official_layout(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    getattr(benchmark_miniatures, name)(tmp_path, monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr(Image, "open", lambda *_: pytest.fail("images are listed without being opened"))
        dataset: Any = open_dataset(name, {"root": str(tmp_path)})
        listed = {split: dataset.images(split) for split in dataset.splits}
    assert len(dataset.class_names) == COUNTS[name]
    for split, images in listed.items():
        ends = [pair[2] for pair in PAIRS[name][split]]
        found = [
            (dataset.class_names[one.label], one.label + 1, one.name[-len(end) :])
            for one, end in zip(images, ends, strict=True)
        ]
        assert found == PAIRS[name][split]
    everything = [image for images in listed.values() for image in images]
    assert all(min(image.open().size) >= 2 for image in everything)
    assert len({image.digest() for image in everything}) == len({image.name for image in everything})
    if name in FIRST_PIXEL:
        assert np.asarray(listed["train"][0].open())[0, 0].tolist() == FIRST_PIXEL[name]
    assert set(dataset.official_sizes) == set(dataset.splits)


@pytest.mark.parametrize("name", [*PAIRS, "caltech101", "eurosat", "resisc45", "kitti_distance"])
def test_a_missing_dataset_says_what_lacks_and_where_to_get_it(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as raised:
        open_dataset(name, {"root": str(tmp_path)})
    message = str(raised.value)
    assert message.startswith("dataset.root: no ")
    assert f"in '{tmp_path}'. Missing: {tmp_path}/" in message
    assert f"ex2 data {name} --root {tmp_path}" in message
    assert len(message) < 2000


# Splits that no one published.


def test_a_drawn_split_is_the_order_of_the_hashes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """printf 0/AnnualCrop/AnnualCrop_1.jpg | sha256sum and so on: 3d…, d2…, e3…, 6f…; with seed 7: 14, b6, 34, 2c."""
    dataset = opened("eurosat", tmp_path, monkeypatch)
    train, test = (label_and_file(dataset.images(split)) for split in ("train", "test"))
    assert train[:2] == [(0, "AnnualCrop_1.jpg"), (0, "AnnualCrop_4.jpg")]
    assert test[0] == (0, "AnnualCrop_2.jpg")
    assert (len(train), len(test)) == (20, 10)
    assert label_and_file(EuroSAT(str(tmp_path), split_seed=7).images("test"))[0] == (0, "AnnualCrop_3.jpg")
    (tmp_path / "eurosat/2750/River/River_1.jpg").rename(tmp_path / "eurosat/2750/River/River_9.jpg")
    again = EuroSAT(str(tmp_path))
    assert label_and_file(again.images("train"))[:16] == train[:16]  # other classes are as they were
    (tmp_path / "eurosat/2750/River/River_9.jpg").unlink()
    (tmp_path / "eurosat/2750/River/River_2.jpg").unlink()
    with pytest.raises(UserError) as raised:
        EuroSAT(str(tmp_path))
    assert str(raised.value) == (
        f"{tmp_path}/eurosat/2750: too few images to draw train and test: River has 2 of at least 3. Unpack the "
        "official archive again."
    )


def test_caltech_has_its_background_and_one_training_image_fewer_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = opened("caltech101", tmp_path, monkeypatch)
    assert dataset.class_names[:3] == ("background", "off-center face", "centered face")
    train, test = (label_and_file(dataset.images(split)) for split in ("train", "test"))
    assert len(train) == 101 * 2 + 1  # 30 a class and 29 are 3,059 in the same way
    assert Caltech101.official_sizes["train"] == 102 * 30 - 1
    assert [label for label, _ in test] == [0, 5]  # the other background, and accordion's third
    assert not [name for _, name in train + test if name == "tmp"]


def test_resisc_is_cut_into_three(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = opened("resisc45", tmp_path, monkeypatch)
    sizes = {split: len(dataset.images(split)) for split in dataset.splits}
    assert sizes == {"train": 45, "test": 90, "val": 45}
    assert len({image.name for split in sizes for image in dataset.images(split)}) == 180
    assert dataset.class_names[8] == "circular farmland"


def test_kitti_is_split_by_recording_as_tensorflow_datasets_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """np.random.seed(123), then np.random.choice of two of twenty: r14, r05; of the others: r07, r11. Image i is of
    recording 19 - i, and its car is i meters away; image 0 has none."""
    dataset = opened("kitti_distance", tmp_path, monkeypatch)
    assert label_and_file(dataset.images("test")) == [(0, "000005.png"), (1, "000014.png")]
    assert label_and_file(dataset.images("val")) == [(0, "000008.png"), (1, "000012.png")]
    train = label_and_file(dataset.images("train"))
    assert len(train) == 16
    assert train[-1] == (3, "000000.png")
    assert dataset.class_names[3] == "no car"


def test_distance_is_the_nearest_vehicles_depth(tmp_path: Path) -> None:
    path = tmp_path / "000000.txt"
    label = benchmark_miniatures.kitti_label

    def of(*objects: tuple[str, float]) -> int:
        lines(path, [label(*one) for one in objects])
        return distance_class(path)

    assert [of(("Car", depth)) for depth in (-1, 8, 8.01, 20, 20.01, 80)] == [0, 0, 1, 1, 2, 2]
    assert of(("Truck", 30), ("Van", 9), ("Pedestrian", 1), ("DontCare", -1000)) == 1
    assert of(("Cyclist", 2), ("Tram", 3)) == 3
    lines(path, [label("Car", 3), "Car 0.00 1"])
    with pytest.raises(UserError) as raised:
        distance_class(path)
    assert str(raised.value) == (
        f"{path}: line 2: 'Car 0.00 1' has not the 15 fields of a label; unpack the official archive again."
    )


def test_kitti_lists_that_do_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened("kitti_distance", tmp_path, monkeypatch)
    order = tmp_path / "Kitti/raw/devkit/mapping/train_rand.txt"
    lines(order, ["1,2,21"])
    with pytest.raises(UserError, match=r"do not say which recording each image is of \(list index out of range\)"):
        open_dataset("kitti_distance", {"root": str(tmp_path)})
    lines(order, ["0,2,3"])
    with pytest.raises(UserError, match=r"which recording each image is of \(line 0 of train_mapping.txt\)"):
        open_dataset("kitti_distance", {"root": str(tmp_path)})


# Several classes in one image.


def test_voc_says_of_every_class_whether_an_image_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = opened("voc2007", tmp_path, monkeypatch)
    labels = dataset.labels_of("trainval")
    names = dataset.class_names
    assert labels.shape == (2, 20)
    seen = [{names[c]: int(row[c]) for c in range(20) if row[c] != -1} for row in labels]
    # rows are ordered as the images: cat before sofa; the dog is difficult, one of the cats is not
    assert seen == [{"cat": 1, "dog": 0}, {"person": 1, "sofa": 1}]
    assert [Path(image.name).stem for image in dataset.images("trainval")] == ["000009", "000005"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("<annotation></annotation>", "has no object, so that the image has no label"),
        ("<annotation><object>", r"no annotation of VOC \(no element found"),
        ("<annotation><object><name>unicorn</name></object></annotation>", "'unicorn' is no class"),
        ("<annotation><object><name>cat</name></object></annotation>", "could not convert string to float: 'none'"),
        ("<!DOCTYPE x [<!ENTITY a 'b'>]><annotation/>", "it declares entities, which annotations do not"),
    ],
)
def test_an_annotation_that_is_none(
    content: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = opened("voc2007", tmp_path, monkeypatch)
    (tmp_path / "VOCdevkit/VOC2007/Annotations/000007.xml").write_text(content)
    assert len(dataset.images("train")) == 1
    with pytest.raises(UserError, match=rf"000007\.xml: .*{message}.*; unpack the official archive again"):
        dataset.labels_of("test")
    (tmp_path / "VOCdevkit/VOC2007/Annotations/000007.xml").unlink()
    with pytest.raises(UserError, match=r"000007\.xml: missing; unpack the official archive again"):
        VOC2007(str(tmp_path)).images("test")


# Wrong lists of classes.


@pytest.mark.parametrize(
    ("name", "base", "old", "message"),
    [
        ("imagenet", "val", "n01440764", r"val: wrong label order: 999 classes, class_names/imagenet.json has 1000; l"),
        ("country211", "country211/test", "ZW", r"test: wrong label order: 210 classes, .*country211.json has 211"),
        ("rendered_sst2", "rendered-sst2/valid", "negative", r"valid: wrong label order: 1 classes, .* has 2; label 0"),
        (
            "caltech101",
            "caltech101/101_ObjectCategories",
            "BACKGROUND_Google",
            r"101 classes, .*caltech101.json has 102",
        ),
        (
            "eurosat",
            "eurosat/2750",
            "Forest",
            r"2750: wrong label order: 9 classes, .* label 1 is 'Herb",
        ),
        (
            "resisc45",
            "NWPU-RESISC45",
            "wetland",
            r"NWPU-RESISC45: wrong label order: 44 classes, .*resisc45.json has 45",
        ),
        ("gtsrb", "gtsrb/GTSRB/Training", "00007", r"Training: wrong label order: 42 classes, .*gtsrb.json has 43"),
    ],
)
def test_a_class_without_a_folder(
    name: str, base: str, old: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    getattr(benchmark_miniatures, name)(tmp_path, monkeypatch)
    (tmp_path / base / old).rename(tmp_path / base / f".{old}")
    with pytest.raises(UserError, match=message):
        open_dataset(name, {"root": str(tmp_path)})


def test_imagenet_as_it_lies_in_its_archive(tmp_path: Path) -> None:
    for split in ("train", "val"):
        (tmp_path / split).mkdir()
        (tmp_path / split / "ILSVRC2012_val_00000001.JPEG").touch()
    with pytest.raises(UserError) as raised:
        ImageNet(str(tmp_path))
    assert str(raised.value).splitlines()[1] == (
        f"{tmp_path}/val: no folders of classes, as in the archive itself. Sort the images into a folder per WordNet "
        "id: torchvision.datasets.imagenet.parse_val_archive does so."
    )


def test_lists_that_a_dataset_brings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("food101", "sun397", "gtsrb", "hateful_memes"):
        getattr(benchmark_miniatures, name)(tmp_path, monkeypatch)
    lines(tmp_path / "food-101/meta/test.txt", ["pho_1/6", "pho_101/5", "x"])
    with pytest.raises(UserError) as raised:
        Food101(str(tmp_path))
    assert str(raised.value) == (
        f"{tmp_path}/food-101/meta/test.txt: line 2: 'pho_101/5'; line 3: 'x'; an image in a class's folder is "
        "allowed: unpack the official archive again."
    )
    lines(tmp_path / "food-101/meta/classes.txt", ["pho"] * 101)
    with pytest.raises(
        UserError, match=r"classes.txt: wrong list of classes: 101 lines with 1 different names; 101 cla"
    ):
        Food101(str(tmp_path))
    lines(tmp_path / "SUN397/ClassName.txt", ["/a/abbey"])
    with pytest.raises(
        UserError, match=r"ClassName.txt: wrong list of classes: 1 lines with 1 different names; 397 cl"
    ):
        SUN397(str(tmp_path))
    with pytest.raises(UserError, match=r"dataset.partition: given 0; allowed: 1 to 10."):
        SUN397(str(tmp_path), partition=0)
    lines(tmp_path / "gtsrb/GT-final_test.csv", ["Filename;ClassId", "a.ppm;43", "b.ppm;4", "b.ppm;5"])
    with pytest.raises(
        UserError, match=r"line 2: Filename 'a.ppm', ClassId '43'; line 4: Filename 'b.ppm', .* 0 to 42 a"
    ):
        GTSRB(str(tmp_path))
    base = tmp_path / "hateful_memes"
    lines(
        base / "train.jsonl",
        ['{"img": "img/1.png", "label": 1}', '{"img": "img/2.png"}', "{", '{"img": 3, "label": 2}'],
    )
    with pytest.raises(
        UserError, match=r"train.jsonl: line 2: .*; line 3: '\{'; line 4: .*a label of 0 or 1 is allowed"
    ):
        HatefulMemes(str(tmp_path))


def test_later_releases_of_hateful_memes_call_dev_dev_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    benchmark_miniatures.hateful_memes(tmp_path, monkeypatch)
    (tmp_path / "hateful_memes/dev.jsonl").rename(tmp_path / "hateful_memes/dev_seen.jsonl")
    assert label_and_file(HatefulMemes(str(tmp_path)).images("dev")) == [(1, "3.png")]


def test_lists_are_complete_and_in_order() -> None:
    assert official("imagenet") == sorted(official("imagenet"))
    assert official("country211") == sorted(official("country211"))
