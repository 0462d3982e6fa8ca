"""The house keeps its plan, and what measures it counts right."""

from __future__ import annotations

from pathlib import Path

import house
import pytest


@pytest.mark.parametrize("package", house.FLOORS)
def test_rooms_import_downwards_only(package: str) -> None:
    measured = house.measure(house.ROOT).packages[package]
    assert measured.upward(house.FLOORS[package]) == []
    listed = [room for floor in house.FLOORS[package] for room in floor]
    assert len(listed) == len(set(listed)) <= house.MOST_ROOMS[package]
    assert set(measured.rooms) <= set(listed)


def build(root: Path, **files: str) -> Path:
    for name, text in files.items():
        path = root / (name.replace("__", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for package in ("ex2", "analysis", "reward"):
        (root / package).mkdir(exist_ok=True)
    return root


def test_rooms_arrows_and_floors(tmp_path: Path) -> None:
    """A folder is one room; imports inside functions count; what is outside the house does not."""
    root = build(
        tmp_path,
        analysis__low="import math\nimport numpy\n",
        analysis__middle__one="from analysis.low import x\n",
        analysis__middle__two="from analysis.middle import one\n",
        analysis__top="def f():\n    from analysis import low\n    import analysis.middle.two\n",
    )
    package = house.measure(root).packages["analysis"]
    assert package.rooms == ("low", "middle", "top")
    assert package.arrows == {("middle", "low"), ("top", "low"), ("top", "middle")}
    assert package.floors() == [["low"], ["middle"], ["top"]]
    assert package.circles() == []
    assert package.upward([["low"], ["middle", "top"]]) == [("top", "middle")], "the same floor is not below"
    assert package.upward([["top"], ["middle"], ["low"]]) == sorted(package.arrows)


def test_circles(tmp_path: Path) -> None:
    root = build(
        tmp_path,
        ex2__a="import ex2.b\n",
        ex2__b="from ex2.c import y\n",
        ex2__c="from ex2 import a\n",
        ex2__d="import ex2.a\n",
    )
    measured = house.measure(root)
    assert measured.circles == [["ex2.a", "ex2.b", "ex2.c"]]
    assert measured.packages["ex2"].circles() == [["a", "b", "c"]]
    assert measured.packages["ex2"].floors() == [["a", "b", "c"], ["d"]]


def test_what_is_counted_and_what_is_a_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = 'a = x["one"] + x.get("two", 0) + x[three] + x[0] + x.get(four) + y["five"]["six"]\n'
    root = build(tmp_path, analysis__statistics=text, analysis__attic="x = 1\n", tests__long="\n" * 401)
    measured = house.measure(root)
    assert measured.subscripts["analysis"] == 4
    found = house.faults(measured)
    assert found == [
        "analysis/attic: on no floor of FLOORS",
        "tests/long.py: 401 lines; at most 400",
    ]
    assert house.main([str(root)]) == 0
    assert house.main(["--check", str(root)]) == 1
    said = capsys.readouterr()
    assert "analysis/: 2 rooms on 1 floors, 0 arrows, 0 not downward, 0 circles; 4 string subscripts" in said.out
    assert "house: tests/long.py: 401 lines; at most 400" in said.err
