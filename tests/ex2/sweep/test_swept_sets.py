"""Recipes of image sets in a sweep: one job each, beside the seeds of alignments."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import pytest
import yaml
from paths import ROOT, SUPPORT

from analysis.images.stored import RESULT
from analysis.judge.table import JUDGES
from ex2.sweep import command as sweep
from ex2.sweep.display import Row, as_table
from ex2.sweep.jobs import RunningJob, is_done, progress
from reward.errors import UserError

DEMO = str(ROOT / "recipes/demo/visual.yaml")
TREE = {
    "name": "drawn",
    "vlm": {"name": "demo-visual"},
    "dataset": {"name": "shapes", "reward_split": "reward", "test_split": "test"},
    "images": {"seeds": [0, 1], "per_class": 1, "sets": {"toy": {"generator": {"name": "toy"}}}},
}


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    Path("sets.yaml").write_text(yaml.safe_dump(TREE))
    return "sets.yaml"


def test_a_recipe_of_sets_is_one_job_and_each_kind_gets_its_own_seeds(recipe: str, tmp_path: Path) -> None:
    grid = sweep.read_grid([DEMO, recipe], ["output_dir=out"], JUDGES, depth="settings", seeds=[4, 7])
    jobs = [
        job
        for path, one in grid
        for job in sweep.make_jobs(path, one, sweep.words_for(one, ["output_dir=out"], [4, 7]))
    ]
    assert [(job.label, job.part) for job in jobs] == [
        ("demo-visual seed 4", "4"), ("demo-visual seed 7", "7"), ("drawn sets", "sets"),
    ]  # fmt: skip
    assert jobs[0].command[3:] == (
        "run", DEMO, "output_dir=out", "seeds=[4, 7]", "--no-report", "--seeds", "4",
    )  # fmt: skip
    assert jobs[2].command[3:] == ("run", recipe, "output_dir=out", "images.seeds=[4, 7]", "--no-report")
    assert jobs[2].log == tmp_path / "out/drawn/sweep/sets.log"
    assert sweep.words_for(grid[1][1], ["a=1"], []) == ["a=1"]


def test_it_is_done_once_it_is_measured_with_these_settings(recipe: str, tmp_path: Path) -> None:
    ((path, one),) = sweep.read_grid([recipe], [], JUDGES)
    (job,) = sweep.make_jobs(path, one, [])
    assert sweep.MEASURES == RESULT
    stub = (sys.executable, str(SUPPORT / "sweep_stub.py"), str(tmp_path), str(job.root / RESULT), "ok", "0")
    job = dataclasses.replace(job, command=stub)
    assert not is_done(job)
    assert progress(job, 0) == "draw and measure"
    assert RunningJob(job, "s").wait().status == 0
    assert is_done(job)
    for word, same in (("output_dir=elsewhere", True), ("threads=1", True), ("images.per_class=2", False)):
        ((_, other),) = sweep.read_grid([recipe], [word], JUDGES)
        (again,) = sweep.make_jobs(path, other, [])
        assert (again.digest == job.digest) == same, word
    (job.root / RESULT).unlink()
    assert not is_done(job)
    assert [str(cell) for cell in as_table([Row(job)]).columns[1].cells] == ["sets"]


def test_problems_of_both_kinds_are_told_at_once(recipe: str) -> None:
    with pytest.raises(UserError) as error:
        sweep.read_grid([DEMO, recipe, recipe], ["vlm.name=demo-vizual"], JUDGES)
    told = str(error.value).splitlines()
    assert [line.partition(". ")[0] for line in told] == [
        f"{DEMO}: vlm.name: unknown 'demo-vizual'",
        "sets.yaml: vlm.name: unknown 'demo-vizual'",
        "sets.yaml: its run directory runs/drawn is also that of sets.yaml; give one of them another name.",
    ]
