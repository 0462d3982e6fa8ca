"""A job of a sweep: one seed of one recipe, or a recipe of image sets, with its command, its files and its state."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Literal, NamedTuple

from ex2.run.directory import RunDirectory, SeedDirectory
from ex2.run.lock import try_lock
from reward.files import JSON, write_json, writing
from reward.files import read_record as read_checked
from reward.strict_json import JSONFault, decode

State = Literal["waiting", "running", "done", "failed", "skipped"]
TAIL_BYTES = 16_384
"""Number of bytes at a log's end in which its last line is searched."""
WAIT_SECONDS = 0.5


@dataclass(frozen=True)
class Job:
    """One seed of one recipe, or all of a recipe of image sets.

    Attributes:
        name: Name of the recipe.
        seed: The seed; 0 of a recipe of image sets, whose seeds are drawn and measured together.
        command: Words of the command that does the job.
        root: Absolute path of the run directory.
        folder: Absolute path of the folder in which the command runs.
        digest: Hash of all settings that determine the results. A job that was finished with another digest counts as
            not done.
        batches: Number of batches of the training, for an estimate of the time left.
        gpus: Number of GPUs that the job takes.
        cpus: Number of CPUs that the job takes.
        result: File in the run directory that the job ends with, for a recipe of image sets; empty for a seed's.
    """

    name: str
    seed: int
    command: tuple[str, ...]
    root: Path
    folder: Path
    digest: str
    batches: int
    gpus: float = 0.0
    cpus: float = 1.0
    result: str = ""

    @property
    def part(self) -> str:
        """The seed, or `sets`."""
        return "sets" if self.result else str(self.seed)

    @property
    def label(self) -> str:
        """Name and part, for messages."""
        return f"{self.name} {'sets' if self.result else f'seed {self.seed}'}"

    @property
    def log(self) -> Path:
        """File with everything that the job's attempts printed."""
        return self.root / "sweep" / f"{self._stem}.log"

    @property
    def record(self) -> Path:
        """File with the job's state. It is not in the seed's folder, which holds results only."""
        return self.root / "sweep" / f"{self._stem}.json"

    @property
    def _stem(self) -> str:
        return "sets" if self.result else f"seed-{self.seed}"

    @property
    def results(self) -> SeedDirectory:
        """Directory of the seed's results."""
        return RunDirectory(self.root).seed(self.seed)


class Outcome(NamedTuple):
    """How a job ended: the child's exit status, and if that is not 0, the last line of the job's log."""

    status: int
    error: str


class RunningJob:
    """One attempt at a job: a child process, which ends if the process that started it ends.

    At most one attempt at a job runs at a time, even from several sweeps. The child's guard (`ex2.sweep.process`) holds
    the job's lock until the last process of the attempt has ended; another attempt waits for the lock. A job that
    another attempt has finished meanwhile is not done again.

    Args:
        job: The job to do.
        sweep: Identifies this call of `ex2 sweep` in the job's record.
    """

    def __init__(self, job: Job, sweep: str) -> None:
        self._job, self._sweep, self._started = job, sweep, time.time()
        self._guard: subprocess.Popen[bytes] | None = None
        with writing(job.log):
            job.log.parent.mkdir(parents=True, exist_ok=True)
            self._lock: IO[bytes] = job.record.with_suffix(".lock").open("ab")

    def poll(self, seconds: float) -> Outcome | None:
        """Wait at most `seconds`; return how the job ended, or None if it runs or waits for another attempt."""
        if self._guard is None:
            if not self._locked():
                time.sleep(seconds)
                return None
            if is_done(self._job):
                self._lock.close()
                return Outcome(0, "")
            self._guard = self._start()
        try:
            status = self._guard.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            return None
        outcome = Outcome(status, "" if status == 0 else last_line(self._job.log) or f"ended with status {status}")
        self._record("done" if status == 0 else "failed", status=status, error=outcome.error)
        self._close()
        return outcome

    def wait(self) -> Outcome:
        """Wait until the job has ended; return how it ended."""
        while (outcome := self.poll(WAIT_SECONDS)) is None:
            pass
        return outcome

    def stop(self) -> None:
        """Interrupt the job and wait until it has ended. Its finished results stay, and the next sweep continues it."""
        if self._guard is not None:
            self._guard.terminate()
            self._guard.wait()
        self._close()

    def _locked(self) -> bool:
        return try_lock(self._lock)

    def _start(self) -> subprocess.Popen[bytes]:
        job = self._job
        self._started = time.time()
        self._record("running")
        head = f"# {datetime.now(UTC).isoformat(timespec='seconds')} {socket.gethostname()}: {' '.join(job.command)}\n"
        with job.log.open("ab") as output:
            output.write(head.encode())
            output.flush()
            return subprocess.Popen(
                [sys.executable, "-m", "ex2.sweep.process", *job.command],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=job.folder,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                start_new_session=True,  # a Ctrl-C reaches it through `stop` alone
                pass_fds=[self._lock.fileno()],
            )

    def _close(self) -> None:
        self._lock.close()
        if self._guard is not None and self._guard.stdin is not None:
            self._guard.stdin.close()

    def _record(self, state: State, **more: object) -> None:
        record = {
            "state": state,
            "digest": self._job.digest,
            "sweep": self._sweep,
            "host": socket.gethostname(),
            "started": self._started,
            "seconds": round(time.time() - self._started, 1),
        }
        write_json(self._job.record, {**record, **more})


def read_record(job: Job) -> JSON:
    """Return a job's record; empty if there is none.

    Raises:
        UserError: If the file is no record.
    """
    return (
        read_checked(job.record, _checked, remedy="delete it; the job is then run again") if job.record.exists() else {}
    )


def _checked(stored: JSON) -> JSON:
    if not isinstance(stored, dict):
        raise TypeError("no object")
    for keys, kinds in ((("state", "digest", "error"), str | None), (("started", "seconds"), int | float)):
        if any(key in stored and not isinstance(stored[key], kinds) for key in keys):
            raise ValueError(keys)
    return stored


def is_done(job: Job) -> bool:
    """Return whether an earlier sweep finished the job with the same digest, and its last result still exists."""
    record = read_record(job)
    same = record.get("state") == "done" and record.get("digest") == job.digest
    return same and ((job.root / job.result).is_file() if job.result else job.results.is_analyzed)


def last_line(log: Path) -> str:
    """Return the last line of a log that is neither blank nor begins with `# `; empty if there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
            tail = file.read().decode("utf-8", errors="replace")
    except OSError:
        return ""
    lines = [line.strip() for line in tail.replace("\r", "\n").splitlines()]
    return next((line for line in reversed(lines) if line and not line.startswith("# ")), "")


def progress(job: Job, since: float) -> str:
    """Return the stage of a running job: the one whose file changed last since the job started.

    Args:
        job: A running job.
        since: Start of the job, in seconds since the epoch.
    """
    if job.result:
        return "draw and measure"
    results = job.results
    stages = {
        "train": results.train_log,
        "describe": results.descriptions,
        "analyze": results.verdicts,
        "measured": results.accuracy,
    }
    changed = {stage: path.stat().st_mtime for stage, path in stages.items() if path.is_file()}
    recent = {stage: moment for stage, moment in changed.items() if moment >= since}
    if not recent:
        return "starting"
    stage = max(recent, key=lambda name: recent[name])
    if stage == "train":
        return training_progress(results.train_log, job.batches)
    return "analyze" if stage == "measured" else stage


def training_progress(log: Path, batches: int) -> str:
    """Return how far training is, such as `train 12/100, 3 min left`, estimated from the times of the last batches."""
    rows = _rows(log)
    done = rows[-1]["batch"] if rows else 0
    spent = [
        sum(value for name, value in row.items() if name.startswith("seconds_") and isinstance(value, int | float))
        for row in rows[-20:]
    ]
    if not any(spent):
        return f"train {done}/{batches}"
    left = (batches - done) * sum(spent) / len(spent)
    return f"train {done}/{batches}, {duration(left)} left"


def duration(seconds: float) -> str:
    """Return a length of time in words: `40 s`, `12 min`, `3.5 h`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


def _rows(log: Path) -> list[JSON]:
    """Return the complete rows at the end of a log, to which another process may be writing."""
    with log.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
        lines = file.read().split(b"\n")[:-1]
    rows = []
    for line in lines:
        try:
            rows.append(decode(line))
        except JSONFault:  # the first may be the end of a row only
            continue
    return [row for row in rows if isinstance(row, dict) and isinstance(row.get("batch"), int)]
