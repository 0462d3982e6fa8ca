"""SIGTERM and Ctrl-C: when they interrupt, when they wait for the work under way, and how long a process has to end.

A first signal ends a command as an exception does, so that everything that is open is closed. Inside `deferred` a first
one waits until the block is left, and a second one interrupts the block.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any

from reward.errors import EXIT_INTERRUPTED, EXIT_TERMINATED

SECONDS_TO_END = 25.0
"""After SIGTERM, or any signal that was deferred, the time that a process has for ending in order; then it is ended as
it is."""

SECONDS_FOR_WORK = 20.0
"""The time that the work under way has after a signal that was deferred; then it is interrupted."""

ONE_TELLING = 3.0
"""Seconds in which several signals are one, for a process of several: a terminal signals all of them, and their
launcher hands on what it gets."""

CUT_SHORT = "in the middle of its work, which goes on from what was saved before"
"""What is said of deferred work that was interrupted."""

STATUS = {signal.SIGINT: EXIT_INTERRUPTED, signal.SIGTERM: EXIT_TERMINATED}

Handler = Callable[[int, FrameType | None], None]

_interrupting: tuple[Handler, ...] = ()
"""What meets signals in the block of `interrupted_by_sigterm`."""
_was_told = False
_interrupted_by = 0
"""In the same block: the first signal for which an exception was raised."""
_end_in_time: Callable[[int], None] | None = None
"""In the same block: starts the time after which a signal ends the process as it is."""


class Terminated(KeyboardInterrupt):
    """SIGTERM came. It is met as Ctrl-C is, so that everything that is open is closed."""


@dataclass
class Told:
    """Whether a process was told to end while a block deferred it.

    Attributes:
        number: The first signal that came; 0 if none did.
        said: What the message about the end says of the work, such as `after batch 3, which is kept`.
    """

    number: int = 0
    said: str = ""

    def exception(self) -> KeyboardInterrupt:
        """Return what is raised for the signal."""
        return Terminated(self.said) if self.number == signal.SIGTERM else KeyboardInterrupt(self.said)


@contextlib.contextmanager
def interrupted_by_sigterm(last_words: Callable[[int], None]) -> Iterator[None]:
    """Raise `Terminated` where SIGTERM meets the block; a second one ends the process at once.

    Ctrl-C raises `KeyboardInterrupt` as ever, and is remembered too: see `interrupted_by`.

    Args:
        last_words: Is told the number of the signal when `SECONDS_TO_END` are over, and the process ends as it is.
    """
    global _interrupting, _end_in_time, _interrupted_by
    if not _in_main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    owner, timers = os.getpid(), list[threading.Timer]()

    def end_in_time(number: int) -> None:
        if not timers:
            timers.append(_started(SECONDS_TO_END, lambda: _end(number, last_words)))

    def interrupt(number: int, frame: FrameType | None) -> None:
        global _interrupted_by
        _interrupted_by = _interrupted_by or number
        signal.default_int_handler(number, frame)

    def stop(number: int, frame: FrameType | None) -> None:
        global _was_told, _interrupted_by
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if os.getpid() != owner:  # a forked worker, which has nothing to close
            os.kill(os.getpid(), signal.SIGTERM)
            return
        _was_told = True
        _interrupted_by = _interrupted_by or number
        end_in_time(number)
        raise Terminated

    met: dict[signal.Signals, tuple[Handler, Any]] = {signal.SIGTERM: (stop, signal.SIG_DFL)}
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        met[signal.SIGINT] = (interrupt, signal.default_int_handler)
    _interrupting, _end_in_time, _interrupted_by = (stop, interrupt), end_in_time, 0
    for number, (handler, _) in met.items():
        signal.signal(number, handler)
    try:
        yield
    finally:
        _interrupting, _end_in_time = (), None
        for number, (handler, before) in met.items():
            if signal.getsignal(number) is handler:
                signal.signal(number, before)
        for timer in timers:
            timer.cancel()


@contextlib.contextmanager
def deferred() -> Iterator[Told]:
    """Let a first SIGTERM or Ctrl-C wait until the block is left; the block can look whether one came, and hurry.

    A second signal, or the end of `SECONDS_FOR_WORK`, interrupts the block. Signals that are ignored, or that somebody
    else handles, stay as they are.

    Raises:
        Terminated: After SIGTERM.
        KeyboardInterrupt: After Ctrl-C.
    """
    told = Told()
    met = {number: signal.getsignal(number) for number in STATUS}
    ours = (signal.SIG_DFL, signal.default_int_handler, *_interrupting)
    numbers = [number for number, handler in met.items() if handler is not None and handler in ours]
    if not _in_main_thread() or not numbers:
        yield told
        return
    owner, since, timers = os.getpid(), 0.0, list[threading.Timer]()

    def undo() -> None:
        for number in numbers:
            signal.signal(number, met[number])
        for timer in timers:
            timer.cancel()

    def tell(number: int, frame: FrameType | None) -> None:
        nonlocal since
        global _was_told
        if os.getpid() != owner:  # a forked worker: the work under way needs it until it is told to end itself
            if number == signal.SIGTERM:
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)
        elif not told.number:
            told.number, since, _was_told = number, time.monotonic(), True
            timers.append(_started(SECONDS_FOR_WORK, lambda: os.kill(owner, number)))
            if _end_in_time is not None:
                _end_in_time(number)
        elif time.monotonic() - since > ONE_TELLING or not is_one_of_several():
            undo()
            os.kill(owner, number)

    for number in numbers:
        signal.signal(number, tell)
    try:
        yield told
    except KeyboardInterrupt as interrupt:
        if not interrupt.args:
            interrupt.args = (told.said or CUT_SHORT,)
        raise
    finally:
        undo()
    if told.number:
        raise told.exception()


def was_told() -> bool:
    """Say whether a signal has told this process to end."""
    return _was_told


def interrupted_by() -> int:
    """Return the first signal for which an exception was raised in the block of `interrupted_by_sigterm`, or 0.

    A library may turn that exception into another, as Python does where it meets the making of a class, or an import
    in a `try`: what is then raised says nothing of what happened.
    """
    return _interrupted_by


def is_met() -> None:
    """Say that the exception of a signal was what ends a work as it should: what fails after it is another matter."""
    global _interrupted_by
    _interrupted_by = 0


def leave_quietly() -> None:
    """For a process that has done all but end: from now on Ctrl-C ends it at once, without a traceback."""
    if _in_main_thread() and signal.getsignal(signal.SIGINT) == signal.default_int_handler:
        signal.signal(signal.SIGINT, lambda number, frame: os._exit(EXIT_INTERRUPTED))


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def is_one_of_several() -> bool:
    """Say whether this process was launched together with others, as accelerate and torchrun tell it."""
    return os.environ.get("WORLD_SIZE", "1") not in ("", "0", "1")


def _started(seconds: float, then: Callable[[], None]) -> threading.Timer:
    timer = threading.Timer(seconds, then)
    timer.daemon = True
    timer.start()
    return timer


def _end(number: int, last_words: Callable[[int], None]) -> None:
    """End the process as it is, with its last words unless the stream that takes them is stuck."""
    speaker = threading.Thread(target=last_words, args=(number,), daemon=True)
    speaker.start()
    speaker.join(1.0)
    os._exit(STATUS[signal.Signals(number)])
