"""A worker: one server in one process namespace, which takes one job after the other and is replaced if it dies."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import time
import weakref
from importlib.metadata import PackageNotFoundError
from types import TracebackType
from typing import Self

from ex2.data.datasets.set_records import FailureStatus
from ex2.sets.sandbox.bubblewrap import Kind, check, command, refused
from ex2.sets.sandbox.inside.jobs import HEAD, KINDS, MOST_BYTES, PNG, Job, Setup, frame, packed
from ex2.sets.sandbox.languages.base import Language
from ex2.sets.sandbox.outcomes import Outcome, Unsafe, checked_png, is_blank, squared
from reward.errors import EnvironmentFault, UserError, shortened

_STARTING = 180.0
"""Seconds in which a server imports what it needs: 1 to 6 on this project's machines, more on one that is busy."""
_GRACE = 5.0
"""Seconds beyond a job's own after which the whole namespace is ended: the server did not do it."""


class _Ended(Exception):
    """The server does not answer: it has died, or says what no server says."""


class Worker:
    """Runs programs of one language.

    A program that is not done in time is ended by the server; if the server does not answer either, its whole process
    namespace is ended from outside. Whatever happens to the server, the job that was running has failed, and the next
    one gets a new server.

    Args:
        language: What the programs are written in.
        kind: `bubblewrap`; or `none`, which runs them with this user's rights.

    Raises:
        EnvironmentFault: If bubblewrap is missing or refused.
    """

    def __init__(self, language: Language, kind: Kind = "bubblewrap") -> None:
        if kind == "bubblewrap":
            check()
        self.language, self.kind = language, kind
        self.versions = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._end: weakref.finalize[..., Worker] | None = None

    @property
    def pid(self) -> int | None:
        """Number of the process that started the namespace, as this machine counts; None before the first job."""
        return None if self._process is None else self._process.pid

    def run(self, job: Job) -> Outcome:
        """Run a program.

        Raises:
            UserError: If the language's renderer is not installed.
            EnvironmentFault: If no server starts.
        """
        if self._process is None or self._process.poll() is not None:
            self._start()
        begun = time.perf_counter()
        try:
            kind, content = self._ask(job)
        except _Ended as error:
            self.close()
            late = "not done" in str(error)
            return Outcome("timeout" if late else "error", f"the worker ended: {error}", time.perf_counter() - begun)
        if not self.language.warm:
            self.close()
        return _outcome(kind, content, job, begun)

    def close(self) -> None:
        """End the namespace with every process in it."""
        self._process = None
        if self._end is not None:
            self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _start(self) -> None:
        self.close()
        setup = Setup(self.language.module, filtered=self.kind != "none", writes=self.language.writes)
        try:
            words, environment = command(setup, self.language.around(), self.kind)
        except PackageNotFoundError as error:
            raise UserError(self.language.missing_line(str(error.name))) from error
        self._process = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,
            bufsize=0,
        )
        self._end = weakref.finalize(self, _end, self._process)  # also where nobody closes it, and at the exit
        try:
            kind, content = self._answer(time.monotonic() + _STARTING)
        except _Ended as error:
            said = self._said()
            self.close()
            raise refused(said or str(error)) from error
        if kind != b"R":
            self.close()
            told = content.decode("utf-8", "replace")
            raise EnvironmentFault(f"sandbox: the worker for '{self.language.name}' does not start: {told}")
        self.versions = content.decode("utf-8", "replace")

    def _ask(self, job: Job) -> tuple[bytes, bytes]:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        try:
            process.stdin.write(frame(b"J", packed(job).encode()))
        except OSError as error:
            raise _Ended("it takes no jobs") from error
        return self._answer(time.monotonic() + job.seconds + _GRACE)

    def _answer(self, end: float) -> tuple[bytes, bytes]:
        head = self._read(HEAD.size, end)
        kind, length = HEAD.unpack(head)
        if length > MOST_BYTES or kind not in (PNG, b"R", *KINDS):
            raise _Ended("it answers what no server does")
        return kind, self._read(length, end)

    def _read(self, count: int, end: float) -> bytes:
        process = self._process
        assert process is not None
        assert process.stdout is not None
        descriptor, parts = process.stdout.fileno(), []
        while count:
            ready, _, _ = select.select([descriptor], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                raise _Ended("not done in time")
            part = os.read(descriptor, min(count, 1 << 20))
            if not part:
                raise _Ended("its pipe is closed")
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def _said(self) -> str:
        process = self._process
        assert process is not None
        assert process.stderr is not None
        process.kill()
        ready, _, _ = select.select([process.stderr], [], [], 1.0)
        return shortened(os.read(process.stderr.fileno(), 1 << 16).decode("utf-8", "replace"), 800) if ready else ""


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()


def _outcome(kind: bytes, content: bytes, job: Job, begun: float) -> Outcome:
    """Return what a frame says, its image checked."""

    def failed(status: FailureStatus, message: str) -> Outcome:
        return Outcome(status, shortened(" ".join(message.split()), 400), time.perf_counter() - begun)

    if kind in KINDS:
        return failed(KINDS[kind], content.decode("utf-8", "replace"))
    if kind != PNG:
        return failed("unsafe_output", "an answer that no job gives")
    try:
        image = checked_png(content)
    except Unsafe as error:
        return failed("unsafe_output", str(error))
    if is_blank(image):
        return failed("blank", "all of the image has one color")
    return Outcome("drawn", "", time.perf_counter() - begun, squared(image, job.size))
