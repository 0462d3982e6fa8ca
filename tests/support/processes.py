"""Processes that a test starts, watches and kills, without paying for the import of torch each time.

Python's own fork server imports the libraries once; every process is a fork of it, with its own folder, environment and
output. What tests a process itself (a launcher, the import of a verb, the console script) starts a new interpreter
instead, by `new_interpreter`.

Nothing here waits for a number of seconds: a process is waited for until it ends, and `until` waits for an event. Both
give up after `PATIENCE`, which only a hang reaches.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from paths import ROOT

PATIENCE = 1800.0
"""Seconds after which something hangs: the slowest command takes one minute on a quiet machine."""

PRELOADED = [
    "torch",
    "trl",
    "open_clip",
    "transformers.models.mistral.modeling_mistral",
    "ex2.training.stage",
    "ex2.cli.vlms",
    "ex2.describe",
    "ex2.checks.plan",
    "ex2.checks.validate",
    "ex2.data.datasets.base",
    "ex2.trainers.rloo_grpo",
    "ex2.trainers.ppo",
    "analysis.analyze",
    "analysis.report.page",
    "analysis.judge.server.client",
    "analysis.images.command",
    "ex2.cli.sets",
    "reward.contract",
]

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(PRELOADED)


class Ended(NamedTuple):
    """How a process ended.

    Attributes:
        returncode: Exit status, or minus the signal that ended it.
        stdout: All that it printed.
        stderr: The same.
    """

    returncode: int
    stdout: str
    stderr: str


class Process:
    """A running call of a function in a process of its own.

    Args:
        target: Of a module that can be imported; an int that it returns is the exit status.
        arguments: Of the function.
        folder: Where it runs.
        environment: All of its environment; default: this process's.
    """

    def __init__(
        self,
        target: Callable[..., Any],
        *arguments: Any,
        folder: Path = ROOT,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._output = tempfile.TemporaryDirectory(prefix="process-")
        for name in ("stdout", "stderr"):
            (Path(self._output.name) / name).touch()
        given = dict(os.environ if environment is None else environment)
        call = (target, arguments, str(folder), given, self._output.name)
        self._process = _CONTEXT.Process(target=_run, args=call)
        self._process.start()
        assert self._process.pid is not None
        self.pid: int = self._process.pid
        self._ended: Ended | None = None

    @property
    def stdout(self) -> str:
        """What it has printed so far."""
        return self._read("stdout")

    @property
    def stderr(self) -> str:
        """What it has printed so far."""
        return self._read("stderr")

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.is_alive()

    def send_signal(self, number: int) -> None:
        """Send a signal, if the process has not ended."""
        if self.is_running:
            os.kill(self.pid, number)

    def wait(self) -> Ended:
        """Wait for its end."""
        if self._ended is None:
            self._process.join(PATIENCE)
            hangs = self.is_running
            self._process.kill()
            self._process.join()
            assert self._process.exitcode is not None
            self._ended = Ended(self._process.exitcode, self.stdout, self.stderr)
            self._output.cleanup()
            assert not hangs, f"it hangs:\n{self._ended.stdout[-2000:]}\n{self._ended.stderr[-2000:]}"
        return self._ended

    def close(self) -> None:
        """Kill it if it still runs."""
        self.send_signal(signal.SIGKILL)
        self.wait()

    def _read(self, name: str) -> str:
        if self._ended is not None:
            return str(getattr(self._ended, name))
        return (Path(self._output.name) / name).read_text(encoding="utf-8", errors="replace")


def _run(
    target: Callable[..., Any], arguments: Sequence[Any], folder: str, environment: dict[str, str], output: str
) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:0] = [entry for entry in environment.get("PYTHONPATH", "").split(os.pathsep) if entry]
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(f"{output}/{name}", os.O_WRONLY | os.O_APPEND), descriptor)
    try:
        status = target(*arguments)
    finally:
        atexit._run_exitfuncs()  # multiprocessing leaves without them, an interpreter does not
    raise SystemExit(status if isinstance(status, int) else 0)


def run_module(name: str, words: Sequence[str]) -> None:
    """Do what `python -m NAME WORD…` does."""
    sys.argv = [name, *words]
    sys.path.insert(0, os.getcwd())
    sys.modules.pop(name, None)  # runpy warns of a module that is there already
    runpy.run_module(name, run_name="__main__", alter_sys=True)


def started(*words: str, folder: Path = ROOT, **environment: str) -> Process:
    """Start `python -m WORD…` in a folder, with changed variables of the environment."""
    name, *rest = words
    return Process(run_module, name, rest, folder=folder, environment={**os.environ, **environment})


def command(*words: str, folder: Path = ROOT, **environment: str) -> Ended:
    """Run `python -m WORD…`, such as `command("ex2.cli", "validate", "x.yaml")`."""
    return started(*words, folder=folder, **environment).wait()


def _console_script(words: Sequence[str]) -> int:
    from ex2.cli import main

    sys.argv = ["ex2", *words]
    return main(list(words))


def run_ex2(*words: str, folder: Path = ROOT, **environment: str) -> Ended:
    """Run what a user types: `ex2 WORD…`. Unlike `python -m`, its folder is not on the import path."""
    return Process(_console_script, words, folder=folder, environment={**os.environ, **environment}).wait()


def new_interpreter(*words: str, folder: Path = ROOT, **environment: str) -> Ended:
    """Run `python WORD…` with nothing imported beforehand."""
    done = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def free_port() -> int:
    """Return a port of this machine on which nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def on_processes(count: int, target: Callable[..., Any], *arguments: Any, **environment: str) -> None:
    """Call a function in each of `count` processes that a launcher of torch would have started, on gloo.

    Raises:
        AssertionError: If one of them fails; with what it printed.
    """
    common = {
        **os.environ,
        "ACCELERATE_USE_CPU": "true",
        "OMP_NUM_THREADS": "1",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        **environment,
    }
    processes = [
        Process(target, *arguments, environment=common | {"RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(count)
    ]
    ended = [process.wait() for process in processes]
    assert all(end.returncode == 0 for end in ended), "\n".join(end.stderr[-4000:] for end in ended)


def until(happened: Callable[[], Any], *, unless_ended: Process | None = None, look_every: float = 0.005) -> Any:
    """Wait for an event and return what `happened` gives, once that is true.

    Args:
        happened: Looked at again and again.
        unless_ended: Fails at once if this process ends before.
        look_every: Seconds.
    """
    deadline = time.monotonic() + PATIENCE
    while not (found := happened()):
        assert time.monotonic() < deadline, "it never happened"
        if unless_ended is not None and not unless_ended.is_running and not happened():
            ended = unless_ended.wait()
            raise AssertionError(f"it ended before:\n{ended.stdout[-2000:]}\n{ended.stderr[-3000:]}")
        time.sleep(look_every)
    return found
