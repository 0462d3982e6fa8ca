"""SIGTERM and Ctrl-C: which interrupts, which waits for the work under way, and when a process ends as it is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
from processes import PATIENCE

from reward.signals import CUT_SHORT, SECONDS_FOR_WORK, Terminated, Told, deferred

RAISED = {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: Terminated}
BOTH = pytest.mark.parametrize("number", list(RAISED))


def handlers() -> list[object]:
    return [signal.getsignal(number) for number in RAISED]


def tell(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(0)  # Python's handlers run between two steps


def interrupted(work: Callable[[Told], object]) -> KeyboardInterrupt:
    """Return what comes of deferring signals while the work is done."""

    def do() -> None:
        with deferred() as told:
            work(told)

    with pytest.raises(KeyboardInterrupt) as raised:
        do()
    return raised.value


@BOTH
def test_a_first_signal_waits_for_the_work(number: signal.Signals) -> None:
    before, seen = handlers(), []

    def work(told: Told) -> None:
        tell(number)
        seen.append(told.number)
        told.said = "after batch 3, which is kept"

    raised = interrupted(work)
    assert seen == [number]
    assert type(raised) is RAISED[number]
    assert raised.args == ("after batch 3, which is kept",)
    assert handlers() == before


def test_without_a_signal_nothing_happens() -> None:
    before = handlers()
    with deferred() as told:
        assert handlers() != before
    assert (told.number, handlers()) == (0, before)


def twice(done: list[str]) -> Callable[[Told], None]:
    def work(told: Told) -> None:
        tell(signal.SIGINT)
        tell(signal.SIGINT)
        done.append("the batch")

    return work


def test_a_second_signal_interrupts_the_work() -> None:
    before, done = handlers(), list[str]()
    assert interrupted(twice(done)).args == (CUT_SHORT,)
    assert done == []
    assert handlers() == before


def test_of_several_processes_each_is_told_twice_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the terminal and by the launcher."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    done: list[str] = []
    interrupted(twice(done))
    assert done == ["the batch"]
    monkeypatch.setattr("reward.signals.ONE_TELLING", 0.0)
    interrupted(twice(done))
    assert done == ["the batch"]


def test_work_that_takes_too_long_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reward.signals.SECONDS_FOR_WORK", 0.02)
    started = time.monotonic()

    def work(told: Told) -> None:
        tell(signal.SIGINT)
        time.sleep(20)

    assert interrupted(work).args == (CUT_SHORT,)
    assert time.monotonic() - started < 10


def test_what_is_ignored_stays_ignored() -> None:
    """A script's background job ignores Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with deferred() as told:
            tell(signal.SIGINT)
        assert told.number == 0
    finally:
        signal.signal(signal.SIGINT, before)


def told_process(code: str, number: int) -> tuple[int, str]:
    """Run code with `guarded` and `signals`, signal it when it prints, and return its status and stderr."""
    words = f"import sys, time\nfrom reward import signals\nfrom reward.exits import guarded\n{code}"
    with subprocess.Popen(
        [sys.executable, "-c", words], text=True, stderr=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.send_signal(number)
        told = process.communicate(timeout=PATIENCE)[1]
    return process.returncode, told.strip()


@BOTH
def test_a_process_that_does_not_end_is_ended(number: signal.Signals) -> None:
    code = (
        "signals.SECONDS_TO_END = 0.1\n"
        "def run():\n    with signals.deferred():\n        print('up', flush=True)\n        time.sleep(60)\n"
        "sys.exit(guarded(run, lambda: 'ex2 train x.yaml'))"
    )
    began = time.monotonic()
    what = {signal.SIGTERM: (143, "ended by SIGTERM"), signal.SIGINT: (130, "interrupted")}[number]
    assert told_process(code, number) == (
        what[0],
        f"ex2: {what[1]} in the middle of its work, which goes on from what was saved before; "
        "the same command continues: ex2 train x.yaml",
    )
    assert time.monotonic() - began < SECONDS_FOR_WORK - 5, "it is not the work's own time that ends it"


def test_deferred_work_is_told_of_with_the_command() -> None:
    code = (
        "def run():\n    with signals.deferred() as told:\n        print('up', flush=True)\n"
        "        while not told.number: time.sleep(0.01)\n        told.said = 'after batch 3, which is kept'\n"
        "words = 'ex2 train x.yaml judge.base_url=http://me:pass-1234@host/v1 generation.max_new_tokens=8'\n"
        "sys.exit(guarded(run, lambda: words))"
    )
    assert told_process(code, signal.SIGTERM) == (
        143,
        "ex2: ended by SIGTERM after batch 3, which is kept; the same command continues: "
        "ex2 train x.yaml judge.base_url=http://***@host/v1 generation.max_new_tokens=8",
    )


ENDED = {signal.SIGTERM: (143, "ended by SIGTERM"), signal.SIGINT: (130, "interrupted")}


@BOTH
@pytest.mark.parametrize(
    "work",
    [
        "class Named:\n        def __set_name__(self, owner, name): wait()\n    class Owner:\n        named = Named()",
        "try: wait()\n    except BaseException: raise ValueError('a library says this instead') from None",
        "try: wait()\n    except BaseException: raise UserError('a package is missing')",
        "try: wait()\n    except BaseException: sys.exit(3)",
    ],
    ids=["the making of a class", "a library", "a message of ours", "an exit"],
)
def test_a_signal_that_became_another_exception_is_told_as_the_signal(work: str, number: signal.Signals) -> None:
    """Python makes a RuntimeError of one that meets the making of a class: it was called a fault of EX2's."""
    code = (
        "from reward.errors import UserError\n"
        "def wait():\n    print('up', flush=True)\n    time.sleep(60)\n"
        f"def run():\n    {work}\nsys.exit(guarded(run, lambda: 'ex2 tables runs'))"
    )
    status, what = ENDED[number]
    assert told_process(code, number) == (status, f"ex2: {what}; the same command continues: ex2 tables runs")


@pytest.mark.parametrize(
    ("raised", "wanted"),
    [
        ("UserError('no such run.')", (2, "ex2: no such run.")),
        ("OSError(5, 'Input/output error', 'x')", (1, "ex2: x: Input/output error; mend it and repeat.")),
    ],
)
def test_an_error_after_a_signal_that_was_met_is_told(raised: str, wanted: tuple[int, str]) -> None:
    """Ctrl-C is how the label server ends: what then cannot be written is not hidden behind it."""
    code = (
        "from reward.errors import UserError\n"
        "def run():\n    try:\n        print('up', flush=True)\n        time.sleep(60)\n"
        f"    except KeyboardInterrupt: signals.is_met()\n    raise {raised}\n"
        "sys.exit(guarded(run, lambda: 'ex2 label x'))"
    )
    assert told_process(code, signal.SIGINT) == wanted


def test_a_process_that_is_done_ends_without_a_traceback() -> None:
    code = "guarded(lambda: 0)\nsignals.leave_quietly()\nprint('up', flush=True)\ntime.sleep(60)"
    assert told_process(code, signal.SIGINT) == (130, "")
