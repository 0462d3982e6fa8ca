"""Results survive: torn lines, full disks, read-only folders."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from needs import absent
from paths import ROOT

from ex2.recipe_io import read_recipe, to_yaml
from ex2.run.directory import RunDirectory, find_runs
from ex2.run.sealed import write_sealed
from reward.errors import EnvironmentFault, UserError
from reward.files import append_jsonl, read_json, read_jsonl, write_json, write_jsonl, write_text, writing


def test_log_round_trip_and_torn_last_line(tmp_path: Path) -> None:
    path = tmp_path / "a" / "log.jsonl"
    assert read_jsonl(path) == []
    append_jsonl(path, [{"n": 1}, {"n": 2, "text": "é\n"}])
    with path.open("ab") as file:
        file.write(b'{"n": 3, "te')
    assert read_jsonl(path) == [{"n": 1}, {"n": 2, "text": "é\n"}]
    append_jsonl(path, [{"n": 4}])
    assert read_jsonl(path) == [{"n": 1}, {"n": 2, "text": "é\n"}, {"n": 4}]
    write_jsonl(path, [{"n": 9}])
    assert path.read_text() == '{"n": 9}\n'


def test_a_log_that_is_one_torn_line_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"n": 1')
    assert read_jsonl(path) == []
    append_jsonl(path, [{"n": 2}])
    assert read_jsonl(path) == [{"n": 2}]


def test_damage_elsewhere_is_an_error_that_says_where(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"n": 1}\nnonsense\n{"n": 2}\n')
    with pytest.raises(UserError, match=r"log\.jsonl: line 2: not JSON"):
        read_jsonl(path)
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(UserError, match=r"x\.json: line 1: not JSON"):
        read_json(tmp_path / "x.json")
    with pytest.raises(UserError, match=r"y\.json: not found; run the stage that writes it first"):
        read_json(tmp_path / "y.json")


def test_nan_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Out of range float"):
        write_json(tmp_path / "x.json", {"a": float("nan")})
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB: root ignores permission bits, but not this."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        absent("mount", "mounting a tmpfs needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_full_disk_leaves_the_earlier_file(small_disk: Path) -> None:
    write_text(small_disk / "report.html", "earlier")
    with pytest.raises(EnvironmentFault, match=r"report\.html: cannot be written: the disk is full: free some space"):
        write_text(small_disk / "report.html", "x" * 200_000)
    assert (small_disk / "report.html").read_text() == "earlier"
    assert [path.name for path in small_disk.iterdir()] == ["report.html"]
    append_jsonl(small_disk / "log.jsonl", [{"n": 1}])
    with pytest.raises(EnvironmentFault, match="the disk is full"):
        append_jsonl(small_disk / "log.jsonl", [{"text": "x" * 200_000}])
    assert read_jsonl(small_disk / "log.jsonl") == [{"n": 1}]


def test_read_only_folder(small_disk: Path) -> None:
    write_text(small_disk / "report.html", "earlier")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for write in (lambda p: write_text(p, "new"), lambda p: append_jsonl(p, [{"n": 1}])):
        with pytest.raises(EnvironmentFault, match=r"cannot be written: the file system is read-only: choose another"):
            write(small_disk / "report.html")
    assert (small_disk / "report.html").read_text() == "earlier"


def test_library_errors_are_recognised_by_the_systems_words(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match="the disk is full"), writing(tmp_path / "a"):
        raise RuntimeError("I/O error: No space left on device (os error 28)")
    with pytest.raises(RuntimeError, match="something else"), writing(tmp_path / "a"):
        raise RuntimeError("something else")


def test_a_run_that_has_lost_its_recipe_is_still_found(tmp_path: Path) -> None:
    """A command on a folder of runs can then say that it leaves it out."""
    for name, files in (("one", ("recipe.yaml", "provenance.json")), ("two", ("provenance.json",)), ("three", ())):
        (tmp_path / name).mkdir()
        for file in files:
            (tmp_path / name / file).touch()
    assert find_runs([tmp_path]) == [tmp_path / "one", tmp_path / "two"]


def test_the_manifest_of_a_runs_file_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one/recipe.yaml").touch()
    write_sealed(tmp_path / "one/provenance.json", {})
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests/recipe.yaml").touch()
    assert find_runs([tmp_path]) == [tmp_path / "manifests", tmp_path / "one"], "a run may be called like that"


def test_a_home_folder_is_meant_by_its_sign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    recipe = read_recipe(ROOT / "recipes/demo/visual.yaml", ["output_dir=~/runs"])
    assert RunDirectory.of(recipe).root == tmp_path / "runs/demo-visual"


def test_the_recipe_of_a_run_that_lies_elsewhere_says_which_run_is_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    copy = Path("an archive/a-run")
    copy.mkdir(parents=True)
    recipe = read_recipe(ROOT / "recipes/demo/visual.yaml")
    for name in ("recipe.yaml", "provenance.json"):
        (copy / name).write_text(to_yaml(recipe) if name == "recipe.yaml" else "{}")
    with pytest.raises(UserError) as told:
        read_recipe(copy / "recipe.yaml")
    words = str(told.value)
    assert words.startswith("an archive/a-run/recipe.yaml: lies in the run an archive/a-run, but names runs/demo-vis")
    here, there = (shlex.split(part.split(" for the ")[0]) for part in words.split("; add ")[1].split("lies, or "))
    assert RunDirectory.of(read_recipe(copy / "recipe.yaml", here)).root == copy
    assert RunDirectory.of(read_recipe(copy / "recipe.yaml", there)).root == Path("runs/demo-visual")
    assert read_recipe(copy / "recipe.yaml", ["name=another"]).name == "another"
    copy.rename("moved")
    Path("runs").mkdir()
    Path("moved").rename("runs/demo-visual")
    monkeypatch.chdir("runs")
    with pytest.raises(UserError, match=r"add output_dir=\. name=demo-visual for the run"):
        read_recipe("demo-visual/recipe.yaml")
