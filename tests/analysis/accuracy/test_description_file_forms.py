"""Description files as editors and programs leave them: byte order marks, a class twice, and files of many classes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from analysis.accuracy.description_files import read_arm, read_arms
from analysis.phrases.templates import read_templates
from reward.errors import UserError

CLASSES = ("cat", "dog")


def refusal(path: Path, classes: tuple[str, ...] = CLASSES) -> list[str]:
    with pytest.raises(UserError) as raised:
        read_arms({str(path): "cupl"}, classes, partial=False)
    assert len(str(raised.value)) < 2000
    return str(raised.value).splitlines()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_byte_order_mark_is_no_part_of_a_file(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "bom.json"
    path.write_text('{"cat": ["a"], "dog": ["b"]}', encoding=encoding)
    assert [(text.label, text.text) for text in read_arm(path, "cupl", CLASSES, partial=False).texts] == [
        (0, "a"),
        (1, "b"),
    ]
    path.write_text('{"templates": ["a drawing of a {}."]}', encoding=encoding)
    assert read_templates(path).templates == ("a drawing of a {}.",)


def test_a_class_twice_is_refused(tmp_path: Path) -> None:
    """JSON readers keep the last of two equal keys, so that the first list would be lost."""
    path = tmp_path / "dup.json"
    where = f"analysis.description_files: {path}"
    path.write_text('{"cat": ["A cat."],\n "cat": ["A machine that lifts loads."],\n "dog": ["A dog."]}')
    assert refusal(path) == [f'{where}: line 2: the key "cat" occurs twice in an object.']
    path.write_text('{"cat": ["A cat."], "Cat": ["A machine."], "dog": ["A dog."]}')
    assert refusal(path) == [f"{where}: 'Cat' and 'cat' are the same class."]
    path.write_text('{"caf\\u00e9": ["a"], "cafe\\u0301": ["b"]}')
    assert refusal(path) == [f"{where}: 'cafe\u0301' and 'caf\u00e9' are the same class."]
    path.write_text('{"templates": ["a {}"], "templates": ["the {}"]}')
    with pytest.raises(UserError, match=r'line 1: the key "templates" occurs twice in an object; give {"templates"'):
        read_templates(path)


def test_accents_may_be_stored_in_either_way(tmp_path: Path) -> None:
    path = tmp_path / "nfd.json"
    path.write_text('{"cafe\\u0301": ["a"], "dog": ["b"]}')
    assert [text.label for text in read_arm(path, "cupl", ("dog", "caf\u00e9"), partial=False).texts] == [0, 1]


def test_files_that_are_no_json(tmp_path: Path) -> None:
    path = tmp_path / "f.json"
    where = f"analysis.description_files: {path}"
    path.write_bytes('{"cat": ["a"], "dog": ["b"]}'.encode("utf-16"))
    assert refusal(path) == [f"{where}: line 1: not UTF-8."]
    path.write_text("[" * 100_000)
    assert refusal(path) == [f"{where}: line 1: more than 100 levels of nesting."]
    path.write_text('{"cat": ["a"], "dog": [NaN]}')
    assert refusal(path) == [f"{where}: line 1: NaN is no number."]
    path.unlink()
    os.mkfifo(path)
    assert refusal(path) == [f"{where}: no file; give a JSON file of class → list of texts."]


def test_a_file_of_many_other_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The nearest of all names is looked for only where it is shown."""
    path = tmp_path / "f.json"
    path.write_text("{" + ", ".join(f'"kind {n}": ["a"]' for n in range(2000)) + "}")
    lines = refusal(path, tuple(f"class {n}" for n in range(2000)))
    assert lines[0] == f"analysis.description_files: {path}: its 2000 classes are not the dataset's 2000."
    assert lines[1].startswith("  unknown: 'kind 0'")
    assert lines[11:13] == ["  and 1990 more unknown", "  missing: 'class 0'"]
    assert lines[22:] == ["  and 1990 more missing", "None fits: rename them in the file."]
    path.write_text("{" + ", ".join(f'"kind {n}": []' for n in range(2000)) + "}")
    assert refusal(path)[10:] == [f"analysis.description_files: {path}: 1990 more problems."]
    path.write_text('{"class 0": ["a"], ' + ", ".join(f'"kind {n}": ["a"]' for n in range(12)) + "}")
    note = read_arm(path, "cupl", ("class 0", "owl"), partial=True).note
    assert note.endswith(
        "; without: owl; not in the dataset: " + ", ".join(f"kind {n}" for n in range(10)) + ", and 2 more"
    )
