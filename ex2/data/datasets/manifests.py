"""A dataset as a table: one row per image with its path, label and split."""

from __future__ import annotations

import csv
import difflib
import math
import os
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, overload

from ex2.data.datasets.base import ImageFile
from ex2.data.datasets.naming import (
    ClassNames,
    alike,
    by_plain_label,
    given_by_label,
    is_number,
    is_unreadable,
    plain_label,
    shown_name,
)
from reward.errors import UserError, unknown_name
from reward.images import LabeledImage

SHOWN = 10
"""Most faulty rows that a message names; the others are only counted."""

NAMES_SHOWN = 20
"""Most allowed class names that a message lists."""


class Manifest:
    """Images listed in a CSV or parquet file with a header.

    Args:
        path: `.csv` or `.parquet`.
        root: Folder that image paths are relative to; default: the manifest's own.
        class_names: Names in label order, or label → name; needed if labels are numbers (in a list counted from 0) or
            truth values (by label). Default: the labels themselves, sorted, underscores turned into spaces.
        path_column: Column of image paths.
        label_column: Column of labels: class names, or indices into `class_names`.
        split_column: Column of split names.

    Raises:
        UserError: If the file cannot be read or rows are faulty; the message names the first `SHOWN` faulty rows.
    """

    def __init__(
        self,
        path: str,
        root: str | None = None,
        class_names: ClassNames | None = None,
        path_column: str = "path",
        label_column: str = "label",
        split_column: str = "split",
    ) -> None:
        file = Path(path).expanduser()
        base = Path(root).expanduser() if root else file.parent
        table = _Table((path_column, label_column, split_column))
        for row in _rows(file, table.columns):
            table.add(row)
        table.finish()
        label_of, self.class_names = _labels(table, class_names)
        if table.problems:
            shown = [*table.problems[:SHOWN]]
            more = [f"and {table.faults - len(shown)} more"] * (table.faults > len(shown))
            raise UserError("\n".join(f"{file}: {problem}" for problem in shown + more))
        self.splits = tuple(sorted(table.files))
        self._files = {split: FileList(str(base), files, label_of) for split, files in table.files.items()}

    def images(self, split: str) -> Sequence[LabeledImage]:
        """Return a split's images, ordered by label, then by file name; nothing is opened."""
        return self._files[split]


class FileList(Sequence[LabeledImage]):
    """Files with labels, ordered by label, then by file name, as `in_order` does.

    An image is made when it is asked for: two million of them would take over a gigabyte.

    Args:
        base: Folder that the paths are relative to.
        files: Path of each file → its label as the table has it.
        label_of: Label as the table has it → its index.
    """

    def __init__(self, base: str, files: Mapping[str, str], label_of: Mapping[str, int]) -> None:
        def place(path: str) -> tuple[int, str, str]:
            return label_of[files[path]], os.path.basename(path), path

        self._base = base
        self._paths = sorted(files, key=place)
        self._labels = array("q", (label_of[files[path]] for path in self._paths))

    def __len__(self) -> int:
        return len(self._paths)

    @overload
    def __getitem__(self, index: int) -> LabeledImage: ...

    @overload
    def __getitem__(self, index: slice) -> list[LabeledImage]: ...

    def __getitem__(self, index: int | slice) -> LabeledImage | list[LabeledImage]:
        """Return an image, or the images of a slice."""
        if isinstance(index, slice):
            return [self._image(number) for number in range(*index.indices(len(self)))]
        return self._image(index)

    def _image(self, index: int) -> ImageFile:
        return ImageFile(Path(self._base, self._paths[index]), self._labels[index])


@dataclass
class _Table:
    """What has been read of a manifest.

    Attributes:
        columns: Names of the columns of paths, labels and splits.
        files: Split → path → label; equal labels are one object.
        first: Label → number of the first row that has it, in order of appearance.
        written: Label → as it first stands in the file.
        twice: Path and split that stand in several rows, with the row of the second.
        problems: The first messages on faulty rows.
        faults: Number of all faults.
        count: Number of rows.
    """

    columns: tuple[str, str, str]
    files: dict[str, dict[str, str]] = field(default_factory=dict)
    first: dict[str, int] = field(default_factory=dict)
    written: dict[str, str] = field(default_factory=dict)
    twice: dict[tuple[str, str], None] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    faults: int = 0
    count: int = 0
    _plain: dict[Any, str] = field(default_factory=dict)

    def fault(self, problem: str) -> None:
        """Note a fault; only the first ones are kept."""
        self.faults += 1
        if len(self.problems) < SHOWN:
            self.problems.append(problem)

    def add(self, row: tuple[Any, Any, Any]) -> None:
        """Take in a row of values: path, label, split."""
        self.count += 1
        values = []
        for column, value in zip(self.columns, row, strict=True):
            text = _text(value)
            if text is None:
                self.fault(f"row {self.count}: {column}: a {type(value).__name__} is no text and no number")
            elif not text:
                self.fault(f"row {self.count}: empty {column}")
            elif column != self.columns[1] and is_unreadable(text):
                self.fault(f"row {self.count}: {column}: {text[:60]!a} holds characters that cannot be seen")
                text = None
            values.append(text)
        path, written, split = values
        label = None
        if written:
            label = self._plain.get(written)
            if label is None:
                label = self._plain[written] = plain_label(written)
                self.written.setdefault(label, written)
                self.first.setdefault(label, self.count)
        if not path or not split:
            return
        files = self.files.setdefault(split, {})
        if path in files:
            self.twice[path, split] = None
        files.setdefault(path, label or "")

    def finish(self) -> None:
        """Note what only the whole table shows."""
        for image, split in self.twice:
            self.fault(f"'{image}' stands more than once in split '{split}'")
        if not self.count:
            self.fault("no rows")


def _labels(table: _Table, given: ClassNames | None) -> tuple[dict[str, int], tuple[str, ...]]:
    """Return label → index and the class names; note a fault for each label that is no class."""
    column, found = table.columns[1], sorted(table.first)
    where = f"labels of column '{column}'"
    if given is None:
        numbers = [label for label in found if is_number(label)]
        if numbers:
            one = next((label for label in numbers if label.isalpha()), numbers[0])
            how = "no name; give class_names" if one.isalpha() else "a number; give class_names in label order, or"
            table.fault(
                f"column '{column}': label '{table.written[one]}' is {how} by label: class_names: {{'{one}': name, …}}"
            )
        for problem in alike([table.written[label] for label in found], where):
            table.fault(problem)
        return {label: number for number, label in enumerate(found)}, tuple(map(shown_name, found))
    if isinstance(given, Mapping):
        by_label = {}
        try:
            by_label = given_by_label(found, by_plain_label(given), where)
        except UserError as error:
            for problem in str(error).splitlines():
                table.fault(problem)
        names = tuple(by_label.get(label, "") for label in found)
        return {label: number for number, label in enumerate(found)}, names
    names = tuple(given)
    index = {str(number): number for number in range(len(names))} | {name: n for n, name in enumerate(names)}
    for label, row in table.first.items():
        if label not in index:
            # The nearest of many names takes a while to find, and the allowed ones are said once.
            wanted, said = len(table.problems) < SHOWN, any(" Allowed: " in problem for problem in table.problems)
            table.fault(_unknown(f"row {row}: {column}", table.written[label], names, said) if wanted else "")
    return index, names


def _unknown(where: str, label: str, names: Sequence[str], said: bool) -> str:
    near = difflib.get_close_matches(label, names, n=1, cutoff=0.6)
    message = f"{where}: unknown '{label[:60]}'." + (f" Did you mean '{near[0]}'?" if near else "")
    if said:
        return message
    listed = ", ".join(sorted(names)[:NAMES_SHOWN]) + (f", … ({len(names)} in all)" if len(names) > NAMES_SHOWN else "")
    by_label = f" Or give class_names by label: {{'{label[:60]}': name, …}}." if is_number(label) else ""
    return f"{message} Allowed: 0 to {len(names) - 1}, or a name: {listed}.{by_label}"


def _text(value: Any) -> str | None:
    """Return a cell as text without blanks at its ends, "" for a missing one, None for a value that is no text."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return str(value).strip() if isinstance(value, str | int | float) else None


def _rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[Any, Any, Any]]:
    """Yield the three columns' values row by row.

    Raises:
        UserError: If the file is missing or of another kind, lacks columns, or has one of them twice.
    """
    suffix = path.suffix.lower()
    if suffix not in (".csv", ".parquet"):
        raise UserError(f"dataset.path: given '{path}'; a manifest is a .csv or .parquet file.")
    if len(set(columns)) < len(columns):
        raise UserError(
            f"dataset: path_column, label_column and split_column are {', '.join(columns)}; give three different ones."
        )
    if path.exists() and not path.is_file():
        raise UserError(f"dataset.path: '{path}' is no file.")
    try:
        yield from _read_csv(path, columns) if suffix == ".csv" else _read_parquet(path, columns)
    except FileNotFoundError as error:
        raise UserError(f"dataset.path: no file '{path}'.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: cannot be read: byte {error.start} is not UTF-8; save the table as UTF-8.") from error
    except (OSError, ValueError, NotImplementedError, csv.Error) as error:  # pyarrow's errors are among them
        raise UserError(f"{path}: cannot be read ({str(error)[:300]}).") from error


def _places(path: Path, header: Sequence[str], columns: Sequence[str]) -> tuple[int, ...]:
    missing = [unknown_name(f"{path}: column", column, header[:50]) for column in columns if column not in header]
    if missing:
        raise UserError("\n".join(missing) + " Name other columns with path_column, label_column and split_column.")
    counts = Counter(header)
    twice = [column for column in columns if counts[column] > 1]
    if twice:
        raise UserError(
            "\n".join(
                f"{path}: column '{column}' stands {counts[column]} times in the header; which one is meant cannot be "
                "told: rename or remove the others."
                for column in twice
            )
        )
    return tuple(header.index(column) for column in columns)


def _read_csv(path: Path, columns: Sequence[str]) -> Iterator[tuple[Any, Any, Any]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        header = next(reader, [])
        first, second, third = _places(path, header, columns)
        number = 0
        for row in reader:
            if not row:
                continue
            number += 1
            if len(row) != len(header):
                raise ValueError(f"row {number} has another number of fields than the header's {len(header)}")
            yield row[first], row[second], row[third]


def _read_parquet(path: Path, columns: Sequence[str]) -> Iterator[tuple[Any, Any, Any]]:
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        _places(path, file.schema_arrow.names, columns)
        for batch in file.iter_batches(columns=[*columns]):
            parts: Iterable[list[Any]] = (batch.column(column).to_pylist() for column in columns)
            yield from zip(*parts, strict=True)
