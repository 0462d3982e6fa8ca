"""SVG files drawn as PNG, with only the font that EX2 ships, so that every machine gives the same bytes."""

from __future__ import annotations

from analysis.figures import fonts
from reward.errors import UserError

ZOOM = 2
"""Pixels of a PNG per unit of its drawing."""


def to_png(svg: str) -> bytes:
    """Draw an SVG file.

    Args:
        svg: The file's content, as `analysis.figures.files.standalone` gives it.

    Raises:
        UserError: If the package that draws PNGs is not installed.
    """
    try:
        import resvg_py
    except ImportError as error:
        raise UserError(
            "figures as PNG: the package resvg-py is missing; pip install resvg-py (all else is written)."
        ) from error
    files = [str(path) for path in fonts.FILES]
    return bytes(resvg_py.svg_to_bytes(svg_string=svg, zoom=ZOOM, skip_system_fonts=True, font_files=files))
