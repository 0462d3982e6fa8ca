"""Running cells: each in its own copy of the world, two at a time."""

from __future__ import annotations

import os
import queue
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.reliability.base import copied, start
from tests.reliability.cells import CHANGED_ANSWER, Cell
from tests.reliability.child import NOTHING, Mischance
from tests.reliability.damage import answer_again, damage
from tests.reliability.outcome import (
    ANSWERED,
    Call,
    Finding,
    changed,
    differences,
    doubled_rows,
    judge_once,
    made,
    of_any,
    tree,
)
from tests.reliability.set_cells import change_of
from tests.reliability.stages import BY_NAME, LABELS, RECIPE

PATIENCE = 120.0
"""Seconds after which a call hangs."""
WRITTEN_TOO = ("runs/main/recipe.yaml", "seed-0/adapter/README.md")
"""What any stage writes anew: the recipe, and the card, which tells of each result."""
DAY = 86_400.0
ENDINGS = {
    signal.SIGTERM: (143, -signal.SIGTERM),
    signal.SIGINT: (130,),
    signal.SIGKILL: (-signal.SIGKILL,),
}
"""How a call may end that a signal ended."""


@dataclass(frozen=True)
class Undisturbed:
    """A call to which nothing happened: what it made, its writes, and its seconds."""

    files: dict[str, Any]
    writes: int
    seconds: float


@dataclass
class Laboratory:
    """The worlds and what undisturbed calls make of them.

    Attributes:
        worlds: Folder of `base.make`.
        room: Folder in which copies are made.
    """

    worlds: Path
    room: Path
    _known: dict[tuple[str, str], Undisturbed] = field(default_factory=dict)
    _asking: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def copy(self, moment: str) -> Iterator[Path]:
        """Give a copy of a world for a while."""
        folder = Path(tempfile.mkdtemp(dir=self.room)) / "world"
        try:
            yield copied(self.worlds / moment, folder)
        finally:
            shutil.rmtree(folder.parent)

    def undisturbed(self, stage: str, moment: str) -> Undisturbed:
        """Return what a stage does at a moment if nothing happens; asked of each once."""
        with self._asking:
            if (stage, moment) not in self._known:
                with self.copy(moment) as world:
                    began = time.monotonic()
                    call = finish(start(world, BY_NAME[stage].words, Mischance(count_to="writes")))
                    assert call.returncode == 0, f"{stage} at {moment}: {call}"
                    took = time.monotonic() - began
                    count = int((world / "writes").read_text(encoding="utf-8"))
                    self._known[stage, moment] = Undisturbed(made(world, stage), count, took)
            return self._known[stage, moment]

    def differ(self, cell: Cell, world: Path) -> list[str]:
        """Return the files of the cell's stage that are not as an undisturbed call leaves them."""
        return differences(made(world, cell.stage), self.undisturbed(cell.stage, cell.moment).files)

    def check(self, cell: Cell) -> Finding:
        """Run a cell."""
        if cell.kind == "disk":
            return _full_disk(self, cell)
        with self.copy(cell.moment) as world:
            return {"kill": _killed, "two": _two}.get(cell.kind, _once)(self, cell, world)

    def check_all(self, cells: Sequence[Cell], say: Callable[[Finding], None], at_once: int = 2) -> list[Finding]:
        """Run cells; findings come in the cells' order."""
        waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
        for number in range(len(cells)):
            waiting.put(number)
        found: dict[int, Finding] = {}

        def work() -> None:
            while True:
                try:
                    number = waiting.get_nowait()
                except queue.Empty:
                    return
                try:
                    found[number] = self.check(cells[number])
                except Exception as error:  # noqa: BLE001 - a fault of the matrix itself is one cell's, and is told
                    seen = f"{type(error).__name__}: {error}"[:500]
                    found[number] = Finding(cells[number].name, "the matrix failed", seen)
                say(found[number])

        threads = [threading.Thread(target=work) for _ in range(at_once)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return [found[number] for number in range(len(cells))]


def finish(process: Any, patience: float = PATIENCE) -> Call:
    """Wait for a call; kill it if it hangs."""
    deadline = time.monotonic() + patience
    while process.is_running and time.monotonic() < deadline:
        time.sleep(0.01)
    hangs = process.is_running
    if hangs:
        process.send_signal(signal.SIGKILL)
    ended = process.wait()
    return Call(None if hangs else ended.returncode, ended.stdout, ended.stderr)


def _once(laboratory: Laboratory, cell: Cell, world: Path) -> Finding:
    mischance = NOTHING
    if cell.kind == "file" and not damage(world, cell.file, cell.fault, unfinished=cell.unfinished):
        return Finding(cell.name, "no such file", cell.file)
    if cell.kind == "data":
        change_of(cell.fault)(world)
    if cell.kind == "key" and cell.fault:
        _set_key(world / RECIPE, cell.fault)
    if cell.kind == "clock":
        mischance = Mischance(clock_back=DAY)
    if cell.fault == CHANGED_ANSWER:
        return _changed_answer(laboratory, cell, world)
    before = tree(world)
    call = finish(start(world, [*BY_NAME[cell.stage].words, *cell.words], mischance))
    return judge_once(cell, call, lambda: laboratory.differ(cell, world), lambda: changed(before, tree(world)))


def _changed_answer(laboratory: Laboratory, cell: Cell, world: Path) -> Finding:
    """The last row counts, whatever the clock said: two logs that differ in its time only say the same."""
    calls, found = [], []
    with laboratory.copy(cell.moment) as other:
        for where, seconds in ((world, -DAY), (other, DAY)):
            answer_again(where / LABELS, seconds)
            calls.append(finish(start(where, BY_NAME[cell.stage].words)))
            found.append(made(where, cell.stage))
    if bad := of_any(calls):
        return Finding(cell.name, *bad)
    if any(call.returncode for call in calls):
        return Finding(cell.name, "refused", calls[0].last_lines)
    if not differences(found[1], laboratory.undisturbed(cell.stage, cell.moment).files):
        return Finding(cell.name, "the matrix failed", "the changed answer changes nothing")
    return Finding(cell.name, "held" if found[0] == found[1] else "silently wrong", ", ".join(differences(*found)))


def _set_key(path: Path, setting: str) -> None:
    import yaml

    dotted, _, value = setting.partition("=")
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    *sections, last = dotted.split(".")
    where = content
    for section in sections:
        where = where[section]
    where[last] = yaml.safe_load(value)
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def _killed(laboratory: Laboratory, cell: Cell, world: Path) -> Finding:
    usual = laboratory.undisturbed(cell.stage, cell.moment)
    words, before = BY_NAME[cell.stage].words, tree(world)
    if cell.by_time:
        begun = world / "begun"
        process = start(world, words, Mischance(begun=begun.name))
        while process.is_running and not begun.exists():
            time.sleep(0.005)
        time.sleep(cell.share * usual.seconds)
        process.send_signal(cell.signal)
    else:
        process = start(world, words, Mischance(cell.signal, 1 + int(cell.share * usual.writes)))
    first = finish(process)
    if first.returncode not in (0, *ENDINGS[signal.Signals(cell.signal)]):
        bad = of_any([first]) or ("another exit", f"{first.returncode}: {first.last_lines}")
        return Finding(cell.name, *bad)
    return _again(laboratory, cell, world, [first], before)


def _again(laboratory: Laboratory, cell: Cell, world: Path, calls: list[Call], before: dict[str, bytes]) -> Finding:
    lost = [name for name in changed(before, tree(world)) if not _is_made(cell, name)]
    again = finish(start(world, BY_NAME[cell.stage].words))
    if bad := of_any([*calls, again]):
        return Finding(cell.name, *bad)
    if lost:
        return Finding(cell.name, "changed what was there", ", ".join(lost[:5]))
    others = laboratory.differ(cell, world)
    was_done = again.returncode == 2 and not others  # an export that is complete is not written over
    if again.returncode != 0 and not was_done:
        return Finding(cell.name, "not resumed", f"{again.returncode}: {again.last_lines}")
    if double := doubled_rows(world):
        return Finding(cell.name, "rows doubled", ", ".join(double))
    if others:
        return Finding(cell.name, "silently wrong", ", ".join(others[:5]))
    return Finding(cell.name, "held")


def _is_made(cell: Cell, name: str) -> bool:
    """Whether a file is one that the stage writes, or its manifest: one that it had half done may be another later."""
    own = BY_NAME[cell.stage].makes
    manifests = [f"manifests/{stem}.json" for stem in (cell.stage, *(Path(pattern).stem for pattern in own))]
    return any(Path(name).match(pattern) for pattern in (*own, *manifests, *WRITTEN_TOO))


def _two(laboratory: Laboratory, cell: Cell, world: Path) -> Finding:
    words = BY_NAME[cell.stage].words
    processes = [start(world, words) for _ in range(2)]
    calls = [finish(process) for process in processes]
    if bad := of_any(calls):
        return Finding(cell.name, *bad)
    for call in calls:
        if call.returncode not in ANSWERED:
            return Finding(cell.name, "another exit", f"{call.returncode}: {call.last_lines}")
        if call.returncode and not any(name in call.said for name in cell.names):
            return Finding(cell.name, "not named", call.last_lines)
    if all(call.returncode for call in calls):
        return Finding(cell.name, "refused", calls[0].last_lines)
    if double := doubled_rows(world):
        return Finding(cell.name, "rows doubled", ", ".join(double))
    if others := laboratory.differ(cell, world):
        return Finding(cell.name, "silently wrong", ", ".join(others[:5]))
    return Finding(cell.name, "held")


def _full_disk(laboratory: Laboratory, cell: Cell) -> Finding:
    disk = Path(tempfile.mkdtemp(dir=laboratory.room))
    if _mount("-t", "tmpfs", "-o", "size=64m", "tmpfs", str(disk)):
        disk.rmdir()
        return Finding(cell.name, "not run", "no leave to mount a small disk")
    try:
        world = copied(laboratory.worlds / cell.moment, disk / "world")
        if cell.share < 0:
            _mount("-o", "remount,ro", str(disk))
        else:
            space = os.statvfs(disk)
            used = (space.f_blocks - space.f_bfree) * space.f_frsize
            _mount("-o", f"remount,size={used + int(cell.share) * 1024}", str(disk))
        before = tree(world)
        first = finish(start(world, BY_NAME[cell.stage].words))
        _mount("-o", "remount,rw,size=64m", str(disk))
        if bad := of_any([first]):
            return Finding(cell.name, *bad)
        if first.returncode not in (0, 1):
            return Finding(cell.name, "another exit", f"{first.returncode}: {first.last_lines}")
        if first.returncode == 1 and not any(name in first.said for name in cell.names):
            return Finding(cell.name, "not named", first.last_lines)
        return _again(laboratory, cell, world, [first], before)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False, capture_output=True)
        disk.rmdir()


def _mount(*words: str) -> int:
    return subprocess.run(["mount", *words], check=False, capture_output=True).returncode


def held(findings: Iterable[Finding]) -> bool:
    """Whether every cell held, or could not be run for want of a machine that lets it."""
    return all(found.held or found.fault == "not run" for found in findings)
