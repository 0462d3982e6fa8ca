"""The numbers of GenBench's tables (arXiv 2307.13697), in the form in which a user's own tables are held.

Two things are ours: data sets have one name in all tables, and Table 4 also has the corrected numbers of categories.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from analysis.images.grids import Grid
from reward.files import read_json
from reward.records import Record

Group = Literal["Common", "Fine-grained", "Rare"]
Metric = Literal["Accuracy", "Mean Per Class", "11-point mAP", "ROC AUC"]


@dataclass(frozen=True)
class PrintedGrid(Record):
    """A table of scores as printed.

    Attributes:
        what: What the numbers are.
        images: Images of each class behind a score.
        grid: The scores, %.
        means: The means that are printed beside the rows, %.
    """

    what: str
    images: int
    grid: Grid
    means: tuple[float, ...]


@dataclass(frozen=True)
class PrintedDataset(Record):
    """A row of Table 4.

    Attributes:
        group: How common its concepts are.
        dataset: Name.
        categories: Number of classes as printed.
        corrected: Number of classes that the data set has.
        validation: Number of test images.
        metric: What its scores are.
        task: `Multi-Class` or `Multi-Label`.
    """

    group: Group
    dataset: str
    categories: int
    corrected: int
    validation: int
    metric: Metric
    task: str


@dataclass(frozen=True)
class Totals(Record):
    """The sums of a group that Table 4 prints."""

    categories: int
    validation: int
    datasets: int


@dataclass(frozen=True)
class PrintedDatasets(Record):
    """Table 4, with the number of categories that the text claims."""

    rows: tuple[PrintedDataset, ...]
    totals: Mapping[Group, Totals]
    claimed: int

    def sums(self, *, corrected: bool = False) -> dict[Group, Totals]:
        """Return the sums of each group, with the corrected numbers of categories if asked for."""
        made: dict[Group, Totals] = {}
        for row in self.rows:
            before = made.get(row.group, Totals(0, 0, 0))
            made[row.group] = Totals(
                before.categories + (row.corrected if corrected else row.categories),
                before.validation + row.validation,
                before.datasets + 1,
            )
        return made


@dataclass(frozen=True)
class PrintedCost(Record):
    """A row of Table 5.

    Attributes:
        data: Where images come from.
        usd_per_hour: Price of the machine; None where people are paid by the image.
        hours_per_1000: Hours for 1,000 images.
        usd_per_image: The cost as printed.
    """

    data: str
    usd_per_hour: float | None
    hours_per_1000: float | None
    usd_per_image: float


@dataclass(frozen=True)
class PrintedCosts(Record):
    """Table 5, with what the text says of the cost of one group at so many images a class, in USD."""

    rows: tuple[PrintedCost, ...]
    shots: int
    group: Group
    generative_usd: float
    original_usd: float
    difference_usd: float


@dataclass(frozen=True)
class GenBench(Record):
    """The paper's numbers.

    Attributes:
        source: Where they are from.
        table2: CLER by generator and prompt strategy. In its rows as in the paper: ST, simple template; CE, category
            enhancement; DT, defined templates; NP, negative prompts; RD, restrictive descriptions.
        table3: CLER before and after textual inversion, at each number of images a class.
        table4: The data sets.
        table5: Costs.
    """

    source: str
    table2: PrintedGrid
    table3: tuple[PrintedGrid, ...]
    table4: PrintedDatasets
    table5: PrintedCosts


@cache
def genbench() -> GenBench:
    """Return the paper's numbers."""
    return GenBench.from_json(read_json(Path(__file__).with_name("published.json")))
