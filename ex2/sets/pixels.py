"""Images brought to the size that a pipeline takes."""

from __future__ import annotations

from PIL import Image

from reward.preprocess import to_rgb


def centered(image: Image.Image, width: int, height: int) -> Image.Image:
    """Return an image in RGB at another size: scaled so that it covers it, by Lanczos, and its middle cut out."""
    rgb = to_rgb(image)
    scale = max(width / rgb.width, height / rgb.height)
    size = max(width, round(rgb.width * scale)), max(height, round(rgb.height * scale))
    scaled = rgb.resize(size, Image.Resampling.LANCZOS)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    return scaled.crop((left, top, left + width, top + height))
