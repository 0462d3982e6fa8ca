"""A dataset as a table: one row per image with its path, label and split."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ex2.data.datasets.base import ImageFile, ListedImages
from reward.errors import UserError, unknown_name

SHOWN = 10
"""Most faulty rows that a message names; the others are only counted."""


class Manifest(ListedImages):
    """Images listed in a CSV or parquet file with a header.

    Args:
        path: `.csv` or `.parquet`.
        root: Folder that image paths are relative to; default: the manifest's own.
        class_names: Names in label order; needed if labels are numbers (counted from 0). Default: the labels
            themselves, sorted, underscores turned into spaces.
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
        class_names: Sequence[str] | None = None,
        path_column: str = "path",
        label_column: str = "label",
        split_column: str = "split",
    ) -> None:
        file = Path(path).expanduser()
        base = Path(root).expanduser() if root else file.parent
        columns = (path_column, label_column, split_column)
        rows = _rows(file, columns)
        problems = [
            f"row {number}: empty {column}"
            for number, row in enumerate(rows, start=1)
            for column, value in zip(columns, row, strict=True)
            if not value
        ]
        twice = [place for place, count in Counter((image, split) for image, _, split in rows).items() if count > 1]
        problems += [f"'{image}' stands more than once in split '{split}'" for image, split in twice if image]
        if not rows:
            problems.append("no rows")
        labels, self.class_names = _labels([label for _, label, _ in rows], class_names, label_column, problems)
        if problems:
            more = [f"and {len(problems) - SHOWN} more"] * (len(problems) > SHOWN)
            raise UserError("\n".join(f"{file}: {problem}" for problem in problems[:SHOWN] + more))
        self.splits = tuple(sorted({split for _, _, split in rows}))
        self._files = {split: [] for split in self.splits}
        for (image, _, split), label in zip(rows, labels, strict=True):
            self._files[split].append(ImageFile(base / image, label))


def _labels(
    given: Sequence[str], class_names: Sequence[str] | None, column: str, problems: list[str]
) -> tuple[list[int], tuple[str, ...]]:
    """Return each row's label and the class names; append a message to `problems` for each value that is no class."""
    found = sorted(set(given) - {""})
    if class_names is None:
        numbers = [label for label in found if label.lstrip("-").isdecimal()]
        if numbers:
            problems.append(f"column '{column}': label '{numbers[0]}' is a number; give class_names in label order")
        index = {label: number for number, label in enumerate(found)}
        names = tuple(label.replace("_", " ") for label in found)
    else:
        names = tuple(str(name) for name in class_names)
        index = {str(number): number for number in range(len(names))} | {name: n for n, name in enumerate(names)}
        problems.extend(
            unknown_name(f"row {given.index(label) + 1}: {column}", label, names).replace(
                " Available:", f" Allowed: 0 to {len(names) - 1}, or a name:"
            )
            for label in found
            if label not in index
        )
    return [index.get(label, -1) for label in given], names


def _rows(path: Path, columns: Sequence[str]) -> list[tuple[str, str, str]]:
    """Read the three columns as text.

    Raises:
        UserError: If the file is missing or of another kind, or lacks columns.
    """
    if path.suffix not in (".csv", ".parquet"):
        raise UserError(f"dataset.path: given '{path}'; a manifest is a .csv or .parquet file.")
    try:
        header, records = _read_csv(path) if path.suffix == ".csv" else _read_parquet(path)
    except FileNotFoundError as error:
        raise UserError(f"dataset.path: no file '{path}'.") from error
    except (OSError, ValueError, csv.Error) as error:  # pyarrow's errors and UnicodeDecodeError are ValueErrors
        raise UserError(f"{path}: cannot be read ({error}).") from error
    missing = [unknown_name(f"{path}: column", column, header) for column in columns if column not in header]
    if missing:
        raise UserError("\n".join(missing) + " Name other columns with path_column, label_column and split_column.")
    places = [header.index(column) for column in columns]
    return [tuple("" if row[place] is None else str(row[place]).strip() for place in places) for row in records]  # type: ignore[misc]


def _read_csv(path: Path) -> tuple[list[str], list[list[Any]]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        header, *rows = list(csv.reader(file, strict=True)) or [[]]
    uneven = [number for number, row in enumerate(rows, start=1) if row and len(row) != len(header)]
    if uneven:
        raise ValueError(f"row {uneven[0]} has another number of fields than the header's {len(header)}")
    return header, [row for row in rows if row]


def _read_parquet(path: Path) -> tuple[list[str], list[list[Any]]]:
    from pyarrow import parquet  # type: ignore[import-untyped]

    table = parquet.read_table(path)
    columns = [column.to_pylist() for column in table.columns]
    return list(table.column_names), [list(row) for row in zip(*columns, strict=True)]
