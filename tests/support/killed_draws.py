"""Draws a set in processes that are killed, each before another change on the disk, and then to its end.

    python killed_draws.py FOLDER

It prints how many were killed, after how many of them a part of the images was there, and after which change the set
was another one than that which nothing interrupts. It is a program, as a process without torch is forked in no time.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

from drawn_sets import Blocks, content, drawn

THREE = ("cat", "sea lion", "dog")
FAILING = [(0, 0)]
"""The first of three requests; the others get images."""


def draw_until(root: Path, fatal: int) -> None:
    """Draw a set, and end as if killed before change number `fatal` of what lies below `root`."""
    changes = 0

    def watch(event: str, given: tuple[Any, ...]) -> None:
        nonlocal changes
        writes = event == "open" and isinstance(given[2], int) and given[2] & (os.O_WRONLY | os.O_RDWR)
        if (writes or event in ("os.rename", "os.remove", "os.mkdir")) and str(given[0]).startswith(str(root)):
            changes += 1
            if changes == fatal:
                os._exit(9)

    sys.addaudithook(watch)
    drawn(root, Blocks(FAILING), per_class=1, class_names=THREE)


def killed(root: Path, fatal: int) -> bool:
    """Draw in another process; whether it was killed before its end."""
    child = os.fork()
    if not child:
        try:
            draw_until(root, fatal)
        except BaseException:  # noqa: BLE001 - whatever it is, the process must not go on as its parent
            traceback.print_exc()
            os._exit(3)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, 9), status
    return status == 9


def main(folder: Path) -> None:
    """Kill before every change."""
    os.fsync = lambda fd: None  # what a killed process has written is with the system
    whole = content(drawn(folder / "whole", Blocks(FAILING), per_class=1, class_names=THREE).folder)
    kills, gone_on, otherwise = 0, 0, []
    while killed(folder / str(kills + 1), kills + 1):
        kills += 1
        generator = Blocks(FAILING)
        if content(drawn(folder / str(kills), generator, per_class=1, class_names=THREE).folder) != whole:
            otherwise.append(kills)
        gone_on += sum(map(len, generator.calls)) < 3
    print(json.dumps([kills, gone_on, otherwise]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
