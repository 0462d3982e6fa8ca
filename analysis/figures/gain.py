"""What a gain over the templates is made of, as points on one scale: a dot with its interval for each part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from analysis.figures import measure, svg
from analysis.results.attribution import GainParts
from analysis.results.pooling import Difference
from analysis.results.wording import count, p_words, points
from reward.numerals import compact

TITLE = "What the gain over the templates is made of"
NAMES, PANEL, VALUES = 300.0, 420.0, 200.0
"""Widths of the columns of names, of the scale and of the numbers, in pixels of the wide drawing."""
NARROW = 350.0
STEP = 46.0


class Part(NamedTuple):
    """A part of the gain, or the whole.

    Attributes:
        name: Its name.
        meaning: Which texts are compared with which.
        value: Its size.
        p: Its p-value; `None` where it is tested by its interval.
        is_whole: Whether it is the gain itself.
    """

    name: str
    meaning: str
    value: Difference
    p: float | None = None
    is_whole: bool = False


def drawn_parts(parts: GainParts, gain: Difference) -> list[Part]:
    """Return the rows of the drawing: the gain, and what it may be made of."""
    return [
        Part("gain", "EX2's texts minus the templates", gain, is_whole=True),
        Part("style", "all classes' texts minus the templates", parts.style),
        Part("unevenness", "exchanged texts minus all classes'", parts.unevenness),
        Part("content, one end", "the class's own texts minus all classes'", parts.above_everyone),
        Part("content, other end", "the class's own minus exchanged texts", parts.above_exchanged, parts.content_p),
    ]


def gain_figure(rows: Sequence[Part]) -> tuple[Markup, Markup]:
    """Draw the parts of a gain.

    Args:
        rows: Rows from `drawn_parts`.

    Returns:
        A wide drawing with all words beside the scale, and a narrow one (for phones) with them above it.
    """
    said = "; ".join(f"{row.name}: {points(row.value)}" for row in rows)
    return _wide(rows, said), _narrow(rows, said)


def _wide(rows: Sequence[Part], said: str) -> Markup:
    marks, origin, scale = _scale(rows, NAMES + 20, PANEL)
    top, bottom = 34.0, 34.0 + STEP * len(rows)
    width = NAMES + 20 + PANEL + 20 + VALUES
    drawn = [svg.text(NAMES + 20, 14, "Points of accuracy", "strong"), *_axis(marks, origin, scale, top - 8, bottom)]
    for number, row in enumerate(rows):
        y = top + STEP * (number + 0.5) - 6
        drawn.append(svg.text(0, y - 2, row.name, "strong" if row.is_whole else "part"))
        drawn += [
            svg.text(0, y + 14 + 14 * at, line, "tick")
            for at, line in enumerate(measure.lines(row.meaning, "tick", NAMES))
        ]
        drawn += _dot(row, origin, y, scale)
        value, _, interval = points(row.value).partition(" [")
        beside = [(value, "small")] + ([(f"[{interval}", "tick")] if interval else [])
        beside += [(p_words(row.p), "tick")] if row.p is not None else []
        first = y + 4 - 7.5 * (len(beside) - 1)
        drawn += [svg.text(width, first + 15 * at, line, css, anchor="end") for at, (line, css) in enumerate(beside)]
    return svg.document(width, bottom + 20, drawn, title=TITLE, description=said, key="gain")


def _narrow(rows: Sequence[Part], said: str) -> Markup:
    marks, origin, scale = _scale(rows, 14, NARROW - 28, most=4)
    drawn: list[Markup] = []
    y = 14.0
    for row in rows:
        value = points(row.value) + (f", {p_words(row.p)}" if row.p is not None else "")
        drawn.append(svg.text(0, y, row.name, "strong" if row.is_whole else "part"))
        for line in (*measure.lines(row.meaning, "tick", NARROW), *measure.lines(value, "small", NARROW)):
            y += 16
            drawn.append(svg.text(0, y, line, "tick" if line != value else "small"))
        y += 16
        drawn += [svg.line((origin, y - 8), (origin, y + 8), "zero"), *_dot(row, origin, y, scale)]
        y += 32
    drawn += _axis(marks, origin, scale, y - 24, y - 14)
    return svg.document(NARROW, y + 6, drawn, title=f"{TITLE}, in points", description=said, key="gain-narrow")


def _scale(rows: Sequence[Part], left: float, width: float, most: int = 6) -> tuple[list[float], float, float]:
    """Return the ticks in points, where 0 lies, and pixels per point."""
    ends = [0.0]
    for row in rows:
        ends += [100 * end for end in (row.value.low, row.value.value, row.value.high) if end is not None]
    marks = svg.ticks(min(ends), max(ends), most)
    scale = width / (marks[-1] - marks[0])
    return marks, left - marks[0] * scale, scale


def _axis(marks: Sequence[float], origin: float, scale: float, top: float, bottom: float) -> list[Markup]:
    drawn = []
    for mark in marks:
        x = origin + mark * scale
        drawn.append(svg.line((x, top), (x, bottom - 4), "zero" if mark == 0 else "grid"))
        words = compact(mark, sign=True)
        drawn.append(svg.text(x, bottom + 12, words, "tick", anchor="middle"))
    return drawn


def _dot(row: Part, origin: float, y: float, scale: float) -> list[Markup]:
    value, drawn = row.value, []
    if value.low is not None and value.high is not None:
        drawn.append(svg.interval(origin + 100 * value.low * scale, origin + 100 * value.high * scale, y, "whisker"))
    tip = f"{row.name}: {points(value)}, {count(value, 'images')}"
    css = "dot" if value.significant else "dot hollow"
    return [*drawn, svg.circle((origin + 100 * value.value * scale, y), 6 if row.is_whole else 5, css, tip=tip)]
