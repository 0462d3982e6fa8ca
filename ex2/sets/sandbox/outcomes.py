"""What comes out of a worker: an image that was checked, or a status."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass
from typing import Literal

from PIL import Image, ImageChops

from ex2.data.datasets.set_records import FailureStatus
from ex2.sets.sandbox.inside.jobs import MOST_BYTES, MOST_PIXELS

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_KEPT = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_MOST_CHUNKS = 4096


@dataclass(frozen=True)
class Outcome:
    """What a program came to.

    Attributes:
        status: `drawn`, or why there is no image.
        message: What happened, in one line; empty if it was drawn.
        seconds: Time that it took.
        image: In mode RGB; None unless it was drawn.
    """

    status: FailureStatus | Literal["drawn"]
    message: str
    seconds: float
    image: Image.Image | None = None


class Unsafe(Exception):
    """A file is not an image that may be opened; the message says why."""


def checked_png(content: bytes, most: int = MOST_PIXELS) -> Image.Image:
    """Return the image of a PNG file that code has written, on white and without all else that the file says.

    Only the chunks that hold the pixels reach the decoder, and their number of pixels is known before it starts.

    Args:
        content: The file.
        most: Greatest width and height, in pixels.

    Raises:
        Unsafe: If it is none, or larger than allowed.
    """
    bare = _bare(content, most)
    try:
        with Image.open(io.BytesIO(bare), formats=["PNG"]) as opened:
            opened.load()
            image = opened.convert("RGBA")
    except (OSError, SyntaxError, ValueError, zlib.error, struct.error, Image.DecompressionBombError) as error:
        raise Unsafe(f"a damaged PNG file ({error})") from error
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("RGB")


def _bare(content: bytes, most: int) -> bytes:
    if len(content) > MOST_BYTES:
        raise Unsafe(f"a file of {len(content):,} bytes; at most {MOST_BYTES:,} are taken")
    if not content.startswith(_SIGNATURE):
        raise Unsafe("no PNG file")
    kept, place = [_SIGNATURE], len(_SIGNATURE)
    for number in range(_MOST_CHUNKS):
        head = content[place : place + 8]
        if len(head) < 8:
            raise Unsafe("a PNG file without an end")
        length, kind = int.from_bytes(head[:4], "big"), head[4:]
        end = place + 12 + length
        if end > len(content):
            raise Unsafe("a PNG file that is cut off")
        if (number == 0) != (kind == b"IHDR"):
            raise Unsafe("a PNG file without a header, or with two")
        if kind == b"IHDR":
            _check_size(content[place + 8 : end - 4], most)
        if kind in _KEPT:
            kept.append(content[place:end])
        elif not kind[0] & 0x20:
            raise Unsafe(f"a PNG file with a chunk {kind!r} that has to be understood")
        place = end
        if kind == b"IEND":
            if place != len(content):
                raise Unsafe("a PNG file with something after its end")
            return b"".join(kept)
    raise Unsafe(f"a PNG file of more than {_MOST_CHUNKS} chunks")


def _check_size(header: bytes, most: int) -> None:
    if len(header) != 13:
        raise Unsafe("a PNG file with a damaged header")
    width, height = struct.unpack(">II", header[:8])
    if not (0 < width <= most and 0 < height <= most):
        raise Unsafe(f"an image of {width:,} by {height:,} pixels; at most {most:,} by {most:,} are taken")


def is_blank(image: Image.Image) -> bool:
    """Say whether all of an RGB image has one color."""
    first = image.getpixel((0, 0))
    return ImageChops.difference(image, Image.new(image.mode, image.size, first)).getbbox() is None


def squared(image: Image.Image, size: int) -> Image.Image:
    """Return an image in the middle of a white square, made smaller if it is larger."""
    if image.size == (size, size):
        return image
    fitted = image.copy()
    fitted.thumbnail((size, size), Image.Resampling.LANCZOS)
    square = Image.new("RGB", (size, size), "white")
    square.paste(fitted, ((size - fitted.width) // 2, (size - fitted.height) // 2))
    return square
