"""What a gain over the templates is made of, as points on one scale: a dot with its interval for each part."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from analysis.figures import measure, svg
from analysis.figures.dots import Scale, scale_for
from analysis.results.attribution import Part
from analysis.results.wording import count, p_words, points

TITLE = "What the gain over the templates is made of"
NAMES, PANEL, VALUES = 300.0, 420.0, 200.0
"""Widths of the columns of names, of the scale and of the numbers, in pixels of the wide drawing."""
NARROW = 350.0
STEP = 56.0


def gain_figure(rows: Sequence[Part]) -> tuple[Markup, Markup]:
    """Draw the parts of a gain.

    Args:
        rows: The gain and what it may be made of, from `attribution.parts_of`.

    Returns:
        A wide drawing with all words beside the scale, and a narrow one (for phones) with them above it.
    """
    said = "; ".join(f"{row.name}: {points(row.value)}" for row in rows)
    return _wide(rows, said), _narrow(rows, said)


def _wide(rows: Sequence[Part], said: str) -> Markup:
    scale = scale_for((row.value for row in rows), NAMES + 20, PANEL, 6)
    top, bottom = 34.0, 34.0 + STEP * len(rows)
    width = NAMES + 20 + PANEL + 20 + VALUES
    drawn = [svg.text(NAMES + 20, 14, "Points of accuracy", "strong"), *_axis(scale, top - 8, bottom)]
    for number, row in enumerate(rows):
        y = top + STEP * (number + 0.5) - 6
        drawn.append(svg.text(0, y - 2, row.name, "strong" if row.is_whole else "part"))
        drawn += [
            svg.text(0, y + 14 + 14 * at, line, "tick")
            for at, line in enumerate(measure.lines(row.meaning, "tick", NAMES))
        ]
        drawn += _dot(row, y, scale)
        value, _, interval = points(row.value).partition(" [")
        beside = [(value, "small")] + ([(f"[{interval}", "tick")] if interval else [])
        beside += [(p_words(row.p), "tick")] if row.p is not None else []
        first = y + 4 - 7.5 * (len(beside) - 1)
        drawn += [svg.text(width, first + 15 * at, line, css, anchor="end") for at, (line, css) in enumerate(beside)]
    return svg.document(width, bottom + 20, drawn, title=TITLE, description=said, key="gain")


def _narrow(rows: Sequence[Part], said: str) -> Markup:
    scale = scale_for((row.value for row in rows), 14, NARROW - 28, 4)
    drawn: list[Markup] = []
    y = 14.0
    for row in rows:
        value = points(row.value) + (f", {p_words(row.p)}" if row.p is not None else "")
        drawn.append(svg.text(0, y, row.name, "strong" if row.is_whole else "part"))
        for css, words in (("tick", row.meaning), ("small", value)):
            for line in measure.lines(words, css, NARROW):
                y += 16
                drawn.append(svg.text(0, y, line, css))
        y += 16
        drawn += [svg.line((scale.origin, y - 8), (scale.origin, y + 8), "zero"), *_dot(row, y, scale)]
        y += 32
    drawn += _axis(scale, y - 24, y - 14)
    return svg.document(NARROW, y + 6, drawn, title=f"{TITLE}, in points", description=said, key="gain-narrow")


def _axis(scale: Scale, top: float, bottom: float) -> list[Markup]:
    return [*scale.lines(top, bottom - 4), *scale.labels(bottom + 12)]


def _dot(row: Part, y: float, scale: Scale) -> list[Markup]:
    tip = f"{row.name}: {points(row.value)}, {count(row.value, 'images')}"
    return scale.dot(row.value, y, tip, radius=6 if row.is_whole else 5)
