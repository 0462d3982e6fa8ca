"""The grid of typical outcomes: its bounds by hand, cells that take seconds, and rules without sense that must fail."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest
from paths import ROOT
from scipy import stats

USED = ("coverage_cells", "coverage_grid", "coverage")
MODULES = ("common", "coverage_texts", *USED)


class Grid(NamedTuple):
    """The benchmark's modules."""

    cells: ModuleType
    grid: ModuleType
    judging: ModuleType


@pytest.fixture(scope="module")
def grid() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))  # as where a script runs
        for name in MODULES:
            patch.delitem(sys.modules, name, raising=False)
        yield Grid(*(importlib.import_module(name) for name in USED))
        for name in MODULES:
            sys.modules.pop(name, None)


def runs_of(grid: Grid, low: list[float], high: list[float], told: list[bool], truth: float = 0.0) -> Any:
    estimate = np.linspace(-1, 1, len(low))
    return grid.cells.Runs(estimate, np.array(low), np.array(high), np.full(len(low), truth), np.array(told))


def test_bounds_by_hand(grid: Grid) -> None:
    """Five runs from −1 to 1, one without an interval: the errors −1, −0.5, 0.5 and 1 of the others count."""
    low, high = [-2.0, -1.5, float("nan"), 0.1, -0.5], [1.0, 0.5, float("nan"), 1.1, 2.5]
    null = runs_of(grid, low, high, [False, False, False, True, False])
    other = runs_of(grid, low, high, [True, True, True, True, False])
    found = grid.judging.judge(null, other, 0)
    spread = np.subtract(*np.quantile([-1, -0.5, 0.5, 1] * 2, [0.975, 0.025]))
    assert found.coverage == pytest.approx(3 / 4)  # [0.1, 1.1] does not hold 0
    assert found.without == pytest.approx(1 / 5)
    assert (found.false, found.power) == (pytest.approx(1 / 5), pytest.approx(4 / 5))
    assert found.bare == pytest.approx(2.5 / spread)  # widths 3, 2, 1 and 3
    assert found.width == found.bare
    assert found.broken == ["coverage", "type I", "width"] if found.width > 1.3 else ["coverage", "type I"]
    few = grid.judging.judge(null, other, 3)
    assert few.width == pytest.approx(found.bare * stats.norm.ppf(0.975) / stats.t.ppf(0.975, 2))
    assert grid.judging.judge(null, None, 0).false is None


def test_several_numbers_are_held_together(grid: Grid) -> None:
    """Two numbers in each of four runs: a run holds if both do, and finds something by mistake if either does."""
    zeros = np.zeros((4, 2))
    low, high = zeros - 1.0, zeros + 1.0
    low[0, 1] = 0.5
    told = np.zeros((4, 2), dtype=bool)
    told[0, 1] = told[3, 0] = True
    estimate = np.array([[-0.2, 0.0], [0.1, 0.0], [0.3, 0.0], [-0.1, 0.0]])
    runs = grid.cells.Runs(estimate, low, high, zeros, told)
    found = grid.judging.judge(runs, runs, 0)
    assert (found.coverage, found.false, found.power) == (3 / 4, 1 / 2, 1 / 4)


QUICK = (
    "share, rare (0.5–3 %), 200 texts",
    "share, rare, 400 texts, 27 % repeated",
    "share over seeds, 1 seed, drift 8, 400 texts",
    "share over seeds, 5 seeds, drift 2, 400 texts",
    "change of a share, rare, 400 texts each",
    "change of a share, 5 seeds, drift 8, 400 texts",
    "accuracy, difference, 200 images, 8–15 % differ",
    "accuracy, difference over seeds, 3 seeds, drift 2, 200 images",
    "accuracy, mean per class, 16 classes, 10 images each",
    "Cohen's κ, 50 labels",
)


@pytest.mark.parametrize("name", QUICK)
def test_cells_hold_and_their_twins_do_not(grid: Grid, name: str) -> None:
    (cell,) = (one for one in grid.grid.grid() if f"{one.what}, {one.situation}" == name)
    null, other = grid.judging.simulated(cell, 1000)
    outcome = grid.judging.judge(null, other, cell.values)
    assert outcome.broken == [], outcome
    assert grid.judging.twins_kept(null, other, cell.values) == []
    if other is not None:
        never = other._replace(told=np.zeros_like(other.told))
        assert grid.judging.judge(null, never, cell.values).broken == ["power"]
    endless = grid.judging.judge(null._replace(low=null.low - 1e9, high=null.high + 1e9), None, cell.values)
    assert endless.coverage == 1
    assert endless.broken == ["width"]


def test_the_percentile_bootstrap_would_fail(grid: Grid) -> None:
    """The rule before: few images differ, each in one seed, four of five for the first."""
    rng, inside = np.random.default_rng(0), 0
    for _ in range(500):
        steps = rng.multinomial(200, [0.012, 0.003, 0.985])
        draws = rng.multinomial(200, steps / 200, size=500)
        low, high = np.quantile((draws[:, 0] - draws[:, 1]) / 600, [0.025, 0.975])
        inside += low <= 0.009 / 3 <= high
    assert inside / 500 < grid.judging.LEAST_COVERAGE


def test_the_grid_lists_rare_kinds_repeats_and_few_seeds(grid: Grid) -> None:
    cells = grid.grid.grid()
    names = [f"{cell.what}, {cell.situation}" for cell in cells]
    assert len(set(names)) == len(names)
    for seeds in (1, 2, 3, 5):
        for drift in (0, 2, 8):
            assert any(f"{seeds} seed" in name and f"drift {drift}," in name for name in names), (seeds, drift)
    for word in ("rare", "repeated", "draws", "reward", "κ", "α", "per class", "Holm", "informative"):
        assert any(word in name for name in names), word
    assert all(bool(cell.effect) is bool(cell.stated) for cell in cells)
    assert sum(bool(cell.known) for cell in cells) <= 12


def test_an_effect_on_images_that_end_at_0_and_1(grid: Grid) -> None:
    """By hand: 12 points on chances of 0.02, 0.5 and 0.97 leave 12, 12 and 3; and against many random shifts."""
    texts = importlib.import_module("coverage_texts")
    assert texts.expected(0.12, 0.0) - texts.expected(0.0, 0.0) == pytest.approx((0.12 + 0.12 + 0.03) / 3)
    shifts = np.random.default_rng(0).normal(0.18, 0.03, 200_000)
    drawn = np.clip(np.array([0.02, 0.5, 0.97])[:, None] + shifts, 0, 1).mean()
    assert texts.expected(0.18, 0.03) == pytest.approx(drawn, abs=5e-4)
