"""The report's panel of signs that the policy exploits its reward, and the rules of `watch` that fired."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from analysis.figures import svg
from analysis.figures.training import Curve, curve_of, smooth, thin
from analysis.results.load import SeedResult
from analysis.results.wording import NBSP
from ex2.monitoring.rules import METRICS, SIGNS, Firing, Rule, fired
from reward.numerals import compact

WIDTH, HEIGHT, EDGE = 150.0, 34.0, 3.0
PART = 0.1
"""Share of the batches, at the beginning and at the end of training, whose mean is shown."""


class Sign(NamedTuple):
    """One row of the panel.

    Attributes:
        name: Name of the sign, in words.
        first: Mean over the first tenth of the batches that logged the sign, averaged over seeds.
        last: Mean over the last tenth of these batches, averaged over seeds.
        n: Number of batches behind each of the two means, and of seeds if there are several.
        course: Small drawing of the sign over training, one line per seed.
    """

    name: str
    first: str
    last: str
    n: str
    course: Markup


class FiredRule(NamedTuple):
    """A rule that fired in a seed."""

    seed: int
    firing: Firing


def sign_panel(results: Sequence[SeedResult]) -> list[Sign]:
    """Return one row per sign that was logged, in the order of `ex2.monitoring.rules.SIGNS`."""
    rows = []
    for key in SIGNS:
        curves = {result.seed: curve for result in results if (curve := curve_of(result, key))}
        if curves:
            ends = [_ends([y for _, y in curve]) for curve in curves.values()]
            first, last = (sum(values) / len(values) for values in zip(*ends, strict=True))
            course = _course(curves, key, METRICS[key])
            rows.append(Sign(METRICS[key], compact(first, 3), compact(last, 3), _n(list(curves.values())), course))
    return rows


def fired_rules(rules: Sequence[Rule], results: Sequence[SeedResult]) -> list[FiredRule]:
    """Return every rule that fired, by seed and batch, found by applying the rules to the log again."""
    return [FiredRule(result.seed, firing) for result in results for firing in fired(rules, result.train)]


def _n(curves: Sequence[Curve]) -> str:
    """Return `4 of 40 batches`, summed over seeds."""
    some, of = sum(_part(curve) for curve in curves), sum(len(curve) for curve in curves)
    return f"{some:,} of {of:,} batches" + (f", {len(curves)}{NBSP}seeds" if len(curves) > 1 else "")


def _part(values: Sequence[object]) -> int:
    return max(1, round(PART * len(values)))


def _ends(values: Sequence[float]) -> tuple[float, float]:
    some = _part(values)
    return sum(values[:some]) / some, sum(values[-some:]) / some


def _course(curves: dict[int, Curve], key: str, name: str) -> Markup:
    values = [y for curve in curves.values() for _, y in curve]
    low, high = min(values), max(values)
    last = max(x for curve in curves.values() for x, _ in curve)

    def place(x: float, y: float) -> tuple[float, float]:
        up = (y - low) / (high - low) if high > low else 0.5
        return EDGE + (WIDTH - 2 * EDGE) * x / last, HEIGHT - EDGE - (HEIGHT - 2 * EDGE) * up

    lines = [
        svg.polyline([place(*point) for point in thin(smooth(curve), round(WIDTH))], "smooth smooth-kl")
        for curve in curves.values()
    ]
    said = f"{name} over {last:g} batches: between {compact(low, 3)} and {compact(high, 3)}."
    return svg.document(WIDTH, HEIGHT, lines, title=name, description=said, key=f"course-{key}")
