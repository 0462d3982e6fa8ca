"""The 22 datasets of GenBench, Table 4: group, metric, classes and sizes, with the table's errors corrected.

Source: GenBench's Table 4 ("Dataset details, grouped by concepts"). The paper claims 2,548 categories, and its table
sums to 2,542: FER-2013 has 7 classes, not 2, and Caltech-101 has 102 with the background, not 101. What the table
prints stands beside what is right.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from reward.files import read_json
from reward.records import Record

Group = Literal["common", "fine-grained", "rare"]
Metric = Literal["accuracy", "mean per class", "11-point mAP", "ROC AUC"]

GROUPS: tuple[Group, ...] = get_args(Group)
FILE = Path(__file__).parent / "genbench.json"


@dataclass(frozen=True)
class BenchmarkDataset(Record):
    """A row of the table.

    Attributes:
        dataset: Its row of `ex2.data.datasets.base.DATASETS`.
        title: Its name as the paper prints it.
        group: The paper's group of concepts.
        metric: What the benchmark reports: accuracy, the mean over classes of accuracy within each, the mean over
            classes of average precision at 11 recalls, or the area under the ROC curve.
        classes: Number of classes.
        printed_classes: The same as the paper prints it.
        train_split: The reader's split that original images are taken from.
        train: Images in it.
        test_split: The reader's split that is tested on.
        test: Images in it.
        printed_test: The same as the paper prints it.
        split: Whose split it is, or how it is drawn.
        terms: Licence or terms of use, as far as they are known; they are the user's to check.
        source: The dataset's paper.
        note: What else must be known; empty if nothing.
    """

    dataset: str
    title: str
    group: Group
    metric: Metric
    classes: int
    printed_classes: int
    train_split: str
    train: int
    test_split: str
    test: int
    printed_test: int
    split: str
    terms: str
    source: str
    note: str = ""


@dataclass(frozen=True)
class Totals:
    """Sums over datasets.

    Attributes:
        datasets: Number of datasets.
        classes: Their classes.
        printed_classes: The same as the paper prints them.
        printed_test: Their test images as the paper prints them.
    """

    datasets: int
    classes: int
    printed_classes: int
    printed_test: int


def read_benchmark(file: Path = FILE) -> tuple[BenchmarkDataset, ...]:
    """Read the rows, in the order of the paper's table."""
    return tuple(BenchmarkDataset.from_json(row) for row in read_json(file))


def benchmark_of(dataset: str) -> BenchmarkDataset | None:
    """Return the row of a dataset by its name in `DATASETS`, or None if it is no part of the benchmark."""
    return next((row for row in read_benchmark() if row.dataset == dataset), None)


def totals(rows: Iterable[BenchmarkDataset]) -> Totals:
    """Return the sums that the paper prints under each group and claims in its text."""
    kept = [*rows]
    return Totals(
        len(kept),
        sum(row.classes for row in kept),
        sum(row.printed_classes for row in kept),
        sum(row.printed_test for row in kept),
    )


COLUMNS = ("dataset", "group", "name in a recipe", "classes", "train", "test", "metric", "split", "terms", "source")


def markdown(rows: Sequence[BenchmarkDataset]) -> str:
    """Return the table of docs/datasets.md, with the notes below it."""
    lines = [_line(COLUMNS), _line(["---"] * len(COLUMNS))]
    notes: list[str] = []
    for row in rows:
        mark = ""
        if row.note:
            notes.append(row.note)
            mark = f" ({len(notes)})"
        lines.append(
            _line(
                [
                    row.title + mark,
                    row.group,
                    f"`{row.dataset}`",
                    f"{row.classes:,}",
                    f"{row.train:,} `{row.train_split}`",
                    f"{row.test:,} `{row.test_split}`",
                    row.metric,
                    row.split,
                    row.terms,
                    row.source,
                ]
            )
        )
    found = totals(rows)
    lines.append(_line([f"{found.datasets} datasets", "", "", f"{found.classes:,}", *[""] * 6]))
    listed = [f"{number}. {note[0].upper()}{note[1:]}." for number, note in enumerate(notes, start=1)]
    return "\n".join([*lines, "", *listed]) + "\n"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    print(markdown(read_benchmark()), end="")
