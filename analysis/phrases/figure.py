"""A figure of templates against the plain one: dots with intervals, a row for each VLM."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence, Set

from markupsafe import Markup

from analysis.figures import svg
from analysis.figures.dots import Scale, scale_for
from analysis.phrases.trials import Trial
from analysis.results.kl import KL_TOLERANCE
from analysis.results.wording import NOT_SIGNIFICANT, p_words, points

ROW, LINE = 24.0, 17.0
"""Pixels: height of a VLM's row, and of a line of a template's text."""


def phrases_figure(rows: Sequence[Trial], confidence: float, tolerance: float = KL_TOLERANCE) -> Markup | None:
    """Draw the differences of templates' accuracies to the plain template's.

    Args:
        rows: Rows from `trials.trials`; the plain templates are named, but not drawn.
        confidence: Coverage of the intervals, in (0, 1).
        tolerance: How far the KL may be off its target, as a share of the target.

    Returns:
        A wide drawing with templates, VLMs, dots (hollow ones are no significant difference) and numbers; `None` if
        there is no template to draw.
    """
    return _figure(rows, confidence, tolerance, left=440.0, wide=300.0, narrow=False)


def narrow_phrases_figure(rows: Sequence[Trial], confidence: float, tolerance: float = KL_TOLERANCE) -> Markup | None:
    """Draw the same figure for phones: templates stand above their dots, numbers below."""
    return _figure(rows, confidence, tolerance, left=16.0, wide=318.0, narrow=True)


def _figure(
    rows: Sequence[Trial], confidence: float, tolerance: float, *, left: float, wide: float, narrow: bool
) -> Markup | None:
    drawn = [row for row in rows if row.change is not None]
    if not drawn:
        return None
    scale = scale_for((row.change for row in drawn), left, wide)
    parts: list[Markup] = []
    y = 16.0
    for dataset in dict.fromkeys(row.dataset for row in drawn):
        plain = next((row.template for row in rows if row.dataset == dataset and row.change is None), "")
        parts.append(svg.text(0, y, f"{dataset}: points above the plain template", "strong"))
        for line in (plain, f"{100 * confidence:g}\u00a0% intervals over images"):
            y += 18
            parts.append(svg.text(0, y, line, "tick"))
        top = y + 30
        placed = [row for row in drawn if row.dataset == dataset]
        off = {row.template for row in placed if row.kl and row.kl.off(tolerance)}
        body, y, spans = _rows(placed, off, top, scale, narrow)
        parts += scale.labels(top - 12)
        for upper, lower in spans if narrow else [(top - 6, y - 8)]:
            parts += scale.lines(upper, lower)
        parts += body
        for line in _legend(tolerance if off else None, narrow=narrow):
            parts.append(svg.text(0, y + 14, line, "tick"))
            y += 17
        y += 40
    said = [f"{row.dataset}, {row.vlm}, {row.template}: {points(row.change)}" for row in drawn if row.change]
    return svg.document(
        350 if narrow else 960,
        y - 32,
        parts,
        title="Templates against the plain one",
        description="; ".join(said) + ".",
        key="phrases-narrow" if narrow else "phrases",
    )


def _rows(
    rows: Sequence[Trial], off: Set[str], y: float, scale: Scale, narrow: bool
) -> tuple[list[Markup], float, list[tuple[float, float]]]:
    """Draw one dataset's templates; return the elements, their lower edge, and each row's upper and lower edge."""
    parts: list[Markup] = []
    spans: list[tuple[float, float]] = []
    for template in dict.fromkeys(row.template for row in rows):
        own = [row for row in rows if row.template == template]
        lines = textwrap.wrap(template, 44 if narrow else 38) or [template]
        if template in off:
            lines[-1] += " †"
        origin_lines = textwrap.wrap(own[0].source, 50 if narrow else 44)
        for number, line in enumerate([*lines, *origin_lines]):
            parts.append(svg.text(0, y + 12 + LINE * number, line, "small" if number < len(lines) else "tick"))
        lines += origin_lines
        start = y
        if narrow:
            y += LINE * len(lines) + 4
        for row in own:
            assert row.change is not None, "kept for its change"
            middle = y + ROW / 2 - 4
            spans.append((middle - 10, middle + 9))
            parts += scale.dot(row.change, middle, f"{row.vlm}: {points(row.change)}")
            numbers = points(row.change)
            # What is possible stands right above, in the brackets of the numbers.
            told = NOT_SIGNIFICANT if row.change.significant is False else row.verdict
            verdict = ", ".join(word for word in (told, p_words(row.p) if row.p is not None else "") if word)
            if narrow:
                parts.append(svg.text(0, y + 28, f"{row.vlm}: {numbers}", "tick"))
                parts.append(svg.text(0, y + 43, verdict, "tick"))
                y += 54
            else:
                parts.append(svg.text(426, middle + 4, row.vlm, "tick", anchor="end"))
                parts.append(svg.text(956, middle + 0, numbers, "small", anchor="end"))
                parts.append(svg.text(956, middle + 14, verdict, "tick", anchor="end"))
                y += ROW + 12
        y = max(y, start + LINE * len(lines)) + 12
    return parts, y, spans


def _legend(dagger: float | None, *, narrow: bool) -> list[str]:
    lines = [f"Hollow: {NOT_SIGNIFICANT};", "all that the line spans is possible."]
    if dagger is not None:
        lines.append(f"†: KL of its run more than {100 * dagger:g}\u00a0% off the target.")
    return lines if narrow else [" ".join(lines)]
