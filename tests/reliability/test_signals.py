"""A run that is told to end: it ends soon, keeps the last finished batch, and says how to go on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from processes import Process, free_port, until

from tests.reliability.base import RECIPE, environment, make_images, start
from tests.reliability.runner import ENDINGS, finish

LONG = ("rl.batches=5000", "training.save_every=5000")
"""So long that it must be told, and without a checkpoint of its own accord."""
SOON = 30.0
"""Seconds."""
SEED = Path("runs/main/seed-0")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_images(tmp_path / "photos")
    (tmp_path / "r.yaml").write_text(RECIPE.format(name="main", seeds="[0]", vlm="demo-visual"))
    return tmp_path


def batches_of(folder: Path) -> int:
    """Return the number of finished batches."""
    log = folder / SEED / "train.jsonl"
    return log.read_text().count("\n") if log.is_file() else 0


def kept(folder: Path) -> list[int]:
    """Return the batches that complete checkpoints are of; two updates make a batch."""
    found = (folder / SEED / "checkpoints").glob("checkpoint-*/complete.json")
    return sorted(int(path.parent.name.rpartition("-")[2]) // 2 for path in found)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_training_ends_with_the_last_finished_batch(folder: Path, number: signal.Signals) -> None:
    process: Process = start(folder, ["train", "r.yaml", *LONG])
    until(lambda: batches_of(folder) >= 2, unless_ended=process)
    began = time.monotonic()
    process.send_signal(number)
    call = finish(process)
    assert time.monotonic() - began < SOON
    assert call.returncode == {signal.SIGTERM: 143, signal.SIGINT: 130}[number], call.stderr[-2000:]
    assert call.returncode in ENDINGS[number]
    assert "Traceback" not in call.said
    assert f"ex2 train r.yaml {' '.join(LONG)}" in call.said.replace("'", "")
    assert kept(folder)[-1:] == [batches_of(folder)]


LAUNCHERS = {
    "accelerate launch": ("accelerate.commands.accelerate_cli", "launch", "--cpu", "--num_processes", "1"),
    "torchrun": ("torch.distributed.run", "--nproc_per_node", "2"),
}
"""On CPUs the first starts a single process and hands on no signal; the second does what the first does for GPUs."""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("name", list(LAUNCHERS))
def test_a_launcher_leaves_no_process_behind(folder: Path, name: str, number: signal.Signals) -> None:
    port = () if name == "accelerate launch" else ("--master_port", str(free_port()))
    command = [sys.executable, "-m", *LAUNCHERS[name], *port, "-m", "ex2.train", "r.yaml", *LONG]
    with (folder / "said").open("wb") as said:
        launcher = subprocess.Popen(
            command, cwd=folder, env=environment(), stdout=said, stderr=said, start_new_session=True
        )
        try:
            until(lambda: batches_of(folder) >= 2 or launcher.poll() is not None)
            assert launcher.poll() is None, (folder / "said").read_text()[-3000:]
            assert len(working_in(folder)) >= (2 if name == "accelerate launch" else 3)
            began = time.monotonic()
            launcher.send_signal(number)
            status = launcher.wait(2 * SOON)
            assert time.monotonic() - began < SOON
            assert status != 0
            until(lambda: not working_in(folder) or time.monotonic() - began > SOON)
            assert working_in(folder) == []
        finally:
            for left in working_in(folder):
                os.kill(left, signal.SIGKILL)
    assert kept(folder)[-1:] == [batches_of(folder)]
    told = (folder / "said").read_text()
    assert f"after batch {batches_of(folder)}, which is kept; the same command continues: {name}" in told


def working_in(folder: Path) -> list[int]:
    """Return the living processes whose folder this is: a launcher gives each of its own a session of its own."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if (entry / "cwd").resolve(strict=True) == folder.resolve():
                    found.append(int(entry.name))
            except OSError:  # it has ended, or is somebody else's
                continue
    return found


def test_who_works_in_a_folder_is_found(tmp_path: Path) -> None:
    assert working_in(tmp_path) == []
    with subprocess.Popen([sys.executable, "-c", "input()"], cwd=tmp_path, stdin=subprocess.PIPE) as process:
        assert working_in(tmp_path) == [process.pid]
