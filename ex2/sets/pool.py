"""A pool of captioned images: a JSON-lines or parquet file with a caption and a file in each row."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reward.errors import UserError, one_line, shortened, shown
from reward.file_digests import FileDigest
from reward.strict_json import JSONFault, decode

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
        files: Their images, as paths from the folder of the list, one spelling for each file; an image may have several
            captions. Empty where captions alone were read.
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
    if not os.path.isfile(path):
        raise UserError(f"{where}: no file {shown(str(path))}; give a list with a caption and a file in each row.")
    if file == caption:
        raise UserError(f"{keys}.file_column: given {shown(file)}, which is caption_column too; give two columns.")
    columns = [caption, *([file] if file else []), *([told] if told else [])]
    names = {caption: "caption_column", file: "file_column"}
    captions: list[str] = []
    files: list[str] = []
    others: list[str] = []
    faults: dict[str, list[int]] = {}
    places = _Places(path.parent)
    lacking = f"has no {{}}; name the column by {keys}.{{}}"
    for number, row in enumerate(_rows(path, columns, where), start=1):
        found = [row.get(column) for column in columns]
        wrong = [
            lacking.format(f"text in column '{column}'", names.get(column, "column"))
            for column, value in zip(columns, found, strict=True)
            if not isinstance(value, str) or not value.strip()
        ]
        if file and not wrong:
            found[1] = places.of(str(found[1]))
            if found[1] is None:
                wrong = ["names a file outside of the pool's folder; give paths from the folder that holds the list"]
            elif not os.path.isfile(path.parent / found[1]):
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


class _Places:
    """One spelling of each file of a folder, so that `a.png`, `./a.png` and links to it are one file."""

    def __init__(self, folder: Path) -> None:
        self._folder = os.path.realpath(folder)
        self._parents: dict[str, str] = {}

    def of(self, file: str) -> str | None:
        """Return a file's path from the folder, links followed; None if it is not in there."""
        if os.path.isabs(file) or ".." in Path(file).parts:
            return None
        try:
            parent, name = os.path.split(os.path.join(self._folder, os.path.normpath(file)))
            if parent not in self._parents:  # many files stand in a folder
                self._parents[parent] = os.path.realpath(parent)
            whole = os.path.join(self._parents[parent], name)
            whole = os.path.realpath(whole) if os.path.islink(whole) else whole
        except (OSError, ValueError):  # a name that no file can have
            return file
        within = os.path.relpath(whole, self._folder)
        return None if within.partition(os.sep)[0] == ".." else Path(within).as_posix()


def _rows(path: Path, columns: Sequence[str], where: str) -> Iterator[dict[str, Any]]:
    if path.suffix == ".parquet":
        yield from _parquet_rows(path, columns, where)
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                row = decode(line)
            except JSONFault as error:
                raise UserError(f"{where}: {path.name}: row {number}: {error.reason}; a row is an object.") from error
            if not isinstance(row, dict):
                raise UserError(f"{where}: {path.name}: row {number} holds {shown(row)}; a row is an object.")
            yield row


def _parquet_rows(path: Path, columns: Sequence[str], where: str) -> Iterator[dict[str, Any]]:
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            schema, begun = file.schema_arrow, 0
            there = [column for column in columns if column in schema.names]
            _raise_no_text(path, where, [(one, schema.field(at).type) for at, one in enumerate(schema.names)], there)
            for batch in file.iter_batches(batch_size=_ROWS, columns=there):
                try:
                    rows = batch.to_pylist()
                except UnicodeDecodeError as error:
                    number = begun + _first_unreadable(batch) + 1
                    raise UserError(f"{where}: {path.name}: row {number}: not UTF-8; a pool's texts are.") from error
                yield from rows
                begun += len(rows)
    except (pyarrow.ArrowException, OSError) as error:
        raise UserError(f"{where}: {path.name}: no parquet file ({shortened(one_line(error), 200)}).") from error


def _raise_no_text(path: Path, where: str, fields: Sequence[tuple[str, Any]], columns: Sequence[str]) -> None:
    """Raise an error for columns that hold no texts, whose values need not be ones that Python has, or come twice."""
    from pyarrow import types

    problems = []
    for column in columns:
        kinds = [kind for name, kind in fields if name == column]
        values = [kind.value_type if types.is_dictionary(kind) else kind for kind in kinds]
        if len(kinds) > 1:
            problems.append(f"{where}: {path.name}: has {len(kinds)} columns '{column}'; give each its own name.")
        elif not any(text(values[0]) for text in (types.is_string, types.is_large_string, types.is_string_view)):
            problems.append(f"{where}: {path.name}: column '{column}' holds {kinds[0]}, and no texts; name another.")
    if problems:
        raise UserError("\n".join(problems))


def _first_unreadable(batch: Any) -> int:
    for row in range(batch.num_rows):
        try:
            batch.slice(row, 1).to_pylist()
        except UnicodeDecodeError:
            return row
    return 0
