"""Every dataset of the table against a miniature of its official layout: classes, label order, pairs, errors."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import miniatures
import pytest
from PIL import Image
from torchvision import datasets as torchvision

from ex2.data.datasets.base import DATASETS, ImageFile, open_dataset
from ex2.data.datasets.class_lists import comparable, prompt_name, read_class_list
from ex2.data.datasets.folder_layouts import CUB, StanfordDogs
from ex2.data.datasets.naming import class_name_problems
from ex2.data.datasets.torchvision_datasets import DTD, FGVCAircraft, Flowers102, OxfordPets, StanfordCars
from ex2.data.selection import check_overlap, load_dataset, reward_images, select
from ex2.data.source import DatasetSource
from reward.components import resolve
from reward.errors import UserError

# Class name, file name: read off the miniatures by hand, in the order (label, file name).
PAIRS = {
    "flowers": {
        "train": [("canterbury bells", 3, "image_00001.jpg"), ("blackberry lily", 102, "image_00002.jpg")],
        "val": [("pink primrose", 1, "image_00003.jpg"), ("canterbury bells", 3, "image_00004.jpg")],
        "test": [("pink primrose", 1, "image_00005.jpg"), ("hard-leaved pocket orchid", 2, "image_00006.jpg")],
    },
    "pets": {
        "trainval": [("Abyssinian", 1, "Abyssinian_10.jpg"), ("yorkshire terrier", 37, "yorkshire_terrier_2.jpg")],
        "test": [("Abyssinian", 1, "Abyssinian_2.jpg"), ("saint bernard", 29, "saint_bernard_7.jpg")],
    },
    "cub": {
        "train": [("Black-footed Albatross", 1, "b.jpg"), ("Common Yellowthroat", 200, "c.jpg")],
        "test": [("Black-footed Albatross", 1, "a.jpg"), ("Laysan Albatross", 2, "d.jpg")],
    },
    "stanford_dogs": {
        "train": [("Chihuahua dog", 1, "x_2.jpg"), ("African hunting dog", 120, "x_1.jpg")],
        "test": [("Japanese spaniel dog", 2, "x_3.jpg")],
    },
    "fgvc_aircraft": {
        "train": [("Boeing 707-320 aircraft", 1, "0000001.jpg"), ("Yakovlev Yak-42 aircraft", 100, "0000003.jpg")],
        "val": [("Boeing 707-320 aircraft", 1, "0000002.jpg")],
        "trainval": [
            ("Boeing 707-320 aircraft", 1, "0000001.jpg"),
            ("Boeing 707-320 aircraft", 1, "0000002.jpg"),
            ("Yakovlev Yak-42 aircraft", 100, "0000003.jpg"),
        ],
        "test": [
            ("Douglas Aircraft Company DC-3 aircraft", 54, "0000005.jpg"),
            ("Lockheed Martin F-16A/B aircraft", 73, "0000004.jpg"),
        ],
    },
    "stanford_cars": {
        "train": [("2000 AM General Hummer SUV", 1, "00002.jpg"), ("2012 smart fortwo Convertible", 196, "00001.jpg")],
        "test": [("2000 AM General Hummer SUV", 1, "00008.jpg"), ("2012 Acura RL Sedan", 2, "00009.jpg")],
    },
    "dtd": {
        "train": [("banded texture", 1, "banded_0002.jpg"), ("zigzagged texture", 47, "zigzagged_0001.jpg")],
        "val": [("zigzagged texture", 47, "zigzagged_0003.jpg")],
        "test": [("woven texture", 45, "woven_0004.jpg"), ("zigzagged texture", 47, "zigzagged_0005.jpg")],
    },
}
COUNTS = {
    "flowers": 102,
    "pets": 37,
    "cub": 200,
    "stanford_dogs": 120,
    "fgvc_aircraft": 100,
    "stanford_cars": 196,
    "dtd": 47,
}
SIZES = {  # from the datasets' own pages and papers
    "flowers": {"train": 1020, "val": 1020, "test": 6149},
    "pets": {"trainval": 3680, "test": 3669},
    "cub": {"train": 5994, "test": 5794},
    "stanford_dogs": {"train": 12000, "test": 8580},
    "fgvc_aircraft": {"train": 3334, "val": 3333, "trainval": 6667, "test": 3333},
    "stanford_cars": {"train": 8144, "test": 8041},
    "dtd": {"train": 1880, "val": 1880, "test": 1880},
}


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    def build(name: str) -> str:
        if name == "flowers":
            miniatures.flowers(tmp_path, monkeypatch)
        else:
            getattr(miniatures, name)(tmp_path)
        return str(tmp_path)

    return build


@pytest.mark.parametrize("name", PAIRS)
def test_official_layout(name: str, make: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    root = make(name)
    with monkeypatch.context() as patch:
        patch.setattr(Image, "open", lambda *_: pytest.fail("images are listed without being opened"))
        dataset = open_dataset(name, {"root": root})
        listed = {split: dataset.images(split) for split in dataset.splits}
    assert len(dataset.class_names) == COUNTS[name]
    assert tuple(PAIRS[name]) == dataset.splits
    for split, images in listed.items():
        found = [(dataset.class_names[i.label], i.label + 1, Path(i.name).name) for i in images]
        assert found == PAIRS[name][split]
        assert [i.open().size for i in images] == [(6, 5)] * len(images)
    assert dataset.official_sizes == SIZES[name]  # type: ignore[attr-defined]


def test_the_table_has_the_agreed_names() -> None:
    agreed = {*COUNTS, "folder", "image_set", "manifest", "huggingface", "shapes"}
    assert set(DATASETS) == agreed
    for name in DATASETS:
        assert callable(resolve(name, DATASETS, "dataset"))


def test_class_lists_against_torchvisions_own() -> None:
    flowers = [comparable(name) for name in torchvision.Flowers102.classes]
    assert [comparable(name) for name in read_class_list("flowers").names] == flowers
    for name, count in COUNTS.items():
        classes = read_class_list(name)
        assert len(classes.names) == len(classes.official) == count
        assert len(classes.label_of()) == count  # no two names are alike when case and punctuation go
        assert not class_name_problems(classes.names, name)


@pytest.mark.parametrize(
    ("dataset", "name", "expected"),
    [
        ("stanford_dogs", "Maltese_dog", "Maltese dog"),
        ("stanford_dogs", "Old_English_sheepdog", "Old English sheepdog"),
        ("stanford_dogs", "toy_poodle", "toy poodle dog"),
        ("fgvc_aircraft", "Boeing 717", "Boeing 717 aircraft"),
        ("dtd", "polka-dotted", "polka-dotted texture"),
        ("cub", "Fish_Crow", "Fish Crow"),
    ],
)
def test_names_in_prompts(dataset: str, name: str, expected: str) -> None:
    assert prompt_name(dataset, name) == expected


# Planted bug: wrong label order. In each, our names and the dataset's own list disagree.


@pytest.mark.parametrize(
    ("name", "first", "second", "message"),
    [
        ("cub", 0, 1, r"classes.txt: wrong label order: label 0 is 'Laysan_Albatross', class_names/cub.json says"),
        ("fgvc_aircraft", 35, 36, r"variants.txt: wrong label order: label 35 is 'An-12', .* says 'ATR-72'"),
        ("stanford_cars", 2, 3, r"cars_meta.mat: wrong label order: label 2 is 'Acura TL Type-S 2008', .* says 'Acura"),
    ],
)
def test_swapped_classes_in_the_official_list(tmp_path: Path, name: str, first: int, second: int, message: str) -> None:
    names = miniatures.official(name)
    names[first], names[second] = names[second], names[first]
    getattr(miniatures, name)(tmp_path, names)
    with pytest.raises(UserError, match=message):
        open_dataset(name, {"root": str(tmp_path)})


def test_our_list_sorted_differently(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pets.json in order of code points (capitals first), as `sorted` gives it, is not the label order."""
    miniatures.pets(tmp_path, {"trainval": ["beagle_1 5 2 4"], "test": ["Bengal_3 6 1 2", "pug_2 26 2 17"]})
    OxfordPets(str(tmp_path))
    folder = tmp_path / "names"
    shutil.copytree(miniatures.CLASS_NAMES, folder)
    import json

    content = json.loads((folder / "pets.json").read_text())
    (folder / "pets.json").write_text(json.dumps({**content, "names": sorted(content["names"])}))
    monkeypatch.setattr("ex2.data.datasets.class_lists.FOLDER", folder)
    with pytest.raises(UserError, match=r"wrong label order: beagle_1.jpg has label 4, .* names 'Egyptian"):
        OxfordPets(str(tmp_path))


def test_dog_labels_that_are_not_the_folders(tmp_path: Path) -> None:
    miniatures.stanford_dogs(tmp_path, labels=(1, 120))
    with pytest.raises(UserError, match=r"train_list.mat: wrong label order: .*African_hunting_dog/x_1.jpg has la"):
        StanfordDogs(str(tmp_path))


def test_dog_folders_that_are_not_all_there(tmp_path: Path) -> None:
    miniatures.stanford_dogs(tmp_path)
    next(iter(sorted((tmp_path / "Images").glob("*pug")))).rmdir()
    with pytest.raises(UserError, match=r"119 classes, .*stanford_dogs.json has 120; label 102 is 'Leonberg'"):
        StanfordDogs(str(tmp_path))


def test_a_texture_folder_of_another_name(tmp_path: Path) -> None:
    miniatures.dtd(tmp_path, ["bandages" if name == "bumpy" else name for name in miniatures.official("dtd")])
    with pytest.raises(UserError, match=r"label 0 is 'bandages', class_names/dtd.json says 'banded'"):
        DTD(str(tmp_path))


def test_cub_label_that_is_not_the_folder(tmp_path: Path) -> None:
    miniatures.cub(tmp_path)
    miniatures.lines(tmp_path / "CUB_200_2011/image_class_labels.txt", ["1 1", "2 1", "3 200", "4 3"])
    with pytest.raises(UserError, match=r"folders disagree: image 4 \(002.Laysan_Albatross/d.jpg\) has label 3"):
        CUB(str(tmp_path))
    miniatures.lines(tmp_path / "CUB_200_2011/image_class_labels.txt", ["1 1", "2 1", "3 200"])
    with pytest.raises(UserError, match=r"the lists disagree about the images \[4\]"):
        CUB(str(tmp_path))
    miniatures.lines(tmp_path / "CUB_200_2011/images.txt", ["1 a/b.jpg", "1 a/c.jpg"])
    with pytest.raises(UserError, match=r"images.txt: line 2: '1 a/c.jpg' is not a new number and a value"):
        CUB(str(tmp_path))


def test_flowers_lists_must_be_the_official_ones(make: Callable[[str], str]) -> None:
    root = make("flowers")
    labels = Path(root) / "flowers-102/imagelabels.mat"
    labels.write_bytes(labels.read_bytes() + b" ")
    with pytest.raises(UserError, match=r"not the official file \(md5 differs\): .*imagelabels.mat\. Delete"):
        Flowers102(root)


MISSING = {
    "flowers": (["jpg", "imagelabels.mat", "setid.mat"], "no Flowers 102 in"),
    "pets": (["images", "annotations"], "no Oxford-IIIT Pets in"),
    "cub": (["classes.txt", "images.txt", "image_class_labels.txt", "train_test_split.txt"], "no CUB-200-2011 in"),
    "stanford_dogs": (["Images", "train_list.mat", "test_list.mat"], "no Stanford Dogs in"),
    "fgvc_aircraft": (["variants.txt", "images_variant_train.txt", "images_variant_test.txt"], "no FGVC Aircraft in"),
    "stanford_cars": (["cars_train", "cars_test", "cars_meta.mat", "cars_test_annos_withlabels.mat"], "no Stanford C"),
    "dtd": (["images", "train1.txt", "val1.txt", "test1.txt"], "no DTD in"),
}


@pytest.mark.parametrize("name", MISSING)
def test_a_missing_dataset_names_every_piece(name: str, tmp_path: Path) -> None:
    pieces, start = MISSING[name]
    with pytest.raises(UserError) as raised:
        open_dataset(name, {"root": str(tmp_path)})
    message = str(raised.value)
    assert message.startswith(f"dataset.root: {start}")
    assert all(piece in message for piece in pieces)
    remedy = "cannot be downloaded" if name == "stanford_cars" else f"ex2 data {name} --root {tmp_path} --download"
    assert remedy in message


def test_missing_test_labels_of_stanford_cars(tmp_path: Path) -> None:
    miniatures.stanford_cars(tmp_path)
    (tmp_path / "stanford_cars/cars_test_annos_withlabels.mat").unlink()
    with pytest.raises(UserError, match=r"is incomplete. Missing: .*withlabels.mat \(the test labels, a separate file"):
        StanfordCars(str(tmp_path))


@pytest.mark.parametrize(("name", "file"), [("stanford_cars", "cars_meta.mat"), ("stanford_dogs", "train_list.mat")])
def test_a_damaged_list(name: str, file: str, make: Callable[[str], str]) -> None:
    root = make(name)
    next(Path(root).rglob(file)).write_bytes(b"MATLAB 5.0 no more" * 20)
    with pytest.raises(UserError, match=r"cannot be read .*npack the official archive"):
        open_dataset(name, {"root": root})


def test_aircraft_levels_take_their_names_from_the_folder(tmp_path: Path) -> None:
    miniatures.fgvc_aircraft(tmp_path)
    dataset = FGVCAircraft(str(tmp_path), annotation_level="family")
    assert dataset.class_names == ("Boeing 707 aircraft", "Yak-42 aircraft")
    assert [(i.label, Path(i.name).stem) for i in dataset.images("train")] == [(0, "0000001"), (1, "0000003")]
    with pytest.raises(UserError, match=r"annotation_level: unknown 'varant'. Did you mean 'variant'\?"):
        FGVCAircraft(str(tmp_path), annotation_level="varant")
    with pytest.raises(UserError, match=r"dataset.partition: given 11; allowed: 1 to 10"):
        DTD(str(tmp_path), partition=11)


def test_dtd_labels_do_not_depend_on_the_split(tmp_path: Path) -> None:
    """torchvision's own labels do: with one class in `val`, 'zigzagged' would be label 0."""
    miniatures.dtd(tmp_path)
    assert torchvision.DTD(str(tmp_path), split="val")._labels == [0]
    assert [i.label for i in DTD(str(tmp_path)).images("val")] == [46]


# Selection.


def test_selection_depends_on_the_class_alone(image_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [ImageFile(Path(f"{n}.png"), 0) for n in range(6)]
    others = [ImageFile(Path(f"o{n}.png"), 7) for n in range(9)]
    relabeled = [ImageFile(image.path, 3) for image in files]

    def chosen(images: list[ImageFile], seed: int) -> list[str]:
        return [image.name for image in select(images, 2, "random", seed) if image.label != 7]

    for seed in range(5):
        assert chosen(files, seed) == chosen(others + files, seed) == chosen(relabeled + others, seed)
    assert len({tuple(chosen(files, seed)) for seed in range(20)}) > 5
    # random.Random(0) draws 0.844, 0.758, 0.421, 0.259, 0.511, 0.405 in every version of Python: the least are 3 and 5
    assert chosen(files, 0) == ["3.png", "5.png"]
    assert [i.name for i in select(others + files, 2, "first", 0)] == ["o0.png", "o1.png", "0.png", "1.png"]


def test_order_of_the_file_system_does_not_matter(image_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = DatasetSource("folder", "reward", "test", {"root": str(image_folder)}, images_per_class=2)
    expected = [i.name for i in reward_images(source, load_dataset(source))]
    assert [Path(name).name for name in expected] == ["0.png", "1.png"] * 4
    listed = Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda self: sorted(listed(self), reverse=True))
    assert [i.name for i in reward_images(source, load_dataset(source))] == expected


# Planted bug: overlap of splits.


def test_equal_bytes_under_another_name_in_both_splits(tmp_path: Path) -> None:
    miniatures.cub(tmp_path)
    images = tmp_path / "CUB_200_2011/images"
    shutil.copy(images / "001.Black_footed_Albatross/b.jpg", images / "002.Laysan_Albatross/d.jpg")
    source = DatasetSource("cub", "train", "test", {"root": str(tmp_path)})
    dataset = load_dataset(source)
    with pytest.raises(UserError, match=r"1 images are in both the reward split 'train' .*b\.jpg and .*d\.jpg"):
        check_overlap(reward_images(source, dataset), dataset.images("test"), source)


def test_every_unreadable_file_is_named(tmp_path: Path) -> None:
    source = DatasetSource("folder", "r", "t")
    files = [ImageFile(tmp_path / f"{n}.png", 0) for n in range(13)]
    with pytest.raises(UserError) as raised:
        check_overlap(files[:2], files[2:], source)
    lines = str(raised.value).splitlines()
    assert len(lines) == 11
    assert lines[0] == f"{tmp_path}/0.png: missing; unpack the dataset again or take it off its list."
    assert lines[10] == "and 3 more files"


def test_digest_follows_the_content_and_reads_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"abc")
    # SHA-256 of "abc": FIPS 180-2, appendix B.1
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert ImageFile(path, 0).digest() == expected
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", lambda *_: pytest.fail("read again"))
        assert ImageFile(path, 1).digest() == expected
    path.write_bytes(b"abcd")
    assert ImageFile(path, 0).digest() != expected


def test_pictures_that_are_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    miniatures.picture(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)  # 6 × 5 is more than twice that
    with pytest.raises(UserError, match=r"a.png: not a readable image \(Image size \(30 pixels\) exceeds limit"):
        ImageFile(tmp_path / "a.png", 0).open()


def test_duplicate_and_empty_class_names(image_folder: Path) -> None:
    settings = {"root": str(image_folder), "class_names": ["a", " ", "a", ""]}
    with pytest.raises(UserError) as raised:
        open_dataset("folder", settings)
    assert str(raised.value).splitlines() == [
        "dataset folder: empty class name for label 1, 3; every class needs a name.",
        "dataset folder: duplicate class names: 'a' (labels 0, 2); every class needs its own.",
    ]
