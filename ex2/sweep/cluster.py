"""An engine that runs jobs on a Ray cluster. It needs `pip install 'ex2[ray]'`.

Ray places each run on a node with the GPUs and CPUs that the recipe asks for. A run is a Ray task that starts the same
child process as the local engine does, so that no state of a run stays in Ray's workers. If a node dies, its runs are
placed again and continue from their files.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from typing import Any

from ex2.sweep.jobs import Job, Outcome, RunningJob
from reward.errors import EnvironmentFault, UserError

NODE_FAILURES = 5
"""How often a run is placed again after its node died. A run that fails by itself is not repeated."""


class RayEngine:
    """Does jobs in parallel, as many at a time as the cluster has room for.

    It joins the cluster at `RAY_ADDRESS`, else one that runs on this machine, else it starts a cluster of this machine
    alone.

    Raises:
        UserError: If Ray is not installed.
        EnvironmentFault: If the cluster cannot be reached.
    """

    def __init__(self) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            self._ray: Any = importlib.import_module("ray")
        except ModuleNotFoundError as error:
            if error.name != "ray":
                raise
            raise UserError(
                "--engine: ray is not installed. Install it (pip install 'ex2[ray]'), or use --engine local."
            ) from error
        try:
            self._ray.init(log_to_driver=False, include_dashboard=False, logging_level="ERROR")
        except (ConnectionError, RuntimeError, TimeoutError) as error:
            raise EnvironmentFault(
                f"--engine: no Ray cluster could be joined ({str(error).splitlines()[0]}). Check RAY_ADDRESS, or start "
                "one: ray start --head."
            ) from error
        self._tasks: dict[Any, Job] = {}

    def start(self, jobs: Sequence[Job], sweep: str) -> None:
        """Submit every job; Ray places a job when a node has enough free GPUs and CPUs."""
        for job in jobs:
            task = self._ray.remote(_do).options(
                num_cpus=job.cpus, num_gpus=job.gpus, max_retries=NODE_FAILURES, name=job.label
            )
            self._tasks[task.remote(job, sweep)] = job

    def poll(self, seconds: float) -> list[tuple[Job, Outcome]]:
        """Wait at most `seconds`; return jobs that ended since the last call. A task that Ray gave up has failed."""
        if not self._tasks:
            return []
        ended, _ = self._ray.wait(list(self._tasks), num_returns=len(self._tasks), timeout=seconds)
        return [(self._tasks.pop(task), self._outcome(task)) for task in ended]

    def note(self, job: Job) -> str:
        """Return a message if no node of the cluster is large enough for the job, else an empty text."""
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        if any(node.get("GPU", 0) >= job.gpus and node.get("CPU", 0) >= job.cpus for node in nodes):
            return ""
        return f"no node with {job.gpus:g} GPUs and {job.cpus:g} CPUs"

    def stop(self) -> None:
        """Cancel every task. Ray kills its workers, and the guards (`ex2.sweep.process`) end the workers' children."""
        for task in self._tasks:
            self._ray.cancel(task, force=True)
        self._tasks.clear()
        self._ray.shutdown()

    def _outcome(self, task: Any) -> Outcome:
        try:
            return Outcome(*self._ray.get(task))
        except self._ray.exceptions.RayError as error:
            return Outcome(1, next(line for line in reversed(str(error).splitlines()) if line.strip()).strip())


def _do(job: Job, sweep: str) -> tuple[int, str]:
    status, error = RunningJob(job, sweep).wait()
    return status, error  # plain values: the driver may run another version of the project
