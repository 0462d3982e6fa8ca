"""Names of files that are not finished, and the removal of those whose process was killed.

A process that is killed cannot tidy up. Therefore a temporary file's name says whose it is, `.NAME.PLACE-PID-RANDOM`,
and whoever next writes into the same folder removes what no living process owns. `PLACE` stands for the boot and the
space of process numbers, so that a file of another machine on a shared disk, or of another container, is let alone;
such a file is removed when it is a week old.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

OLD = 7 * 24 * 3600.0
"""Seconds after which a temporary file is removed wherever its process ran."""

_NAME = re.compile(r"\..*\.(?P<place>[0-9a-f]{8})-(?P<pid>\d{1,10})-[0-9a-f]{8}")
_swept: set[tuple[int, Path]] = set()
"""Process and folder: a folder with many files is looked through once."""


def new_name(path: Path) -> Path:
    """Return a hidden name beside `path` for a file or folder that is not finished; no other has it.

    What killed processes left in that folder is removed, once for each folder.
    """
    sweep(path.parent)
    return path.with_name(f".{path.name[:60]}.{_place()}-{os.getpid()}-{secrets.token_hex(4)}")


@contextlib.contextmanager
def scratch_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside `path`, which is removed with all that is in it when the block ends."""
    folder = new_name(path)
    try:  # from before the folder is there: a signal between its making and here would leave it
        folder.mkdir(parents=True)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Remove what killed processes left in a folder. What cannot be removed stays, since nothing depends on it."""
    once = (os.getpid(), folder.absolute())
    if once in _swept:
        return
    _swept.add(once)
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in [entry for entry in entries if entry.name.startswith(".")]:
            if _is_left(entry):
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path, ignore_errors=True)
                else:
                    with contextlib.suppress(OSError):
                        os.unlink(entry.path)


def _is_left(entry: os.DirEntry[str]) -> bool:
    """Say whether an entry is a temporary file that no living process owns."""
    match = _NAME.fullmatch(entry.name)
    if match is None:
        return False
    if match["place"] != _place():
        try:
            return time.time() - entry.stat(follow_symlinks=False).st_mtime > OLD
        except OSError:
            return False
    try:
        os.kill(int(match["pid"]), 0)
    except (ProcessLookupError, OverflowError):
        return True
    except OSError:  # another user's
        return False
    return False


@functools.cache
def _place() -> str:
    """Return 8 hexadecimal digits for this boot of the machine and its space of process numbers."""
    words = [os.uname().nodename]
    with contextlib.suppress(OSError):
        words.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
    with contextlib.suppress(OSError):
        words.append(os.readlink("/proc/self/ns/pid"))
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:8]
