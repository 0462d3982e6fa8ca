"""The README keeps its word: every command in it runs, or shows its plan where it needs a GPU or the hub."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from calibrate import QUESTIONS
from paths import ROOT
from processes import run_ex2

from analysis.judge.table import JUDGES
from ex2.cli.options import parse, parser
from ex2.sweep.command import read_grid

README = (ROOT / "README.md").read_text()
COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    for line in block.strip().splitlines()
    if not line.startswith("#")
]
STAGES = {"validate", "describe", "analyze", "report"}


def test_every_command_is_of_a_kind_that_is_checked_here() -> None:
    assert len(COMMANDS) == 15
    kinds = {shlex.split(command)[0] for command in COMMANDS}
    assert kinds == {"make", "accelerate", "ex2"}


@pytest.mark.parametrize("target", re.findall(r"`?make ([a-z-]+)`?", README))
def test_make_targets_exist(target: str) -> None:
    """`make test` and `make demo` are run by `.ci/run`; `make real` needs downloads and a quarter of an hour."""
    shown = subprocess.run(["make", "--dry-run", target], capture_output=True, text=True, cwd=ROOT, check=False)
    assert shown.returncode == 0, shown.stderr


def test_every_link_leads_somewhere() -> None:
    links = re.findall(r"\]\((?!https?://)([^)#]+)\)", README)
    assert len(links) >= 4
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_results_are_those_measured() -> None:
    """The rules of each question as its command wrote them, and nothing in the README that they do not hold."""
    results = (ROOT / "docs" / "results.md").read_text()
    answers = sorted((ROOT / "benchmarks" / "results" / "calibration").glob("*.md"))
    assert {path.stem for path in answers} == QUESTIONS.keys()
    for path in answers:
        rules = re.search(r"\| rule \| found .*?(?=\n\n)", path.read_text(), re.DOTALL)
        assert rules is not None, path.name
        assert rules[0] in results, path.name
    (table,) = re.findall(r"\| question \| rule \| found \|\n\|---\|---\|---\|\n((?:\|.*\n)+)", README)
    rows = [line.strip("| ").split(" | ") for line in table.splitlines()]
    assert len(rows) >= 6
    for _, rule, found in rows:
        assert f"| {rule} | {found} | yes |" in results, "holds, and is said as it was found"


def test_the_launch_line_is_the_one_the_plan_shows(tmp_path: Path) -> None:
    (launch,) = (command for command in COMMANDS if command.startswith("accelerate"))
    (dry,) = (command for command in COMMANDS if "--dry-run" in command)
    result = run_ex2(*shlex.split(dry)[1:], EX2_CACHE=str(tmp_path))
    assert result.returncode == 0, result.stderr
    assert f"launch:  {launch}\n" in result.stdout


def test_the_vlm_of_the_readme_runs_through_every_stage(tmp_path: Path) -> None:
    """The snippet and its command as printed, then the four stages on the same run directory."""
    (snippet,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    (tmp_path / "my_vlm.py").write_text(snippet)
    (command,) = (c for c in COMMANDS if "my_vlm.ColourWords" in c)
    _, verb, recipe, *overrides = shlex.split(command)
    overrides.append(f"output_dir={tmp_path}/runs")
    result = run_ex2(verb, str(ROOT / recipe), *overrides, folder=tmp_path, EX2_CACHE=str(tmp_path / "cache"))
    assert result.returncode == 0, result.stderr[-3000:]
    page = (tmp_path / "runs/colours/report.html").read_text()
    assert "my_vlm.ColourWords" in page
    stages = [shlex.split(c)[1] for c in COMMANDS if c.startswith("ex2") and shlex.split(c)[1] in STAGES]
    assert stages == ["validate", "describe", "analyze", "report"]
    (tmp_path / "runs/colours/report.html").unlink()
    for stage in ("validate", "report"):
        again = run_ex2(stage, str(ROOT / recipe), *overrides, folder=tmp_path, EX2_CACHE=str(tmp_path / "cache"))
        assert again.returncode == 0, again.stderr[-3000:]
    assert (tmp_path / "runs/colours/report.html").is_file()


@pytest.mark.parametrize("command", [c for c in COMMANDS if shlex.split(c)[1] in ("vlms", "data")])
def test_commands_that_look_at_parts_run(command: str, tmp_path: Path) -> None:
    result = run_ex2(*shlex.split(command)[1:], folder=tmp_path, EX2_CACHE=str(tmp_path / "cache"))
    assert result.returncode == 0, result.stderr[-3000:]
    assert (tmp_path / "shapes.png").is_file() == ("--sheet" in command)


def test_the_image_sets_are_drawn_and_measured(tmp_path: Path) -> None:
    """With an image a class and one seed; all of them take half a minute."""
    (draw, measure) = (shlex.split(c)[1:] for c in COMMANDS if "demo/sets.yaml" in c)
    few = ["images.per_class=1", "images.seeds=[0]"]
    result = run_ex2(draw[0], str(ROOT / draw[1]), *few, folder=tmp_path, EX2_CACHE=str(tmp_path / "cache"))
    assert result.returncode == 0, result.stderr[-3000:]
    assert len([*(tmp_path / "sets").glob("*-????????/seed-0/images/*/00000.png")]) == 7 * 16
    assert parse(measure).sets == draw[1:]


def test_the_sweep_is_a_grid_of_its_recipes_and_seeds() -> None:
    """Its running is tested in test_sweep.py: this one would take minutes."""
    (command,) = (shlex.split(c) for c in COMMANDS if "sweep" in c)
    options = parse(command[1:])
    grid = read_grid([str(ROOT / path) for path in options.recipes], [f"seeds={list(options.seeds)}"], JUDGES)
    assert [(recipe.name, recipe.seeds) for _, recipe in grid] == [
        ("demo-visual", [0, 1, 2]),
        ("demo-spurious", [0, 1, 2]),
    ]


def test_verbs_in_the_table_exist() -> None:
    named = set(re.findall(r"\| `ex2 ([a-z]+) ", README))
    assert len(named) == 9
    (verbs,) = (action.choices for action in parser()._actions if isinstance(action.choices, dict))
    assert named <= set(verbs)


def test_pictures_are_there() -> None:
    for path in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README):
        assert (ROOT / path).is_file(), path
