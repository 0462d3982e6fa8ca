"""A user's file of classes and ImageNet's class numbers: what it may hold, and a line for everything else."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from ex2.data.synsets import packaged_synsets, read_synsets
from reward.errors import UserError

CLASSES = ("red kite", "Teddy_Bear", "cup")


def refused(path: Path, content: str) -> list[str]:
    path.write_text(content)
    with pytest.raises(UserError) as error:
        read_synsets(path, CLASSES)
    assert error.value.exit_code == 2
    return str(error.value).splitlines()


def test_a_file_names_some_classes(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"Red_kite": [21], "cup": []}))
    found = read_synsets(path, CLASSES).categories
    assert {name: one.ids for name, one in found.items()} == {"red kite": (21,), "cup": ()}
    merged = packaged_synsets() | found
    assert (merged["cup"].ids, merged["teddy bear"].ids) == ((), (850,))
    assert packaged_synsets()["cup"].ids == (504, 968)
    own = read_synsets(path, CLASSES)
    assert (own.path, own.digest) == (path.resolve(), hashlib.sha256(path.read_bytes()).hexdigest())


def test_every_fault_has_a_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    assert refused(path, json.dumps({"rde kite": [1], "cup": [1000, -1, 5], "teddy bear": "850"})) == [
        f"{path}: class: unknown 'rde kite'. Did you mean 'red kite'? Available: Teddy_Bear, cup, red kite.",
        f"{path}: 'cup': 1000, -1: ImageNet's classes are numbered 0 to 999.",
        f"{path}: 'teddy bear': given 850; a list of class numbers is allowed, such as [385, 386].",
    ]
    assert refused(path, json.dumps({"red kite": [1], "red_kite": [2]})) == [
        f"{path}: 'red_kite': the class stands twice; give it once."
    ]
    assert refused(path, json.dumps({"cup": [968, 504, 968]})) == [
        f"{path}: 'cup': 968 stands twice; give each number once."
    ]
    assert refused(path, json.dumps({"cup": [True, 1.0]}))[0].startswith(f"{path}: 'cup': given [True, 1.0]; a list")
    (line,) = refused(path, '{"cup": [1], "cup": [2]}')
    assert '"cup"' in line
    assert "twice" in line
    for content in ("[1, 2]", "[]", '[["cup", [1]]]', "null", '"cup"'):
        assert refused(path, content) == [
            f"measure.synsets: {path}: holds no JSON object; give a JSON object, class name → [class numbers]."
        ]
    assert len(refused(path, "{")) == 1
    with pytest.raises(UserError, match="no such file; give a JSON object, class name"):
        read_synsets(tmp_path / "none.json", CLASSES)
    for given in ("~nosuchuser/s.json", "s" * 300):
        with pytest.raises(UserError, match=r"^measure\.synsets: given '[^\n]*; give the path of a file\.$"):
            read_synsets(given, CLASSES)
