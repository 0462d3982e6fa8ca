"""All cells: a stage, what happens to it, and what is promised then."""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from tests.reliability.damage import DATA, DATA_WORDS, faults_of
from tests.reliability.keys import KEYS, ORDER, READ_KEYS
from tests.reliability.set_cells import set_data, set_keys
from tests.reliability.set_stages import HALF_FILES
from tests.reliability.stages import LABELS, OPTIONAL, RECIPE, SEED, STAGES, Stage

Kind = Literal["file", "key", "data", "kill", "disk", "two", "clock"]
KINDS: dict[Kind, str] = {
    "file": "a file of the run, or of the cache, is damaged",
    "key": "a key of the recipe is changed",
    "data": "the images are changed, or a set of them",
    "kill": "it is ended by a signal, and typed again",
    "disk": "the disk is full or read-only, and then no more, and it is typed again",
    "two": "two at once",
    "clock": "the clock is a day behind",
}
CHANGED_ANSWER = "a day behind when an answer was changed"
DEAR = ("train", "run", "run-sets")
"""Stages that take seconds."""
Promise = Literal["finishes", "refuses", "same or refuses", "accepts", "accepts or refuses", "resumes"]
PROMISES: dict[Promise, str] = {
    "finishes": "ends with 0 and the files of an undisturbed call",
    "refuses": "ends with 1, 2 or 75 and one line for each problem, which names the file or key, and changes nothing; "
    "a stage over many runs may leave the run out and name the file or key",
    "same or refuses": "one of these two",
    "accepts": "ends with 0; its files may differ from an undisturbed call's",
    "accepts or refuses": "ends with 0, or refuses by name",
    "resumes": "ends as its signal or its disk says, changes no earlier result, and the same command finishes then",
}


@dataclass(frozen=True)
class Cell:
    """One thing that can happen.

    Attributes:
        stage: Name of the stage.
        kind: Of what happens.
        detail: Which file and fault, key, change of data, signal or disk; unique within stage and kind.
        moment: Of `base.MOMENTS`, at which it starts.
        promise: What is promised.
        names: One of these words is in what is said of it.
        file: Pattern of the damaged file.
        fault: What happened to it, or to the data or the run's recipe.
        unfinished: Whether the file is half written anyway.
        words: Further words of the command line.
        signal: Number of the signal.
        share: Of the writes, or with `by_time` of the time, after which it comes; or of the disk, in bytes left.
        by_time: See `share`.
    """

    stage: str
    kind: Kind
    detail: str
    moment: str
    promise: Promise
    names: tuple[str, ...] = ()
    file: str = ""
    fault: str = ""
    unfinished: bool = False
    words: tuple[str, ...] = ()
    signal: int = 0
    share: float = 0.0
    by_time: bool = False

    @property
    def name(self) -> str:
        """What it is called on the command line."""
        return f"{self.stage}:{self.kind}:{self.detail}"


def all_cells() -> list[Cell]:
    """Return all cells, by stage; names are unique."""
    found = [cell for stage in STAGES for cell in _of(stage)]
    assert len({cell.name for cell in found}) == len(found), "two cells have one name"
    return found


def _of(stage: Stage) -> Iterator[Cell]:
    yield from _files(stage)
    if stage.name == "draw":
        half = replace(stage, moment="sets-drawing", reads=HALF_FILES, unfinished=HALF_FILES[2:4])
        yield from _files(half, " when half drawn")
    if stage.of_sets:
        yield from (Cell(stage.name, "key", **given) for given in set_keys(stage.name))
        yield from (Cell(stage.name, "data", **given) for given in set_data(stage.name))
    else:
        yield from _keys(stage)
        yield from _data(stage)
    yield from _kills(stage)
    yield from _disks(stage)
    yield Cell(stage.name, "two", "at once", stage.start, "finishes", ("another process", "lock", "already"))
    yield Cell(stage.name, "clock", "a day behind", stage.moment, "finishes")
    if stage.name == "agreement":
        yield Cell(stage.name, "clock", CHANGED_ANSWER, stage.moment, "finishes", fault=CHANGED_ANSWER)
    if stage.start != stage.moment:
        yield Cell(stage.name, "clock", "a day behind, from the start", stage.start, "finishes")


def _files(stage: Stage, when: str = "") -> Iterator[Cell]:
    for file in stage.reads:
        short = file.removeprefix("runs/main/")
        name = file.rpartition("/")[2].split("*")[0]
        around = ["seed 0"] * (file == SEED)
        around += [part for part in file.split("/") if part.startswith(("checkpoint-", "adapter", "texts", "banks"))]
        unfinished = file in stage.unfinished
        for fault in faults_of(file):
            promise: Promise = "same or refuses"
            if fault == "missing" and (file in OPTIONAL or file in stage.unfinished or "/manifests/" in file):
                promise = "accepts or refuses"
            other = ["vlm.name"] * (fault == "foreign" and ("/manifests/" in file or file == RECIPE))  # another VLM's
            if stage.of_sets:
                other += ["another vlm", "nothing has been measured yet", "not measured yet"]
            if fault == "half" and file == LABELS:  # a torn last row is what a kill leaves
                promise = "accepts or refuses"
            yield Cell(
                stage.name,
                "file",
                f"{short} {fault}{when}",
                stage.moment,
                promise,
                (name, *around, *other),
                file=file,
                fault=fault,
                unfinished=unfinished,
            )


MOMENTS_OF = {
    "train": (("training", True), ("trained", True)),
    "describe": (("trained", False), ("describing", True), ("described", True)),
    "analyze": (("described", False), ("analyzing", True)),
    "report": (("done", True),),
}
"""Where a key changes: moments of the world, and whether the stage was begun with the other value."""


def _keys(stage: Stage) -> Iterator[Cell]:
    if stage.name in ORDER:
        for moment, begun in MOMENTS_OF[stage.name]:
            for key in KEYS:
                freedom = key.freedom_at(stage.name, begun=begun)
                promise: Promise = {"fixed": "refuses", "free": "accepts", "either": "accepts or refuses"}[freedom]  # type: ignore[assignment]
                detail = f"{key.name}={key.value} when {moment}"
                yield Cell(stage.name, "key", detail, moment, promise, (key.name,), words=key.words)
    elif stage.name not in ("run", "export"):
        for name, value in READ_KEYS:
            detail = f"{name}={value} in recipe.yaml"
            names = (name, "recipe.yaml")
            yield Cell(stage.name, "key", detail, stage.moment, "refuses", names, fault=f"{name}={value}")
    if stage.name == "run":
        for key in KEYS:
            fixed: Promise = {"fixed": "refuses", "free": "accepts", "either": "accepts or refuses"}[key.freedom]  # type: ignore[assignment]
            detail = f"{key.name}={key.value} when done"
            alone = fixed == "refuses" or key.name == "seeds"
            seeds = () if alone else ("--seeds", "0,1")  # its report needs seeds that were analyzed alike
            yield Cell(stage.name, "key", detail, "done", fixed, (key.name,), words=(*key.words, *seeds))


def _data(stage: Stage) -> Iterator[Cell]:
    moments = dict.fromkeys([stage.moment, stage.start]) if stage.data else [stage.moment]
    for moment in moments:
        for change in DATA:
            first = moment == "fresh" or (stage.name in ("analyze", "run") and change.startswith("test-"))
            promise: Promise = "accepts or refuses" if first else "same or refuses"
            words = ("--seeds", "0,1") if stage.name == "run" else ()  # its report needs seeds that were analyzed alike
            detail = f"{change} when {moment}"
            yield Cell(stage.name, "data", detail, moment, promise, tuple(DATA_WORDS), fault=change, words=words)


SIGNALS = {"TERM": signal.SIGTERM, "INT": signal.SIGINT, "KILL": signal.SIGKILL}


def _kills(stage: Stage) -> Iterator[Cell]:
    drawn = random.Random(f"instants of {stage.name}")
    for name, number in SIGNALS.items():
        for place in range(5):
            share = (place + drawn.random()) / 5
            detail = f"{name} at {share:.2f} of the writes"
            yield Cell(stage.name, "kill", detail, stage.start, "resumes", signal=number, share=share)
        for place in range(2):
            share = (place + drawn.random()) / 2
            detail = f"{name} at {share:.2f} of the time"
            yield Cell(stage.name, "kill", detail, stage.start, "resumes", signal=number, share=share, by_time=True)


def _disks(stage: Stage) -> Iterator[Cell]:
    for left in (0, 8, 32, 128):
        yield Cell(
            stage.name,
            "disk",
            f"full, {left} kB left",
            stage.start,
            "resumes",
            ("disk is full", "the disk of", "free some space"),
            share=left,
        )
    yield Cell(stage.name, "disk", "read-only", stage.start, "resumes", ("read-only",), share=-1)


def drawn_cells(cells: Sequence[Cell], count: int, seed: int) -> list[Cell]:
    """Return a random part in which each stage and each kind occurs; of the dear stages it has the fewer.

    Args:
        cells: All.
        count: Of cells, not fewer than stages and kinds together.
        seed: Of the draw.
    """
    drawn = random.Random(seed)
    order = drawn.sample(cells, len(cells))
    first: list[Cell] = []
    for kind in KINDS:
        first.append(next(cell for cell in order if cell.kind == kind and cell not in first))
    for stage in STAGES:
        if all(cell.stage != stage.name for cell in first):
            first.append(next(cell for cell in order if cell.stage == stage.name))
    rest = [cell for cell in order if cell not in first and cell.stage not in DEAR]
    return first + rest[: count - len(first)]
