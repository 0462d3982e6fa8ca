"""Sweeps on a Ray cluster: two nodes with a pretended GPU each, on this machine. `make test-ray`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from needs import absent
from paths import ROOT, SUPPORT
from processes import PATIENCE, until

pytestmark = [
    pytest.mark.slow,
    # Ray's own: subprocesses and sockets of its cluster helper
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

DEMO = str(ROOT / "recipes/demo/visual.yaml")
NAMES, SEEDS = ("a", "b"), (0, 1, 2)


@pytest.fixture
def cluster() -> Iterator[Any]:
    try:
        from ray import cluster_utils
    except ImportError:
        absent("ray", "ray is not installed")
    head = {"num_cpus": 2, "num_gpus": 1, "include_dashboard": False}
    made = cluster_utils.Cluster(initialize_head=True, connect=False, head_node_args=head)
    yield made
    made.shutdown()


def start_sweep(folder: Path, cluster: Any, *, seconds: float, gpus: float = 1.0) -> subprocess.Popen[str]:
    """`ex2 sweep --engine ray` in a process of its own, with counting stubs in place of `ex2 run`."""
    (folder / "driver.py").write_text(
        f"import dataclasses, pathlib, sys\nsys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import test_sweep\nfrom ex2 import cli\nfrom ex2.sweep import command as sweep\n"
        "here = pathlib.Path.cwd()\n"
        f"grid = [test_sweep.make_job(here, n, s, 'ok', {seconds}) for n in {NAMES!r} for s in {SEEDS!r}]\n"
        f"grid = [dataclasses.replace(job, gpus={gpus}, cpus=1) for job in grid]\n"
        "sweep.make_jobs = lambda *a: grid\nsweep._report = lambda *a: True\n"
        f"sys.exit(cli.main(['sweep', {DEMO!r}, '--engine', 'ray']))\n"
    )
    return subprocess.Popen(
        [sys.executable, "driver.py"],
        cwd=folder,
        env={**os.environ, "RAY_ADDRESS": cluster.address, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(SUPPORT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def starts(folder: Path) -> list[list[str]]:
    path = folder / "starts"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def ends(folder: Path) -> Counter[str]:
    path = folder / "ends"
    return Counter(path.read_text().splitlines()) if path.exists() else Counter()


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            output, errors = process.communicate()
            pytest.fail(f"nothing happened in time:\n{output}\n{errors}")
        time.sleep(0.1)


def test_a_node_dies_and_every_run_still_finishes_exactly_once(tmp_path: Path, cluster: Any) -> None:
    doomed = cluster.add_node(num_cpus=2, num_gpus=1)
    process = start_sweep(tmp_path, cluster, seconds=8)
    wait_for(lambda: len(starts(tmp_path)) == 2, process)  # one run on each node's GPU
    assert not ends(tmp_path)
    cluster.remove_node(doomed, allow_graceful=False)
    output, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, output + errors
    everything = {f"{name}/seed-{seed}": 1 for name in NAMES for seed in SEEDS}
    assert ends(tmp_path) == everything, "one result of each run, none twice"
    attempts = Counter(words[0] for words in starts(tmp_path))
    assert attempts.keys() == everything.keys()
    assert sum(attempts.values()) == len(everything) + 1, "only the run on the dead node was placed anew"
    assert "6 done" in output
    assert {words[2] for words in starts(tmp_path)} == {"0"}, "each run saw the GPU that Ray gave it"

    again = start_sweep(tmp_path, cluster, seconds=8)
    output, errors = again.communicate(timeout=PATIENCE)
    assert again.returncode == 0, errors
    assert "6 skipped" in output
    assert ends(tmp_path) == everything


def test_what_no_node_can_hold_says_so_and_ctrl_c_ends_all(tmp_path: Path, cluster: Any) -> None:
    process = start_sweep(tmp_path, cluster, seconds=600, gpus=4)
    assert process.stdout is not None
    assert process.stdout.readline() == "a seed 0 waiting: no node with 4 GPUs and 1 CPUs\n"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert not starts(tmp_path)

    process = start_sweep(tmp_path, cluster, seconds=600, gpus=1)
    wait_for(lambda: len(starts(tmp_path)) == 1, process)
    time.sleep(2)
    assert len(starts(tmp_path)) == 1, "one GPU holds one run at a time"
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, output + errors
    pid = int(starts(tmp_path)[0][1])
    until(lambda: not Path(f"/proc/{pid}").exists())
    assert not ends(tmp_path)
