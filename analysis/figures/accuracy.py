"""Zero-shot accuracy of each arm as bars, and beside them the difference to the templates; control arms set apart."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from markupsafe import Markup

from analysis.accuracy.measure import ARMS
from analysis.figures import measure, svg
from analysis.figures.dots import scale_for
from analysis.figures.svg import pick
from analysis.results.experiment import Experiment
from analysis.results.pooling import Difference, Pooled
from analysis.results.wording import KIND_NAMES, NBSP, NO_CONCLUSION, count, evidence, percent, points, points_value
from analysis.verdicts.breakdown import GROUPS

CONTROLS = "For comparison"
PANEL, COLUMN = 150.0, 140.0
"""Widths of the panel of differences and of the words right of it, in pixels of the wide drawing."""
LINE = 14.5
"""Height of a line of these words."""
APART = 36.0
"""Height of the line above the control arms."""

PICKS: dict[str, tuple[str, str, str]] = {
    "base": ("base", "", "descriptions of the base model"),
    "aligned": ("aligned", "", "descriptions of the aligned model"),
    **{group: ("aligned", group, f"{KIND_NAMES[group]} descriptions of the aligned model") for group in GROUPS},
}
"""For each arm, the descriptions that a click on its bar shows: their policy, their kind, and what they are called."""


class Row(NamedTuple):
    """One arm, as a row of the figure.

    Attributes:
        arm: The arm's key in `accuracy.json`.
        name: Shown name.
        accuracy: The arm's accuracy; `None` if the arm has no texts.
        difference: The arm's accuracy minus the templates'; `None` for the templates themselves.
        is_part: Whether the arm is a part of EX2's descriptions.
        fallback: Number of classes without a text of the arm, in the seed with the most.
        note: What a control arm's texts are; `None` for other arms.
        to_aligned: A control arm's accuracy minus that of all of EX2's descriptions; `None` for other arms.
        mostly_template: Whether most classes take the plain template, so that nothing follows from the difference.
    """

    arm: str
    name: str
    accuracy: Pooled | None
    difference: Difference | None
    is_part: bool
    fallback: int
    note: str | None = None
    to_aligned: Difference | None = None
    mostly_template: bool = False

    @property
    def shown_difference(self) -> Difference | None:
        """The difference as it is drawn: not called significant, nor not, where nothing follows from it."""
        if self.difference and self.mostly_template:
            return replace(self.difference, significant=None)
        return self.difference

    @property
    def verdict(self) -> str:
        """What stands beside the difference: what its tests say, or that nothing follows from it."""
        if self.mostly_template:
            return NO_CONCLUSION.partition(":")[0]
        return evidence(self.difference) if self.difference else ""

    @property
    def color(self) -> str:
        return self.arm if self.note is None else "control"


def accuracy_rows(experiment: Experiment) -> list[Row]:
    """Return the rows of the figure and its table: first the arms that every run has, then the control arms."""
    rows = []
    for arm in (*ARMS, *experiment.controls):
        control = experiment.controls.get(arm)
        rows.append(
            Row(
                arm,
                experiment.arm_name(arm),
                experiment.accuracy(arm),
                experiment.tested(arm, "templates") if arm != "templates" else None,
                arm in GROUPS,
                experiment.fallback.get(arm, 0),
                control.note if control else None,
                experiment.tested(arm, "aligned") if control else None,
                experiment.mostly_template(arm),
            )
        )
    return rows


def accuracy_figure(rows: Sequence[Row]) -> tuple[Markup, Markup]:
    """Draw the accuracies of the arms.

    Args:
        rows: Rows from `accuracy_rows`.

    Returns:
        A wide drawing with a second panel of differences, and a narrow one (for phones).
    """
    said = [f"{row.name}: {percent(row.accuracy)}" for row in rows if row.accuracy]
    return _wide(rows, "; ".join(said)), _narrow(rows, "; ".join(said))


def _wide(rows: Sequence[Row], description: str) -> Markup:
    top, step, bar = 42.0, 50.0, 20.0
    left, unit = 190.0, 2.9  # of the bars; pixels per per cent
    beside = [_beside(row) for row in rows]
    places, bottom = _places(rows, top, [max(step, LINE * len(said) + 8) for said in beside], APART)
    bottom += 6
    parts = [svg.text(left, 16, f"Accuracy{_images(rows)}", "strong")]
    parts += _percent_axis(left, unit, top - 10, bottom)
    templates = next((row.accuracy for row in rows if row.arm == "templates"), None)
    if templates:
        x = left + 100 * templates.value * unit
        parts.append(svg.line((x, top - 8), (x, bottom - 4), "mark"))
    scale = scale_for((row.difference for row in rows), 652.0, PANEL)
    parts.append(svg.text(652, 16, "Points above the templates", "strong"))
    parts += [*scale.lines(top - 10, bottom - 4), *scale.labels(bottom + 12)]
    for row, y, told in zip(rows, places, beside, strict=True):
        middle = y + bar / 2
        if row is _first_control(rows):
            parts.append(svg.line((0, y - APART + 4), (960, y - APART + 4), "grid"))
            parts.append(svg.text(0, y - 16, CONTROLS, "small soft"))
        indent, css = (14, "part") if row.is_part or row.note is not None else (0, "strong")
        lines_of_name = _lines(row.name, 24)
        for number, said in enumerate(lines_of_name):
            parts.append(svg.text(indent, middle + 5 + 16 * number, said, css))
        if row.accuracy and row.fallback:
            parts.append(svg.text(indent, middle + 4 + 16 * len(lines_of_name), _by_template(row), "tick"))
        if row.accuracy is None:
            parts.append(svg.text(left + 100 * unit + 12, middle + 5, "no descriptions", "small soft"))
            continue
        parts += _bar(row, row.accuracy, left, y, unit, bar)
        # In a column of its own: right beside the bar it would collide with the whisker.
        parts.append(svg.text(left + 100 * unit + 12, middle + 5, percent(row.accuracy), "small"))
        if row.shown_difference:
            tip = f"{points(row.shown_difference)}, {count(row.shown_difference, 'images')}"
            parts += scale.dot(row.shown_difference, middle, tip)
        for number, (said, css) in enumerate(told):
            parts.append(svg.text(956, middle + 5 + LINE * (number - (len(told) - 1) / 2), said, css, anchor="end"))
    return svg.document(960, bottom + 20, parts, title="Zero-shot accuracy", description=description, key="accuracy")


def _beside(row: Row) -> list[tuple[str, str]]:
    """Return the lines that stand right of a row's difference, each with its class, broken to fit their column."""
    difference = row.shown_difference
    if row.accuracy is None or difference is None:
        return []
    said, _, interval = points(difference).partition(" [")
    lines = [(said, "small")]
    if interval and difference.significant is not False:  # else the words say what is possible
        lines.append((f"[{interval}", "tick"))
    return lines + [(line, "tick") for line in measure.lines(row.verdict, "tick", COLUMN)]


def _narrow(rows: Sequence[Row], description: str) -> Markup:
    bar, unit, left = 16.0, 3.4, 2.0
    templates = next((row.accuracy for row in rows if row.arm == "templates"), None)
    parts: list[Markup] = []
    y = 14.0
    for row in rows:
        if row is _first_control(rows):
            parts.append(svg.line((left, y - 16), (350, y - 16), "grid"))
            parts.append(svg.text(left, y + 6, CONTROLS, "small soft"))
            y += 34
        css = "part" if row.is_part or row.note is not None else "strong"
        *above, name = _lines(row.name, 24)
        for said in above:
            parts.append(svg.text(left, y, said, css))
            y += 18
        label = [(name + " ", css)]
        if row.accuracy is None:
            parts.append(svg.spans(left, y, [*label, ("no descriptions", "small soft")]))
            y += 30
            continue
        parts.append(svg.spans(left, y, [*label, (percent(row.accuracy), "small")]))
        parts.append(svg.rect(left, y + 10, 100 * unit, bar, "track", radius=2))
        parts += _bar(row, row.accuracy, left, y + 10, unit, bar)
        if templates:
            x = left + 100 * templates.value * unit
            parts.append(svg.line((x, y + 7), (x, y + 13 + bar), "mark"))
        notes = ["the dotted line"]
        difference = row.shown_difference
        if difference:
            number = points_value if difference.significant is False else points
            notes = textwrap.wrap(number(difference) + (f", {row.verdict}" if row.verdict else ""), 44)
        if row.fallback:
            notes.append(_by_template(row))
        for note in notes:
            y += 16
            parts.append(svg.text(left, y + 28, note, "tick"))
        y += 58
    title = "Zero-shot accuracy, each bar from 0 to 100 %"
    return svg.document(350, y - 24, parts, title=title, description=description, key="accuracy-narrow")


def _lines(name: str, width: int) -> list[str]:
    """Return a name in at most two lines; arms that are named after files can be long."""
    return textwrap.wrap(name, width, max_lines=2, placeholder=" …") or [""]


def _first_control(rows: Sequence[Row]) -> Row | None:
    return next((row for row in rows if row.note is not None), None)


def _places(rows: Sequence[Row], top: float, steps: Sequence[float], apart: float) -> tuple[list[float], float]:
    """Return the upper edge of each row, with space before the control arms, and the lower edge of the last."""
    places, y = [], top
    for row, step in zip(rows, steps, strict=True):
        y += apart if row is _first_control(rows) else 0.0
        places.append(y + (step - min(steps)) / 2)  # a taller row has its bar in its middle
        y += step
    return places, y


def _by_template(row: Row) -> str:
    return f"{row.fallback} {'class' if row.fallback == 1 else 'classes'} by template"


def _images(rows: Sequence[Row]) -> str:
    measured = [row.accuracy for row in rows if row.accuracy]
    return f", n = {measured[0].n:,} images" if measured else ""


def _bar(row: Row, accuracy: Pooled, left: float, y: float, unit: float, bar: float) -> list[Markup]:
    width = 100 * accuracy.value * unit
    tip = f"{row.name}: {percent(accuracy)}, {count(accuracy, 'images')}"
    parts = [svg.rect(left, y, width, bar, f"fill-{row.color}", radius=2, tip=tip)]
    if accuracy.low is not None and accuracy.high is not None:
        low, high = max(accuracy.low, 0.0), min(accuracy.high, 1.0)
        parts.append(svg.interval(left + 100 * low * unit, left + 100 * high * unit, y + bar / 2, "whisker"))
    shown = PICKS.get(row.arm) if row.note is None else None
    return [pick(parts, policy=shown[0], kind=shown[1], label=shown[2])] if shown else parts


def _percent_axis(left: float, unit: float, top: float, bottom: float) -> list[Markup]:
    parts = []
    for tick in (0, 25, 50, 75, 100):
        x = left + tick * unit
        parts.append(svg.line((x, top), (x, bottom - 4), "grid"))
        parts.append(svg.text(x, bottom + 12, f"{tick}{NBSP}%", "tick", anchor="middle"))
    return parts
