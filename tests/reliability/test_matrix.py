"""A random part of the matrix; `make reliability` runs all of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.reliability.base import copied, make
from tests.reliability.cells import all_cells, drawn_cells
from tests.reliability.outcome import Finding, differences, made
from tests.reliability.runner import Laboratory
from tests.reliability.stages import CHECKPOINT_FILES, STAGES

DRAWN = 40
SEED = int(os.environ.get("EX2_RELIABILITY_SEED", "0"))
MADE_FOR_PEOPLE = ("figure-*", "table-*", "*.csv", "report.html")
"""Files of a run that no stage reads."""


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Laboratory:
    folder = tmp_path_factory.mktemp("reliability")
    return Laboratory(make(folder / "worlds"), tmp_path_factory.mktemp("room"))


def test_forty_cells_hold(laboratory: Laboratory) -> None:
    cells = drawn_cells(all_cells(), DRAWN, SEED)
    seen: list[Finding] = []
    findings = laboratory.check_all(cells, seen.append)
    assert [finding.cell for finding in findings] == [cell.name for cell in cells]
    assert len(seen) == DRAWN
    assert [finding for finding in findings if not finding.held and finding.fault != "not run"] == []


def test_every_file_of_the_run_is_damaged_in_some_cell(laboratory: Laboratory) -> None:
    world = laboratory.worlds / "done"
    files = {str(path.relative_to(world)) for path in (world / "runs/main").rglob("*") if path.is_file()}
    later = {name for name in files if "/seed-1/" in name or "/.locks/" in name or name.endswith("rater-2.jsonl")}
    twins = {name for name in files if "/checkpoint-2/" in name or "/checkpoint-6/" in name}
    damaged = {str(path.relative_to(world)) for stage in STAGES for name in stage.reads for path in world.glob(name)}
    assert set(CHECKPOINT_FILES) <= files
    left = files - later - twins - damaged
    assert {name for name in left if not any(Path(name).match(pattern) for pattern in MADE_FOR_PEOPLE)} == set()


def test_every_file_of_a_set_and_of_its_measures_is_damaged_in_some_cell(laboratory: Laboratory) -> None:
    world = laboratory.worlds / "sets-measured"
    (drawn,) = world.glob("sets/drawn-*/seed-0")
    paths = [*(world / "runs/main").rglob("*"), *drawn.rglob("*")]
    files = {path for path in paths if path.is_file() and ".locks" not in path.parts}
    damaged = {path for stage in STAGES for name in stage.reads for path in world.glob(name)}
    left = files - damaged - {world / "runs/main/report.html"}
    assert {path.parent.parent.name for path in left} == {"images"}
    assert drawn / "images" in damaged


@pytest.mark.slow
def test_what_a_stage_makes_is_made_by_it_and_nothing_else(laboratory: Laboratory, tmp_path: Path) -> None:
    """Without files to compare, or with such as were there before and are left alone, no number could be wrong."""
    for stage in STAGES:
        usual = laboratory.undisturbed(stage.name, stage.start).files
        assert usual, stage.name
        anew = ("describe", "analyze", "cross", "attributes", "phrases", "export")
        if stage.name in anew or (stage.of_sets and stage.name != "report-sets"):
            before = made(copied(laboratory.worlds / stage.start, tmp_path / stage.name), stage.name)
            assert set(differences(before, usual)) == set(usual), stage.name
