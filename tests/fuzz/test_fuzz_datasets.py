"""Hostile manifests, class names and description files: used as they are, or refused in words."""

from __future__ import annotations

import csv
import html
import io
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hostile
import pyarrow
import pytest
from fuzzing import Refused, fuzz, outcome
from hypothesis import strategies as st
from pyarrow import parquet

from analysis.accuracy.control_arms import ControlArm
from analysis.accuracy.description_files import read_arm
from analysis.tables.pages.templating import page_environment
from ex2.data.datasets.base import open_dataset
from ex2.data.datasets.naming import class_name_problems
from ex2.data.names_in_texts import ClassNames, mask_name, name_pattern, plural, replace_name
from ex2.data.prompts import make_prompts


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as made:
        yield Path(made)


GOOD_ROW = st.tuples(
    st.text("ab. /é", min_size=1, max_size=9), st.sampled_from(["cat", "red_fox"]), st.just("test")
).map(list)
cells = hostile.texts | st.sampled_from(
    ["a.png", "b.png", "cat", "dog", "red fox", "train", "test", "0", "1", "0.0", "True"]
)
HEADERS = (
    ["path", "label", "split"],
    ["path", "label", "split", "label"],
    ["path", "label"],
    [],
    ["split", "path", "label", "x"],
)


def as_csv(rows: list[list[str]]) -> bytes:
    file = io.StringIO()
    csv.writer(file).writerows(rows)
    return file.getvalue().encode(errors="surrogatepass")


def as_parquet(columns: list[list[Any]]) -> bytes:
    """Return a parquet file of the three columns; values that do not fit together become texts."""
    arrays = []
    for column in columns:
        try:
            arrays.append(pyarrow.array(column))
        except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError, UnicodeError, OverflowError):
            arrays.append(pyarrow.array([str(value).encode(errors="replace").decode() for value in column]))
    file = io.BytesIO()
    parquet.write_table(pyarrow.table(arrays, names=["path", "label", "split"]), file)
    return file.getvalue()


GOOD_CSV = as_csv([["path", "label", "split"], ["a.png", "cat", "train"], ["b.png", "red_fox", "test"]])
GOOD_PARQUET = as_parquet([["a.png", "b.png"], ["cat", "red_fox"], ["train", "test"]])


tame_csv = st.lists(st.text("abcdef", min_size=1, max_size=6), min_size=2, max_size=4, unique=True).map(
    lambda words: as_csv([["path", "label", "split"], *([f"{word}.png", f"class {word}", "train"] for word in words)])
)
"""Manifests that are as they should be, each another one."""


@fuzz(
    "manifests",
    file=st.tuples(
        st.just("m.csv"),
        st.builds(
            lambda header, rows: as_csv([header, *rows]),
            st.sampled_from(HEADERS),
            st.lists(GOOD_ROW, min_size=1, max_size=4)
            | st.lists(st.lists(cells, min_size=3, max_size=3) | st.lists(cells, max_size=5), max_size=4),
        )
        | hostile.damaged([GOOD_CSV])
        | tame_csv,
    )
    | st.tuples(
        st.just("m.parquet"),
        st.integers(1, 3)
        .flatmap(
            lambda n: st.lists(
                st.lists(cells, min_size=n, max_size=n) | st.lists(hostile.scalars, min_size=n, max_size=n),
                min_size=3,
                max_size=3,
            )
        )
        .map(as_parquet)
        | hostile.damaged([GOOD_PARQUET]),
    )
    | st.tuples(st.sampled_from(["m.jsonl", "m.tsv", "m"]), st.just(GOOD_CSV)),
    names=st.none() | st.none() | st.lists(cells, min_size=1, max_size=3),
)
def test_a_manifest_is_read_whole_or_refused(folder: Path, file: tuple[str, bytes], names: list[str] | None) -> None:
    path = folder / file[0]
    path.write_bytes(file[1])
    settings: dict[str, Any] = {"path": str(path)} | ({} if names is None else {"class_names": names})
    found = outcome(lambda: open_dataset("manifest", settings))
    if isinstance(found, Refused):
        return
    images = [image for split in found.splits for image in found.images(split)]
    assert images
    assert all(type(image.label) is int and 0 <= image.label < len(found.class_names) for image in images)
    assert all(name.strip() for name in found.class_names)
    for image in images:
        assert isinstance(outcome(image.open), Refused)  # there are no files


TEMPLATE = page_environment().from_string("<td data-name='{{ name }}'>{{ name }}</td>")


ODD_NAMES = (
    "<b>cat</b>",
    'the "cat\'s" paw',
    "{cat}",
    "salt & pepper",
    "</script>",
    "C++ (x*",
    "cat\\1",
    "$cat^",
    "猫",
)


@fuzz(
    "class names",
    names=st.lists(st.sampled_from(ODD_NAMES) | hostile.texts | st.text(max_size=8), min_size=1, max_size=4),
    text=st.text(max_size=40),
)
def test_class_names_are_found_put_and_shown_or_refused(names: list[str], text: str) -> None:
    for name in names:
        shown = outcome(lambda name=name: TEMPLATE.render(name=name))
        assert "<" not in shown.removeprefix("<td data-name='").replace("'>", "", 1).removesuffix("</td>")
        assert html.unescape(shown) == f"<td data-name='{name}'>{name}</td>"
    if outcome(lambda: class_name_problems(names, "dataset folder")):
        names = names[:1]  # most are refused for one of several names
        if outcome(lambda: class_name_problems(names, "dataset folder")):
            return
    first = names[0]
    prompts = outcome(lambda: make_prompts(names, "all"))
    assert len(prompts) == 25 * len(names)
    assert all(prompt.class_name in prompt.question for prompt in prompts)
    known = outcome(lambda: ClassNames(names))
    said = f"a {first} {text} {plural(first)}"
    outcome(lambda: (known.mentions(said), known.put(said, 0, "zebra"), known.names_another(said, 0)))
    outcome(lambda: (name_pattern(first).search(said), mask_name(said, first)))
    assert isinstance(outcome(lambda: replace_name(text, first, first.upper())), str)


ARM = {"cat": ["a cat with whiskers", "a cat that sleeps"], "red fox": ["a red fox in snow"]}


@fuzz(
    "description files",
    content=hostile.spoiled(ARM).map(hostile.as_json)
    | hostile.damaged([hostile.as_json(ARM)])
    | st.sampled_from(hostile.BROKEN_JSON),
    layout=st.sampled_from(["cupl", "dclip"]),
    partial=st.booleans(),
)
def test_a_description_file_is_an_arm_or_refused(folder: Path, content: bytes, layout: Any, partial: bool) -> None:
    path = folder / "arm.json"
    path.write_bytes(content)
    found = outcome(lambda: read_arm(path, layout, ["cat", "red fox"], partial=partial))
    if isinstance(found, Refused):
        return
    assert isinstance(found, ControlArm)
    assert found.texts
    assert all(one.label in (0, 1) and one.text.strip() for one in found.texts)
    assert partial or {one.label for one in found.texts} == {0, 1}


@pytest.mark.parametrize("content", hostile.BROKEN_JSON, ids=lambda content: str(content[:6]))
def test_a_description_file_that_is_none_is_refused_with_its_name(folder: Path, content: bytes) -> None:
    path = folder / "arm.json"
    path.write_bytes(content)
    refused = outcome(lambda: read_arm(path, "cupl", ["cat", "red fox"], partial=True))
    assert isinstance(refused, Refused)
    assert str(path) in refused.message
