"""Figures as files: the grid of VLM × dataset, and each run's breakdown and accuracies. Each is a stand-alone SVG."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from analysis.figures import svg
from analysis.figures.accuracy import accuracy_figure, accuracy_rows
from analysis.figures.breakdown import breakdown_figure
from analysis.figures.files import captioned
from analysis.paper.comparisons import slug
from analysis.results.experiment import Experiment, by_row, datasets_of
from analysis.results.wording import (
    KIND_NAMES,
    NOT_SIGNIFICANT,
    brackets,
    brief_verdict,
    percent_value,
    points_value,
)
from analysis.tables.rules import NOT_ABOVE, Rules, denominators, kl_note, shown, unknown
from ex2.policy.source import POLICIES

LEGEND = {
    "visual": "visual",
    "non_visual": "non-visual",
    "informative": "informative, not split",
    "informative_unparsed": KIND_NAMES["informative_unparsed"],
    "spurious": "spurious",
    "unparsed": "unparsed",
}
"""Kinds in a bar, from left to right, with their names in the legend."""


def run_figures(experiments: Sequence[Experiment]) -> dict[str, Markup]:
    """Draw every run's breakdown and accuracies; lines below say what the shares are of, and the KL reached.

    Args:
        experiments: Experiments; those without a folder are not runs and are left out.

    Returns:
        File name without ending → drawing.
    """
    drawn: dict[str, Markup] = {}
    for experiment in experiments:
        if experiment.folder is None:
            continue
        stem = f"run-{slug(experiment.folder.name)}"
        reached = kl_note([experiment])
        for policy in reversed(POLICIES):
            pair = breakdown_figure(experiment, policy)
            if pair:
                said = [f"Shares are of {denominators([experiment])}.", *reached]
                drawn[f"{stem}-breakdown-{policy}"] = captioned(pair[0], said)
        drawn[f"{stem}-accuracy"] = captioned(accuracy_figure(accuracy_rows(experiment))[0], reached)
    return drawn


def grid_figure(experiments: Sequence[Experiment], rules: Rules) -> Markup:
    """Draw the grid: for each VLM and dataset a bar of kinds, with EX2's gain in accuracy above it.

    Args:
        experiments: At least one experiment.
        rules: Thresholds; a bar stays empty where EX2 is not more accurate than the templates, unless `every_cell` is
            set.
    """
    datasets, rows = datasets_of(experiments), by_row(experiments)
    left, top, wide, high = 12.0 + 8.2 * max(len(label) for label in rows), 64.0, 176.0, 90.0
    parts = [svg.spans(0, 18, [("What EX2's descriptions are made of, and points above the templates", "strong")])]
    parts += [
        svg.text(left + wide * column, top - 14, _cut(dataset, 22), "strong") for column, dataset in enumerate(datasets)
    ]
    said = []
    for index, (label, placed) in enumerate(rows.items()):
        y = top + high * index
        parts.append(svg.line((0, y), (left + wide * len(datasets), y), "grid"))
        parts.append(svg.text(0, y + 30, label, "strong"))
        for column, dataset in enumerate(datasets):
            x = left + wide * column
            experiment = placed.get(dataset)
            parts += _place(experiment, x, y, wide - 16, rules)
            if experiment:
                gain = " ".join(part for part in (_gain(experiment), _bounds(experiment)) if part)
                said.append(f"{label}, {dataset}: {gain}, {_shares(experiment)}")
    bottom = top + high * len(rows)
    parts.append(svg.line((0, bottom), (left + wide * len(datasets), bottom), "grid"))
    x = 0.0
    drawn = {kind for placed in rows.values() for e in placed.values() for kind in kinds_of(e)}
    for kind, name in LEGEND.items():
        if kind in drawn:
            parts.append(svg.rect(x, bottom + 16, 12, 12, f"fill-{kind}", radius=2))
            parts.append(svg.text(x + 18, bottom + 27, name, "small"))
            x += 40 + 7 * len(name)
    note = f"† KL more than {rules.kl_tolerance:g} % off its target in any seed"
    parts.append(
        svg.text(0, bottom + 52, f"n.s.: {NOT_SIGNIFICANT}; all between the brackets is possible.", "small soft")
    )
    parts.append(svg.text(0, bottom + 70, f"{note}.", "small soft"))
    width = max(left + wide * len(datasets), 560.0)
    return svg.document(
        width, bottom + 80, parts, title="VLM by dataset", description=". ".join(said) + ".", key="grid"
    )


def _place(experiment: Experiment | None, x: float, y: float, width: float, rules: Rules) -> list[Markup]:
    if experiment is None:
        return [svg.text(x, y + 30, "no run", "small soft")]
    mark = " †" if experiment.kl and experiment.kl.off(rules.tolerance) else ""
    parts = [svg.text(x, y + 30, _gain(experiment) + mark, "small"), svg.text(x, y + 47, _bounds(experiment), "tick")]
    if not shown(experiment, rules):
        return [*parts, svg.text(x, y + 70, NOT_ABOVE, "tick")]
    total = experiment.total("all")
    if not total or experiment.total("spurious") is None:
        return [*parts, svg.text(x, y + 70, "no shares" if experiment.unread else "kinds not known", "tick")]
    position = x
    for kind, size in kinds_of(experiment).items():
        span = width * size / total
        tip = f"{kind.replace('_', '-')}: {size} of {total}"
        parts.append(svg.rect(position, y + 58, span, 16, f"fill-{kind}", tip=tip))
        position += span
    return parts


def kinds_of(experiment: Experiment) -> dict[str, int]:
    """Return the counts that a bar shows, from left to right; informative is one count if it was not split.

    What is missing to `all` are descriptions with answers that could not be read.
    """
    visual, non_visual = experiment.total("visual"), experiment.total("non_visual")
    informative, spurious = experiment.total("informative") or 0, experiment.total("spurious") or 0
    if visual is None or non_visual is None:
        parts = {"informative": informative}
    else:
        lost = informative - visual - non_visual
        parts = {"visual": visual, "non_visual": non_visual, "informative_unparsed": lost}
    parts["spurious"] = spurious
    parts["unparsed"] = (experiment.total("all") or 0) - informative - spurious
    return {kind: size for kind, size in parts.items() if size}


def _gain(experiment: Experiment) -> str:
    change = experiment.difference("aligned", "templates")
    if change is None:
        return "no accuracy"
    bounded = bool(_bounds(experiment))
    verdict = brief_verdict(change.significant, (), bounded=bounded)
    return points_value(change, 2) + (f", {verdict}" if verdict else "")


def _bounds(experiment: Experiment) -> str:
    """Return what sizes of EX2's gain are possible: `[−0.61, +2.70]`; "" if that is not known."""
    change = experiment.difference("aligned", "templates")
    ends = change.not_excluded if change and change.significant is False else None
    if change and not ends and change.low is not None and change.high is not None:
        ends = change.low, change.high
    return brackets(100 * ends[0], 100 * ends[1], 2) if ends else ""


def _shares(experiment: Experiment) -> str:
    share = experiment.share("informative")
    if share is None:
        return f"share of informative descriptions: {unknown(experiment)}"
    return f"{percent_value(share)} informative"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
