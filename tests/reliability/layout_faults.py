"""What happens to image sets in others' layouts before sets are made of them: GenEval's folders, GenBench's list."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

Change = Callable[[Path], object]


class LayoutFault(NamedTuple):
    """What happens to a layout's folder, and what `ex2 draw` must do then.

    Attributes:
        change: Of the folder.
        draw: Promise.
        names: One of these is in what is said.
    """

    change: Change
    draw: str
    names: tuple[str, ...]


METADATA, SAMPLE = "00000/metadata.jsonl", "00000/samples/0000.png"
LIST, ARCHIVE = "drawn_train.txt", "drawn_train.zip"


def _gone(name: str) -> Change:
    def apply(folder: Path) -> None:
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()

    return apply


def _half(name: str) -> Change:
    def apply(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])

    return apply


def _flipped(name: str) -> Change:
    def apply(folder: Path) -> None:
        content = bytearray((folder / name).read_bytes())
        content[len(content) // 2] ^= 0x04
        (folder / name).write_bytes(content)

    return apply


def _written(name: str, content: bytes) -> Change:
    return lambda folder: (folder / name).write_bytes(content)


def _pipe(name: str) -> Change:
    def apply(folder: Path) -> None:
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return apply


def _linked_to_itself(name: str) -> Change:
    def apply(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).symlink_to(Path(name).name)

    return apply


def _metadata(**changed: object) -> Change:
    def apply(folder: Path) -> None:
        stored = json.loads((folder / METADATA).read_text(encoding="utf-8"))
        (folder / METADATA).write_text(json.dumps({**stored, **changed}), encoding="utf-8")

    return apply


def _lines(change: Callable[[list[str]], list[str]]) -> Change:
    def apply(folder: Path) -> None:
        lines = (folder / LIST).read_text(encoding="utf-8").splitlines()
        (folder / LIST).write_text("".join(f"{line}\n" for line in change(lines)), encoding="utf-8")

    return apply


def _first_line(text: Callable[[str], str]) -> Change:
    return _lines(lambda lines: [text(lines[0]), *lines[1:]])


def _encrypted(folder: Path) -> None:
    """Say of the first member that it is encrypted: bit 0 of its flags, in its header and in the directory."""
    content = bytearray((folder / ARCHIVE).read_bytes())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    (folder / ARCHIVE).write_bytes(content)


def _huge(folder: Path) -> None:
    """Replace the first member by 200 MB of zeros, which are 200 kB in the zip file."""
    place = (folder / LIST).read_text(encoding="utf-8").splitlines()[0].rpartition(" ")[0].rpartition("@")[2]
    with zipfile.ZipFile(folder / ARCHIVE) as archive:
        kept = {name: archive.read(name) for name in archive.namelist() if name != place}
    with zipfile.ZipFile(folder / ARCHIVE, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(place, bytes(200_000_000))
        for name, content in kept.items():
            archive.writestr(name, content)


GENEVAL: dict[str, LayoutFault] = {
    "gone": LayoutFault(shutil.rmtree, "refuses", ("geneval",)),
    "no metadata": LayoutFault(_gone(METADATA), "accepts", ("00000",)),
    "half of the metadata": LayoutFault(_half(METADATA), "refuses", (METADATA,)),
    "empty metadata": LayoutFault(_written(METADATA, b""), "refuses", (METADATA,)),
    "metadata that are no UTF-8": LayoutFault(_written(METADATA, b'{"prompt": "\xff\xfe"}'), "refuses", (METADATA,)),
    "metadata that are deep": LayoutFault(_written(METADATA, b"[" * 100_000), "refuses", (METADATA,)),
    "metadata that are a list": LayoutFault(_written(METADATA, b"[]"), "refuses", (METADATA,)),
    "metadata that are a pipe": LayoutFault(_pipe(METADATA), "accepts or refuses", (METADATA, "00000")),
    "two objects": LayoutFault(
        _metadata(include=[{"class": "fep", "count": 1}, {"class": "wug", "count": 1}]), "refuses", (METADATA,)
    ),
    "no object": LayoutFault(_metadata(include=[]), "refuses", (METADATA,)),
    "objects that are a number": LayoutFault(_metadata(include=3), "refuses", (METADATA,)),
    "a class with a line break": LayoutFault(_metadata(include=[{"class": "fe\np"}]), "refuses", ("class", "fe")),
    "an empty class": LayoutFault(_metadata(include=[{"class": " "}]), "refuses", ("class",)),
    "a class that is new": LayoutFault(_metadata(include=[{"class": "gazzer"}]), "accepts", ("gazzer",)),
    "no samples": LayoutFault(_gone("00000/samples"), "refuses", ("blicket", "00000")),
    "a sample less": LayoutFault(_gone(SAMPLE), "accepts", ("blicket",)),
    "half a sample": LayoutFault(_half(SAMPLE), "refuses", ("0000.png",)),
    "an empty sample": LayoutFault(_written(SAMPLE, b""), "refuses", ("0000.png",)),
    "a sample that is a pipe": LayoutFault(_pipe(SAMPLE), "accepts or refuses", ("0000.png",)),
    "a sample that links to itself": LayoutFault(_linked_to_itself(SAMPLE), "refuses", ("0000.png",)),
    "a sample of another class": LayoutFault(
        lambda folder: shutil.copyfile(folder / "00001/samples/0000.png", folder / SAMPLE), "refuses", ("0000.png",)
    ),
}
GENBENCH: dict[str, LayoutFault] = {
    "no list": LayoutFault(_gone(LIST), "refuses", (LIST,)),
    "empty list": LayoutFault(_written(LIST, b""), "refuses", (LIST,)),
    "a list that is no UTF-8": LayoutFault(_written(LIST, b"\xff\xfe 0\n"), "refuses", (LIST,)),
    "a list that is a pipe": LayoutFault(_pipe(LIST), "refuses", (LIST,)),
    "a line without a label": LayoutFault(_first_line(lambda line: line.rpartition(" ")[0]), "refuses", (LIST,)),
    "a label below 0": LayoutFault(_first_line(lambda line: f"{line[:-1]}-1"), "refuses", (LIST,)),
    "a label far above": LayoutFault(_first_line(lambda line: f"{line[:-1]}77"), "refuses", (LIST,)),
    "a label of another class": LayoutFault(_first_line(lambda line: f"{line[:-1]}2"), "refuses", (LIST,)),
    "a label in other digits": LayoutFault(_first_line(lambda line: f"{line[:-1]}²"), "refuses", (LIST,)),
    "a line twice": LayoutFault(_lines(lambda lines: [*lines, lines[0]]), "accepts or refuses", (LIST, "00000.png")),
    "a file that is not there": LayoutFault(
        _first_line(lambda line: line.replace("00000", "00077")), "refuses", ("00077",)
    ),
    "a path out of the folder": LayoutFault(
        _first_line(lambda line: "../photos/reward/blicket/0.png 0"),
        "accepts",
        (LIST,),  # lists are the user's own
    ),
    "an archive out of the folder": LayoutFault(_first_line(lambda line: f"../{line}"), "refuses", (LIST, ARCHIVE)),
    "no archive": LayoutFault(_gone(ARCHIVE), "refuses", (ARCHIVE,)),
    "half an archive": LayoutFault(_half(ARCHIVE), "refuses", (ARCHIVE,)),
    "an empty archive": LayoutFault(_written(ARCHIVE, b""), "refuses", (ARCHIVE,)),
    "a flipped archive": LayoutFault(_flipped(ARCHIVE), "refuses", (ARCHIVE,)),
    "an archive that is a pipe": LayoutFault(_pipe(ARCHIVE), "refuses", (ARCHIVE,)),
    "an archive that is encrypted": LayoutFault(_encrypted, "refuses", (ARCHIVE,)),
    "a member of 200 MB": LayoutFault(_huge, "refuses", (ARCHIVE,)),
}
FAULTS = {"geneval": GENEVAL, "genbench": GENBENCH}
"""Layout → what can happen to it."""
