"""Recognition as drawings: the mean of each recognizer on each kind of images, and a grid of categories."""

from __future__ import annotations

from markupsafe import Markup

from analysis.figures import measure, svg
from analysis.figures.dots import Scale
from analysis.images.figure import LEFT, LINE, NARROW, PANEL, ROW, VALUES, room_of
from analysis.images.recognition.record import Recognition
from analysis.images.recognition.rules import Rule
from analysis.images.recognition.wording import RULE_NAMES, counted, kind_name, level
from analysis.results.wording import percent
from reward.numerals import compact

LEVELS = 10
"""Steps of a square's opacity, from 0 to 100 %."""
TICKS = [0.0, 25.0, 50.0, 75.0, 100.0]
STYLE = "".join(f".share-{at}{{fill:var(--visual);fill-opacity:{at / LEVELS:g}}}" for at in range(LEVELS + 1))
FRAME = ".share-frame{fill:none;stroke:var(--grid)}"
CATEGORY, SQUARE, HIGH = 150.0, 44.0, 20.0
"""Pixels: names of categories, the widest square, and its height."""


def main_rule(found: Recognition) -> Rule:
    """Return the rule of drawings and of short texts: the reviewed classes, if any recognizer is judged by them."""
    return "synsets" if any(one.rule == "synsets" for one in found.recognized) else "words"


def means_figure(found: Recognition) -> tuple[Markup, Markup] | None:
    """Draw top-1 as dots with intervals, and top-5 as hollow dots, of each recognizer on each kind of images.

    Returns:
        A wide drawing, and a narrow one for phones; None if there is nothing to draw.
    """
    if not found.recognized:
        return None
    return _means(found, narrow=False), _means(found, narrow=True)


def _means(found: Recognition, *, narrow: bool) -> Markup:
    rule = main_rule(found)
    width = NARROW if narrow else LEFT + 20 + PANEL + 20 + VALUES
    left, panel = (16.0, NARROW - 32) if narrow else (LEFT + 20, PANEL)
    scale, room = Scale(TICKS, left, panel / 100), room_of(width, narrow=narrow)
    rows = [one for one in found.recognized if one.rule == rule]
    over = counted(rows[0].categories, "category", "categories")
    head = f"Top-1, mean over {over}, %, by the {RULE_NAMES[rule]}; {level(found)} intervals"
    parts: list[Markup] = []
    y = 14.0
    for line in measure.lines(head, "strong", room):
        parts.append(svg.text(0, y, line, "strong"))
        y += 19
    y += 12
    parts += [svg.text(scale.place(tick / 100), y, compact(tick), "tick", anchor="middle") for tick in TICKS]
    said = []
    for of in dict.fromkeys(one.of for one in rows):
        y += 10
        for line in measure.lines(kind_name(of), "strong", room):
            y += 19
            parts.append(svg.text(0, y - 4, line, "strong"))
        for one in rows:
            if one.of != of:
                continue
            value = percent(one.top1)
            said.append(f"{kind_name(of)}, {one.recognizer} {value}, top-5 {percent(one.top5)}")
            lines = measure.lines(one.recognizer, "small", room if narrow else room_of(LEFT, narrow=False))
            if narrow:
                for line in lines:
                    y += LINE
                    parts.append(svg.text(0, y, line, "small"))
                y += LINE
                parts.append(svg.text(width, y, value, "tick", anchor="end"))
                middle, y = y + 16, y + 28
            else:
                high = max(ROW, LINE * len(lines) + 6)
                middle, y = y + high / 2, y + high
                for at, line in enumerate(lines):
                    place = middle + 5 + (at - (len(lines) - 1) / 2) * LINE
                    parts.append(svg.text(LEFT, place, line, "small", anchor="end"))
                parts.append(svg.text(width, middle + 5, value, "small", anchor="end"))
            parts += scale.lines(middle - 9, middle + 9)
            if one.top1.low is not None and one.top1.high is not None:
                low, high = (scale.place(min(max(end, 0.0), 1.0)) for end in (one.top1.low, one.top1.high))
                parts.append(svg.interval(low, high, middle, "whisker"))
            for number, css, name in ((one.top5, "dot hollow", "top-5"), (one.top1, "fill-visual", "top-1")):
                tip = f"{one.recognizer}, {name} {percent(number)}"
                parts.append(svg.circle((scale.place(number.value), middle), 5, css, tip=tip))
    y += 8
    for line in measure.lines("Filled: top-1, with its interval and its number. Hollow: top-5.", "tick", room):
        y += LINE
        parts.append(svg.text(0, y, line, "tick"))
    key = "images-recognition" + "-narrow" * narrow
    return svg.document(width, y + 8, parts, title="What recognizers see", description=f"{'; '.join(said)}.", key=key)


def categories_figure(found: Recognition) -> tuple[Markup, Markup] | None:
    """Draw top-1 of each category as squares, a column for each recognizer, kinds of images side by side.

    Returns:
        A wide drawing, and a narrow one with the kinds one below the other; None if there is nothing to draw.
    """
    if not any(one.rule == main_rule(found) for one in found.categories):
        return None
    return _grid(found, narrow=False), _grid(found, narrow=True)


def _grid(found: Recognition, *, narrow: bool) -> Markup:
    rule = main_rule(found)
    shares = {(one.of, one.category, one.recognizer): one for one in found.categories if one.rule == rule}
    kinds = list(dict.fromkeys(of for of, _, _ in shares))
    categories = list(dict.fromkeys(category for _, category, _ in shares))
    names = [one.name for one in found.recognizers]
    width = NARROW if narrow else 960.0
    left = 110.0 if narrow else CATEGORY
    beside = 1 if narrow else len(kinds)
    square = min(SQUARE, (width - left - 14 * beside) / (beside * len(names)))
    room = room_of(width, narrow=narrow)
    parts: list[Markup] = [Markup("<style>{}</style>").format(Markup(STYLE + FRAME))]
    y = 14.0
    head = f"Top-1 by category, by the {RULE_NAMES[rule]}: the darker, the more images are recognized"
    for line in measure.lines(head, "strong", room):
        parts.append(svg.text(0, y, line, "strong"))
        y += 19
    said = []
    columns = "; ".join(f"{at}: {name}" for at, name in enumerate(names, start=1))
    for group in [[kind] for kind in kinds] if narrow else [kinds]:
        for at, kind in enumerate(group):
            x = left + at * (square * len(names) + 14)
            for number, line in enumerate(measure.lines(kind_name(kind), "small", square * len(names) + 10)):
                parts.append(svg.text(x, y + 12 + number * LINE, line, "small"))
        y += 12 + LINE * max(len(measure.lines(kind_name(kind), "small", square * len(names) + 10)) for kind in group)
        if square >= 14:
            for at in range(len(group)):
                x = left + at * (square * len(names) + 14)
                for number in range(len(names)):
                    parts.append(svg.text(x + (number + 0.5) * square, y, str(number + 1), "tick", anchor="middle"))
        y += 6
        for category in categories:
            shown = measure.lines(category, "small", room_of(left - 30, narrow=narrow))
            parts.append(svg.text(left - 8, y + 14, shown[0] + "…" * (len(shown) > 1), "small", anchor="end"))
            for at, kind in enumerate(group):
                x = left + at * (square * len(names) + 14)
                for number, name in enumerate(names):
                    one = shares.get((kind, category, name))
                    if one is None:
                        continue
                    tip = f"{category}, {kind_name(kind)}, {name}: {percent(one.top1)}"
                    css = f"share-{round(LEVELS * one.top1.value)}"
                    spot = x + number * square
                    parts.append(svg.rect(spot, y, square - 2, HIGH - 2, css, radius=2, tip=tip))
                    parts.append(svg.rect(spot, y, square - 2, HIGH - 2, "share-frame", radius=2))
                    said.append(tip)
            y += HIGH
        y += 10
    for line in measure.lines(f"Columns: {columns}. No square: the recognizer cannot answer.", "tick", room):
        y += LINE
        parts.append(svg.text(0, y, line, "tick"))
    key = "images-recognition-grid" + "-narrow" * narrow
    return svg.document(width, y + 8, parts, title="Top-1 by category", description=f"{'; '.join(said)}.", key=key)
