"""Sentences over many experiments, computed by stated rules: how often is which kind of description behind the gain?

Every count is given twice: of the plain numbers, as in the paper, and of those whose interval lies wholly on the
rule's side. An experiment without the interval cannot be in the second count; how many those are is said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from analysis.breakdown import Group
from analysis.pooling import Difference, Pooled
from analysis.tables.experiment import EPSILON, Experiment, improves
from analysis.tables.grids import Rules, weak_information
from analysis.tables.table import Cell, Row, Table, count_cell, text_cell
from analysis.wording import KIND_NAMES


@dataclass(frozen=True)
class Verdict:
    """One sentence with what it counts.

    Attributes:
        key: Short name.
        text: The sentence.
        rule: How it is counted, thresholds included.
        count: Experiments that fulfil the rule.
        of: Experiments looked at.
        by_interval: Of them, those that fulfil it with the whole interval.
        without_interval: Experiments looked at whose interval is not known.
        members: Names of those that fulfil it.
    """

    key: str
    text: str
    rule: str
    count: int
    of: int
    by_interval: int
    without_interval: int
    members: tuple[str, ...]


class _Finding(NamedTuple):
    """Whether an experiment fulfils a rule, by its numbers, and by its intervals (`None`: it has none)."""

    holds: bool
    surely: bool | None


def verdicts(experiments: Sequence[Experiment], rules: Rules) -> list[Verdict]:
    """Judge a set of experiments.

    Args:
        experiments: Those without accuracies are left out.
        rules: Thresholds.

    Returns:
        The sentences for which there is something to count.
    """
    measured = [experiment for experiment in experiments if improves(experiment) is not None]
    if not measured:
        return []
    better = [experiment for experiment in measured if improves(experiment)]
    known = [experiment for experiment in better if experiment.share("informative")]
    split = [e for e in known if e.share("visual") and not weak_information(e, rules)]
    made = [
        _count(
            "improvement",
            "In {count} of {of} experiments EX2's descriptions are more accurate than the templates.",
            "accuracy of EX2 above that of the templates",
            [(e, _gain(e, "aligned", EPSILON)) for e in measured],
        ),
        _count(
            "improvement-margin",
            "In {count} of {of} experiments EX2's descriptions beat the templates by a considerable margin.",
            f"accuracy of EX2 more than {rules.margin:g} point{'' if rules.margin == 1 else 's'} above the templates",
            [(e, _gain(e, "aligned", rules.margin / 100 + EPSILON)) for e in measured],
        ),
    ]
    where = "of the experiments that EX2 improves"
    for kind, other, base, scope in (
        ("spurious", "informative", known, where),
        ("informative", "spurious", known, where),
        ("non_visual", "visual", split, f"{where} and whose informative descriptions matter"),
        ("visual", "non_visual", split, f"{where} and whose informative descriptions matter"),
    ):
        made += _responsible(kind, other, base, scope, rules)  # type: ignore[arg-type]
    return [verdict for verdict in made if verdict.of]


def _responsible(kind: Group, other: Group, base: Sequence[Experiment], scope: str, rules: Rules) -> list[Verdict]:
    name = KIND_NAMES[kind]
    among = " of the informative descriptions" if kind in ("visual", "non_visual") else " of the descriptions"
    solely = f"{KIND_NAMES[other]} share{among} under {rules.solely:g} %"
    points = "point" if rules.considerable == 1 else "points"
    considerable = f"{name} descriptions alone at least {rules.considerable:g} {points} above the templates"
    alone = [(e, _below(e.share(other), rules.solely / 100)) for e in base]
    helps = [(e, _gain(e, kind, rules.considerable / 100 - EPSILON)) for e in base]
    strong = [(e, _gain(e, kind, rules.margin / 100 + EPSILON)) for e in base]
    either = [(e, _or(one, two)) for (e, one), (_, two) in zip(alone, helps, strict=True)]
    return [
        _count(
            f"{kind}-responsible",
            f"In {{count}} of {{of}} experiments {name} descriptions are almost solely responsible for the gain or "
            "contribute considerably to it.",
            f"{scope}: {solely}, or {considerable}",
            either,
        ),
        _count(
            f"{kind}-solely",
            f"In {{count}} of {{of}} experiments {name} descriptions are almost solely responsible for the gain.",
            f"{scope}: {solely}",
            alone,
        ),
        _count(
            f"{kind}-margin",
            f"In {{count}} of {{of}} experiments {name} descriptions alone beat the templates by a considerable "
            "margin.",
            f"{scope} and where it was measured: {name} descriptions alone more than {rules.margin:g} "
            f"{'point' if rules.margin == 1 else 'points'} above the templates",
            strong,
        ),
    ]


def _count(key: str, text: str, rule: str, found: Sequence[tuple[Experiment, _Finding | None]]) -> Verdict:
    looked = [(experiment, finding) for experiment, finding in found if finding]
    members = tuple(experiment.name for experiment, finding in looked if finding.holds)
    surely = sum(finding.surely is True for _, finding in looked)
    unknown = sum(finding.surely is None for _, finding in looked)
    said = text.format(count=len(members), of=len(looked))
    return Verdict(key, said, rule, len(members), len(looked), surely, unknown, members)


def _gain(experiment: Experiment, arm: str, threshold: float) -> _Finding | None:
    """Compare an arm's gain over the templates with a threshold, which it must exceed."""
    change: Difference | None = experiment.difference(arm, "templates")
    if change is None:
        return None
    return _Finding(change.value > threshold, None if change.low is None else change.low > threshold)


def _below(share: Pooled | None, threshold: float) -> _Finding | None:
    if share is None:
        return None
    return _Finding(share.value < threshold, None if share.high is None else share.high < threshold)


def _or(first: _Finding | None, second: _Finding | None) -> _Finding | None:
    """Say whether one of two rules holds; an unknown one counts only if the other does not settle it."""
    if first is None or second is None:
        known = first or second
        return known if known and known.holds else None
    surely = True if first.surely or second.surely else None if None in (first.surely, second.surely) else False
    return _Finding(first.holds or second.holds, surely)


def interval_note(verdict: Verdict) -> str:
    """Return the count by interval in words."""
    if verdict.without_interval == verdict.of:
        return "no intervals to count by"
    note = f"by interval in {verdict.by_interval}"
    return note + (f"; {verdict.without_interval} without an interval" if verdict.without_interval else "")


def verdict_table(found: Sequence[Verdict]) -> Table:
    """Lay the sentences out as a table, so that they are written in every format."""
    rows = []
    for verdict in found:
        by_interval = count_cell(verdict.by_interval)
        if verdict.without_interval == verdict.of:
            by_interval = Cell(empty="no intervals")
        cells = (
            text_cell(verdict.text),
            count_cell(verdict.count),
            count_cell(verdict.of),
            by_interval,
            count_cell(verdict.without_interval),
            text_cell(verdict.rule),
            text_cell("; ".join(verdict.members)),
        )
        rows.append(Row((verdict.key,), cells))
    columns = ("sentence", "count", "of", "by interval", "without interval", "rule", "experiments")
    return Table("verdicts", "Verdicts over all experiments", ("verdict",), columns, tuple(rows))
