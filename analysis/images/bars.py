"""Image sets as rows on a scale: what the probe gains over the texts alone, and the time that each metric takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from analysis.figures import measure, svg
from analysis.figures.dots import scale_for
from analysis.images.figure import LEFT, LINE, NARROW, PANEL, ROW, VALUES, room_of
from analysis.images.record import Measures
from analysis.images.wording import NAMES, confidence_of, forms, is_beyond_zero, metric_name, points_of
from analysis.results.wording import NBSP
from analysis.statistics.intervals import Estimate
from reward.numerals import compact, decimal


class _Row(NamedTuple):
    """A row: its names, its number in hundredths of the scale, how it is said, and the class of its dot or bar."""

    name: str
    number: Estimate
    said: str
    css: str


def gain_figure(found: Sequence[Measures]) -> tuple[Markup, Markup] | None:
    """Draw what the linear probe gains over zero-shot, largest first, as GenBench's Figure 2 does over data sets.

    Args:
        found: One or several measurements; of several each row says whose it is.

    Returns:
        A wide drawing, and a narrow one for phones; None if no set was probed.
    """
    rows = []
    for measures in found:
        for one in measures.sets:
            number = one.number("probe_gain")
            if number is not None:
                name = f"{measures.dataset}: {one.name}" if len(found) > 1 else one.name
                css = "dot" if is_beyond_zero(number) else "dot hollow"
                rows.append(_Row(name, number, points_of(number), css))
    if not rows:
        return None
    rows.sort(key=lambda row: -row.number.value)
    level = f"{100 * confidence_of(found[0]):g}{NBSP}%"
    metrics = {metric_name(one) for one in found}
    metric = metrics.pop() if len(metrics) == 1 else "each data set's own metric"
    said = list(dict.fromkeys(forms(one) for one in found))
    head = f"Linear probe minus texts alone, points; {metric}; {level} intervals"
    below = f"Hollow: the interval holds 0, or there is none. {' '.join(said)}"
    made = [_rows(rows, head, below, "images-probe", bars=False, narrow=narrow) for narrow in (False, True)]
    return made[0], made[1]


def time_figure(measures: Measures) -> tuple[Markup, Markup] | None:
    """Draw the seconds of each metric, longest first, as GenBench's Figure 5 does.

    Returns:
        A wide drawing, and a narrow one for phones; None if none was timed.
    """
    timed = sorted(measures.timings.items(), key=lambda one: -one[1])
    rows = [
        _Row(
            NAMES.get(name, name),
            Estimate(seconds / 100, None, None, 1),
            f"{decimal(seconds, 2)}{NBSP}s",
            "fill-visual",
        )
        for name, seconds in timed
    ]
    if not rows or not timed[0][1]:
        return None
    number = len(measures.sets)
    head = f"Seconds of each metric, for {number} set{'s' * (number > 1)} with all seeds"
    below = "Embedding apart, which the bank keeps."
    made = [_rows(rows, head, below, "images-time", bars=True, narrow=narrow) for narrow in (False, True)]
    return made[0], made[1]


def _rows(rows: Sequence[_Row], head: str, below: str, key: str, *, bars: bool, narrow: bool) -> Markup:
    """Draw rows, as dots with their intervals or, with `bars`, as bars from 0."""
    width = NARROW if narrow else LEFT + 20 + PANEL + 20 + VALUES
    left, panel = (16.0, NARROW - 32) if narrow else (LEFT + 20, PANEL)
    scale = scale_for([row.number for row in rows], left, panel, 4 if narrow else 6)
    room = room_of(width, narrow=narrow)
    parts: list[Markup] = []
    y = 14.0
    for line in measure.lines(head, "strong", room):
        parts.append(svg.text(0, y, line, "strong"))
        y += 19
    y += 12
    parts += [
        svg.text(scale.place(tick / 100), y, compact(tick, sign=not bars), "tick", anchor="middle")
        for tick in scale.ticks
    ]
    y += 8
    for row in rows:
        names = measure.lines(row.name, "small", room if narrow else room_of(LEFT, narrow=False))
        if narrow:
            for line in names:
                y += LINE
                parts.append(svg.text(0, y, line, "small"))
            y += LINE
            parts.append(svg.text(width, y, row.said, "tick", anchor="end"))
            middle, y = y + 16, y + 28
        else:
            high = max(ROW, LINE * len(names) + 6)
            middle = y + high / 2
            for at, line in enumerate(names):
                parts.append(
                    svg.text(LEFT, middle + 5 + (at - (len(names) - 1) / 2) * LINE, line, "small", anchor="end")
                )
            parts.append(svg.text(width, middle + 5, row.said, "small", anchor="end"))
            y += high
        parts += scale.lines(middle - 9, middle + 9)
        tip = f"{row.name}: {row.said}"
        if bars:
            long = scale.place(row.number.value) - scale.origin
            parts.append(svg.rect(scale.origin, middle - 6, max(long, 1.0), 12, row.css, radius=2, tip=tip))
            continue
        if row.number.low is not None and row.number.high is not None:
            parts.append(svg.interval(scale.place(row.number.low), scale.place(row.number.high), middle, "whisker"))
        parts.append(svg.circle((scale.place(row.number.value), middle), 5, row.css, tip=tip))
    y += 8
    for line in measure.lines(below, "tick", room):
        y += LINE
        parts.append(svg.text(0, y, line, "tick"))
    said = "; ".join(f"{row.name} {row.said}" for row in rows)
    title = head.partition(",")[0]
    return svg.document(
        width, y + 8, parts, title=title, description=f"{said}.", key=f"{key}-narrow" if narrow else key
    )
