"""The images and texts that the contract suite shows to a VLM; they are the same in every call."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

TEXTS = (
    "a photo of a dog",
    "x",
    "Stripes, red and white: seen from the left!",
    "a small green bird that sits on a branch in the morning sun",
)
LONG_WORDS = ("a", "red", "bird", "on", "the", "green", "branch", "of", "a", "tree")

_ORIENTATION = 0x0112
_QUARTER_TURN = 6  # the top of the scene is at the right-hand side of the stored picture


def noise_images(count: int) -> list[Image.Image]:
    """Return RGB images of several sizes and shapes: coarse noise over a colour, so that they differ after resizing."""
    random = np.random.default_rng(0)
    images = []
    for index in range(count):
        coarse = random.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        size = (40 + 7 * (index % 5), 40 + 5 * (index % 7))
        images.append(Image.fromarray(coarse).resize(size, Image.Resampling.NEAREST))
    return images


def image_pairs() -> dict[str, tuple[Image.Image, Image.Image]]:
    """Return images that are not plain RGB (palette, transparent, turned by EXIF, …), each with its plain RGB equal.

    Returns:
        Name → (image, plain): a VLM has to embed both alike.
    """
    base = noise_images(3)[2]
    gray = base.convert("L")
    levels = np.asarray(gray)
    alpha = Image.fromarray(np.where(levels > 100, 255, 0).astype(np.uint8))
    on_white = Image.composite(base, Image.new("RGB", base.size, "white"), alpha)
    gray_on_white = Image.composite(gray, Image.new("L", base.size, 255), alpha)
    palette = on_white.quantize(16)
    clear = palette.copy()
    clear.info["transparency"] = 0
    clear_on_white = np.asarray(palette.convert("RGB")).copy()
    clear_on_white[np.asarray(palette) == 0] = 255
    cmyk = base.convert("CMYK")
    with_alpha, gray_alpha = base.copy(), gray.copy()
    with_alpha.putalpha(alpha)
    gray_alpha.putalpha(alpha)
    return {
        "1": (base.convert("1"), base.convert("1").convert("L").convert("RGB")),
        "L": (gray, Image.merge("RGB", (gray, gray, gray))),
        "LA": (gray_alpha, Image.merge("RGB", (gray_on_white,) * 3)),
        "P": (palette, palette.convert("RGB")),
        "P transparent": (clear, Image.fromarray(clear_on_white)),
        "RGBA": (with_alpha, on_white),
        "CMYK": (cmyk, cmyk.convert("RGB")),
        "I;16": (Image.fromarray(levels.astype(np.uint16) * 257), Image.merge("RGB", (gray, gray, gray))),
        "EXIF": (_turned(base), base.transpose(Image.Transpose.ROTATE_270)),
    }


def _turned(image: Image.Image) -> Image.Image:
    """Return the same pixels with an EXIF orientation by which a viewer turns them, as a tilted camera does."""
    exif = Image.Exif()
    exif[_ORIENTATION] = _QUARTER_TURN
    file = io.BytesIO()
    image.save(file, "PNG", exif=exif)
    return Image.open(file)
