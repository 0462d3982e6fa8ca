"""Trained runs: started one by one or side by side, kept, and read."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from analysis.accuracy.record import read_accuracy
from analysis.results.load import SeedResult
from analysis.verdicts.record import read_breakdown
from analysis.verdicts.verdicts import read_verdicts
from calibration.samples import RECIPE
from calibration.worlds import folder
from ex2.data.demo.world import CAPTION_KINDS, CONCEPTS
from ex2.policy.source import PolicyName
from ex2.recipe import Recipe
from ex2.recipe_io import read_recipe
from ex2.run.descriptions import stored_descriptions
from ex2.run.directory import RunDirectory, SeedDirectory
from reward.files import read_jsonl

ROOT = Path(__file__).parent.parent.parent
LAST_BATCHES = 20

LOG_CONTROLLER = (
    "rl.kl.controller=log",
    "rl.kl.horizon_unit=batches",
    "rl.kl.horizon=20",
    "rl.kl.damping=1.0",
)
"""Slower than in `benchmarks/kl_control.py`, whose β comes from far off: here it starts near where it stays."""


@dataclass(frozen=True)
class Job:
    """One run of one seed of the demo's recipe.

    Attributes:
        name: Name of the run; other settings need another name.
        overrides: Settings beside the recipe's, without name, seeds and folder.
        seed: Seed.
        environment: Further variables of the process's environment.
        recipe_file: The recipe.
    """

    name: str
    overrides: tuple[str, ...]
    seed: int
    environment: tuple[tuple[str, str], ...] = ()
    recipe_file: str = RECIPE

    @property
    def words(self) -> list[str]:
        """The recipe's overrides."""
        return [f"name={self.name}", f"output_dir={folder() / 'runs'}", f"seeds=[{self.seed}]", *self.overrides]

    def recipe(self) -> Recipe:
        """Return the resolved recipe."""
        return read_recipe(self.recipe_file, self.words)

    @property
    def directory(self) -> SeedDirectory:
        """Where the results are."""
        return RunDirectory(folder() / "runs" / self.name).seed(self.seed)

    @property
    def is_done(self) -> bool:
        """Whether the run is analysed, with these settings; one that had others is in the way, as `ex2 run` says."""
        stored = RunDirectory(folder() / "runs" / self.name).recipe
        return self.directory.is_analyzed and read_recipe(stored, [f"seeds=[{self.seed}]"]) == self.recipe()

    @property
    def threads(self) -> int:
        """Threads that the run takes."""
        return int(next((word.partition("=")[2] for word in self.overrides if word.startswith("threads=")), "1"))

    def run(self) -> None:
        """Train, describe and analyze in a process of its own, on one thread.

        Raises:
            SystemExit: With the end of what it printed, if it fails.
        """
        words = [sys.executable, "-m", "ex2.cli", "run", self.recipe_file, *self.words, "--no-report"]
        path = os.pathsep.join([str(ROOT), str(ROOT / "benchmarks"), os.environ.get("PYTHONPATH", "")])
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path, **dict(self.environment)}
        ended = subprocess.run(words, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)
        if ended.returncode:
            raise SystemExit(f"{' '.join(words)}\n{ended.stderr[-3000:]}")

    def kl(self) -> float:
        """Return the mean KL of the last batches, in nats a description."""
        tail = read_jsonl(self.directory.train_log)[-LAST_BATCHES:]
        return sum(float(row["kl"]) for row in tail) / len(tail)

    def result(self) -> SeedResult:
        """Return what the run's one seed holds, its training left out."""
        breakdown = read_breakdown(self.directory.breakdown)
        verdicts = read_verdicts(self.directory.verdicts, digest=breakdown.judge.settings)
        accuracy = read_accuracy(self.directory.accuracy)
        return SeedResult(self.seed, accuracy, breakdown, stored_descriptions(self.directory), verdicts, [])

    def counts(self, policy: PolicyName) -> NDArray[np.int64]:
        """Return the number of a policy's descriptions of each class and kind, shape (C, 3), kinds as in CAPTION_KINDS.

        All of them have a verdict that can be read: the judge is the world's grammar.
        """
        return kind_counts(self.result(), policy)

    def shares(self, policy: PolicyName = "aligned") -> list[float]:
        """Return the share of each kind, in the order of `CAPTION_KINDS`."""
        counts = self.counts(policy).sum(axis=0)
        return [float(count) for count in counts / counts.sum()]


def kind_counts(result: SeedResult, policy: PolicyName) -> NDArray[np.int64]:
    """Return the number of a policy's descriptions of each class and kind, shape (C, 3), as `Job.counts` does."""
    counts = np.zeros((len(CONCEPTS), len(CAPTION_KINDS)), dtype=np.int64)
    for one in result.descriptions:
        if one.policy == policy:
            counts[one.label, CAPTION_KINDS.index(result.kind(one))] += 1
    return counts


def run_all(jobs: Sequence[Job], processes: int, until: float | None = None) -> list[Job]:
    """Run what is not done.

    Args:
        jobs: The most important first.
        processes: Runs side by side, each on one thread. One that takes several threads runs alone, after the others:
            side by side on as many cores, two of two threads took ten times as long.
        until: `time.monotonic()` from which no run is started; default: all are.

    Returns:
        The jobs that are done, earlier ones included.
    """
    missing = [job for job in jobs if not job.is_done]

    def one(job: Job) -> None:
        if until is None or time.monotonic() < until:
            job.run()

    with tqdm(total=len(missing), desc="runs", unit="run") as bar:
        for alone in (False, True):
            with ThreadPoolExecutor(1 if alone else processes) as pool:
                for _ in pool.map(one, [job for job in missing if (job.threads > 1) is alone]):
                    bar.update()
    return [job for job in jobs if job.is_done]
