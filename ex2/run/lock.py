"""One writer at a time: a stage holds a lock on the folder that it writes into, until it ends or is killed."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from ex2.runtime import is_main_process
from reward.errors import EnvironmentFault
from reward.files import writing

NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP)
"""Errors of file systems without locks. There the user has to take care that only one process writes at a time."""

LOCKS = ".locks"
"""Folder of the lock files, in the folder that they are for."""


@contextlib.contextmanager
def writing_stage(folder: Path, stage: str) -> Iterator[None]:
    """Hold the lock of a stage on a seed's or a run's folder while the block runs.

    The system gives it up when the process ends, however it ends. Of the processes of one launch the main one holds
    it. Readers need no lock: files are replaced whole, and a log's torn last line is dropped.

    Args:
        folder: A seed's folder, or a run's for what is written once for a run.
        stage: Name of the stage, which is the lock's.

    Raises:
        EnvironmentFault: If another process holds the lock, or the folder cannot be written.
    """
    if not is_main_process():
        yield
        return
    path = folder / LOCKS / f"{stage}.lock"
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+b")
    with file:
        if not try_lock(file):
            raise EnvironmentFault(
                f"{folder}: another process ({_holder(file)}) is at the stage '{stage}' here; wait until it has ended, "
                "or stop it, then run the same command again."
            )
        _sign(file)
        yield


@contextlib.contextmanager
def writing_into(folders: Iterable[Path], stage: str) -> Iterator[None]:
    """Hold the lock of a stage on several folders, as `writing_stage` does; none is held if one cannot be had."""
    with contextlib.ExitStack() as held:
        for folder in sorted({folder.resolve() for folder in folders}):
            held.enter_context(writing_stage(folder, stage))
        yield


def try_lock(file: IO[bytes]) -> bool:
    """Take the lock of an open file, until it is closed.

    Returns:
        Whether it was taken: not if another process holds it. On a file system without locks it counts as taken.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
    return True


def _sign(file: IO[bytes]) -> None:
    """Write who holds the lock, for the message to others; a full disk does not keep a stage from starting."""
    with contextlib.suppress(OSError):
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}".encode())
        file.flush()


def _holder(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read(200).decode("utf-8", errors="replace").strip() or "its name is not known"
