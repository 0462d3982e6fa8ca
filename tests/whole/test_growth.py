"""Nothing takes time that grows faster than the number of classes, images and descriptions: counted in calls."""

from __future__ import annotations

import contextlib
import io
import sys
from pathlib import Path
from typing import Any

import pytest
from scale import Taken, growth, summary
from scale_stages import STAGES, Stage, nothing

SIZES = (4, 8, 16)
MOST = 2.6
"""Most calls that the second doubling adds, per call that the first one adds: 2 if linear, 4 if quadratic."""


def calls(stage: Stage, folder: Path, classes: int) -> int:
    """Return how many functions a stage's work calls, those of C included."""
    folder.mkdir()
    count = 0

    def met(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        stage.prepare(folder, classes)
        before = sys.getprofile()
        sys.setprofile(met)
        try:
            stage.work(folder, classes)
        finally:
            sys.setprofile(before)
    return count


def added(stage: Stage, folder: Path) -> float:
    """Return the ratio of what the second doubling of the classes adds to what the first one adds."""
    calls(stage, folder / "warm", SIZES[0])  # caches and imports
    small, middle, large = (calls(stage, folder / str(size), size) for size in SIZES)
    return (large - middle) / (middle - small)


@pytest.mark.parametrize("name", STAGES)
def test_work_grows_with_its_size(name: str, tmp_path: Path) -> None:
    assert added(STAGES[name], tmp_path) < MOST


def test_twin_quadratic_work_is_seen(tmp_path: Path) -> None:
    def compare(folder: Path, classes: int) -> None:
        for one in range(classes):
            for other in range(classes):
                max(one, other)

    assert added(Stage("", nothing, compare, ""), tmp_path) == pytest.approx(4, abs=0.1)


def test_linear_work_is_seen(tmp_path: Path) -> None:
    def count(folder: Path, classes: int) -> None:
        for one in range(classes):
            max(one, 0)

    assert added(Stage("", nothing, count, ""), tmp_path) == pytest.approx(2, abs=0.1)


def test_growth_is_one_if_time_grows_as_the_size_does() -> None:
    sizes = (2_500, 10_000)
    assert growth(Taken(2.0, 0.5), Taken(8.0, 1.5), sizes) == 1
    assert growth(Taken(2.0, 0.5), Taken(32.0, 1.5), sizes) == 4


def test_the_result_names_what_grows_faster() -> None:
    lines = [("report", "10,000 classes, 25 descriptions each", "8.0", "1.50", "1.00")]
    assert "| report | 10,000 classes, 25 descriptions each | 8.0 | 1.50 | 1.00 |" in summary(lines, [])
    assert "Nothing grows faster than its size." in summary(lines, [])
    assert "Grows faster than its size: report (4.0)." in summary(lines, ["report (4.0)"])
