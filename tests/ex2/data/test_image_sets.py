"""A set as a dataset: what it has, that Hugging Face loads it, and that whatever was changed in it is named."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from drawn_sets import Blocks, content, drawn
from PIL import Image

from ex2 import cli
from ex2.data.datasets.base import open_dataset
from ex2.data.datasets.image_folders import ImageFolder
from ex2.data.datasets.image_sets import ImageSetDataset, read_set, seeds_in
from ex2.data.datasets.set_records import ImageRow, SetRecord, folder_names
from reward.errors import UserError


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished set's seed."""
    return drawn(tmp_path_factory.mktemp("sets"), Blocks([(0, 1)]), per_class=3).folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    copied = tmp_path / whole.parent.name / "seed-0"
    shutil.copytree(whole, copied)
    return copied


def refused(action: Callable[[], Any]) -> str:
    with pytest.raises(UserError) as error:
        action()
    return str(error.value)


def test_a_set_is_a_dataset(folder: Path) -> None:
    for root in (folder, folder.parent):
        dataset = open_dataset("image_set", {"root": str(root), "seed": 0})
        assert (dataset.class_names, dataset.splits) == (("cat", "sea lion"), ("set",))
        images = dataset.images("set")
        names = [(image.label, image.name) for image in images]
        assert names == [(0, f"{folder}/images/cat/0000{i}.png") for i in (0, 2)] + [
            (1, f"{folder}/images/sea_lion/0000{i}.png") for i in (0, 1, 2)
        ]
        assert images[2].digest() == hashlib.sha256(Path(images[2].name).read_bytes()).hexdigest()
        assert images[2].open().size == (8, 8)


def test_the_data_command_shows_a_set(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["data", "image_set", "--root", str(folder.parent)]) == 0
    shown = capsys.readouterr().out
    assert "sea lion" in shown
    assert "contact sheet: image_set.png (all classes)" in shown


def test_hugging_face_loads_a_set_of_any_names(tmp_path: Path) -> None:
    import datasets

    names = ("test tube", "training val", "cat", "__hidden", "..", "a/b")
    found = drawn(tmp_path / "train", Blocks([(0, 1)]), class_names=names)
    loaded = datasets.load_dataset("imagefolder", data_dir=str(found.folder), cache_dir=str(tmp_path / "cache"))
    assert {split: len(rows) for split, rows in loaded.items()} == {"train": 11}
    assert sorted({row["class"] for row in loaded["train"]}) == sorted(names)
    for row, stored in zip(loaded["train"], found.rows, strict=True):
        assert (row["prompt"], row["seed"], row["index"]) == (stored.prompt, stored.seed, stored.index)
        assert hashlib.sha256(row["image"].convert("RGB").tobytes()).hexdigest() == stored.pixels


def test_a_plain_folder_is_no_set(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / "all" / name).mkdir(parents=True)
        Image.new("RGB", (4, 4)).save(tmp_path / "all" / name / "1.png")
    assert ImageFolder(str(tmp_path)).class_names == ("cat", "dog")
    assert refused(lambda: ImageSetDataset(str(tmp_path))) == (
        f"dataset.root: '{tmp_path}' is no set: it has no seed-0/set.json. A plain folder of images is read as "
        "`folder`."
    )


def test_where_a_set_is_looked_for(folder: Path, tmp_path: Path) -> None:
    name = folder.parent.name
    assert refused(lambda: ImageSetDataset(str(folder.parent), 4)) == (
        f"dataset.seed: '{folder.parent}' has no seed 4. Available: 0."
    )
    assert refused(lambda: ImageSetDataset(str(tmp_path))) == (
        f"dataset.root: '{tmp_path}' is no set: it has no seed-0/set.json. Sets in it: {name}."
    )
    assert refused(lambda: ImageSetDataset(f"{tmp_path}/x")) == (
        f"dataset.root: no folder '{tmp_path}/x'. Give the folder of a set, as SETS/NAME-1a2b3c4d."
    )
    dataset = ImageSetDataset(str(folder))
    assert refused(lambda: dataset.images("test")) == "dataset: a set has no split 'test'. Available: set."


def test_names_of_folders() -> None:
    assert folder_names(("cat", "sea lion", "T-shirt", "訓練", "Éclair")) == (
        "cat",
        "sea_lion",
        "T-shirt",
        "訓練",
        "Éclair",
    )
    digest = hashlib.sha256(b"a/b").hexdigest()[:8]
    assert folder_names(("a/b", f"a_b-{digest}"))[0] == f"a_b-{digest}"
    assert not {"CON", "nul", "COM1"} & {*folder_names(("CON", "nul", "COM1"))}
    hostile = [
        "..", ".", "/", "a/b", "a:b", "a\\b", "CON", "nul", ".hidden", "__x", "x" * 200, "x" * 199 + "y", "訓" * 200,
        f"a_b-{digest}", "test", "val set", "dev-kit", "0train", "ﬁn", "-", "~", "a b/", "COM1", "a.", " ",
    ]  # fmt: skip
    found = folder_names(hostile)
    assert len({name.casefold() for name in found}) == len(hostile)
    for name in found:
        assert len(name.encode()) <= 110
        assert not set(name) & set('/\\:*?"<>|. ~')
        assert name[0] not in "_-."
    assert refused(lambda: folder_names(("cat", "cat"))) == (
        "classes: two of them have the folder 'cat'; give every class a name of its own."
    )


def flip(path: Path, place: int) -> None:
    """Change one bit of a file."""
    held = bytearray(path.read_bytes())
    held[place] ^= 1
    path.write_bytes(held)


def test_a_flipped_bit_is_found_wherever_it_is(folder: Path) -> None:
    for name, held in content(folder).items():
        path = folder / name
        for place in range(0, len(held), max(1, len(held) // 9)):
            flip(path, place)
            told = refused(lambda: read_set(folder).check_content())
            assert told.startswith(f"{path}: "), f"{name}, byte {place}"
            assert told.endswith(f"or move {folder} away and draw the set again."), told
            flip(path, place)
    read_set(folder).check_content()


def test_a_damaged_image_is_not_opened(folder: Path) -> None:
    dataset = ImageSetDataset(str(folder))
    image = dataset.images("set")[1]
    flip(Path(image.name), 40)
    told = (
        f"{image.name}: its content is not what was written; put it back as it was, or move {folder} away and draw the "
        "set again."
    )
    assert refused(image.open) == told
    assert refused(image.digest) == told
    Path(image.name).unlink()
    assert refused(image.open) == (
        f"{image.name}: not found, but metadata.jsonl has a row of it; put it back as it was, or move {folder} away "
        "and draw the set again."
    )


def test_missing_and_foreign_images_are_named_all_at_once(folder: Path) -> None:
    (folder / "images/cat/00002.png").unlink()
    (folder / "images/sea_lion/00000.png").write_bytes(b"x")
    shutil.copy(folder / "images/cat/00000.png", folder / "images/cat/00007.png")
    size = next(row.bytes for row in read_rows_of(folder) if row.file_name == "images/sea_lion/00000.png")
    again = f"put it back as it was, or move {folder} away and draw the set again."
    assert refused(lambda: read_set(folder)).splitlines() == [
        f"{folder}/images/cat/00002.png: not found, but metadata.jsonl has a row of it (line 2); {again}",
        f"{folder}/images/sea_lion/00000.png: 1 bytes, and {size} by metadata.jsonl (line 3); {again}",
        f"{folder}/images/cat/00007.png: no row of metadata.jsonl is about it; {again}",
    ]


def read_rows_of(folder: Path) -> list[Any]:
    return [ImageRow.from_json(json.loads(line)) for line in (folder / "metadata.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda rows: [*rows, rows[0]], "line 6: the same image as on line 1"),
        (lambda rows: [{**rows[0], "class": "dog"}], "line 1: class 'dog', label 0, index 0 is not of this set"),
        (lambda rows: [{**rows[0], "label": -1}], "line 1: class 'cat', label -1, index 0 is not of this set"),
        (lambda rows: [{**rows[0], "index": 3}], "line 1: class 'cat', label 0, index 3 is not of this set"),
        (
            lambda rows: [{**rows[0], "file_name": "../../x.png"}],
            "line 1: file_name is '../../x.png', and that of this image is 'images/cat/00000.png'",
        ),
        (
            lambda rows: [{**rows[0], "index": 1, "file_name": "images/cat/00001.png"}],
            "line 1: failures.jsonl has a row of this image too",
        ),
        (lambda rows: [{k: v for k, v in rows[0].items() if k != "seed"}], "line 1: no image ('seed' is missing)"),
        (lambda rows: rows[1:], "its content is not what was written"),
    ],
)
def test_rows_of_no_such_set(folder: Path, change: Any, told: str) -> None:
    path = folder / "metadata.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(row) + "\n" for row in change(rows)))
    assert f"{path}: {told}" in refused(lambda: read_set(folder))


def test_rows_of_another_set_are_not_gone_on_with(folder: Path) -> None:
    record = SetRecord.from_json(json.loads((folder / "set.json").read_text()))
    begun = replace(record, complete=False, made=0, failed={}, files={}).sealed()
    (folder / "set.json").write_text(json.dumps(begun.to_json()))
    assert refused(lambda: read_set(folder)) == (
        f"{folder}: unfinished: 6 of 6 images have been drawn; run the command that draws it again to go on."
    )
    flip(folder / "images/sea_lion/00001.png", 40)
    assert refused(lambda: drawn(folder.parent.parent, Blocks([(0, 1)]), per_class=3)).startswith(
        f"{folder}/images/sea_lion/00001.png: its content is not what was written; "
    )
    flip(folder / "images/sea_lion/00001.png", 40)
    rows = (folder / "metadata.jsonl").read_text().replace("cat no. 2", "dog no. 2")
    (folder / "metadata.jsonl").write_text(rows)
    seed = read_rows_of(folder)[1].seed
    generator = Blocks([(0, 1)])
    assert refused(lambda: drawn(folder.parent.parent, generator, per_class=3)) == (
        f"{folder}/metadata.jsonl: the row of class 'cat', index 2, answers another request than this set's (prompt "
        f"'dog no. 2', seed {seed}); put it back as it was, or move {folder} away and draw the set again."
    )
    (folder / "set.json").unlink()
    assert refused(lambda: drawn(folder.parent.parent, generator, per_class=3)).startswith(
        f"{folder}/metadata.jsonl: there is no set.json beside it; "
    )
    assert not generator.calls


def test_a_set_of_another_seed(folder: Path) -> None:
    folder.rename(folder.with_name("seed-1"))
    assert "was written for seed-0, and this is seed-1" in refused(lambda: ImageSetDataset(str(folder.parent), 1))


def test_a_set_where_another_one_stood(folder: Path) -> None:
    other = drawn(folder.parent.parent, Blocks(), per_class=1).folder
    name = other.parent.name
    shutil.rmtree(other)
    folder.rename(other)
    assert refused(lambda: read_set(other)) == (
        f"{other}/set.json: was written for {folder.parent.name}, and this is {name}; put it back as it was, or move "
        f"{other} away and draw the set again. If the folder was renamed, give it back its name, or one that does not "
        "end as a set's."
    )
    other.parent.rename(other.parent.with_name("mine"))
    assert read_set(other.parent.with_name("mine") / "seed-0").record.name == "blocks"


def test_a_seed_without_its_record_is_not_passed_over(folder: Path) -> None:
    shutil.copytree(folder, folder.with_name("seed-1"))
    assert seeds_in(folder.parent) == [folder, folder.with_name("seed-1")]
    assert seeds_in(folder) == [folder]
    (folder / "set.json").unlink()
    told = (
        f"{folder}/set.json: not found, and metadata.jsonl and images are there; put it back as it was, or move "
        f"{folder} away and draw the set again."
    )
    assert refused(lambda: seeds_in(folder.parent)) == told
    assert refused(lambda: seeds_in(folder)) == told
    (folder / "metadata.jsonl").unlink()
    assert seeds_in(folder.parent) == [folder.with_name("seed-1")]
