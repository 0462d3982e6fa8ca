"""The table of engines, which run jobs, and the engine that does one job after the other on this machine."""

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
"""Name for `--engine` → `"module:class"`, imported on use. The class satisfies `Engine` and takes no arguments."""


class Engine(Protocol):
    """Runs the jobs of a sweep."""

    def start(self, jobs: Sequence[Job], sweep: str) -> None:
        """Take on jobs and return at once.

        Args:
            jobs: Jobs to do.
            sweep: Identifies this call of `ex2 sweep` in the jobs' records.
        """
        ...

    def poll(self, seconds: float) -> list[tuple[Job, Outcome]]:
        """Wait at most `seconds`, and return the jobs that ended since the last call."""
        ...

    def note(self, job: Job) -> str:
        """Return why a job that has not started is waiting; may be empty."""
        ...

    def stop(self) -> None:
        """End running jobs and drop waiting ones; return when all processes have ended."""
        ...


class LocalEngine:
    """Does one job after the other, in the order given."""

    def __init__(self) -> None:
        self._waiting: deque[Job] = deque()
        self._sweep = ""
        self._current: tuple[Job, RunningJob] | None = None

    def start(self, jobs: Sequence[Job], sweep: str) -> None:
        """Take on jobs; the first one starts with the next `poll`."""
        self._waiting.extend(jobs)
        self._sweep = sweep

    def poll(self, seconds: float) -> list[tuple[Job, Outcome]]:
        """Start the next job if none runs; wait at most `seconds` for the running one and return it if it ended."""
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
        """Return an empty text, since a job only waits for those before it."""
        return ""

    def stop(self) -> None:
        """Interrupt the running job, wait until it has ended, and drop the waiting ones."""
        self._waiting.clear()
        if self._current is not None:
            self._current[1].stop()
            self._current = None


def start_engine(name: str) -> Engine:
    """Make the engine with a name in `ENGINES`.

    Raises:
        UserError: If the engine needs a package that is not installed.
        EnvironmentFault: If the engine's cluster cannot be joined.
    """
    module, _, attribute = ENGINES[name].partition(":")
    engine: Engine = getattr(importlib.import_module(module), attribute)()
    return engine
