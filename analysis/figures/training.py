"""Reward and KL over the batches of training."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import pairwise

from markupsafe import Markup

from analysis.figures import svg
from analysis.results.load import SeedResult
from reward.numerals import compact

HEIGHT, LEFT, TOP, BOTTOM = 250.0, 46.0, 46.0, 212.0
WIDE, NARROW = 440.0, 300.0
"""Widths of the two drawings, so that the words keep a readable size on a phone."""

MOST_POINTS = 400  # of a line; more cannot be told apart at this width

Curve = list[tuple[float, float]]


def training_figures(results: Sequence[SeedResult]) -> list[tuple[Markup, Markup]]:
    """Draw the mean reward and the KL to the base model, one line per seed.

    Args:
        results: The run's seeds. Rows of the log that lack a metric are left out of its drawing, and so are seeds
            without such rows.

    Returns:
        A wide and a narrow drawing (for phones) per metric that was logged.
    """
    figures = []
    for key, title, target_key in (
        ("reward_mean", "Mean reward of a batch", None),
        ("kl", "KL to the base model, nats per description", "kl_target"),
    ):
        curves = {result.seed: curve for result in results if (curve := curve_of(result, key))}
        if curves:
            target = _last(results, target_key) if target_key else None
            figures.append((_figure(curves, key, title, target, WIDE), _figure(curves, key, title, target, NARROW)))
    return figures


def smooth(curve: Curve, part: float = 0.1) -> Curve:
    """Return the centred moving mean over a part of the batches, at least one; shorter at the ends.

    Args:
        curve: Points (batch, value) in the order of the batches.
        part: Width of the window, as a share of the points.

    Returns:
        A curve with as many points.
    """
    reach = max(1, round(part * len(curve))) // 2
    smoothed = []
    for index, (x, _) in enumerate(curve):
        window = [y for _, y in curve[max(0, index - reach) : index + reach + 1]]
        smoothed.append((x, sum(window) / len(window)))
    return smoothed


def thin(curve: Curve, most: int = MOST_POINTS) -> Curve:
    """Return at most about `most` points: means of equal stretches."""
    if len(curve) <= most:
        return curve
    edges = [round(index * len(curve) / most) for index in range(most + 1)]
    stretches = [curve[start:end] for start, end in pairwise(edges)]
    return [(sum(x for x, _ in part) / len(part), sum(y for _, y in part) / len(part)) for part in stretches]


def curve_of(result: SeedResult, key: str) -> Curve:
    """Return a metric of the log by batch; rows without it are left out."""
    rows = [row for row in result.train if isinstance(row.get(key), int | float)]
    return [(float(row.get("batch", index)), float(row[key])) for index, row in enumerate(rows, start=1)]


def _last(results: Sequence[SeedResult], key: str) -> float | None:
    known = [row[key] for result in results for row in result.train[-1:] if isinstance(row.get(key), int | float)]
    return float(known[0]) if known else None


def _figure(curves: dict[int, Curve], key: str, title: str, target: float | None, width: float) -> Markup:
    right, few = width - 18, 6 if width == WIDE else 4
    values = [y for curve in curves.values() for _, y in curve] + ([target] if target is not None else [])
    marks = svg.ticks(min([*values, 0.0]) if key == "kl" else min(values), max(values), 6)
    last = max(x for curve in curves.values() for x, _ in curve)
    steps = [tick for tick in svg.ticks(0, last, few) if tick <= last]

    def place(x: float, y: float) -> tuple[float, float]:
        across = LEFT + (right - LEFT) * x / (last or 1)
        return across, BOTTOM - (BOTTOM - TOP) * (y - marks[0]) / (marks[-1] - marks[0])

    lines = textwrap.wrap(title, 60 if width == WIDE else 34)[:2]
    parts = [svg.text(0, 16 + 17 * number, line, "strong") for number, line in enumerate(lines)]
    for mark in marks:
        _, y = place(0, mark)
        parts.append(svg.line((LEFT, y), (right, y), "grid"))
        parts.append(svg.text(LEFT - 8, y + 5, compact(mark), "tick", anchor="end"))
    for step in steps:
        x, _ = place(step, marks[0])
        parts.append(svg.text(x, BOTTOM + 20, f"{step:g}", "tick", anchor="middle"))
    parts.append(svg.text(right, BOTTOM + 34, "batch", "tick", anchor="end"))
    if target is not None:
        _, y = place(0, target)
        parts.append(svg.line((LEFT, y), (right, y), "mark"))
        parts.append(svg.text(right, y - 6, f"target {target:g}", "tick", anchor="end"))
    for curve in curves.values():
        parts.append(svg.polyline([place(*point) for point in thin(curve)], f"raw raw-{key}"))
    for curve in curves.values():
        parts.append(svg.polyline([place(*point) for point in thin(smooth(curve))], f"smooth smooth-{key}"))
    ends = ", ".join(
        f"seed {seed}: from {compact(curve[0][1], 3)} to {compact(curve[-1][1], 3)}" for seed, curve in curves.items()
    )
    description = f"{title} over {last:g} batches; {ends}."
    name = f"training-{key}" if width == WIDE else f"training-{key}-narrow"
    return svg.document(width, HEIGHT, parts, title=title, description=description, key=name)
