"""What happens to a file, or to the images."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from tests.reliability.stages import RUN, SEED

DEEP = 100_000
"""Levels of a file that is nothing but lists in lists."""


def _half(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def _flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x04
    path.write_bytes(content)


def _flipped_brace(path: Path) -> None:
    """Of a log that is half written nobody knows the hash: only a damaged row can be seen."""
    content = bytearray(path.read_bytes())
    content[0] ^= 0x04
    path.write_bytes(content)


def _missing(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def _taken_from(own: str, other: str) -> Callable[[Path], object]:
    """Put what another folder has in the place of a file or folder."""

    def take(path: Path) -> None:
        source = Path(f"{path}/".replace(f"/{own}/", f"/{other}/"))
        if path.is_dir():
            shutil.rmtree(path)
            shutil.copytree(source, path)
        else:
            shutil.copyfile(source, path)

    return take


def _foreign(path: Path) -> object:
    """Put what the other run, or the other set, has in the place of a file or folder."""
    if "sets" not in path.parts:
        return _taken_from(RUN, "runs/other")(path)
    name = path.parts[path.parts.index("sets") + 1]
    (other,) = Path(str(path).partition(f"/{name}/")[0]).glob("copies-*")
    return _taken_from(f"sets/{name}", f"sets/{other.name}")(path)


def _other_seed(path: Path) -> object:
    return _taken_from(*(("seed-0", "seed-1") if "seed-0" in path.parts else ("seed-1", "seed-0")))(path)


def _write(text: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(text, encoding="utf-8")


def _not_utf8(path: Path) -> None:
    lines = path.read_bytes().split(b'"')
    path.write_bytes(b'"'.join([*lines[:3], b"\xff\xfe" + lines[3], *lines[4:]]) if len(lines) > 4 else b"\xff\xfe")


def _first_value(value: str) -> Callable[[Path], object]:
    """Put a value in the place of the last number or text of a file's first record."""

    def change(path: Path) -> None:
        text = path.read_text(encoding="utf-8")
        lines = text.splitlines() if path.suffix == ".jsonl" else [text]
        record = json.loads(lines[0])
        key = [name for name, old in record.items() if isinstance(old, (int, float, str))][-1]
        lines[0] = json.dumps({**record, key: "MARK"}).replace('"MARK"', value)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")

    return change


def _doubled(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join([*lines, lines[0]]), encoding="utf-8")


def _doubled_key(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    first = next(number for number, line in enumerate(lines) if ":" in line and not line.startswith(" " * 8))
    repeated = lines[first].rstrip("\n").rstrip(",") + ("," if path.suffix == ".json" else "") + "\n"
    path.write_text("".join([*lines[:first], repeated, *lines[first:]]), encoding="utf-8")


ANY: dict[str, Callable[[Path], object]] = {
    "half": _half,
    "empty": _write(""),
    "flipped": _flipped,
    "missing": _missing,
    "foreign": _foreign,
    "other-seed": _other_seed,
}
"""What can happen to any file,"""
FOLDER = ("missing", "foreign", "other-seed")
"""or to a folder."""
TEXT: dict[str, Callable[[Path], object]] = {
    "a-list": _write("[]\n"),
    "a-number": _write("5\n"),
    "not-utf-8": _not_utf8,
    "deep": _write("[" * DEEP + "]" * DEEP + "\n"),
}
"""And to one that is text."""
RECORDS: dict[str, Callable[[Path], object]] = {
    "null": _first_value("null"),
    "nan": _first_value("NaN"),
    "huge": _first_value("1e308"),
}
"""And to JSON."""
LOGS: dict[str, Callable[[Path], object]] = {"doubled-row": _doubled}
WHOLE: dict[str, Callable[[Path], object]] = {"doubled-key": _doubled_key}
UNFINISHED: dict[str, Callable[[Path], object]] = {"flipped": _flipped_brace}
ALL = {**ANY, **TEXT, **RECORDS, **LOGS, **WHOLE}


def faults_of(path: str) -> list[str]:
    """Return the names of what can happen to a file or folder."""
    if "." not in path.rpartition("/")[2] and not path.startswith("cache/"):
        return list(FOLDER)
    names = dict(ANY)
    if not path.startswith((SEED, "sets/")):
        del names["other-seed"]
    if path.startswith("cache/"):
        del names["foreign"]
    if path.endswith((".json", ".jsonl", ".yaml")):
        names |= TEXT
    if path.endswith((".json", ".jsonl")):
        names |= RECORDS
    if path.endswith(".jsonl"):
        names |= LOGS
    if path.endswith((".json", ".yaml")):
        names |= WHOLE
    return list(names)


def damage(world: Path, pattern: str, fault: str, *, unfinished: bool = False) -> list[Path]:
    """Let something happen to the files of a pattern.

    Returns:
        The files or folders; empty if there are none, or if the other run has none to take instead.
    """
    files = sorted(world.glob(pattern))
    apply = UNFINISHED.get(fault, ALL[fault]) if unfinished else ALL[fault]
    try:
        for path in files:
            apply(path)
    except FileNotFoundError:
        return []
    return files


SPLITS = ("reward", "test", "test2")


def answer_again(path: Path, seconds: float) -> None:
    """Append the opposite of a log's first answer, given so many seconds after all others, or before."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    latest = max(datetime.fromisoformat(row["time"]) for row in rows)
    other = "no" if rows[0]["answer"] == "yes" else "yes"
    time = (latest + timedelta(seconds=seconds)).isoformat(timespec="microseconds")
    with path.open("a", encoding="utf-8") as log:
        log.write(json.dumps({**rows[0], "answer": other, "time": time}) + "\n")


def _image(split: str, number: int = 0, name: str = "fep") -> str:
    return f"photos/{split}/{name}/{number}.png"


def _replace(world: Path, split: str) -> None:
    number = 0 if split == "reward" else 3
    shutil.copyfile(world / _image("test", 5, "wug"), world / _image(split, number))
    _invert(world / _image(split, number))


def _invert(path: Path) -> None:
    from PIL import Image, ImageOps

    with Image.open(path) as image:
        ImageOps.invert(image.convert("RGB")).save(path)


def _add_class(world: Path) -> None:
    for split in SPLITS:
        shutil.copytree(world / f"photos/{split}/fep", world / f"photos/{split}/gazzer")
        for path in (world / f"photos/{split}/gazzer").iterdir():
            _invert(path)


def _drop_class(world: Path) -> None:
    for split in SPLITS:
        shutil.rmtree(world / f"photos/{split}/fep")


def _move(world: Path, split: str, number: int) -> None:
    (world / _image(split, number)).rename(world / _image(split, 9, "wug"))


def _cut(world: Path, split: str, number: int) -> None:
    _half(world / _image(split, number))


DATA: dict[str, Callable[[Path], object]] = {
    "reward-image-replaced": lambda world: _replace(world, "reward"),
    "test-image-replaced": lambda world: _replace(world, "test"),
    "reward-image-moved": lambda world: _move(world, "reward", 0),
    "test-image-moved": lambda world: _move(world, "test", 3),
    "reward-image-removed": lambda world: (world / _image("reward")).unlink(),
    "test-image-removed": lambda world: (world / _image("test", 3)).unlink(),
    "reward-image-cut": lambda world: _cut(world, "reward", 0),
    "test-image-cut": lambda world: _cut(world, "test", 3),
    "class-added": _add_class,
    "class-removed": _drop_class,
}
"""What can happen to the images."""
DATA_WORDS: Sequence[str] = ("photos", "dataset", "image", "class")
"""One of these is in what is said of it."""
