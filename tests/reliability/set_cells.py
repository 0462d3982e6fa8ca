"""The cells of the stages on image sets that are theirs alone: keys, the dataset's images, the sets, plain folders."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.reliability.damage import DATA, DATA_WORDS
from tests.reliability.layout_faults import FAULTS
from tests.reliability.set_faults import FOLDER_FAULTS, SET_DATA, SET_WORDS
from tests.reliability.set_keys import SET_KEYS, SET_READ_KEYS

Given = dict[str, Any]
"""Of a cell what differs from its defaults."""

_ANEW = {
    "reward-image-replaced": "accepts",
    "reward-image-moved": "refuses",
    "reward-image-removed": "refuses",
    "reward-image-cut": "refuses",
    "test-image-cut": "same or refuses",
    "class-added": "accepts",
    "class-removed": "refuses",
}
"""Change of the dataset → promise of `ex2 draw`; otherwise it finishes. A class that is removed is one that the
generator is said to know."""
_MEASURED = {"test-image-replaced": "accepts", "test-image-moved": "accepts", "test-image-removed": "accepts"}
"""Likewise of `ex2 measure`, which otherwise refuses: the sets would be others."""


def set_keys(stage: str) -> Iterator[Given]:
    """Yield cells of changed keys."""
    moments = {
        "draw": (("sets-drawing", "draw"), ("sets-drawn", "draw")),
        "measure": (("sets-drawn", "first"), ("sets-measured", "again")),
        "report-sets": (("sets-measured", "report"),),
    }
    for moment, promised in moments.get(stage, ()):
        for key in SET_KEYS:
            promise = getattr(key, promised)
            if moment == "sets-drawing" and promise == "finishes":
                promise = "accepts"  # seeds that are not asked for stay as they are
            yield {
                "detail": f"{key.name}={key.value} when {moment}",
                "moment": moment,
                "promise": promise,
                "names": (key.name, *key.names),
                "words": (f"{key.name}={key.value}",),
            }
    if stage in ("report-sets", "tables-sets", "index-sets"):
        for name, value in SET_READ_KEYS:
            yield {
                "detail": f"{name}={value} in recipe.yaml",
                "moment": "sets-measured",
                "promise": "refuses",
                "names": (name, "recipe.yaml"),
                "fault": f"{name}={value}",
            }


def set_data(stage: str) -> Iterator[Given]:
    """Yield cells of what happens to the dataset, the sets, or a plain folder."""
    if stage in ("measure-folder", "draw-folder"):
        for name, fault in FOLDER_FAULTS.items():
            promise = fault.measure if stage == "measure-folder" else fault.draw
            yield {
                "detail": name,
                "moment": "sets-fresh",
                "promise": promise,
                "names": fault.names,
                "fault": f"folder: {name}",
            }
        return
    layout = stage.removeprefix("draw-")
    for name, of_layout in FAULTS.get(layout, {}).items():
        yield {
            "detail": name,
            "moment": "sets-drawn",
            "promise": of_layout.draw,
            "names": of_layout.names,
            "fault": f"{layout}: {name}",
        }
    for moment in {"draw": ("sets-drawing", "sets-drawn"), "measure": ("sets-drawn", "sets-measured")}.get(stage, ()):
        for change in DATA:
            promise = _ANEW.get(change, "finishes") if stage == "draw" else _MEASURED.get(change, "refuses")
            yield {
                "detail": f"{change} when {moment}",
                "moment": moment,
                "promise": promise,
                "names": (*DATA_WORDS, "set 'copies'"),
                "fault": change,
            }
    if stage == "measure":
        yield {
            "detail": "unfinished set",
            "moment": "sets-drawing",
            "promise": "refuses",
            "names": ("drawn-",),
            "fault": "nothing",
        }
    moments = {"draw": ("sets-drawing", "sets-drawn"), "measure": ("sets-measured",), "report-sets": ("sets-measured",)}
    for moment in moments.get(stage, ()):
        for change in SET_DATA:
            yield {
                "detail": f"{change} when {moment}",
                "moment": moment,
                "promise": _of_set(stage, moment, change),
                "names": SET_WORDS,
                "fault": f"set: {change}",
            }


def _of_set(stage: str, moment: str, change: str) -> str:
    if stage == "draw" and change == "folder-renamed":
        return "accepts"
    if stage not in ("draw", "measure"):
        return "same or refuses"
    if moment == "sets-drawing":
        if change == "image-added":
            return "finishes"
        if change in ("row-removed", "rows-turned"):
            return "accepts"  # the same rows in another order
    return "refuses"


def change_of(fault: str) -> Any:
    """Return what a fault does to a world."""
    if fault.startswith("set: "):
        return SET_DATA[fault.removeprefix("set: ")]
    if fault.startswith("folder: "):
        change = FOLDER_FAULTS[fault.removeprefix("folder: ")].change
        return lambda world: change(world / "plain")
    layout, _, name = fault.partition(": ")
    if layout in FAULTS:
        of_layout = FAULTS[layout][name].change
        return lambda world: of_layout(world / layout)
    return DATA.get(fault, lambda _: None)
