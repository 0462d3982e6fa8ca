"""Conversion of any image to RGB, before a VLM's own preprocessing."""

from __future__ import annotations

import numpy as np
from PIL import Image

ORIENTATION = 0x0112
"""EXIF's tag for how the camera was held."""

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""Value of the tag → what turns the image upright."""


def to_rgb(image: Image.Image) -> Image.Image:
    """Return the image as a viewer shows it: upright, RGB, on white where it is transparent.

    Args:
        image: Any PIL mode: palette, grey (8 or 16 bits of either byte order, or numbers), CMYK, with or without alpha;
            EXIF orientation is applied. Grey of 16 bits is divided by 256. Grey of decimal numbers is white at 1 if
            none is above 1, else at 255.

    Returns:
        A new image of mode RGB; the argument is left as it was.

    Raises:
        ValueError: If grey values are negative, not finite or above the range, so that white is not known.
    """
    upright = _turned(image)
    if upright.mode.startswith("I;16") or upright.mode in ("I", "F"):
        upright = _eight_bits(upright)
    if upright.mode == "La":  # premultiplied: PIL knows one way out of it
        upright = upright.convert("LA")
    if upright.has_transparency_data:
        layer = upright.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        white.alpha_composite(layer)
        return white.convert("RGB")
    return upright.convert("RGB")


def _turned(image: Image.Image) -> Image.Image:
    """Return the image upright. Pillow's own way writes every tag anew, and fails at one that is wrong."""
    try:
        turn = _UPRIGHT.get(image.getexif().get(ORIENTATION, 1))
    except Exception:  # noqa: BLE001 - damaged metadata of any kind: viewers show such an image as it is stored
        turn = None
    return image.copy() if turn is None else image.transpose(turn)


def grey_problem(image: Image.Image) -> str:
    """Return why it is not known which grey of an image is white, or an empty text if it is known."""
    if image.mode not in ("I", "F"):
        return ""
    values = np.asarray(image)
    limit = 255 if image.mode == "F" else 65535
    if values.min() >= 0 and values.max() <= limit:
        return ""
    return f"its grey values are not all from 0 to {limit}, so that white is not known"


def _eight_bits(image: Image.Image) -> Image.Image:
    """Scale grey of more than 8 bits to 8; PIL clips it at 255 instead."""
    problem = grey_problem(image)
    if problem:
        raise ValueError(problem)
    values = np.asarray(image)
    if image.mode != "F":
        return Image.fromarray((values // 256).astype(np.uint8))
    return image.convert("L") if values.max() > 1 else Image.fromarray(np.rint(values * 255).astype(np.uint8))
