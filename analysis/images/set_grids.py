"""Grids over several measurements: generators and strategies by dataset, as GenBench's Table 2 has them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from analysis.images.grids import Grid, PairedRows, Row, best_counts, compare_rows, oracle_mean, row_means
from analysis.images.record import Measures, Quantity, SetMeasures
from analysis.images.retrieval import FEWEST_DATASETS, PAPER_RULE, of_paper_rule, spearman
from analysis.images.wording import NAMES, forms
from analysis.results.wording import p_digits
from analysis.tables import table as cells
from analysis.tables.table import Cell, Table, count_cell, text_cell
from reward.errors import UserError
from reward.numerals import decimal

SHOWN: tuple[Quantity, ...] = ("cler", "ensemble", "probe")
"""Quantities that have a grid of their own; the texts stand in the first row of each."""
RANKED: tuple[Quantity, ...] = (
    "cler", "ensemble", "gain", "clip_score", "frechet", "kid", "precision_at_5", "recall_at_5",
)  # fmt: skip
"""Quantities that are ranked with the probe over datasets."""
TEXTS = Row("", "texts alone")


def grid_tables(found: Sequence[Measures]) -> list[Table]:
    """Lay out grids over datasets, and the rows of CLER's compared in pairs; none for a single dataset."""
    columns = column_names(found)
    if len(columns) < 2:
        return []
    notes = tuple(f"{column}: {forms(one)}" for column, one in zip(columns, found, strict=True))
    made = []
    for quantity in SHOWN:
        grid = grid_of(found, quantity)
        if not grid.rows:
            continue
        texts = tuple(100 * one.text.value for one in found)
        key = f"images-grid-{quantity}"
        made.append(grid_table(grid, key, f"{NAMES[quantity]} by generator, strategy and dataset, %", texts, notes))
        if quantity == "cler" and len(grid.rows) > 1 and grid.complete():
            made.append(pairs_table(grid, f"{key}-pairs", notes))
    return made


def rank_table(found: Sequence[Measures]) -> Table | None:
    """Lay out how each measure of a row of the grids goes with the linear probe over datasets (Figures 4, 9 and 10).

    Returns:
        The table, over all datasets and over those that the paper's rule keeps; None if no row was probed on
        `FEWEST_DATASETS` datasets, or several measurements are of one dataset.
    """
    if len({one.dataset for one in found}) < max(len(found), FEWEST_DATASETS):
        return None
    columns = column_names(found)
    classes = {column: len(one.classes) for column, one in zip(columns, found, strict=True)}
    probes = {row: dict(zip(columns, values, strict=True)) for row, values in _lines(grid_of(found, "probe"))}
    lines = []
    for quantity in RANKED:
        for row, values in _lines(grid_of(found, quantity)):
            both = {
                column: (value, probe)
                for column, value in zip(columns, values, strict=True)
                if value is not None and (probe := probes.get(row, {}).get(column)) is not None
            }
            if len(both) >= FEWEST_DATASETS:
                kept = _by_paper_rule(both, classes)
                cells_of = (_rank(both), _rank(kept) if isinstance(kept, dict) else Cell(empty=kept))
                lines.append(cells.Row((row.generator, row.strategy, NAMES[quantity]), cells_of))
    if not lines:
        return None
    shots = sorted({one.per_class or max(each.per_class for each in one.sets) for one in found})
    return Table(
        "images-ranks",
        "What goes with the linear probe over datasets",
        ("generator", "strategy", "measure"),
        ("Spearman's ρ, all datasets", "Spearman's ρ, the paper's rule"),
        tuple(lines),
        (
            f"Here {', '.join(map(str, shots))} images of a class. {PAPER_RULE}.",
            "Intervals are over datasets: they ask for other datasets like these. n counts datasets.",
        ),
    )


def _lines(grid: Grid) -> list[tuple[Row, tuple[float | None, ...]]]:
    return list(zip(grid.rows, grid.values, strict=True))


def _by_paper_rule(
    both: Mapping[str, tuple[float, float]], classes: Mapping[str, int]
) -> dict[str, tuple[float, float]] | str:
    """Return the datasets that the paper's rule keeps, or why it keeps none."""
    names = list(both)
    try:
        return {names[place]: both[names[place]] for place in of_paper_rule([classes[name] for name in names])}
    except UserError as error:
        return str(error).rpartition("; ")[0].partition(": ")[2].partition(": ")[2]


def _rank(both: Mapping[str, tuple[float, float]]) -> Cell:
    try:
        rho = spearman([first for first, _ in both.values()], [second for _, second in both.values()])
    except UserError:
        return Cell(empty="the same on all")
    return Cell("number", rho.value, rho.low, rho.high, rho.n)


def column_names(found: Sequence[Measures]) -> tuple[str, ...]:
    """Return a name for each measurement: its dataset, with the VLM and then the run where these are needed."""
    for names in (
        tuple(one.dataset for one in found),
        tuple(f"{one.dataset} ({one.vlm})" for one in found),
        tuple(f"{one.dataset} ({one.vlm}, {one.name})" for one in found),
    ):
        if len(set(names)) == len(names):
            return names
    return tuple(f"{one.dataset} ({one.vlm}, {one.name}, {at})" for at, one in enumerate(found, start=1))


def grid_of(found: Sequence[Measures], quantity: Quantity) -> Grid:
    """Return one quantity of all sets, %, by generator with strategy and by dataset.

    Sets of one measurement that share generator and strategy are told apart by their names.
    """
    values: dict[Row, dict[str, float]] = {}
    columns = column_names(found)
    for column, measures in zip(columns, found, strict=True):
        for row, one in _rows(measures):
            number = one.number(quantity)
            if number is not None:
                values.setdefault(row, {})[column] = 100 * number.value
    lines = tuple(tuple(line.get(column) for column in columns) for line in values.values())
    return Grid(tuple(values), columns, lines)


def _rows(measures: Measures) -> list[tuple[Row, SetMeasures]]:
    made = Counter((one.generator, one.strategy) for one in measures.sets)
    return [
        (
            Row(one.generator, one.strategy)
            if made[one.generator, one.strategy] == 1
            else Row(one.generator, f"{one.strategy} ({one.name})".strip()),
            one,
        )
        for one in measures.sets
    ]


def grid_table(
    grid: Grid, key: str, title: str, texts: Sequence[float] | None = None, notes: Sequence[str] = ()
) -> Table:
    """Lay out a grid with the mean of each row and how often the row is best.

    Args:
        grid: Values in percent.
        key: Of the table.
        title: Of the table.
        texts: Values of the texts alone by column, for a first row; None without one.
        notes: Sentences below the table.
    """
    whole = grid.complete()
    means = {one.row: one.value for one in row_means(grid)} if whole else {}
    best = {one.row: one for one in best_counts(grid)} if whole else {}
    rows = []
    if texts is not None:
        own = [value for name, value in zip(grid.columns, texts, strict=True) if name in whole]
        mean = _value(sum(own) / len(own) if own else None)
        line = (*(_value(value) for value in texts), mean, Cell(empty=cells.NOTHING))
        rows.append(cells.Row((TEXTS.generator, TEXTS.strategy), line))
    for row, values in zip(grid.rows, grid.values, strict=True):
        count = best.get(row)
        cell = Cell(empty="no dataset has all")
        if count is not None:
            cell = count_cell(count.alone, n=len(whole))
            if count.shared:
                cell = text_cell(f"{count.alone}, and {count.shared} shared")
        line = (*(_value(value) for value in values), _value(means.get(row)), cell)
        rows.append(cells.Row((row.generator, row.strategy), line))
    said = [f"Mean and best: over the {len(whole)} of {len(grid.columns)} datasets in which every row has a value."]
    if whole:
        bound = decimal(oracle_mean(grid), 2)
        said.append(
            f"Choosing the best row of each would give {bound} %: a bound and no result, since of rows that differ by "
            "chance the best is above them all."
        )
    columns = (*grid.columns, "mean", "best alone")
    return Table(key, title, ("generator", "strategy"), columns, tuple(rows), (*said, *notes))


def pairs_table(grid: Grid, key: str, notes: Sequence[str] = ()) -> Table:
    """Compare the rows of a grid in pairs over datasets."""
    said = (
        "Datasets are what is drawn from: the tests ask whether a row is better on datasets like these. p: Wilcoxon's "
        "signed-rank test, exact; corrected by Holm's method over all pairs.",
        *notes,
    )
    columns = ("mean difference", "better", "worse", "equal", "p, Wilcoxon", "p, Holm")
    rows = tuple(cells.Row((str(one.first), str(one.second)), _pair(one)) for one in compare_rows(grid))
    return Table(key, "CLER of generators and strategies compared over datasets", ("row", "minus"), columns, rows, said)


def _pair(one: PairedRows) -> tuple[Cell, ...]:
    number = one.difference
    return (
        Cell("points", number.value, number.low, number.high, number.n, significant=one.p_holm < 0.05),
        count_cell(one.better),
        count_cell(one.worse),
        count_cell(one.equal),
        text_cell(p_digits(one.p_wilcoxon)),
        text_cell(p_digits(one.p_holm)),
    )


def _value(value: float | None) -> Cell:
    return Cell(empty="not measured") if value is None else Cell("percent", value)
