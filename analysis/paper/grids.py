"""The grids of VLM × dataset: accuracy (Table 1), shares (2 and 4), accuracy by kind (3 and 5), counts (13).

As in the paper, a cell of the breakdown stays empty where EX2's descriptions are not more accurate than the templates:
descriptions that do not help classification do not show what the VLM recognizes a class by.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from analysis.results.experiment import Experiment, by_row, datasets_of, improves
from analysis.results.wording import ARM_NAMES, kind_words
from analysis.tables.rules import (
    FALLBACK,
    NOT_ABOVE,
    TESTS,
    Rules,
    by_template,
    common_notes,
    denominators,
    lost_answers,
    shown,
    unknown,
    weak_information,
)
from analysis.tables.table import Cell, Row, Table, count_cell, percent_cell, points_cell, with_kl
from analysis.verdicts.breakdown import Group

CellOf = Callable[[Experiment], Cell]


def grid_tables(experiments: Sequence[Experiment], rules: Rules) -> list[Table]:
    """Lay out the grids.

    Args:
        experiments: Experiments, in the order in which VLMs and datasets are to appear.
        rules: Thresholds of the rules.

    Returns:
        Tables 1, 2, 3, 4, 5 and 13 of the paper, with intervals and tests where the experiments have them; none without
        an experiment, as where there are measurements of image sets alone.
    """
    if not experiments:
        return []
    denominator = denominators(experiments)
    lost = lost_answers([experiment for experiment in experiments if shown(experiment, rules)])
    accuracy: dict[str, CellOf] = {
        ARM_NAMES["templates"]: _accuracy("templates"),
        ARM_NAMES["aligned"]: _accuracy("aligned"),
        "EX2 − templates": _difference("aligned", "templates"),
    }
    return [
        _grid(
            "table-01-accuracy",
            "Accuracy of 80 generic templates and of EX2's descriptions, %",
            experiments,
            rules,
            accuracy,
            TESTS,
        ),
        _grid(
            "table-02-informative",
            f"{kind_words('informative').capitalize()}, % of {denominator}",
            experiments,
            rules,
            {"": _gated(lambda e: _informative(e, rules), rules)},
            rules.gate,
            lost,
        ),
        _grid(
            "table-03-accuracy-by-information",
            f"Accuracy with spurious or {kind_words('informative')} alone, %",
            experiments,
            rules,
            _arms(("spurious", "informative"), rules),
            rules.gate,
            FALLBACK,
            lost,
            TESTS,
        ),
        _grid(
            "table-04-visual",
            f"{kind_words('visual').capitalize()}, % of informative descriptions ({denominator})",
            experiments,
            rules,
            {"": _gated(lambda e: _visual(e, rules), rules)},
            rules.gate,
            lost,
        ),
        _grid(
            "table-05-accuracy-by-visibility",
            f"Accuracy with visual or {kind_words('non_visual')} alone, %",
            experiments,
            rules,
            _arms(("visual", "non_visual"), rules),
            rules.gate,
            FALLBACK,
            lost,
            TESTS,
        ),
        _grid(
            "table-13-counts",
            "Descriptions by kind",
            experiments,
            rules,
            {"all": _count("all"), **{name: _gated(_count(key), rules) for name, key in PARTS.items()}},
            rules.gate,
            f"Lost: the judge's answer could not be read. Over several seeds the counts are sums. {lost}",
        ),
    ]


PARTS = {
    "spurious": "spurious",
    "informative": "informative",
    "lost: not spurious, not informative": "lost_information",
    "non-visual": "non_visual",
    "visual": "visual",
    "lost: informative, not visual, not non-visual": "lost_visibility",
}
"""Rows of Table 13 below `all`: name → the count that fills the row."""


def _grid(
    key: str, title: str, experiments: Sequence[Experiment], rules: Rules, cells: dict[str, CellOf], *notes: str
) -> Table:
    """Make a table with a row for each VLM and each entry of `cells`, and a column for each dataset."""
    datasets = datasets_of(experiments)
    rows = []
    for label, placed in by_row(experiments).items():
        for name, cell_of in cells.items():
            made = [
                with_kl(cell_of(placed[dataset]), placed[dataset].kl, rules.tolerance)
                if dataset in placed
                else Cell(empty="no run")
                for dataset in datasets
            ]
            rows.append(Row((label, name) if len(cells) > 1 else (label,), tuple(made)))
    levels = ("VLM", "descriptions") if len(cells) > 1 else ("VLM",)
    return Table(key, title, levels, datasets, tuple(rows), (*notes, *common_notes(experiments, rules)))


def _gated(cell_of: CellOf, rules: Rules) -> CellOf:
    def cell(experiment: Experiment) -> Cell:
        if shown(experiment, rules):
            return cell_of(experiment)
        return Cell(empty="not measured" if improves(experiment) is None else NOT_ABOVE)

    return cell


def _accuracy(arm: str) -> CellOf:
    return lambda experiment: percent_cell(experiment.accuracy(arm), _absent(experiment, arm))


def _difference(arm: str, against: str) -> CellOf:
    return lambda e: points_cell(e.difference(arm, against), _absent(e, arm, against))


def _absent(experiment: Experiment, *arms: str) -> str:
    return "not measured" if all(experiment.has_texts(arm) for arm in arms) else "no such descriptions"


def _count(name: str) -> CellOf:
    return lambda experiment: count_cell(experiment.total(name), unknown(experiment), n=experiment.total("all") or 0)


def _arms(groups: tuple[Group, Group], rules: Rules) -> dict[str, CellOf]:
    cells: dict[str, CellOf] = {ARM_NAMES["templates"]: _gated(_accuracy("templates"), rules)}
    for group in groups:
        cells[ARM_NAMES[group]] = _gated(_partly(_accuracy(group), group), rules)
        cells[f"{ARM_NAMES[group]} − templates"] = _gated(_partly(_difference(group, "templates"), group), rules)
    first, second = groups
    change = _partly(_difference(second, first), second, first)
    cells[f"{ARM_NAMES[second]} − {ARM_NAMES[first]}"] = _gated(change, rules)
    return cells


def _partly(cell_of: CellOf, *groups: Group) -> CellOf:
    """Add a note to cells where the plain template stands for classes without a text of a kind."""

    def cell(experiment: Experiment) -> Cell:
        made = cell_of(experiment)
        return made if made.empty else replace(made, notes=(*made.notes, *by_template(experiment, *groups)))

    return cell


def _informative(experiment: Experiment, rules: Rules) -> Cell:
    share = experiment.share("informative")
    cell = percent_cell(share, unknown(experiment))
    if share and 100 * share.value < rules.solely:
        return replace(cell, notes=(*cell.notes, f"under {rules.solely:g} % informative"))
    return cell


def _visual(experiment: Experiment, rules: Rules) -> Cell:
    """Make the cell of a visual share, with notes if it says little: few informative descriptions, or useless ones."""
    cell = percent_cell(experiment.share("visual"), unknown(experiment))
    return replace(cell, notes=(*cell.notes, *weak_information(experiment, rules)))
