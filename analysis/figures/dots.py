"""Differences as dots on a scale of points: hollow where they are not significant, with their intervals."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from markupsafe import Markup

from analysis.figures import svg
from analysis.results.pooling import Difference
from analysis.statistics.intervals import Estimate
from reward.numerals import compact


class Scale(NamedTuple):
    """A horizontal scale of points.

    Attributes:
        ticks: Its round numbers, ascending.
        origin: Where 0 lies, in pixels.
        unit: Pixels per point.
    """

    ticks: list[float]
    origin: float
    unit: float

    def place(self, share: float) -> float:
        """Return where a difference of shares lies, in pixels."""
        return self.origin + 100 * share * self.unit

    def lines(self, top: float, bottom: float) -> list[Markup]:
        """Return a line from `top` to `bottom` for each tick."""
        drawn = []
        for tick in self.ticks:
            x = self.place(tick / 100)
            drawn.append(svg.line((x, top), (x, bottom), "zero" if tick == 0 else "grid"))
        return drawn

    def labels(self, y: float) -> list[Markup]:
        """Return each tick's number."""
        return [
            svg.text(self.place(tick / 100), y, compact(tick, sign=True), "tick", anchor="middle")
            for tick in self.ticks
        ]

    def dot(self, difference: Difference, y: float, tip: str, *, radius: float = 5) -> list[Markup]:
        """Return a difference as a dot with its interval, if it has one."""
        drawn = []
        if difference.low is not None and difference.high is not None:
            drawn.append(svg.interval(self.place(difference.low), self.place(difference.high), y, "whisker"))
        css = "dot" if difference.significant else "dot hollow"
        return [*drawn, svg.circle((self.place(difference.value), y), radius, css, tip=tip)]


def scale_for(differences: Iterable[Difference | Estimate | None], left: float, width: float, most: int = 5) -> Scale:
    """Return the scale that holds 0 and all numbers with their intervals.

    Args:
        differences: Differences or other numbers, in hundredths of the scale; `None` takes no place.
        left: Where the scale begins, in pixels.
        width: Its width.
        most: About how many ticks it has.
    """
    ends = [0.0]
    for one in differences:
        if one:
            ends += [100 * end for end in (one.low, one.value, one.high) if end is not None]
    ticks = svg.ticks(min(ends), max(ends), most)
    unit = width / (ticks[-1] - ticks[0])
    return Scale(ticks, left - ticks[0] * unit, unit)
