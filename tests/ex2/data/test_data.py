"""Datasets, questions and the choice of images."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from paths import ROOT
from PIL import Image

from ex2.data.datasets.base import ImageFile
from ex2.data.datasets.image_folders import ImageFolder
from ex2.data.datasets.torchvision_datasets import OxfordPets
from ex2.data.prompts import QUESTIONS, make_prompts, question_ids
from ex2.data.selection import check_overlap, counts_by_class, load_dataset, select
from ex2.data.source import DatasetSource
from reward.errors import UserError


def test_questions_are_the_papers_25() -> None:
    assert len(QUESTIONS) == len(set(QUESTIONS)) == 25
    assert QUESTIONS[0] == "Describe a photo of a {}."
    assert QUESTIONS[24] == "Critique a photo of a {} and provide constructive feedback for improvement."
    assert all(question.count("{}") == 1 for question in QUESTIONS)


def test_prompts_are_every_class_with_every_question() -> None:
    prompts = make_prompts(["tench", "wren"], [5, 0])
    assert [(p.class_name, p.question_id, p.question) for p in prompts] == [
        ("tench", 5, "Describe a tench."),
        ("tench", 0, "Describe a photo of a tench."),
        ("wren", 5, "Describe a wren."),
        ("wren", 0, "Describe a photo of a wren."),
    ]
    assert prompts[0].render("plain") == "Describe a tench.\n\n"
    assert prompts[0].render("chat") == [{"role": "user", "content": "Describe a tench."}]
    assert set(prompts[0].row("plain")) == {"prompt", "class_name", "label", "question_id"}


@pytest.mark.parametrize("choice", [[25], [-1], [], [1, 1]])
def test_wrong_questions(choice: list[int]) -> None:
    with pytest.raises(UserError, match="allowed: all, or indices from 0 to 24"):
        question_ids(choice)


def test_image_folder_orders_by_class_then_name(image_folder: Path) -> None:
    dataset = ImageFolder(str(image_folder))
    assert dataset.splits == ("reward", "test")
    assert dataset.class_names == ("class 0", "class 1", "class 2", "class 3")
    images = dataset.images("reward")
    assert [(i.label, Path(i.name).name) for i in images[:4]] == [
        (0, "0.png"),
        (0, "1.png"),
        (0, "2.png"),
        (1, "0.png"),
    ]
    assert counts_by_class(images, dataset.class_names) == dict.fromkeys(dataset.class_names, 3)
    assert ImageFolder(str(image_folder), class_names=list("abcd")).class_names == tuple("abcd")
    with pytest.raises(UserError, match=r"dataset.class_names: 2 names for 4 class folders"):
        ImageFolder(str(image_folder), class_names=["a", "b"])


def test_empty_folder_and_missing_split(tmp_path: Path, image_folder: Path) -> None:
    with pytest.raises(UserError, match=r"dataset.root: no class folders in"):
        ImageFolder(str(tmp_path))
    source = DatasetSource("folder", "rewards", "test", {"root": str(image_folder)})
    with pytest.raises(UserError, match=r"dataset.reward_split: unknown 'rewards'. Did you mean 'reward'\?"):
        load_dataset(source)


def images_of(*labels: int) -> list[ImageFile]:
    return [ImageFile(Path(f"{index}.png"), label) for index, label in enumerate(labels)]


def test_selection_takes_the_first_or_a_seeded_sample() -> None:
    images = images_of(0, 0, 0, 0, 0, 1, 1)
    assert select(images, 2, "first", 0) == [images[0], images[1], images[5], images[6]]
    sample = select(images, 2, "random", 0)
    assert sample == select(images, 2, "random", 0)
    assert [image.label for image in sample] == [0, 0, 1, 1]
    assert len({tuple(i.name for i in select(images, 2, "random", seed)) for seed in range(20)}) > 3


def test_overlap_is_found_by_content(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4), "red").save(tmp_path / "a.png")
    Image.new("RGB", (4, 4), "blue").save(tmp_path / "b.png")
    (tmp_path / "c.png").write_bytes((tmp_path / "a.png").read_bytes())
    source = DatasetSource("folder", "r", "t")
    a, b, c = (ImageFile(tmp_path / f"{name}.png", 0) for name in "abc")
    check_overlap([a], [b], source)
    with pytest.raises(UserError, match=r"1 images are in both .* such as .*a\.png and .*c\.png"):
        check_overlap([a, b], [c], source)


def test_pets_against_a_miniature_of_the_official_layout(tmp_path: Path) -> None:
    """list: image id, class (1-based), species, breed; class names in label order, not in order of the files."""
    base = tmp_path / "oxford-iiit-pet"
    (base / "images").mkdir(parents=True)
    (base / "annotations").mkdir()
    rows = {"trainval": ["yorkshire_terrier_2 37 2 25", "Abyssinian_10 1 1 1"], "test": ["Abyssinian_2 1 1 1"]}
    for split, lines in rows.items():
        (base / "annotations" / f"{split}.txt").write_text("\n".join(lines) + "\n")
        for line in lines:
            Image.new("RGB", (5, 5)).save(base / "images" / f"{line.split()[0]}.jpg")
    dataset = OxfordPets(str(tmp_path))
    assert len(dataset.class_names) == 37
    found = [(dataset.class_names[i.label], Path(i.name).name) for i in dataset.images("trainval")]
    assert found == [("Abyssinian", "Abyssinian_10.jpg"), ("yorkshire terrier", "yorkshire_terrier_2.jpg")]
    assert [i.label for i in dataset.images("test")] == [0]
    assert dataset.images("test")[0].open().size == (5, 5)
    with pytest.raises(UserError, match=r"no Oxford-IIIT Pets in .*images.tar.gz.*annotations.tar.gz"):
        OxfordPets(str(tmp_path / "elsewhere"))


def test_class_name_files_name_their_source() -> None:
    for path in (ROOT / "ex2/data/datasets/class_names").glob("*.json"):
        data = json.loads(path.read_text())
        assert data["source"]
        assert len(set(data["names"])) == len(data["names"])
