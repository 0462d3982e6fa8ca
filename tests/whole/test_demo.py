"""The whole path through the public command: recipe to report, on the demo world."""

from __future__ import annotations

import html
import json
import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from needs import absent
from paths import ROOT
from processes import Ended, run_ex2

from analysis.accuracy.record import read_accuracy
from analysis.results.reading import reading
from analysis.results.runs import experiment_of, read_run
from analysis.verdicts.record import read_breakdown
from ex2.data.demo.world import kind_of
from reward.files import write_json

SMALL = (
    "rl.batches=40",
    "rl.batch_size=32",
    "rl.minibatch_size=8",
    "rl.learning_rate=1e-3",
    "training.save_every=20",
)
"""The demo with 40 small batches."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ended]:
    folder = tmp_path_factory.mktemp("demo")
    recipe = str(ROOT / "recipes/demo/visual.yaml")
    result = run(
        "run",
        recipe,
        f"output_dir={folder}",
        *SMALL,
        cache=folder,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return folder, result


def run(*words: str, cache: Path) -> Ended:
    return run_ex2(*words, EX2_CACHE=str(cache / "cache"))


def rows(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_policy_moves_to_the_planted_kind(finished: tuple[Path, object]) -> None:
    descriptions = rows(finished[0] / "demo-visual/seed-0/descriptions.jsonl")
    kinds = {
        policy: Counter(kind_of(str(r["text"]), str(r["class"])) for r in descriptions if r["policy"] == policy)
        for policy in ("base", "aligned")
    }
    assert kinds["base"].total() == kinds["aligned"].total() == 16 * 25
    assert 0.25 < kinds["base"]["visual"] / 400 < 0.42
    assert kinds["aligned"]["visual"] / 400 >= 0.75


def test_reward_and_accuracy_rise(finished: tuple[Path, object]) -> None:
    accuracy = json.loads((finished[0] / "demo-visual/seed-0/accuracy.json").read_text())
    arms = accuracy["arms"]
    assert 0.5 < arms["templates"]["accuracy"] < 0.95
    assert arms["aligned"]["accuracy"] >= arms["templates"]["accuracy"]
    log = rows(finished[0] / "demo-visual/seed-0/train.jsonl")
    assert [row["batch"] for row in log] == list(range(1, 41))
    assert sum(float(str(r["reward_mean"])) for r in log[-5:]) > sum(float(str(r["reward_mean"])) for r in log[:5]) + 2


def test_breakdown_counts_what_the_exact_judge_said(finished: tuple[Path, object]) -> None:
    """The report's numbers against a count made here from the world's grammar."""
    seed = finished[0] / "demo-visual/seed-0"
    aligned = [r for r in rows(seed / "descriptions.jsonl") if r["policy"] == "aligned"]
    counted = Counter(kind_of(str(r["text"]), str(r["class"])) for r in aligned)
    shares = json.loads((seed / "breakdown.json").read_text())["policies"]["aligned"]["groups"]
    for kind in ("visual", "non_visual", "spurious"):
        assert shares[kind]["count"] == counted[kind]


def test_what_a_run_stored_is_written_again_byte_by_byte(finished: tuple[Path, object], tmp_path: Path) -> None:
    seed = finished[0] / "demo-visual/seed-0"
    write_json(tmp_path / "accuracy.json", read_accuracy(seed / "accuracy.json").to_json())
    write_json(tmp_path / "breakdown.json", read_breakdown(seed / "breakdown.json").to_json())
    for name in ("accuracy.json", "breakdown.json"):
        assert (tmp_path / name).read_bytes() == (seed / name).read_bytes()


def test_report_is_one_file_and_the_numbers_are_printed(
    finished: tuple[Path, Ended],
) -> None:
    folder, result = finished
    page = html.unescape((folder / "demo-visual/report.html").read_text())
    said = r"demo-visual: visual (wording|descriptions) became more frequent in this run"
    assert re.search(said, page)
    assert "<svg" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert re.search(said, result.stdout)
    read = reading(experiment_of(read_run(folder / "demo-visual")))
    assert read is not None
    assert read.row > 0, "measured"
    assert read.words in page
    assert read.words.replace("\u00a0", " ") in result.stdout.replace("\u00a0", " ")
    assert "templates" in result.stdout
    assert f"report: {folder}/demo-visual/report.html" in result.stdout


def test_a_second_run_skips_what_is_done(finished: tuple[Path, object]) -> None:
    folder = finished[0]
    seed = folder / "demo-visual/seed-0"
    before = {path.name: path.stat().st_mtime_ns for path in seed.iterdir() if path.suffix == ".jsonl"}
    recipe = str(ROOT / "recipes/demo/visual.yaml")
    result = run("run", recipe, f"output_dir={folder}", *SMALL, cache=folder)
    assert result.returncode == 0, result.stderr[-3000:]
    after = {path.name: path.stat().st_mtime_ns for path in seed.iterdir() if path.suffix == ".jsonl"}
    assert after == before
    assert "align" not in result.stderr


def test_an_unreachable_judge_is_one_line_and_leaves_results(finished: tuple[Path, object]) -> None:
    folder = finished[0]
    accuracy = folder / "demo-visual/seed-0/accuracy.json"
    before = accuracy.read_bytes()
    recipe = str(ROOT / "recipes/demo/visual.yaml")
    judge = ("judge.name=openai", "judge.model=m", "judge.base_url=http://127.0.0.1:9/v1", "judge.max_retries=0")
    result = run("analyze", recipe, f"output_dir={folder}", *SMALL, *judge, cache=folder)
    assert result.returncode in (1, 2)
    assert "Traceback" not in result.stderr
    assert "http://127.0.0.1:9/v1" in result.stderr or "judge" in result.stderr
    assert accuracy.read_bytes() == before


@pytest.mark.parametrize("state", ["full", "read-only"])
def test_a_disk_that_refuses_is_one_line(state: str, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=192k", "tmpfs", str(disk)], capture_output=True, check=False
    ).returncode:
        absent("mount", "mounting a tmpfs needs root")
    try:
        (disk / "earlier.txt").write_text("earlier")
        if state == "read-only":
            subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        recipe = str(ROOT / "recipes/demo/visual.yaml")
        result = run("train", recipe, f"output_dir={disk}", "rl.batches=2", "training.save_every=1", cache=tmp_path)
        assert result.returncode == 1, result.stderr[-2000:]
        assert "Traceback" not in result.stderr
        told = {
            "full": rf"output_dir: the disk of {disk} has \d+\.\d KiB free, and 1 seed writes about \d\.\d MiB; make",
            "read-only": rf"output_dir: the file system of {disk} is read-only; give another output_dir\.",
        }
        assert re.search(told[state], result.stderr), result.stderr[-2000:]
        assert (disk / "earlier.txt").read_text() == "earlier"
    finally:
        subprocess.run(["umount", str(disk)], check=True)
