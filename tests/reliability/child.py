"""What a cell's process does: the words after `ex2`, with something that happens to it on the way.

It is a fork of a server that has imported the libraries, so that a cell costs what its stage costs. What is faked is
faked in the process alone, and before the command line is reached.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WRITES = frozenset({"os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.truncate", "os.link", "shutil.move"})
"""Python's audit events that change a folder; an `open` for writing counts too."""


@dataclass(frozen=True)
class Mischance:
    """What happens to the process.

    Attributes:
        signal: Sent to itself.
        at_write: Number of the write below the process's folder, from 1, before which the signal comes; 0: never.
        when: Or the first write once this file, or one of this pattern, is there,
        lines: with so many lines.
        clock_back: Seconds by which the clock is behind.
        count_to: File that takes the number of writes, at the end.
        begun: File that appears when the command begins: before, a signal would meet this module.
    """

    signal: int = 0
    at_write: int = 0
    when: str = ""
    lines: int = 0
    clock_back: float = 0.0
    count_to: str = ""
    begun: str = ""

    def comes(self, count: int) -> bool:
        """Whether the signal comes before write number `count`."""
        return count == self.at_write or (bool(self.when) and self._is_there())

    def _is_there(self) -> bool:
        return any(path.read_bytes().count(b"\n") >= self.lines for path in Path().glob(self.when) if path.is_file())


NOTHING = Mischance()


def work(words: Sequence[str], mischance: Mischance = NOTHING) -> int:
    """Do what `ex2 WORD…` does in this process's folder; `label` ends where it would wait for a browser."""
    import torch

    from ex2.cli.main import main
    from ex2.run import provenance

    torch.set_num_threads(1)
    sys.argv = ["ex2", *words]
    provenance._commit = lambda: "a commit"  # whoever edits the code while the matrix runs changes no page
    if words[0] == "label":
        from analysis.labeling.server import LabelServer

        LabelServer.serve_forever = lambda *_: None  # type: ignore[method-assign]
    if words[0] in ("draw", "measure") or words[:2] == ("run", "sets.yaml"):
        time.perf_counter = lambda: 0.0  # seconds of an image and of a metric are in files that have hashes
    if mischance.clock_back:
        set_clock_back(mischance.clock_back)
    counted = count_writes(mischance)
    if mischance.begun:
        Path(mischance.begun).touch()
    try:
        return main()  # of the whole process, whose end Ctrl-C meets quietly
    finally:
        number = counted()
        if mischance.count_to:
            Path(mischance.count_to).write_text(str(number), encoding="utf-8")


def count_writes(mischance: Mischance) -> Callable[[], int]:
    """Count writes below the folder, and send the signal before the one that the mischance names.

    Returns:
        Gives the number so far.
    """
    folder, count, process, looks = os.getcwd(), 0, os.getpid(), False

    def seen(event: str, given: tuple[Any, ...]) -> None:
        nonlocal count, looks
        if looks or not is_write(event, given, folder) or os.getpid() != process:
            return
        count += 1
        looks = True  # what is looked at is opened too
        comes = mischance.comes(count)
        looks = False
        if comes:
            os.kill(process, mischance.signal)

    sys.addaudithook(seen)
    return lambda: count


def is_write(event: str, given: tuple[Any, ...], folder: str) -> bool:
    """Tell whether an audit event changes something below a folder."""
    if event == "open":
        path, _, flags = given
        if not isinstance(flags, int) or not flags & (os.O_WRONLY | os.O_RDWR):
            return False
    elif event in WRITES:
        path = given[0]
    else:
        return False
    if not isinstance(path, (str, bytes, os.PathLike)):
        return False
    return os.path.abspath(os.fsdecode(path)).startswith(folder + os.sep)


def set_clock_back(seconds: float) -> None:
    """Let this process's wall clock be behind; clocks that only measure go on."""
    import datetime as dates

    now, now_ns = time.time, time.time_ns

    class Behind(dates.datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return super().now(tz) - dates.timedelta(seconds=seconds)

    time.time = lambda: now() - seconds
    time.time_ns = lambda: now_ns() - int(seconds * 1e9)
    for module in list(sys.modules.values()):  # who said `from datetime import datetime` holds the old one
        name = getattr(module, "__name__", "")
        if name.startswith(("ex2.", "analysis.", "reward.")) and getattr(module, "datetime", None) is dates.datetime:
            vars(module)["datetime"] = Behind
