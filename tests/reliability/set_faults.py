"""What happens to image sets, and to a folder of images without a recipe."""

from __future__ import annotations

import json
import os
import shutil
import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

from tests.reliability.set_stages import HALF_FILES, PLAIN

ROWS, IMAGE = HALF_FILES[2], HALF_FILES[5]
Change = Callable[[Path], object]


def _one(world: Path, pattern: str) -> Path:
    (path,) = world.glob(pattern)
    return path


def _image(world: Path) -> Path:
    return _one(world, IMAGE)


def _exchanged(world: Path) -> None:
    here = _image(world)
    there = here.parents[1] / "fep" / "00000.png"
    content = here.read_bytes(), there.read_bytes()
    here.write_bytes(content[1])
    there.write_bytes(content[0])


def _replaced(world: Path) -> None:
    from PIL import Image, ImageOps

    with Image.open(_image(world)) as image:
        ImageOps.invert(image.convert("RGB")).save(_image(world))


def _test_image(world: Path) -> None:
    shutil.copyfile(world / "photos/test/blicket/3.png", _image(world))


def _rows(change: Callable[[list[dict[str, object]]], list[dict[str, object]]]) -> Change:
    def apply(world: Path) -> None:
        path = _one(world, ROWS)
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        path.write_text("".join(json.dumps(row) + "\n" for row in change(rows)), encoding="utf-8")

    return apply


def _label_swapped(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    return [{**rows[0], "label": 3, "class": "wug"}, *rows[1:]]


def _labels_exchanged(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """Two rows with each other's images: each is of this set, and none is missing."""
    first, last = rows[0], rows[-1]
    taken = ("sha256", "pixels", "bytes")
    return [
        {**first, **{key: last[key] for key in taken}},
        *rows[1:-1],
        {**last, **{key: first[key] for key in taken}},
    ]


def _added(world: Path) -> None:
    shutil.copyfile(_image(world), _image(world).with_name("00077.png"))


def _seed_copied(world: Path) -> None:
    here = _one(world, "sets/drawn-*/seed-0")
    there = here.with_name("seed-1")
    shutil.rmtree(there)
    shutil.copytree(here, there)


def _renamed(world: Path) -> None:
    here = _one(world, "sets/drawn-*")
    here.rename(here.with_name("drawn-00000000"))


def _set_copied(world: Path) -> None:
    """Another set where this one stands."""
    here, there = _one(world, "sets/copies-*"), _one(world, "sets/drawn-*")
    shutil.rmtree(there)
    shutil.copytree(here, there)


def _image_is_pipe(world: Path) -> None:
    path = _image(world)
    path.unlink()
    os.mkfifo(path)


def _image_is_link(world: Path) -> None:
    path = _image(world)
    path.unlink()
    path.symlink_to(path.name)


def _image_is_folder(world: Path) -> None:
    path = _image(world)
    path.unlink()
    path.mkdir()


def _log_is_pipe(world: Path) -> None:
    path = _one(world, ROWS)
    path.unlink()
    os.mkfifo(path)


def _record_is_pipe(world: Path) -> None:
    path = _one(world, ROWS).with_name("set.json")
    path.unlink()
    os.mkfifo(path)


SET_DATA: dict[str, Change] = {
    "image-replaced": _replaced,
    "image-is-a-test-image": _test_image,
    "images-exchanged": _exchanged,
    "image-added": _added,
    "image-is-a-pipe": _image_is_pipe,
    "image-is-a-link-to-itself": _image_is_link,
    "image-is-a-folder": _image_is_folder,
    "log-is-a-pipe": _log_is_pipe,
    "record-is-a-pipe": _record_is_pipe,
    "row-removed": _rows(lambda rows: rows[1:]),
    "row-doubled": _rows(lambda rows: [*rows, rows[0]]),
    "rows-turned": _rows(lambda rows: rows[::-1]),
    "label-swapped": _rows(_label_swapped),
    "labels-exchanged": _rows(_labels_exchanged),
    "prompt-changed": _rows(lambda rows: [{**rows[0], "prompt": "wug"}, *rows[1:]]),
    "seed-is-a-copy-of-another": _seed_copied,
    "folder-renamed": _renamed,
    "set-is-a-copy-of-another": _set_copied,
}
"""What can happen to a set."""
SET_WORDS = ("metadata.jsonl", "set.json", "00001.png", "00000.png", "00077.png", "drawn-", "images")
"""One of these is in what is said of it."""


def _first(folder: Path) -> Path:
    return folder / "fep" / "6.png"


def _half(folder: Path) -> None:
    content = _first(folder).read_bytes()
    _first(folder).write_bytes(content[: len(content) // 2])


def _keep(count: int) -> Change:
    def apply(folder: Path) -> None:
        for path in sorted(folder.iterdir())[count:]:
            shutil.rmtree(path)

    return apply


def _emptied(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def _is_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("a file", encoding="utf-8")


def _numbers(folder: Path) -> None:
    for number, path in enumerate(sorted(folder.iterdir())):
        path.rename(folder / str(number))


def _pipe(name: str) -> Change:
    def apply(folder: Path) -> None:
        path = folder / "fep" / name
        path.unlink(missing_ok=True)
        os.mkfifo(path)

    return apply


def _saved(mode: str, suffix: str) -> Change:
    """Give the first image another mode and format."""

    def apply(folder: Path) -> None:
        from PIL import Image

        with Image.open(_first(folder)) as image:
            other = image.convert("I").point(lambda value: value * 257) if mode == "I;16" else image.convert(mode)
        if mode == "I;16":
            other = other.convert("I;16")
        _first(folder).unlink()
        other.save(_first(folder).with_suffix(suffix))

    return apply


def _float(folder: Path) -> None:
    from PIL import Image

    with Image.open(_first(folder)) as image:
        other = image.convert("F").point(lambda value: value * (1 / 255) + 0)
    _first(folder).unlink()
    other.save(_first(folder).with_suffix(".tif"))


def _animated(folder: Path) -> None:
    from PIL import Image

    with Image.open(_first(folder)) as image:
        frames = [image.convert("RGB").rotate(turn) for turn in (0, 90, 180)]
    _first(folder).unlink()
    frames[0].save(_first(folder).with_suffix(".gif"), save_all=True, append_images=frames[1:])


def _bomb(folder: Path) -> None:
    """An image that says it is 60,000 pixels wide and high, in 70 bytes."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    _first(folder).write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")
    )


def _class_copied(name: str) -> Change:
    return lambda folder: shutil.copytree(folder / "fep", folder / name)


def _class_with_images(name: str) -> Change:
    """Another class, with images that no class has."""

    def apply(folder: Path) -> None:
        from PIL import Image, ImageOps

        (folder / name).mkdir()
        for path in sorted((folder / "fep").iterdir()):
            with Image.open(path) as image:
                content = BytesIO()
                ImageOps.invert(image.convert("RGB")).save(content, "PNG")
            (folder / name / path.name).write_bytes(content.getvalue())

    return apply


def _write(name: str, content: bytes) -> Change:
    def apply(folder: Path) -> None:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)

    return apply


def _linked(name: str, to: str) -> Change:
    return lambda folder: (folder / name).symlink_to(to)


class FolderFault(NamedTuple):
    """What happens to the folder, and what `ex2 measure` and `ex2 draw` must do then.

    Attributes:
        change: Of the folder.
        measure: Promise.
        draw: Promise.
        names: One of these is in what is said.
    """

    change: Change
    measure: str
    draw: str
    names: tuple[str, ...] = (PLAIN,)


FOLDER_FAULTS: dict[str, FolderFault] = {
    "gone": FolderFault(shutil.rmtree, "refuses", "refuses"),
    "empty": FolderFault(_emptied, "refuses", "refuses"),
    "a file": FolderFault(_is_file, "refuses", "refuses"),
    "one class": FolderFault(_keep(1), "refuses", "accepts"),
    "a class less": FolderFault(_keep(3), "refuses", "accepts", ("wug",)),
    "a class without images": FolderFault(
        lambda folder: [path.unlink() for path in (folder / "fep").iterdir()], "refuses", "refuses", ("fep",)
    ),
    "a class that is unknown": FolderFault(_class_with_images("gazzer"), "refuses", "accepts", ("gazzer",)),
    "a class in other case": FolderFault(_class_copied("Fep"), "refuses", "refuses", ("Fep", "fep")),
    "classes that are numbers": FolderFault(_numbers, "refuses", "refuses"),
    "a class with a line break": FolderFault(_class_copied("fep\nwug"), "refuses", "refuses", ("fep",)),
    "an image of two classes": FolderFault(
        lambda folder: shutil.copyfile(_first(folder), folder / "wug/6.png"), "refuses", "refuses", ("6.png",)
    ),
    "a test image": FolderFault(
        lambda folder: shutil.copyfile(folder.parent / "photos/test/fep/3.png", _first(folder)),
        "refuses",
        "accepts",
        ("6.png",),
    ),
    "half an image": FolderFault(_half, "refuses", "refuses", ("6.png",)),
    "an empty image": FolderFault(_write("fep/6.png", b""), "refuses", "refuses", ("6.png",)),
    "a text as image": FolderFault(_write("fep/6.png", b"a fep\n"), "refuses", "refuses", ("6.png",)),
    "an image of 60,000 pixels": FolderFault(_bomb, "refuses", "refuses", ("6.png",)),
    "unequal classes": FolderFault(lambda folder: _first(folder).unlink(), "refuses", "accepts", ("fep",)),
    "a pipe more": FolderFault(_pipe("pipe.png"), "finishes", "finishes"),
    "a pipe for an image": FolderFault(_pipe("6.png"), "refuses", "accepts", ("fep",)),
    "a link to itself": FolderFault(_linked("fep/x.png", "x.png"), "refuses", "refuses", ("x.png",)),
    "a link to nothing": FolderFault(_linked("fep/x.png", "nothing.png"), "refuses", "refuses", ("x.png",)),
    "a class that links to itself": FolderFault(_linked("loop", "loop"), "refuses", "refuses", ("loop",)),
    "a class that links to the folder": FolderFault(_linked("loop", "."), "refuses", "refuses", ("loop",)),
    "a link to the folder in a class": FolderFault(_linked("fep/loop", ".."), "finishes", "finishes"),
    "a text beside": FolderFault(_write("fep/readme.txt", b"a fep\n"), "finishes", "finishes"),
    "a hidden file": FolderFault(_write("fep/.6.png", b""), "finishes", "finishes"),
    "a hidden folder": FolderFault(_write(".cache/6.png", b""), "finishes", "finishes"),
    "an ending in capitals": FolderFault(
        lambda folder: _first(folder).rename(folder / "fep/6.PNG"), "finishes", "finishes"
    ),
    "names of classes that are cut": FolderFault(
        _write("class_names.json", b'{"fep": "fe'), "refuses", "refuses", ("class_names.json",)
    ),
    "names of classes that are a list": FolderFault(
        _write("class_names.json", b'["fep"]'), "refuses", "refuses", ("class_names.json",)
    ),
    "names of classes that are alike": FolderFault(
        _write("class_names.json", b'{"fep": "wug"}'), "refuses", "refuses", ("class", "wug")
    ),
    "16 bits": FolderFault(_saved("I;16", ".png"), "accepts", "accepts"),
    "CMYK": FolderFault(_saved("CMYK", ".jpg"), "accepts", "accepts"),
    "a palette": FolderFault(_saved("P", ".png"), "accepts", "accepts"),
    "one bit": FolderFault(_saved("1", ".png"), "accepts", "accepts"),
    "gray with alpha": FolderFault(_saved("LA", ".png"), "accepts", "accepts"),
    "floats from 0 to 1": FolderFault(_float, "accepts", "accepts"),
    "an animation": FolderFault(_animated, "accepts", "accepts"),
}
