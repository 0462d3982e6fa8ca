"""The elements of SVG that drawings need: every text is escaped, and colours come from the page's style sheet by class.

A drawing is also written as a file of its own, which is XML. Characters that XML does not allow, even escaped, are
replaced.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

from markupsafe import Markup

Point = tuple[float, float]

NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Matches what is not a character of XML 1.0 (section 2.2)."""


def document(width: float, height: float, parts: Iterable[Markup], *, title: str, description: str, key: str) -> Markup:
    """Wrap elements in an accessible, scalable image.

    Args:
        width: Width of the view box.
        height: Height of the view box.
        parts: The elements.
        title: Title, which screen readers read out first.
        description: What the picture says, for those who cannot see it.
        key: Name of the drawing, unique in the page; its element ids are made from it.

    Returns:
        An `svg` element.
    """
    return Markup(
        '<svg viewBox="0 0 {w} {h}" role="img" aria-labelledby="{key}-t {key}-d" xmlns="http://www.w3.org/2000/svg">'
        '<title id="{key}-t">{title}</title><desc id="{key}-d">{description}</desc>{parts}</svg>'
    ).format(
        w=number(width),
        h=number(height),
        key=key,
        title=known(title),
        description=known(description),
        parts=Markup("").join(parts),
    )


def text(x: float, y: float, content: str, css: str = "", *, anchor: str = "start") -> Markup:
    """Return a line of text whose baseline starts (or ends, or is centred) at a point."""
    return Markup('<text x="{}" y="{}" class="{}" text-anchor="{}">{}</text>').format(
        number(x), number(y), css, anchor, known(content)
    )


def spans(x: float, y: float, parts: Sequence[tuple[str, str]], *, anchor: str = "start") -> Markup:
    """Return a line of text in several styles; each part is a text and its CSS class."""
    inside = Markup("").join(
        Markup('<tspan class="{}">{}</tspan>').format(css, known(content)) for content, css in parts
    )
    return Markup('<text x="{}" y="{}" text-anchor="{}">{}</text>').format(number(x), number(y), anchor, inside)


def rect(x: float, y: float, width: float, height: float, css: str, *, radius: float = 0, tip: str = "") -> Markup:
    """Return a rectangle, with a tooltip if `tip` is given."""
    return Markup('<rect x="{}" y="{}" width="{}" height="{}" rx="{}" class="{}">{}</rect>').format(
        number(x), number(y), number(max(width, 0)), number(max(height, 0)), number(radius), css, _tip(tip)
    )


def line(start: Point, end: Point, css: str) -> Markup:
    """Return a straight line."""
    return Markup('<line x1="{}" y1="{}" x2="{}" y2="{}" class="{}"/>').format(*map(number, (*start, *end)), css)


def circle(center: Point, radius: float, css: str, *, tip: str = "") -> Markup:
    """Return a disc, with a tooltip if `tip` is given."""
    return Markup('<circle cx="{}" cy="{}" r="{}" class="{}">{}</circle>').format(
        number(center[0]), number(center[1]), number(radius), css, _tip(tip)
    )


def polyline(points: Iterable[Point], css: str) -> Markup:
    """Return an open line through points."""
    joined = " ".join(f"{number(x)},{number(y)}" for x, y in points)
    return Markup('<polyline points="{}" class="{}"/>').format(joined, css)


def ribbon(x0: float, top0: float, bottom0: float, x1: float, top1: float, bottom1: float, css: str) -> Markup:
    """Return a band that flows from the edge (x0, top0–bottom0) to the edge (x1, top1–bottom1)."""
    middle = (x0 + x1) / 2
    path = (
        f"M{number(x0)} {number(top0)}C{number(middle)} {number(top0)} {number(middle)} {number(top1)} "
        f"{number(x1)} {number(top1)}V{number(bottom1)}C{number(middle)} {number(bottom1)} {number(middle)} "
        f"{number(bottom0)} {number(x0)} {number(bottom0)}Z"
    )
    return Markup('<path d="{}" class="{}"/>').format(path, css)


def funnel(y0: float, left0: float, right0: float, y1: float, left1: float, right1: float, css: str) -> Markup:
    """Return a band that flows down from (left0–right0, y0) to (left1–right1, y1)."""
    path = f"M{number(left0)} {number(y0)}L{number(left1)} {number(y1)}H{number(right1)}L{number(right0)} {number(y0)}Z"
    return Markup('<path d="{}" class="{}"/>').format(path, css)


def interval(low: float, high: float, y: float, css: str, *, cap: float = 4) -> Markup:
    """Return a horizontal whisker with end caps, and a halo so that it shows on bars of any colour."""
    path = Markup("M{l} {t}V{b}M{l} {y}H{h}M{h} {t}V{b}").format(
        l=number(low), h=number(high), y=number(y), t=number(y - cap), b=number(y + cap)
    )
    return Markup('<path d="{d}" class="halo"/><path d="{d}" class="{css}"/>').format(d=path, css=css)


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return round numbers that cover an interval, about `count` of them.

    Args:
        low: Least value to cover.
        high: Greatest value to cover.
        count: About how many numbers are wanted.

    Returns:
        Ascending multiples of 1, 2 or 5 times a power of ten, from the last at or below `low` to the first at or
        above `high`.
    """
    span = (high - low) or abs(high) or 1.0
    power = 10.0 ** math.floor(math.log10(span / max(count - 1, 1)))
    step = next(power * factor for factor in (1, 2, 5, 10) if span / (power * factor) <= count - 1 + 1e-9)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, 10) for index in range(first, max(last, first + 1) + 1)]


def number(value: float) -> str:
    """Return a coordinate with two decimals at most."""
    return f"{value:z.2f}".rstrip("0").rstrip(".")


def known(content: str) -> str:
    """Return a text with U+FFFD in place of every character that XML does not allow."""
    return NO_XML.sub("\ufffd", content)


def _tip(tip: str) -> Markup:
    return Markup("<title>{}</title>").format(known(tip)) if tip else Markup("")


def pick(parts: Iterable[Markup], *, policy: str, kind: str, label: str) -> Markup:
    """Group elements that the page's script turns into a button; without the script they are only drawn.

    Args:
        parts: The elements.
        policy: Policy whose descriptions the button shows.
        kind: Which of these descriptions it shows: a kind, a group, or "" for all.
        label: What the button is called.

    Returns:
        A `g` element.
    """
    return Markup('<g class="pick" data-policy="{}" data-kind="{}" data-label="{}">{}</g>').format(
        policy, kind, label, Markup("").join(parts)
    )
