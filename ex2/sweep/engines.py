"""Where jobs run: the table of engines, and the one that does one job after the other on this machine."""

from __future__ import annotations

import importlib
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from ex2.sweep.jobs import Job, Outcome, RunningJob

ENGINES = {
    "local": "ex2.sweep.engines:LocalEngine",
    "ray": "ex2.sweep.cluster:RayEngine",
}
"""What `--engine` can name: `"module:class"`, imported on use. A class satisfies `Engine` and takes no arguments."""


class Engine(Protocol):
    """Does jobs."""

    def start(self, jobs: Sequence[Job], sweep: str) -> None:
        """Take on jobs; returns at once."""
        ...

    def poll(self, seconds: float) -> list[tuple[Job, Outcome]]:
        """Wait at most `seconds`, and return the jobs that ended since the last call."""
        ...

    def note(self, job: Job) -> str:
        """Why a job that has not started waits; may be empty."""
        ...

    def stop(self) -> None:
        """End what runs and drop what waits; returns when all processes have ended."""
        ...


class LocalEngine:
    """One run after the other, in the order given."""

    def __init__(self) -> None:
        self._waiting: deque[Job] = deque()
        self._sweep = ""
        self._current: tuple[Job, RunningJob] | None = None

    def start(self, jobs: Sequence[Job], sweep: str) -> None:
        """Take on jobs."""
        self._waiting.extend(jobs)
        self._sweep = sweep

    def poll(self, seconds: float) -> list[tuple[Job, Outcome]]:
        """Start the next job if none runs; wait for the one that does."""
        if self._current is None:
            if not self._waiting:
                return []
            job = self._waiting.popleft()
            self._current = job, RunningJob(job, self._sweep)
        job, running = self._current
        outcome = running.poll(seconds)
        if outcome is None:
            return []
        self._current = None
        return [(job, outcome)]

    def note(self, job: Job) -> str:
        """Say nothing: a job waits for those before it."""
        return ""

    def stop(self) -> None:
        """Interrupt the running job."""
        self._waiting.clear()
        if self._current is not None:
            self._current[1].stop()
            self._current = None


def start_engine(name: str) -> Engine:
    """Make the engine of a name in `ENGINES`.

    Raises:
        UserError: If it needs a package that is not installed.
        EnvironmentFault: If its cluster cannot be joined.
    """
    module, _, attribute = ENGINES[name].partition(":")
    engine: Engine = getattr(importlib.import_module(module), attribute)()
    return engine
