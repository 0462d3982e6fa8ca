"""Image sets as drawings: the numbers of each set as dots with intervals, and what more images cost and bring."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from analysis.figures import measure, svg
from analysis.figures.dots import Scale
from analysis.figures.palette import COLORS
from analysis.images.record import Measures, Quantity
from analysis.images.tables import courses
from analysis.images.wording import NAMES, confidence_of, forms, metric_name, nothing_of
from analysis.results.wording import NBSP, percent
from analysis.statistics.intervals import Estimate
from reward.numerals import compact

LEFT, PANEL, VALUES, NARROW = 220.0, 500.0, 220.0, 350.0
"""Pixels: names, scale and numbers of the wide drawing, and width of the narrow one."""
ROW, LINE = 26.0, 17.0

DRAWN: tuple[tuple[Quantity, str], ...] = (
    ("cler", "fill-visual"),
    ("ensemble", "fill-informative"),
    ("probe", "fill-non_visual"),
)
"""Quantities of a set, and the class of their dots."""
HIGH, AXIS = 300.0, 46.0
"""Height of the panel of the curve, and width of its axis."""

STYLE = "".join(
    f".set-{at}{{fill:{color}}}.course-{at}{{fill:none;stroke:{color};stroke-width:2}}"
    for at, color in enumerate(COLORS)
)


def worth_figure(measures: Measures) -> tuple[Markup, Markup]:
    """Draw CLER, ensemble and probe of each set on the scale of the texts alone, which a dotted line marks.

    A hollow dot is a CLER that is not told from nothing; an upright dash beside it is what permuted labels give.

    Returns:
        A wide drawing, and a narrow one for phones.
    """
    return _worth(measures, narrow=False), _worth(measures, narrow=True)


def _worth(measures: Measures, *, narrow: bool) -> Markup:
    scale = _scale(measures, 16 if narrow else LEFT + 20, NARROW - 32 if narrow else PANEL, 4 if narrow else 6)
    width = NARROW if narrow else LEFT + 20 + PANEL + 20 + VALUES
    told = f"{metric_name(measures)}, %; {100 * confidence_of(measures):g}{NBSP}% intervals"
    room = room_of(width, narrow=narrow)
    lines = measure.lines(f"{measures.dataset}: {told}", "strong", room)
    y = 14.0
    drawn: list[Markup] = []
    for line in lines:
        drawn.append(svg.text(0, y, line, "strong"))
        y += 19
    y += 6
    drawn += _labels(scale, y + 6)
    y += 14
    marks: list[Markup] = []
    groups: list[tuple[str, list[_Dot], float | None]] = [
        ("", [_Dot("texts alone", measures.text, "fill-templates")], None)
    ]
    groups += [
        (
            one.name,
            [
                _Dot(NAMES[name], number, "dot hollow" if name == "cler" and one.knows is False else css)
                for name, css in DRAWN
                if (number := one.number(name))
            ],
            nothing_of(one),
        )
        for one in measures.sets
    ]
    said = []
    for name, dots, nothing in groups:
        if name:
            y += 10
            for line in measure.lines(name, "strong", room):
                y += 19
                drawn.append(svg.text(0, y - 4, line, "strong"))
        for dot in dots:
            value = percent(dot.number)
            said.append(f"{name + ': ' if name else ''}{dot.name} {value}")
            if narrow:
                drawn.append(svg.text(0, y + 16, dot.name, "small"))
                drawn.append(svg.text(width, y + 16, value, "tick", anchor="end"))
                middle = y + 32
                y += 44
            else:
                middle = y + ROW / 2
                drawn.append(svg.text(LEFT, middle + 5, dot.name, "small", anchor="end"))
                drawn.append(svg.text(width, middle + 5, value, "small", anchor="end"))
                y += ROW
            marks += _grid(scale, middle - 9, middle + 9)
            text = scale.place(measures.text.value)
            marks.append(svg.line((text, middle - 11), (text, middle + 11), "mark"))
            if dot.name == NAMES["cler"] and nothing is not None:
                x = scale.place(nothing)
                marks.append(svg.line((x, middle - 8), (x, middle + 8), "mark"))
            drawn += _interval(dot, middle, scale)
    y += 8
    for line in measure.lines(
        "Dotted in every row: the texts alone; at a CLER also the same set with its labels permuted. Hollow: not told "
        f"from that. {forms(measures)}",
        "tick",
        room,
    ):
        y += LINE
        drawn.append(svg.text(0, y, line, "tick"))
    key = "images-worth-narrow" if narrow else "images-worth"
    title = "What each image set is worth"
    return svg.document(width, y + 8, [*marks, *drawn], title=title, description="; ".join(said) + ".", key=key)


def room_of(width: float, *, narrow: bool) -> float:
    """Return how wide lines may be: pages show them in the reader's font, phones larger than they are measured."""
    return width * (0.78 if narrow else 0.88)


class _Dot(NamedTuple):
    name: str
    number: Estimate
    css: str


def _interval(dot: _Dot, y: float, scale: Scale) -> list[Markup]:
    number = dot.number
    drawn = []
    if number.low is not None and number.high is not None:
        low, high = (scale.place(min(max(end, 0.0), 1.0)) for end in (number.low, number.high))
        drawn.append(svg.interval(low, high, y, "whisker"))
    place = scale.place(min(max(number.value, 0.0), 1.0))
    return [*drawn, svg.circle((place, y), 5, dot.css, tip=f"{dot.name} {percent(number)}")]


def _scale(measures: Measures, left: float, width: float, most: int) -> Scale:
    """Return a scale of percent from 0 to what holds everything, at most 100."""
    found = [measures.text, *(number for one in measures.sets for name, _ in DRAWN if (number := one.number(name)))]
    highest = max(min(100 * (one.value if one.high is None else one.high), 100.0) for one in found)
    ticks = [tick for tick in svg.ticks(0, max(highest, 5.0), most) if tick <= 100] or [0.0, 100.0]
    last = max(ticks[-1], highest)
    return Scale(ticks, left, width / last)


def _labels(scale: Scale, y: float) -> list[Markup]:
    return [svg.text(scale.place(tick / 100), y, compact(tick), "tick", anchor="middle") for tick in scale.ticks]


def _grid(scale: Scale, top: float, bottom: float) -> list[Markup]:
    return [svg.line((scale.place(tick / 100), top), (scale.place(tick / 100), bottom), "grid") for tick in scale.ticks]


class _Course(NamedTuple):
    """CLER of a set by what so many images cost, or by their number."""

    name: str
    points: list[tuple[float, Estimate, int]]


def cost_figure(measures: Measures) -> tuple[Markup, Markup] | None:
    """Draw CLER against the cost of the images, or against their number if not all prices are known.

    Returns:
        A wide drawing, and a narrow one for phones; None if no set was measured with fewer images.
    """
    drawn, priced = _courses(measures)
    if not drawn:
        return None
    return _curve(measures, drawn, priced, narrow=False), _curve(measures, drawn, priced, narrow=True)


def _courses(measures: Measures) -> tuple[list[_Course], bool]:
    found = [(one, courses(one, measures.per_class)) for one in measures.sets if one.shots]
    priced = all(usd for _, course in found for _, _, usd in course)
    made = []
    for one, course in found:
        points = [
            (float(usd if priced and usd else shots), numbers["cler"], shots)
            for shots, numbers, usd in course
            if "cler" in numbers
        ]
        if len(points) > 1:
            made.append(_Course(one.name, points))
    return made, priced


def _curve(measures: Measures, drawn: Sequence[_Course], priced: bool, *, narrow: bool) -> Markup:
    width = NARROW if narrow else 960.0
    spots = [place for course in drawn for place, _, _ in course.points]
    # Costs and images differ by factors; the scale is of these, from a power of ten to a power of ten.
    first, last = math.floor(math.log10(min(spots)) + 1e-9), math.ceil(math.log10(max(spots)) - 1e-9)
    last = max(last, first + 1)
    right = width - 24
    ends = [measures.text, *(number for course in drawn for _, number, _ in course.points)]
    highest = max(min(100 * (one.value if one.high is None else one.high), 100.0) for one in ends)
    ticks = [tick for tick in svg.ticks(0, max(highest, 5.0), 5) if tick <= 100]
    top = 44.0 if not narrow else 62.0
    bottom = top + HIGH
    unit = HIGH / max(ticks[-1], highest)

    def across(place: float) -> float:
        return AXIS + (right - AXIS) * (math.log10(place) - first) / (last - first)

    def up(share: float) -> float:
        return bottom - 100 * min(max(share, 0.0), 1.0) * unit

    parts: list[Markup] = [Markup("<style>{}</style>").format(Markup(STYLE))]
    what = "USD of the images of one seed" if priced else "images of each class"
    y = 14.0
    for line in measure.lines(f"CLER, %, by {what}; {metric_name(measures)}", "strong", room_of(width, narrow=narrow)):
        parts.append(svg.text(0, y, line, "strong"))
        y += 19
    for tick in ticks:
        parts.append(svg.line((AXIS, bottom - tick * unit), (right, bottom - tick * unit), "grid"))
        parts.append(svg.text(AXIS - 8, bottom - tick * unit + 4, compact(tick), "tick", anchor="end"))
    for power in range(first, last + 1):
        x = across(10.0**power)
        parts.append(svg.line((x, top), (x, bottom), "grid"))
        parts.append(svg.text(x, bottom + 18, compact(10.0**power), "tick", anchor="middle"))
    parts.append(svg.line((AXIS, up(measures.text.value)), (right, up(measures.text.value)), "mark"))
    said = []
    y = bottom + 30
    for at, course in enumerate(drawn):
        css = at % len(COLORS)
        parts.append(svg.polyline([(across(place), up(one.value)) for place, one, _ in course.points], f"course-{css}"))
        words = []
        for place, one, shots in course.points:
            if one.low is not None and one.high is not None:
                parts.append(svg.line((across(place), up(one.low)), (across(place), up(one.high)), "whisker"))
            cost = f", {compact(place, 3)}{NBSP}USD" if priced else ""
            words.append(f"{shots:,}{NBSP}image{'s' * (shots > 1)}{NBSP}a{NBSP}class{cost}: {percent(one)}")
            parts.append(svg.circle((across(place), up(one.value)), 5, f"set-{css}", tip=f"{course.name}: {words[-1]}"))
        said.append(f"{course.name}: {'; '.join(words)}")
        y += 12
        parts.append(svg.rect(0, y, 11, 11, f"set-{css}", radius=2))
        for text, style in ((course.name, "small"), *((word, "tick") for word in words)):
            for line in measure.lines(text, style, room_of(width, narrow=narrow) - 18):
                parts.append(svg.text(18, y + 10, line, style))
                y += LINE
    below = f"Dotted: the texts alone. Scale below: factors. {forms(measures)}"
    for line in measure.lines(below, "tick", room_of(width, narrow=narrow)):
        y += LINE
        parts.append(svg.text(0, y, line, "tick"))
    key = "images-cost-narrow" if narrow else "images-cost"
    return svg.document(width, y + 8, parts, title=f"CLER by {what}", description="; ".join(said) + ".", key=key)
