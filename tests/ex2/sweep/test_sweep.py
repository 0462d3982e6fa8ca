"""Sweeps on one machine: what is done is skipped, failures are told, nothing outlives the sweep."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest
from paths import ROOT, SUPPORT
from processes import Ended, Process, run_ex2, until
from rich.console import Console

from analysis.judge.table import JUDGES
from ex2.cli import main
from ex2.cli.options import parse
from ex2.run.directory import ANALYSIS_ID
from ex2.sweep import command as sweep
from ex2.sweep.display import LiveDisplay, PlainDisplay, Row, as_table
from ex2.sweep.engines import ENGINES, LocalEngine, start_engine
from ex2.sweep.jobs import Job, Outcome, RunningJob, is_done, last_line, progress, read_record, training_progress
from reward.errors import UserError
from reward.files import write_json

STUB = SUPPORT / "sweep_stub.py"
DEMO = str(ROOT / "recipes/demo/visual.yaml")


def make_job(folder: Path, name: str, seed: int, mode: str = "ok", seconds: float = 0, digest: str = "d") -> Job:
    root = folder / "runs" / name
    result = root / f"seed-{seed}" / "breakdown.json"
    command = (sys.executable, str(STUB), str(folder), str(result), mode, str(seconds))
    return Job(name, seed, command, root, folder, digest, batches=10)


def run(jobs: list[Job]) -> tuple[dict[tuple[str, int], str], str]:
    output = io.StringIO()
    engine = LocalEngine()
    with PlainDisplay(Console(file=output, width=120)) as shown:
        rows = sweep.run_jobs(jobs, engine, shown)
    engine.stop()
    return {(row.job.name, row.job.seed): row.state for row in rows}, output.getvalue()


def lines(folder: Path, name: str) -> Counter[str]:
    path = folder / name
    return Counter(line.split()[0] for line in path.read_text().splitlines()) if path.exists() else Counter()


def test_a_failure_does_not_stop_the_rest_and_a_second_sweep_does_only_what_is_left(tmp_path: Path) -> None:
    grid = [
        make_job(tmp_path, "a", 0),
        make_job(tmp_path, "a", 1, mode="fail-once"),
        make_job(tmp_path, "b", 0),
        make_job(tmp_path, "b", 1),
    ]
    states, said = run(grid)
    assert states == {("a", 0): "done", ("a", 1): "failed", ("b", 0): "done", ("b", 1): "done"}
    assert "a seed 1 failed: ex2: the judge does not answer\n" in said
    assert "3 done, 1 failed" in said
    assert "working" in grid[1].log.read_text()
    assert read_record(grid[1])["error"] == "ex2: the judge does not answer"
    assert lines(tmp_path, "ends") == {"a/seed-0": 1, "b/seed-0": 1, "b/seed-1": 1}

    states, said = run(grid)
    assert states == {("a", 0): "skipped", ("a", 1): "done", ("b", 0): "skipped", ("b", 1): "skipped"}
    assert "3 skipped, 1 done" in said
    assert lines(tmp_path, "ends") == {"a/seed-0": 1, "a/seed-1": 1, "b/seed-0": 1, "b/seed-1": 1}
    assert lines(tmp_path, "starts")["a/seed-1"] == 2


def test_done_means_this_very_experiment_with_its_result_there(tmp_path: Path) -> None:
    job = make_job(tmp_path, "a", 0)
    assert not is_done(job)
    run([job])
    assert is_done(job)
    assert not is_done(make_job(tmp_path, "a", 0, digest="another judge"))
    write_json(job.results.accuracy, {ANALYSIS_ID: "of a later analysis, killed before it wrote its breakdown"})
    assert not is_done(job)
    write_json(job.results.breakdown, {ANALYSIS_ID: "of a later analysis, killed before it wrote its breakdown"})
    assert is_done(job)
    job.results.breakdown.unlink()
    assert not is_done(job)


def test_nothing_of_a_run_outlives_the_process_that_started_it(tmp_path: Path) -> None:
    """The starter is killed so that it can do nothing about its child; a grandchild in its own session ends too."""
    script = (
        "import subprocess, sys, time, pathlib\n"
        "inner = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True)\n"
        "import os; pathlib.Path('pids').write_text(f'{os.getpid()} {inner.pid}\\n')\n"
        "time.sleep(600)\n"
    )
    starter = (
        "import sys, time\nfrom pathlib import Path\nfrom ex2.sweep.jobs import Job, RunningJob\n"
        f"job = Job('a', 0, (sys.executable, '-c', {script!r}), Path('runs/a').absolute(), Path.cwd(), 'd', 10)\n"
        "RunningJob(job, 's').wait()\n"
    )
    process = subprocess.Popen([sys.executable, "-c", starter], cwd=tmp_path)
    until(lambda: (tmp_path / "pids").exists() and (tmp_path / "pids").read_text().endswith("\n"))
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert all(psutil.pid_exists(pid) for pid in pids)
    for child in psutil.Process(process.pid).children():  # as a dying Ray worker does
        child.kill()
    process.kill()
    process.wait()
    until(lambda: not any(_is_alive(pid) for pid in pids))


def _is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("disposition", [signal.default_int_handler, signal.SIG_IGN], ids=["shell", "background"])
def test_a_stopped_run_is_interrupted_first(tmp_path: Path, disposition: Any) -> None:
    """SIGINT, as a Ctrl-C: the child says goodbye; then the record says that it is not done.

    A script's background jobs are started with SIGINT ignored, and their children inherit that.
    """
    script = (
        "import time, pathlib\n"
        "try:\n    pathlib.Path('up').touch()\n    time.sleep(1e6)\n"
        "except KeyboardInterrupt:\n    pathlib.Path('interrupted').touch()\n"
    )
    job = Job("a", 0, (sys.executable, "-c", script), tmp_path / "runs/a", tmp_path, "d", batches=10)
    running = RunningJob(job, "s")
    before = signal.signal(signal.SIGINT, disposition)
    try:
        assert running.poll(0) is None
    finally:
        signal.signal(signal.SIGINT, before)
    until((tmp_path / "up").exists)
    assert running.poll(0) is None
    running.stop()
    assert (tmp_path / "interrupted").exists()
    assert read_record(job)["state"] == "running"
    assert not is_done(job)


def test_two_sweeps_at_once_do_each_run_once(tmp_path: Path) -> None:
    """The second finds the run locked, waits, and takes the first one's result."""
    job = make_job(tmp_path, "a", 0, "sleep", seconds=1)
    first, second = RunningJob(job, "first"), RunningJob(job, "second")
    assert first.poll(0) is None
    assert second.poll(0.05) is None
    assert first.wait() == Outcome(0, "")
    assert second.wait() == Outcome(0, "")
    assert lines(tmp_path, "starts") == lines(tmp_path, "ends") == {"a/seed-0": 1}
    assert read_record(job)["sweep"] == "first"


def sweep_of_the_stub(folder: Path) -> int:
    sweep.make_jobs = lambda *a: [make_job(folder, "a", 0, "sleep", 1e6)]  # type: ignore[assignment]
    return main(["sweep", DEMO])


def test_ctrl_c_ends_the_sweep_and_its_child(tmp_path: Path) -> None:
    """Through the public command: exit status 130, no traceback, no child left."""
    process = Process(sweep_of_the_stub, tmp_path, folder=tmp_path)
    until(lambda: lines(tmp_path, "starts"), unless_ended=process)
    pid = int((tmp_path / "starts").read_text().split()[1])
    process.send_signal(signal.SIGINT)
    ended = process.wait()
    assert ended.returncode == 130
    assert "ex2: interrupted; the same command continues: ex2 sweep" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not _is_alive(pid)
    assert not lines(tmp_path, "ends")


def test_progress_names_the_stage_and_the_time_left(tmp_path: Path) -> None:
    job = make_job(tmp_path, "a", 0)
    assert progress(job, 0) == "starting"
    job.results.root.mkdir(parents=True)
    log = job.results.train_log
    rows = [{"batch": n, "seconds_rollout": 10.0, "seconds_update": 20.0, "kl": 1.0} for n in (1, 2, 3, 4)]
    log.write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"batch": 5, "seco')
    # 6 batches of 30 s are left of 10; the torn line does not count
    assert training_progress(log, 10) == "train 4/10, 3 min left"
    assert progress(job, 0) == "train 4/10, 3 min left"
    assert progress(job, time.time() + 60) == "starting", "what an earlier attempt wrote says nothing about this one"
    for moment, path, stage in (
        (10, job.results.descriptions, "describe"),
        (20, job.results.verdicts, "analyze"),
        (30, job.results.accuracy, "analyze"),
    ):
        path.write_text("")
        os.utime(path, (time.time() + moment, time.time() + moment))
        assert progress(job, 0) == stage
    log.write_text("")
    assert training_progress(log, 10) == "train 0/10"


def test_the_last_line_of_a_log_is_the_error(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("x" * 100_000 + "\nalign:  10%|\ralign:  20%|\nex2: disk full\n\n")
    assert last_line(log) == "ex2: disk full"
    log.write_text("# 2026-01-01 host: ex2 run\n")
    assert last_line(log) == ""
    assert last_line(tmp_path / "none") == ""


def test_a_silent_death_is_told_by_its_status(tmp_path: Path) -> None:
    command = (sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    job = Job("a", 0, command, tmp_path / "runs/a", tmp_path, "d", batches=10)
    assert RunningJob(job, "s").wait() == Outcome(128 + 9, "ended with status 137")


def test_a_long_table_shows_first_what_runs_and_what_failed(tmp_path: Path) -> None:
    rows = [Row(make_job(tmp_path, f"r{n}", 0)) for n in range(30)]
    rows[28].state, rows[29].state, rows[29].detail = "failed", "running", "[train] 3/10"
    output = io.StringIO()
    Console(file=output, width=100).print(as_table(rows, room=3))
    text = output.getvalue()
    assert [name for name in text.split() if name.startswith("r") and name[1:].isdigit()] == ["r29", "r28", "r0"]
    assert "[train] 3/10" in text
    assert "28 waiting, 1 running, 1 failed" in text

    terminal = io.StringIO()
    with LiveDisplay(Console(file=terminal, width=100, height=10, force_terminal=True)) as live:
        live.update(rows)
        cropped = terminal.getvalue()
    assert "r12" not in cropped
    assert "r12" in terminal.getvalue(), "at the end every row is shown"


def grid_problems(*paths: str, overrides: tuple[str, ...] = ()) -> list[str]:
    with pytest.raises(UserError) as caught:
        sweep.read_grid(paths, overrides, JUDGES)
    return str(caught.value).splitlines()


def test_problems_of_all_recipes_are_told_at_once_before_anything_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy.yaml"
    copy.write_text(Path(DEMO).read_text())
    bad = tmp_path / "bad.yaml"
    bad.write_text(Path(DEMO).read_text().replace("name: demo-visual\nthreads", "name: other\nthreads") + "sead: 1\n")
    worse = tmp_path / "worse.yaml"
    worse.write_text(Path(DEMO).read_text().replace("name: demo-visual", "name: worse").replace("cosine", "cosin"))
    problems = grid_problems(DEMO, str(copy), str(bad), str(worse))
    assert len(problems) == 4
    assert problems[0] == (
        f"{copy}: its run directory runs/demo-visual is also that of {DEMO}; give one of them another name."
    )
    assert problems[1].startswith(f"{bad}: top level: unknown 'sead'. Did you mean 'seeds'?")
    assert "worse" in problems[2] + problems[3]
    assert main(["sweep", str(worse)]) == 2
    assert "unknown 'cosin'. Did you mean 'cosine'?" in capsys.readouterr().err
    assert main(["sweep", DEMO, DEMO, "--seeds", "0,0"]) == 2
    assert "seeds: [0, 0] has duplicates" in capsys.readouterr().err


def test_jobs_carry_seeds_overrides_and_resources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    overrides = ["rl.batches=3", "resources.gpus=2", "seeds=[4, 7]"]
    ((path, recipe),) = sweep.read_grid([DEMO], overrides, JUDGES)
    jobs = sweep.make_jobs(path, recipe, overrides, "multi.yaml")
    assert [job.seed for job in jobs] == [4, 7]
    assert jobs[1].command[1:] == (
        *("-m", "ex2.cli", "run", DEMO, *overrides, "--no-report", "--accelerate-config", "multi.yaml"),
        *("--seeds", "7"),
    )
    assert (jobs[0].gpus, jobs[0].cpus, jobs[0].batches) == (2, 1, 3)
    assert jobs[0].root == tmp_path / "runs/demo-visual"

    def digest(*more: str) -> str:
        ((path, recipe),) = sweep.read_grid([DEMO], [*overrides, *more], JUDGES)
        return sweep.make_jobs(path, recipe, overrides)[0].digest

    assert digest("threads=2", "seeds=[1]", "resources.cpus=8", "training.save_every=1") == jobs[0].digest
    assert digest("describe.per_question=2") != jobs[0].digest


def test_the_command_line_knows_every_engine() -> None:
    for name in ENGINES:
        assert parse(["sweep", DEMO, "--engine", name]).engine == name
    with pytest.raises(SystemExit):
        parse(["sweep", DEMO, "--engine", "slurm"])
    assert isinstance(start_engine("local"), LocalEngine)


def test_without_ray_the_message_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(["sweep", DEMO, "--engine", "ray"]) == 2
    assert "--engine: ray is not installed. Install it (pip install 'ex2[ray]')" in capsys.readouterr().err


@pytest.mark.slow
def test_the_command_on_the_demo_world(tmp_path: Path) -> None:
    """Two seeds for real, one output that is no terminal; the report over both comes once; a second sweep skips."""
    words = ["sweep", DEMO, "--seeds", "0,1", "--set", "rl.batches=1", "--set", f"output_dir={tmp_path}"]
    words += ["--set", "prompts.questions=[0, 1]", "--set", "rl.batch_size=32", "--set", "generation.max_new_tokens=8"]

    def call() -> Ended:
        return run_ex2(*words, EX2_CACHE=str(tmp_path / "cache"))

    first = call()
    assert first.returncode == 0, first.stdout + first.stderr
    assert "demo-visual seed 1 running" in first.stdout
    assert "2 done" in first.stdout
    run_directory = tmp_path / "demo-visual"
    assert f"report: {run_directory}/report.html" in first.stdout
    assert "report:" not in (run_directory / "sweep/seed-0.log").read_text()
    assert "seed 1" in (run_directory / "report.html").read_text()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    second = call()
    assert second.returncode == 0
    assert "2 skipped" in second.stdout
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == before
