"""Small images that are put on pages."""

from __future__ import annotations

import base64
import io

from PIL import Image

from reward.preprocess import to_rgb

SIDE = 64
"""Longer side of a thumbnail, in pixels."""


def encode(image: Image.Image) -> str:
    """Return a thumbnail as JPEG in base64; transparent parts become white. No metadata is kept."""
    image.draft("RGB", (2 * SIDE, 2 * SIDE))  # a large JPEG is decoded no larger than needed; others stay as they are
    small = to_rgb(image)
    small.thumbnail((SIDE, SIDE), reducing_gap=2.0)
    small.info.clear()
    file = io.BytesIO()
    small.save(file, "JPEG", quality=72, optimize=True)
    return base64.b64encode(file.getvalue()).decode("ascii")
