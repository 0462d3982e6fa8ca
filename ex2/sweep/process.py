"""The guard: runs one command that must not outlive the process that starts it: `python -m ex2.sweep.process WORD…`.

The starting process holds the other end of the guard's standard input. If it dies, even abruptly, that pipe closes, and
the guard at once kills the command with all its descendants, so that no second attempt runs beside the first. On
SIGINT or SIGTERM the guard interrupts the command and gives it some seconds to end by itself.

The guard consists of two processes, because a dying Ray worker kills its direct children. The first one only passes on
signals and the exit status. The second one, its child, does the work and survives the first.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import psutil

GRACE_SECONDS = 20.0
STOPPING = (signal.SIGINT, signal.SIGTERM)


def main(words: list[str]) -> int:
    """Run a command under a guard and return its exit status, which is 128 + n if signal n ended it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)  # until there is someone to handle them
    worker = os.fork()
    if worker == 0:
        os.setsid()
        return _guard(words)
    for number in STOPPING:
        signal.signal(number, lambda received, _frame: os.kill(worker, received))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
    return _shell_status(os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]))


def _guard(words: list[str]) -> int:
    child = subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=_as_in_a_terminal,
    )

    def starter_is_gone() -> None:
        while os.read(0, 1024):
            pass
        kill_tree(child.pid)

    def interrupt(_number: int, _frame: object) -> None:
        threading.Thread(target=_end, args=(child,), daemon=True).start()

    for number in STOPPING:
        signal.signal(number, interrupt)
    threading.Thread(target=starter_is_gone, daemon=True).start()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
    return _shell_status(child.wait())


def _as_in_a_terminal() -> None:
    """Reset inherited signal settings: the signal mask, and that a script's background job ignores SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)


def _shell_status(code: int) -> int:
    return code if code >= 0 else 128 - code


def kill_tree(pid: int) -> None:
    """Kill a process and all its descendants, those in other sessions included."""
    try:
        root = psutil.Process(pid)
        family = [*root.children(recursive=True), root]
    except psutil.NoSuchProcess:
        return
    for process in family:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue


def _end(child: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(child.pid, signal.SIGINT)
    except ProcessLookupError:
        return
    deadline = time.monotonic() + GRACE_SECONDS
    while child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    if child.poll() is None:
        kill_tree(child.pid)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
