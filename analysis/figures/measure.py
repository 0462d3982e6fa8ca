"""How wide words are in a drawing, so that they can be broken before they reach something else."""

from __future__ import annotations

import functools

from PIL import ImageFont

from analysis.figures import fonts

SIZES = {"": 15.0, "strong": 15.0, "part": 15.0, "small": 13.5, "tick": 12.5}
"""Font size of each class of text in a wide drawing, in pixels; `drawings.css` says the same."""
MARGIN = 1.08
"""A page is shown in the reader's own font, which may be somewhat wider than the one that is measured here."""


def width(text: str, css: str = "") -> float:
    """Return the width of a line of text in pixels, with some room for another font.

    Args:
        text: The line.
        css: Its class or classes, the first of which decides the size.
    """
    first = css.split()[0] if css else ""
    font = _font(SIZES[first], bold=first == "strong")
    return MARGIN * float(font.getlength(text))


def lines(text: str, css: str, most: float) -> list[str]:
    """Break a text into lines that are no wider than `most` pixels, unless a single word is.

    Non-breaking spaces hold words together.
    """
    made: list[str] = []
    for word in text.split(" "):
        if made and width(f"{made[-1]} {word}", css) <= most:
            made[-1] += f" {word}"
        else:
            made.append(word)
    return [line for line in made if line]


@functools.cache
def _font(size: float, *, bold: bool) -> ImageFont.FreeTypeFont:
    path = next(path for path in fonts.FILES if ("Bold" in path.name) is bold)
    return ImageFont.truetype(str(path), size)
