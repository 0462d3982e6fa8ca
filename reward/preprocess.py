"""Conversion of any image to RGB, before a VLM's own preprocessing."""

from __future__ import annotations

from PIL import Image, ImageOps


def to_rgb(image: Image.Image) -> Image.Image:
    """Return the image as a viewer shows it: upright, RGB, on white where it is transparent.

    Args:
        image: Any PIL mode: palette, grey (8 or 16 bits), CMYK, with or without alpha; EXIF orientation
            is applied.

    Returns:
        A new image of mode RGB; the argument is left as it was.
    """
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I;16") or upright.mode == "I":
        # PIL clips 16-bit grey at 255 instead of scaling it.
        upright = upright.point(lambda value: value / 256).convert("L")
    if upright.mode == "La":  # premultiplied: PIL knows one way out of it
        upright = upright.convert("LA")
    if upright.has_transparency_data:
        layer = upright.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        white.alpha_composite(layer)
        return white.convert("RGB")
    return upright.convert("RGB")
