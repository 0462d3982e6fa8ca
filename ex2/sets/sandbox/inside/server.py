"""The server inside the sandbox: imports a language once, and forks for each job a process that handles it.

The handler reads the job from the standard input, runs it in a child of its own under limits, and answers on the
standard output. The server itself never reads a job, so that nothing of one is in the memory that the next is forked
from. The child that runs the program has neither input nor output: it writes its image to a pipe of its own, of which
the handler takes one frame and nothing else.
"""

from __future__ import annotations

import importlib
import os
import random
import resource
import select
import signal
import sys
import time
from typing import Any, NoReturn, Protocol

from . import seccomp
from .jobs import (
    ERROR,
    HEAD,
    KINDS,
    MEMORY,
    MOST_BYTES,
    MOST_MESSAGE,
    NO_IMAGE,
    PNG,
    SYNTAX,
    TIMEOUT,
    UNSAFE,
    Failed,
    Job,
    Setup,
    frame,
    message_frame,
    read_exactly,
    unpacked,
    write_all,
)

READY = b"R"
"""Kind of the frame that a server sends once it can take jobs; its content names versions."""
_JOBS, _ANSWERS = 0, 1
_RESULT = 3
_MOST_FILE = 16 << 20
_MOST_OPEN = 64
_OUT_OF_MEMORY = (b"memory allocation of ", b"MemoryError", b"bad_alloc")


class Language(Protocol):
    """A module of this folder that draws."""

    def warm(self) -> dict[str, str]:
        """Import what takes long, and return versions of what draws."""
        ...

    def render(self, job: Job, setup: Setup) -> bytes:
        """Run a program and return a PNG file. Raises `Failed` if there is none."""
        ...


def main() -> None:
    """Serve jobs until the standard input ends."""
    setup: Setup = unpacked("setup", sys.argv[1])
    try:
        if setup.filtered:
            seccomp.machine()
            seccomp.protect_server()
        language: Any = importlib.import_module(f".{setup.language}", __package__)
        versions = language.warm()
    except Exception as error:  # noqa: BLE001 - whatever an import raises is why there is no server
        write_all(_ANSWERS, message_frame(ERROR, f"{type(error).__name__}: {error}"))
        return
    write_all(_ANSWERS, message_frame(READY, " ".join(f"{name}={value}" for name, value in versions.items())))
    while True:
        select.select([_JOBS], [], [])
        handler = os.fork()
        if handler == 0:
            _handle(language, setup)
        _, status = os.waitpid(handler, 0)
        if status != 0 or (setup.filtered and _left_behind()):
            return


def _handle(language: Language, setup: Setup) -> NoReturn:
    """Read a job, answer it and end; with status 1 if there is none, or its answer is not taken."""
    status = 1
    try:
        head = read_exactly(_JOBS, HEAD.size)
        if len(head) == HEAD.size:
            _, length = HEAD.unpack(head)
            job: Job = unpacked("job", read_exactly(_JOBS, length))
            write_all(_ANSWERS, answer(job, language, setup))
            status = 0
    finally:
        os._exit(status)


def answer(job: Job, language: Language, setup: Setup) -> bytes:
    """Run a job in a child and return the frame with what came of it."""
    end = time.monotonic() + job.seconds
    result, result_in = os.pipe()
    errors, errors_in = os.pipe()
    child = os.fork()
    if child == 0:
        _child(job, language, setup, result_in, errors_in)
    os.close(result_in)
    os.close(errors_in)
    try:
        written, said, ended = _collect(result, errors, end)
        status = _wait(child, end) if ended else None
    finally:
        os.close(result)
        os.close(errors)
    if status is None:
        _kill(child)
        if len(written) > HEAD.size + MOST_BYTES:
            return message_frame(UNSAFE, f"more than {MOST_BYTES} bytes were written")
        return message_frame(TIMEOUT, f"not done after {job.seconds:g} s")
    return _judged(written, said, status)


def _collect(result: int, errors: int, end: float) -> tuple[bytes, bytes, bool]:
    """Read what a child writes until both its pipes end; False if time ran out or it wrote too much."""
    kept = {result: bytearray(), errors: bytearray()}
    waiting = [result, errors]
    while waiting:
        ready, _, _ = select.select(waiting, [], [], max(0.0, end - time.monotonic()))
        if not ready:
            return bytes(kept[result]), bytes(kept[errors]), False
        for pipe in ready:
            part = os.read(pipe, 1 << 16)
            if not part:
                waiting.remove(pipe)
            kept[pipe] += part
        if len(kept[result]) > HEAD.size + MOST_BYTES:
            return bytes(kept[result]), b"", False
        del kept[errors][:-MOST_MESSAGE]
    return bytes(kept[result]), bytes(kept[errors]), True


def _wait(child: int, end: float) -> int | None:
    """Return a child's status once it ends, or None if it does not in time."""
    pause = 0.0002
    while True:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return status
        if time.monotonic() > end:
            return None
        time.sleep(pause)
        pause = min(2 * pause, 0.02)


def _kill(child: int) -> None:
    for target, kill in ((child, os.killpg), (child, os.kill)):
        try:
            kill(target, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue
    os.waitpid(child, 0)


def _judged(written: bytes, said: bytes, status: int) -> bytes:
    """Return the frame that a child that has ended stands for."""
    last = said.decode("utf-8", "replace").strip().splitlines()[-1:] or [""]
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number == signal.SIGXCPU:
            return message_frame(TIMEOUT, "its processor time is used up")
        kind = MEMORY if any(words in said for words in _OUT_OF_MEMORY) else ERROR
        return message_frame(kind, f"ended by signal {number}. {last[0]}")
    if not written:
        code = os.WEXITSTATUS(status)
        return message_frame(ERROR if code else NO_IMAGE, f"ended with status {code} and without an image. {last[0]}")
    if len(written) < HEAD.size:
        return message_frame(UNSAFE, "what was written is no answer")
    kind, length = HEAD.unpack(written[: HEAD.size])
    if length != len(written) - HEAD.size or kind not in (PNG, *KINDS) or (kind != PNG and length > MOST_MESSAGE):
        return message_frame(UNSAFE, "what was written is no answer")
    return frame(kind, written[HEAD.size :])


def _left_behind() -> bool:
    """Say whether a job has left processes, which the filter of system calls does not let it start."""
    try:
        while True:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                return True
    except ChildProcessError:
        return False


def _child(job: Job, language: Language, setup: Setup, result: int, errors: int) -> NoReturn:
    """Run a program and end."""
    try:
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(null, 1)
        os.dup2(errors, 2)
        os.dup2(result, _RESULT)
        os.closerange(_RESULT + 1, 4 * _MOST_OPEN)
        os.umask(0o077)
        random.seed(job.seed)
        limit(job, processes=setup.writes or not setup.filtered)
        if setup.filtered and not setup.writes:  # a language that starts programs has the filter put on each of them
            seccomp.apply(writes=False)
        write_all(_RESULT, _drawn(job, language, setup))
        os._exit(0)
    finally:
        os._exit(1)


def limit(job: Job, *, processes: bool) -> None:
    """Set this process's limits, which the programs that it starts inherit.

    Args:
        job: What is to be run.
        processes: Whether it may start any. Of root, in whose name a sandbox may run, the kernel counts none.
    """
    seconds = int(job.seconds) + 1
    limits = [
        (resource.RLIMIT_AS, job.memory, job.memory),
        (resource.RLIMIT_CPU, seconds, seconds + 1),
        (resource.RLIMIT_FSIZE, _MOST_FILE, _MOST_FILE),
        (resource.RLIMIT_NOFILE, _MOST_OPEN, _MOST_OPEN),
        (resource.RLIMIT_CORE, 0, 0),
    ]
    if not processes:
        limits.append((resource.RLIMIT_NPROC, 0, 0))
    for which, soft, hard in limits:
        most = resource.getrlimit(which)[1]
        if most != resource.RLIM_INFINITY:
            soft, hard = min(soft, most), min(hard, most)
        resource.setrlimit(which, (soft, hard))


def _drawn(job: Job, language: Language, setup: Setup) -> bytes:
    try:
        return frame(PNG, language.render(job, setup))
    except Failed as error:
        return message_frame(error.kind, str(error))
    except MemoryError:
        return message_frame(MEMORY, f"more than {job.memory >> 20} MiB were asked for")
    except SyntaxError as error:
        return message_frame(SYNTAX, f"line {error.lineno}: {error.msg}")
    except RecursionError:
        return message_frame(ERROR, "RecursionError: too many calls within calls")
    except BaseException as error:  # noqa: BLE001 - a program raises what it likes
        return message_frame(ERROR, f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
