"""Workers: each job alone, in its limits and from its seed; a worker that dies fails one job."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import psutil
import pytest
from canary import SANDBOX_PROCESSES, processes_below, wait_until
from sandboxes import needs_sandbox

from ex2.sets.sandbox import worker as worker_module
from ex2.sets.sandbox.inside.jobs import Job
from ex2.sets.sandbox.languages.base import language_named
from ex2.sets.sandbox.worker import Worker
from reward.errors import EnvironmentFault

DOT = "import turtle\nturtle.dot(200)\n"


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    needs_sandbox()
    with Worker(language_named("turtle")) as made:
        yield made


def job(code: str, seed: int = 1, **changes: float) -> Job:
    given = {"size": 32, "seconds": 20.0, "memory": 1 << 30} | changes
    return Job(code, int(given["size"]), seed, given["seconds"], int(given["memory"]))


def at_rest(worker: Worker) -> tuple[int | None, list[psutil.Process]]:
    """The worker's number and its processes, the server last, once no job's are there any more."""
    assert wait_until(lambda: len(processes_below(worker.pid)) == SANDBOX_PROCESSES, 10)
    return worker.pid, processes_below(worker.pid)


def test_a_job_sees_nothing_of_the_one_before(worker: Worker) -> None:
    leaves = "import math, turtle, random\nmath.left = turtle.left = 1\nturtle.bgcolor('red')\nrandom.seed = None\n"
    assert worker.run(job(leaves + DOT)).status == "drawn"
    looks = "import math, random\nassert not hasattr(math, 'left') and random.seed\n"
    outcome = worker.run(job(looks + DOT))
    assert outcome.status == "drawn", outcome.message
    assert outcome.image is not None
    assert outcome.image.getpixel((0, 0)) == (255, 255, 255)


LOOKS = """
import ctypes
C = ctypes.CDLL(None)
C.sbrk.restype, C.sbrk.argtypes = ctypes.c_void_p, [ctypes.c_long]
size = 500 << 10
heap = ctypes.string_at(C.sbrk(0) - size, size)
raise RuntimeError('found %d' % heap.count(MARK))
"""


def test_nothing_of_a_program_is_in_the_memory_of_the_next(worker: Worker) -> None:
    """The heap is looked through, where the first program stood 3,000 times."""
    assert worker.run(job("#" + "first-program " * 3000 + f"\n{DOT}")).status == "drawn"
    assert (
        worker.run(job(LOOKS.replace("MARK", "bytes(reversed(b'margorp-tsrif'))"))).message == "RuntimeError: found 0"
    )
    own = worker.run(job("#" + "first-program " * 3000 + LOOKS.replace("MARK", "bytes(reversed(b'margorp-tsrif'))")))
    assert int(own.message.rpartition(" ")[2]) > 1000, "twin: of the program itself it finds something"


def test_a_seed_decides_what_is_random(worker: Worker) -> None:
    code = "import random, turtle\nturtle.dot(random.randint(50, 500))\n"
    images = [worker.run(job(code, seed)).image for seed in (1, 1, 2)]
    assert all(image is not None for image in images)
    first, again, other = [image.tobytes() for image in images if image is not None]
    assert first == again != other


def test_a_server_that_dies_fails_one_job_and_is_replaced(worker: Worker) -> None:
    assert worker.run(job(DOT)).status == "drawn"
    before, inside = at_rest(worker)
    os.kill(inside[-1].pid, signal.SIGKILL)
    psutil.wait_procs(inside[-1:], timeout=10)
    outcomes = [worker.run(job(DOT)) for _ in range(2)]
    assert outcomes[-1].status == "drawn"
    assert worker.pid != before
    assert {outcome.status for outcome in outcomes} <= {"error", "drawn"}
    assert wait_until(lambda: processes_below(before) == [], 10)


def test_a_server_that_hangs_is_ended_from_outside(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "_GRACE", 0.5)
    assert worker.run(job(DOT)).status == "drawn"
    _, inside = at_rest(worker)
    os.kill(inside[-1].pid, signal.SIGSTOP)
    outcome = worker.run(job(DOT, seconds=0.5))
    assert (outcome.status, outcome.message) == ("timeout", "the worker ended: not done in time")
    assert wait_until(lambda: not any(one.is_running() for one in inside), 10)
    assert worker.run(job(DOT)).status == "drawn"


def test_statuses(worker: Worker) -> None:
    said = {
        code: worker.run(job(code, seconds=10.0)).status
        for code in (DOT, "x = 1", "import turtle\nturtle.penup()", "def", "1 / 0", "import turtle\nturtle.dot(2000)")
    }
    assert said == {
        DOT: "drawn",
        "x = 1": "no_image",
        "import turtle\nturtle.penup()": "no_image",
        "def": "syntax",
        "1 / 0": "error",
        "import turtle\nturtle.dot(2000)": "drawn",
    }
    assert worker.run(job("import turtle\nturtle.color('white')\nturtle.dot(50)")).status == "blank"
    assert worker.run(job("import sys\n" + DOT + "sys.exit(3)")).status == "drawn"
    assert worker.run(job("x = bytearray(300 << 20)\n" + DOT, memory=256 << 20)).status == "memory"
    assert worker.run(job("x = bytearray(300 << 20)\n" + DOT, memory=1 << 30)).status == "drawn"
    error = worker.run(job("raise KeyError('x' * 9999 + '\\n')"))
    assert len(error.message) <= 400
    assert "\n" not in error.message


def test_no_server_no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    needs_sandbox()
    monkeypatch.setattr(worker_module, "command", lambda *words: (["/bin/sh", "-c", "echo no room >&2"], {}))
    with Worker(language_named("turtle")) as made:
        with pytest.raises(EnvironmentFault, match=r"bubblewrap does not work here \(no room\)"):
            made.run(job(DOT))
        assert made.pid is None
