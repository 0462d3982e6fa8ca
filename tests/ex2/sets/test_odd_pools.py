"""Pools whose lists are odd: files of two spellings, links, texts and tables that are no texts and no tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tiny_diffusion
from PIL import Image
from pyarrow import parquet

from ex2.sets.authors.examples import read_examples
from ex2.sets.authors.scripted import Scripted
from ex2.sets.class_images import read_class_images
from ex2.sets.generators.base import build_generator
from ex2.sets.generators.retrieval import Retrieval
from ex2.sets.learned import Learning
from ex2.sets.pool import read_pool
from reward.errors import UserError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for place in ("pool", "pool/deep", "other"):
        (tmp_path / place).mkdir()
    for number, place in enumerate(("pool/a.png", "pool/b.png", "pool/deep/a.png", "other/secret.png")):
        Image.new("RGB", (6, 5), (40 * number, 0, 0)).save(tmp_path / place)
    return tmp_path / "pool"


def listed(folder: Path, *files: str) -> Path:
    return tiny_diffusion.write_pool(folder, [{"caption": "zorb", "file": file} for file in files])


def told(path: Path, **settings: Any) -> list[str]:
    with pytest.raises(UserError) as raised:
        read_pool(path, **settings)
    return str(raised.value).splitlines()


def test_a_file_of_several_spellings_is_one(folder: Path, tmp_path: Path) -> None:
    (folder / "link.png").symlink_to("a.png")
    (folder / "folder").symlink_to("deep")
    spellings = ("a.png", "./a.png", ".//a.png", "link.png", "deep/a.png", "deep/./a.png", "folder/a.png", "b.png")
    path = listed(folder, *spellings)
    assert read_pool(path).files == (*["a.png"] * 4, *["deep/a.png"] * 3, "b.png")
    encoder = str(tiny_diffusion.save_sentence_encoder(tmp_path / "encoder"))
    taken = Retrieval(str(path), encoder=encoder).taken("zorb", 8)
    assert [image.path.relative_to(folder).as_posix() for image in taken if not isinstance(image, str)] == [
        "a.png", "deep/a.png", "b.png",
    ]  # fmt: skip


def test_links_out_of_the_folder_are_refused(folder: Path) -> None:
    (folder / "link.png").symlink_to("../other/secret.png")
    (folder / "out").symlink_to("../other")
    (folder / "round").symlink_to("../pool/deep")
    (folder / "loop.png").symlink_to("loop.png")
    path = listed(folder, "a.png", "link.png", "out/secret.png", "../other/secret.png", "round/a.png", "loop.png")
    assert told(path) == [
        "generator.pool: pool.jsonl: rows 2, 3, 4: names a file outside of the pool's folder; give paths from the "
        "folder that holds the list.",
        "generator.pool: pool.jsonl: row 6: names a file that is not there; fetch it, or take the row out.",
    ]
    moved = folder.parent / "linked"
    moved.symlink_to(folder)
    listed(folder, "a.png", "round/a.png")
    assert read_pool(moved / "pool.jsonl").files == ("a.png", "deep/a.png"), "the folder itself may be a link"


@pytest.mark.parametrize("file", ["a" * 300 + ".png", "d" * 300 + "/a.png", "a\0.png", "deep", "."])
def test_names_that_no_file_can_have(folder: Path, file: str) -> None:
    assert told(listed(folder, "a.png", file)) == [
        "generator.pool: pool.jsonl: row 2: names a file that is not there; fetch it, or take the row out."
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"caption": "\\ud800 red", "file": "a.png"}', 'half of a surrogate pair in "\\ud800 red"'),
        (b'{"caption": "red", "file": "a.png", "x": NaN}', "NaN is no number"),
        (b'{"caption": "red", "caption": "zorb", "file": "a.png"}', 'the key "caption" occurs twice in an object'),
        (b'{"caption": "caf\xe9", "file": "a.png"}', "not UTF-8"),
        (b'{"caption": ', "not JSON (Expecting value)"),
        (b"", "empty"),
        (b"[" * 100_000, "more than 100 levels of nesting"),
    ],
)
def test_rows_are_read_as_other_files_are(folder: Path, line: bytes, reason: str) -> None:
    good = json.dumps({"caption": "zorb", "file": "a.png"}).encode()
    (folder / "pool.jsonl").write_bytes(good + b"\n" + line + b"\n" + good + b"\n")
    assert told(folder / "pool.jsonl") == [f"generator.pool: pool.jsonl: row 2: {reason}; a row is an object."]


def test_columns_of_a_pool_are_two(folder: Path) -> None:
    assert told(listed(folder, "a.png"), caption="file") == [
        "generator.file_column: given 'file', which is caption_column too; give two columns."
    ]


def table(folder: Path, captions: pa.Array, **more: pa.Array) -> Path:
    path = folder / "pool.parquet"
    parquet.write_table(pa.table({"caption": captions, "file": ["a.png", "b.png"], **more}), path)
    return path


def test_texts_of_a_table_are_utf_8(folder: Path) -> None:
    offsets = pa.py_buffer(np.array([0, 3, 4], dtype=np.int32).tobytes())
    path = table(folder, pa.StringArray.from_buffers(2, offsets, pa.py_buffer(b"red\xff")))
    assert told(path) == ["generator.pool: pool.parquet: row 2: not UTF-8; a pool's texts are."]


def test_columns_of_a_table_hold_texts(folder: Path) -> None:
    for captions, kind in (
        (pa.array([2**62, 1], type=pa.timestamp("us")), "timestamp[us]"),
        (pa.array([1, 2]), "int64"),
        (pa.array([b"red", b"\xff"]), "binary"),
        (pa.array([["red"], ["zorb"]]), "list<element: string>"),
    ):
        assert told(table(folder, captions)) == [
            f"generator.pool: pool.parquet: column 'caption' holds {kind}, and no texts; name another."
        ]
    texts = pa.array(["red", "zorb"])
    for captions in (texts, texts.dictionary_encode(), texts.cast(pa.large_string())):
        path = table(folder, captions, other=pa.array([2**62, 1], type=pa.timestamp("us")))
        assert read_pool(path).captions == ("red", "zorb"), "other columns are not read"
    twice = pa.Table.from_arrays([texts, texts, pa.array(["a.png", "b.png"])], ["caption", "caption", "file"])
    parquet.write_table(twice, path)
    assert told(path) == ["generator.pool: pool.parquet: has 2 columns 'caption'; give each its own name."]
    assert told(path, caption="said")[0].startswith("generator.pool: pool.parquet: rows 1, 2: has no text in column")


def test_a_user_that_is_not_there(folder: Path) -> None:
    with pytest.raises(UserError) as raised:
        Retrieval("~nosuchuser/pool.jsonl", encoder="~nosuchuser/encoder")
    encoder, pool = str(raised.value).splitlines()
    assert encoder.startswith("generator.encoder: no folder '~nosuchuser/encoder'; give a sentence encoder's folder")
    assert pool == (
        "generator.pool: no file '~nosuchuser/pool.jsonl'; give a list with a caption and a file in each row."
    )


def test_a_filter_and_its_pool_are_told_of_at_once(folder: Path, tmp_path: Path) -> None:
    encoder = str(tiny_diffusion.save_sentence_encoder(tmp_path / "encoder"))
    images = {"pool": str(listed(folder, "a.png")), "encoder": encoder}
    filtering = {"encoder": encoder, "at_least": 2.0, "captioner": {"name": "column", "column": "nope"}}
    with pytest.raises(UserError) as raised:
        Learning(images, filtering)
    assert [line.partition("; ")[0] for line in str(raised.value).splitlines()] == [
        "generator.inversion.filter.at_least: given 2",
        "generator.inversion.images: pool.jsonl: row 1: has no text in column 'nope'",
    ]


@pytest.mark.parametrize("root", ["~nosuchuser/x", "a" * 300, "a\0b"])
def test_folders_of_images_that_can_be_none(root: str) -> None:
    asked = (
        ({"folder": root}, "generator.start.folder: no folder "),
        ({"dataset": {"name": "folder", "root": root}, "split": "train"}, "dataset.root: no folder "),
        ({"dataset": {"name": "image_set", "root": root}, "split": "train"}, ".root: no folder "),
        ({"dataset": {"name": "eurosat", "root": root}, "split": "train"}, "dataset.root: no EuroSAT in "),
    )
    for given, told_of in asked:
        with pytest.raises(UserError) as raised:
            read_class_images(given, "generator.start")
        assert told_of in str(raised.value)
    with pytest.raises(UserError, match=r"generator\.root: no folder "):
        build_generator("folder", {"root": root})


@pytest.mark.parametrize("file", ["~nosuchuser/x.jsonl", "a" * 300])
def test_an_authors_file_that_can_be_none(file: str) -> None:
    with pytest.raises(UserError, match=r"^generator\.author\.file: no file "):
        Scripted(file)
    with pytest.raises(UserError, match=r"^generator\.examples: no file "):
        read_examples(file)
