"""The grids of VLM × dataset: accuracy (Table 1), shares (Tables 2 and 4), accuracy by kind (3 and 5), counts (13).

As in the paper, a cell of the breakdown stays empty where EX2's descriptions are not more accurate than the templates:
what does not help classification does not tell what the VLM's picture of a class rests on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from analysis.breakdown import Group
from analysis.tables.experiment import EPSILON, Experiment, by_row, datasets_of, improves
from analysis.tables.table import Cell, Row, Table, count_cell, of_experiment, percent_cell, points_cell
from analysis.wording import ARM_NAMES

CellOf = Callable[[Experiment], Cell]

NOT_ABOVE = "EX2 not above the templates"


@dataclass(frozen=True)
class Rules:
    """Thresholds behind tables and verdict sentences.

    Attributes:
        considerable: Points above the templates from which a gain is considerable.
        margin: Points above the templates beyond which a gain is by a considerable margin.
        solely: Percent of the other kind below which a kind is almost solely responsible.
        kl_tolerance: Percent that the KL reached may be off its target.
        every_cell: Fill the breakdown also where EX2 is not above the templates.
    """

    considerable: float = 0.5
    margin: float = 1.0
    solely: float = 25.0
    kl_tolerance: float = 20.0
    every_cell: bool = False

    @property
    def gate(self) -> str:
        """The rule for empty cells, as a note."""
        if self.every_cell:
            return "Filled whether or not EX2's descriptions are more accurate than the templates."
        return "Empty where EX2's descriptions are not more accurate than the templates."

    @property
    def kl(self) -> str:
        """The rule for the mark at a cell, as a note."""
        return f"A dagger marks experiments whose KL is more than {self.kl_tolerance:g} % off its target."


def grid_tables(experiments: Sequence[Experiment], rules: Rules) -> list[Table]:
    """Lay out the grids.

    Args:
        experiments: In the order in which VLMs and datasets shall appear.
        rules: Thresholds.

    Returns:
        Tables 1, 2, 3, 4, 5 and 13 of the paper, with intervals and tests where the experiments have them.
    """
    denominator = _denominators(experiments)
    tests = (
        "Accuracies of one seed have Wilson intervals; differences a bootstrap interval over images and McNemar's "
        "exact test. Over several seeds intervals are Student's t. Tests are not corrected for their number."
    )
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
            tests,
            *_kl_reached(experiments),
        ),
        _grid(
            "table-02-informative",
            f"Informative descriptions, % of {denominator}",
            experiments,
            rules,
            {"": _gated(lambda e: _informative(e, rules), rules)},
            rules.gate,
        ),
        _grid(
            "table-03-accuracy-by-information",
            "Accuracy with spurious or informative descriptions alone, %",
            experiments,
            rules,
            _arms(("spurious", "informative"), rules),
            rules.gate,
            tests,
        ),
        _grid(
            "table-04-visual",
            f"Visual descriptions, % of informative ones ({denominator})",
            experiments,
            rules,
            {"": _gated(lambda e: _visual(e, rules), rules)},
            rules.gate,
        ),
        _grid(
            "table-05-accuracy-by-visibility",
            "Accuracy with visual or non-visual descriptions alone, %",
            experiments,
            rules,
            _arms(("visual", "non_visual"), rules),
            rules.gate,
            tests,
        ),
        _grid(
            "table-13-counts",
            "Descriptions by kind",
            experiments,
            rules,
            {
                "all": _count("all"),
                "spurious": _count("spurious"),
                "informative": _count("informative"),
                "lost: not spurious, not informative": _count("lost_information"),
                "non-visual": _count("non_visual"),
                "visual": _count("visual"),
                "lost: informative, not visual, not non-visual": _count("lost_visibility"),
            },
            "Lost: the judge's answer could not be read. Over several seeds the counts are sums. "
            + _lost(experiments, "lost_information", "informative")
            + _lost(experiments, "lost_visibility", "visual"),
        ),
    ]


def gated_share(experiment: Experiment, group: Group, rules: Rules) -> Cell:
    """Return a share's cell, empty by the rule for the breakdown."""
    return _gated(lambda e: percent_cell(e.share(group), "not known"), rules)(experiment)


def _grid(
    key: str, title: str, experiments: Sequence[Experiment], rules: Rules, cells: dict[str, CellOf], *notes: str
) -> Table:
    """Make a row for each VLM and each entry of `cells`, a column for each dataset."""
    datasets = datasets_of(experiments)
    rows = []
    for label, placed in by_row(experiments).items():
        for name, cell_of in cells.items():
            made = [
                of_experiment(cell_of(placed[dataset]), placed[dataset], rules.kl_tolerance / 100)
                if dataset in placed
                else Cell(empty="no run")
                for dataset in datasets
            ]
            rows.append(Row((label, name) if len(cells) > 1 else (label,), tuple(made)))
    levels = ("VLM", "descriptions") if len(cells) > 1 else ("VLM",)
    return Table(key, title, levels, datasets, tuple(rows), (*notes, rules.kl))


def _kl_reached(experiments: Sequence[Experiment]) -> list[str]:
    """Return the KL of every experiment that has one, as a note: a printed grid has no room for it in the cells."""
    reached = [
        f"{label}, {dataset}: {e.kl.value:.1f} ({f'target {e.kl_target:g}' if e.kl_target else 'no target'})"
        for label, placed in by_row(experiments).items()
        for dataset, e in placed.items()
        if e.kl
    ]
    return [f"KL reached, nats per description: {'; '.join(reached)}."] if reached else []


def _gated(cell_of: CellOf, rules: Rules) -> CellOf:
    def cell(experiment: Experiment) -> Cell:
        if rules.every_cell or improves(experiment):
            return cell_of(experiment)
        return Cell(empty="not measured" if improves(experiment) is None else NOT_ABOVE)

    return cell


def _accuracy(arm: str) -> CellOf:
    return lambda experiment: percent_cell(experiment.accuracies.get(arm))


def _difference(arm: str, against: str) -> CellOf:
    return lambda experiment: points_cell(experiment.difference(arm, against))


def _count(name: str) -> CellOf:
    return lambda experiment: count_cell(experiment.total(name), "not known")


def _arms(groups: tuple[Group, Group], rules: Rules) -> dict[str, CellOf]:
    cells: dict[str, CellOf] = {ARM_NAMES["templates"]: _gated(_accuracy("templates"), rules)}
    for group in groups:
        cells[ARM_NAMES[group]] = _gated(_accuracy(group), rules)
        cells[f"{ARM_NAMES[group]} − templates"] = _gated(_difference(group, "templates"), rules)
    first, second = groups
    cells[f"{ARM_NAMES[second]} − {ARM_NAMES[first]}"] = _gated(_difference(second, first), rules)
    return cells


def _informative(experiment: Experiment, rules: Rules) -> Cell:
    share = experiment.share("informative")
    cell = percent_cell(share, "not known")
    if share and 100 * share.value < rules.solely:
        return replace(cell, notes=(*cell.notes, f"under {rules.solely:g} % informative"))
    return cell


def _visual(experiment: Experiment, rules: Rules) -> Cell:
    """Note what makes a visual share say little: few informative descriptions, or ones that do not help."""
    cell = percent_cell(experiment.share("visual"), "not known")
    return replace(cell, notes=(*cell.notes, *weak_information(experiment, rules)))


def weak_information(experiment: Experiment, rules: Rules) -> tuple[str, ...]:
    """Return why the informative descriptions tell little about the gain; nothing if they tell much."""
    share, gain = experiment.share("informative"), experiment.difference("informative", "templates")
    notes = []
    if share and 100 * share.value < rules.solely:
        notes.append(f"under {rules.solely:g} % informative")
    if gain and gain.value <= EPSILON:
        notes.append("informative descriptions alone not above the templates")
    return tuple(notes)


def _denominators(experiments: Sequence[Experiment]) -> str:
    kinds = {experiment.denominator for experiment in experiments}
    words = {"all": "all descriptions, unparsed ones included", "parsed": "descriptions with readable verdicts"}
    return " or of ".join(words[kind] for kind in sorted(kinds)) if kinds else "descriptions"


def _lost(experiments: Sequence[Experiment], name: str, question: str) -> str:
    lost = [value for experiment in experiments if (value := experiment.total(name)) is not None]
    return f"Answers lost to the question whether {question}: {sum(lost)} in {len(lost)} experiments. "
