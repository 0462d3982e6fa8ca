"""Drawings as files: an SVG that stands alone, with its size and the report's light colours inside."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from markupsafe import Markup

from analysis.figures import fonts, svg

MARGIN = 14
"""Margin around a drawing that stands alone, in units of the drawing."""


def captioned(drawing: Markup, lines: Sequence[str]) -> Markup:
    """Return a drawing with lines of text below it."""
    width, height = re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', drawing)[0]
    text = Markup("").join(svg.text(0, float(height) + 18 * n, line, "small soft") for n, line in enumerate(lines, 1))
    box = f'viewBox="0 0 {width} {float(height) + 18 * len(lines) + 6:g}"'
    body = str(drawing).replace(f'viewBox="0 0 {width} {height}"', box, 1)
    end = body.rindex("</svg>")
    return Markup(body[:end]) + text + Markup(body[end:])


def standalone(drawing: Markup) -> str:
    """Return a drawing as an SVG file: with its size, and the report's light colours inside."""
    width, height = re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', drawing)[0]
    outer = (float(width) + 2 * MARGIN, float(height) + 2 * MARGIN)
    box = f"{-MARGIN} {-MARGIN} {outer[0]:g} {outer[1]:g}"
    head = f'<svg width="{outer[0]:g}" height="{outer[1]:g}" '
    style = f"<style>{drawing_style()}</style>"
    text = str(drawing).replace("<svg ", head, 1).replace(f'viewBox="0 0 {width} {height}"', f'viewBox="{box}"', 1)
    start = text.index(">") + 1
    background = f'<rect x="{-MARGIN}" y="{-MARGIN}" width="100%" height="100%" fill="#fffefb"/>'
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + text[:start] + style + background + text[start:] + "\n"


def drawing_style() -> str:
    """Return the report's CSS rules for drawings, with variables replaced: not all programs know variables."""
    colors, drawings = (Path(__file__).with_name(f"{name}.css").read_text("utf-8") for name in ("colors", "drawings"))
    values = dict(re.findall(r"--([\w-]+):\s*([^;]+);", colors))
    rules = re.sub(r"/\*.*?\*/", "", drawings)
    rules = re.sub(r"var\(--([\w-]+)\)", lambda found: values[found[1]], rules)
    rules = re.sub(r"calc\(([\d.]+) \* ([\d.]+)\)", lambda found: f"{float(found[1]) * float(found[2]):g}", rules)
    names = set(re.findall(r"\.((?:band|fill)-\w+)", rules))
    rules = re.sub(  # not all programs know attribute selectors either: every class by name
        r'\[class\^="([\w-]+)"\]([^ ,{]*)',
        lambda found: ", ".join(f".{name}{found[2]}" for name in sorted(names) if name.startswith(found[1])),
        rules,
    )
    font = f'svg {{ font-family: "{fonts.FAMILY}", Arial, Helvetica, "DejaVu Sans", sans-serif; font-size: 15px; }}'
    kept = [rule for rule in re.findall(r"[^{}]+{[^{}]*}", rules) if not rule.strip().startswith(("svg {", ".narrow"))]
    return font + "".join(rule.strip() for rule in kept)


def words_of(drawing: Markup) -> str:
    """Return all text that a drawing shows."""
    root = ElementTree.fromstring(str(drawing))
    return " ".join("".join(element.itertext()) for element in root.iter("{http://www.w3.org/2000/svg}text"))
