"""A pool of captioned images: a JSON-lines or parquet file with a caption and a file in each row."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reward.errors import UserError, one_line, shortened, shown
from reward.file_digests import FileDigest

NAMED = 3
"""Most rows of a kind that are named."""
SUFFIXES = (".jsonl", ".parquet")
_ROWS = 65_536
"""Rows of a parquet file that are decoded at once."""


@dataclass(frozen=True)
class Pool:
    """Captions with their images.

    Attributes:
        path: The file that lists them.
        captions: N captions.
        files: Their images, as paths from the folder of the list; an image may have several captions. Empty where
            captions alone were read.
        told: What someone or something else says of each image; empty if no such column was asked for.
    """

    path: Path
    captions: tuple[str, ...]
    files: tuple[str, ...]
    told: tuple[str, ...] = ()

    def image(self, row: int) -> Path:
        """Return the path of a row's image."""
        return self.path.parent / self.files[row]

    def digest(self) -> str:
        """Return a hash of the list and of the sizes of its files, which are not read."""
        state = hashlib.sha256(FileDigest.of(self.path).sha256.encode())
        for row in range(len(self.files)):
            state.update(f"{self.image(row).stat().st_size}\n".encode())
        return state.hexdigest()


def read_pool(
    path: Path,
    *,
    caption: str = "caption",
    file: str | None = "file",
    told: str | None = None,
    where: str = "generator.pool",
    keys: str = "generator",
) -> Pool:
    """Read a pool, and check that each row has a caption and its file is there.

    Args:
        path: A `.jsonl` or `.parquet` file; images are found from its folder.
        caption: Column of the captions.
        file: Column of the files; None where captions alone are read.
        told: A further column of texts.
        where: Key of the pool, for messages.
        keys: Key of the columns' names, for messages.

    Raises:
        UserError: If there is no such file, it has no such columns or rows, or rows are without a caption or a file;
            all kinds of problems at once, with their first rows.
    """
    if path.suffix not in SUFFIXES:
        raise UserError(f"{where}: given {shown(str(path))}; a pool is a {' or '.join(SUFFIXES)} file.")
    if not path.is_file():
        raise UserError(f"{where}: no file {shown(str(path))}; give a list with a caption and a file in each row.")
    columns = [caption, *([file] if file else []), *([told] if told else [])]
    names = {caption: "caption_column", file: "file_column"}
    captions: list[str] = []
    files: list[str] = []
    others: list[str] = []
    faults: dict[str, list[int]] = {}
    lacking = f"has no {{}}; name the column by {keys}.{{}}"
    for number, row in enumerate(_rows(path, columns, where), start=1):
        found = [row.get(column) for column in columns]
        wrong = [
            lacking.format(f"text in column '{column}'", names.get(column, "column"))
            for column, value in zip(columns, found, strict=True)
            if not isinstance(value, str) or not value.strip()
        ]
        if file and not wrong and _outside(str(found[1])):
            wrong = ["names a file outside of the pool's folder; give paths from the folder that holds the list"]
        if file and not wrong and not (path.parent / str(found[1])).is_file():
            wrong = ["names a file that is not there; fetch it, or take the row out"]
        for fault in wrong:
            faults.setdefault(fault, []).append(number)
        if not wrong:
            captions.append(" ".join(str(found[0]).split()))
            files += [str(found[1])] if file else []
            others += [str(found[-1])] if told else []
    problems = []
    for fault, rows in faults.items():
        more = f" and {len(rows) - NAMED:,} more" if len(rows) > NAMED else ""
        which = f"{'rows' if len(rows) > 1 else 'row'} {', '.join(map(str, rows[:NAMED]))}{more}"
        problems.append(f"{where}: {path.name}: {which}: {fault}.")
    if not problems and not captions:
        problems.append(f"{where}: {path.name} has no rows; give a list with a caption and a file in each.")
    if problems:
        raise UserError("\n".join(problems))
    return Pool(path, tuple(captions), tuple(files), tuple(others))


def _outside(file: str) -> bool:
    return Path(file).is_absolute() or ".." in Path(file).parts


def _rows(path: Path, columns: Sequence[str], where: str) -> Iterator[dict[str, Any]]:
    if path.suffix == ".parquet":
        yield from _parquet_rows(path, columns, where)
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise UserError(f"{where}: {path.name}: row {number} is no JSON; a row is an object.") from error
            if not isinstance(row, dict):
                raise UserError(f"{where}: {path.name}: row {number} holds {shown(row)}; a row is an object.")
            yield row


def _parquet_rows(path: Path, columns: Sequence[str], where: str) -> Iterator[dict[str, Any]]:
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            there = [column for column in columns if column in file.schema_arrow.names]
            for batch in file.iter_batches(batch_size=_ROWS, columns=there):
                yield from batch.to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise UserError(f"{where}: {path.name}: no parquet file ({shortened(one_line(error), 200)}).") from error
