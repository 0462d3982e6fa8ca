"""What a call left, and whether a cell held."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from tests.reliability.cells import Cell
from tests.reliability.stages import BY_NAME, DESCRIPTIONS, LABELS, LOG, VERDICTS

Fault = Literal[
    "held",
    "traceback",
    "exit 70",
    "silently wrong",
    "hang",
    "too long a message",
    "another exit",
    "not named",
    "accepted",
    "refused",
    "not resumed",
    "rows doubled",
    "changed what was there",
    "no such file",
    "not run",
    "the matrix failed",
]
GRAVE: tuple[Fault, ...] = ("traceback", "exit 70", "silently wrong", "hang")
"""Of these there must be none."""
MOST_CHARACTERS = 2000
OF_MANY = ("tables", "index", "tables-sets", "index-sets")
"""Stages over many runs, which go on without one that is damaged, and say so."""
SET_LOGS = ("metadata.jsonl", "failures.jsonl")
SHOWS_IMAGES = "report-sets"
"""A stage that writes its page without the images of a set that is not as it was measured, and says so in a note."""
ANSWERED = (0, 1, 2, 75)
_TIMES = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(\+00:00|Z| UTC)?|\d{4}-\d\d-\d\d")
_SECONDS = re.compile(r'"([a-z_]*seconds?(_[a-z]+)?|time|peak_memory_gib)": ?"?[^,"}]*"?')
_STORED_COMMAND = re.compile(r"<t[dh][^>]*>(command|started)</t[dh]>\s*<td[^>]*>.*?</td>", re.S)


class Call(NamedTuple):
    """How one call ended; `returncode` is None if it hung."""

    returncode: int | None
    stdout: str
    stderr: str

    @property
    def said(self) -> str:
        """All that it printed."""
        return self.stdout + self.stderr

    @property
    def last_lines(self) -> str:
        """The end of what it said."""
        return "\n".join([line for line in self.stderr.splitlines() if "gemm_4bit" not in line][-3:])


class Finding(NamedTuple):
    """Whether a cell held, and what was seen."""

    cell: str
    fault: Fault
    seen: str = ""

    @property
    def held(self) -> bool:
        """Whether it held."""
        return self.fault == "held"


Tree = Mapping[str, bytes]
"""Path below the world → content."""


def tree(world: Path) -> dict[str, bytes]:
    """Return what a refusal must leave alone: runs, tables and images, as they are."""
    paths = [
        path
        for part in ("runs", "tables", "photos", "out", "sets", "plain")
        for path in sorted((world / part).rglob("*"))
    ]
    return {
        str(path.relative_to(world)): path.read_bytes()
        for path in paths
        if path.is_file() and ".locks" not in path.parts and path.name != "provenance.json"
    }


def changed(before: Tree, after: Tree) -> list[str]:
    """Return the files that were changed or deleted; new ones and a log's new rows do not matter."""
    return [name for name, content in before.items() if not _is_kept(name, content, after.get(name))]


def _is_kept(name: str, before: bytes, after: bytes | None) -> bool:
    return after is not None and (after.startswith(before) if name.endswith(".jsonl") else after == before)


def made(world: Path, stage: str) -> dict[str, Any]:
    """Return what a stage made, without the times in it."""
    files = {path for pattern in BY_NAME[stage].makes for path in world.glob(pattern) if path.is_file()}
    return {str(path.relative_to(world)): _content(path) for path in sorted(files)}


def _content(path: Path) -> str:
    content = path.read_bytes()
    if path.suffix in (".json", ".jsonl", ".html", ".csv", ".tex", ".md"):
        text = _STORED_COMMAND.sub("", content.decode("utf-8", errors="replace"))
        content = _SECONDS.sub("", _TIMES.sub("", text)).encode()
    return hashlib.sha256(content).hexdigest()


def differences(found: Mapping[str, Any], expected: Mapping[str, Any]) -> list[str]:
    """Return the files that are not as an undisturbed call leaves them."""
    return sorted(name for name in {*found, *expected} if found.get(name) != expected.get(name))


def doubled_rows(world: Path) -> list[str]:
    """Return the logs of the run in which a key occurs twice."""
    keys: dict[str, Sequence[str]] = {
        DESCRIPTIONS: ("policy", "label", "question_id", "sample"),
        VERDICTS: ("question", "class", "description", "settings"),
        LOG: ("batch",),
    }
    found = [name for name, fields in keys.items() if _doubled(world / name, fields)]
    of_sets = [path for log in SET_LOGS for path in sorted(world.glob(f"sets/*/seed-*/{log}"))]
    return found + [str(path.relative_to(world)) for path in of_sets if _doubled(path, ("label", "index"))]


def _doubled(path: Path, fields: Sequence[str]) -> bool:
    if not path.is_file():
        return False
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    seen = [tuple(row.get(field) for field in fields) for row in rows]
    return len(set(seen)) < len(seen)


def of_any(calls: Iterable[Call]) -> tuple[Fault, str] | None:
    """Return what no call may do, whatever was promised."""
    for call in calls:
        if call.returncode is None:
            return "hang", call.last_lines
        if "Traceback (most recent call last)" in call.said:
            return "traceback", call.last_lines
        if call.returncode == 70:
            return "exit 70", call.last_lines
        if any(len(line) > MOST_CHARACTERS for line in messages(call.stderr)):
            return "too long a message", call.last_lines[:300]
    return None


def messages(stderr: str) -> list[str]:
    """Return what was said under the name of the program, joined as it was given."""
    lines = [line for line in stderr.splitlines() if line.startswith("ex2: ")]
    return ["\n".join(lines)] if lines else []


def judge_once(cell: Cell, call: Call, differ: Callable[[], list[str]], changes: Callable[[], list[str]]) -> Finding:
    """Judge a call that is not repeated.

    Args:
        cell: What was promised.
        call: How it ended.
        differ: Gives the files that are not those of an undisturbed call.
        changes: Gives the earlier files that were changed or deleted.
    """
    if bad := of_any([call]):
        return Finding(cell.name, *bad)
    if call.returncode == 0:
        return _ended_well(cell, call, differ)
    if call.returncode not in ANSWERED:
        return Finding(cell.name, "another exit", f"{call.returncode}: {call.last_lines}")
    if cell.promise in ("finishes", "accepts"):
        return Finding(cell.name, "refused", call.last_lines)
    if not any(name in call.said for name in cell.names):
        return Finding(cell.name, "not named", call.last_lines)
    if lost := changes():
        return Finding(cell.name, "changed what was there", ", ".join(lost[:5]))
    return Finding(cell.name, "held")


def left_out(cell: Cell, call: Call) -> bool:
    """Whether it says by name that what was damaged is left out: of many runs one, of many raters, a set's images."""
    if cell.stage == SHOWS_IMAGES:
        notes = [line for line in call.stderr.splitlines() if line.startswith("note: ")]
        return any(name in line for name in cell.names for line in notes)
    after = call.said.partition("left out")[2] if cell.stage in OF_MANY else ""
    before = call.said.partition(": left out")[0] if cell.file == LABELS else ""
    return any(name in after or name in before for name in cell.names)


def _ended_well(cell: Cell, call: Call, differ: Callable[[], list[str]]) -> Finding:
    if cell.promise == "refuses":
        return Finding(cell.name, "held") if left_out(cell, call) else Finding(cell.name, "accepted", "exit 0")
    if cell.promise in ("accepts", "accepts or refuses"):
        return Finding(cell.name, "held")
    others = differ()
    told = left_out(cell, call) or (cell.fault == "missing" and any(name in call.said for name in cell.names))
    if others and not told:
        return Finding(cell.name, "silently wrong", ", ".join(others[:5]))
    return Finding(cell.name, "held")
