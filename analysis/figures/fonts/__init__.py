"""The font of drawings: Liberation Sans, which is shipped with EX2 so that a PNG is the same on every machine."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from PIL import ImageFont

FAMILY = "Liberation Sans"
"""Name of the font, first in the drawings' list of fonts; its characters are as wide as Arial's."""

FILES = tuple(Path(__file__).parent / f"LiberationSans-{style}.ttf" for style in ("Regular", "Bold"))
"""The font's files: version 2.1.5, SIL Open Font License 1.1 (see LICENSE beside them)."""

_NO_CHARACTER = "\U0010ffff"
"""A code point that is no character, and so is drawn as the font's glyph for missing characters."""


def lacking(text: str) -> str:
    """Return the visible characters of a text that the font cannot draw, each once, in order."""
    return "".join(c for c in dict.fromkeys(text) if c.isprintable() and not c.isspace() and not _has(c))


@cache
def _has(character: str) -> bool:
    return _drawn(character) != _drawn(_NO_CHARACTER)


def _drawn(character: str) -> tuple[tuple[int, int], bytes]:
    mask = _face().getmask(character)
    return mask.size, bytes(mask)


@cache
def _face() -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(FILES[0], 40, layout_engine=ImageFont.Layout.BASIC)
