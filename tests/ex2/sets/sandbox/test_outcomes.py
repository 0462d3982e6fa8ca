"""PNG files that code has written: only pixels get through, and no more of them than allowed."""

from __future__ import annotations

import io
import struct
import zlib

import pytest
from PIL import Image, PngImagePlugin

from ex2.sets.sandbox.inside.jobs import MOST_BYTES
from ex2.sets.sandbox.outcomes import Unsafe, checked_png, is_blank, squared


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def header(width: int, height: int) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))


SIGNATURE, END = b"\x89PNG\r\n\x1a\n", chunk(b"IEND", b"")
TWO = chunk(b"IDAT", zlib.compress(b"\0\xff\0\0\0\0\xff"))
"""One line of a red and a blue pixel."""


def test_pixels_get_through_and_nothing_else() -> None:
    text = chunk(b"tEXt", b"Comment\0from inside") + chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(9_000_000)))
    image = checked_png(SIGNATURE + header(2, 1) + text + TWO + END)
    assert image.mode == "RGB"
    assert list(image.tobytes()) == [255, 0, 0, 0, 0, 255]
    assert image.info == {}


def test_what_is_transparent_is_white() -> None:
    buffer = io.BytesIO()
    drawn = Image.new("RGBA", (2, 1), (0, 0, 0, 0))
    drawn.putpixel((1, 0), (0, 0, 0, 255))
    drawn.save(buffer, "PNG", pnginfo=PngImagePlugin.PngInfo())
    assert list(checked_png(buffer.getvalue()).tobytes()) == [255, 255, 255, 0, 0, 0]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no PNG file"),
        (b"GIF89a", "no PNG file"),
        (SIGNATURE, "without an end"),
        (SIGNATURE + header(2, 1) + TWO, "without an end"),
        (SIGNATURE + header(2, 1) + TWO[:-3], "cut off"),
        (SIGNATURE + header(2, 1) + TWO + END + b"more", "something after its end"),
        (SIGNATURE + TWO + END, "without a header"),
        (SIGNATURE + header(2, 1) + header(2, 1) + TWO + END, "or with two"),
        (SIGNATURE + chunk(b"IHDR", b"short") + TWO + END, "damaged header"),
        (SIGNATURE + header(2, 1) + chunk(b"CODE", b"") + TWO + END, "has to be understood"),
        (SIGNATURE + header(2, 1) + chunk(b"IDAT", b"no zlib") + END, "a damaged PNG file"),
        (SIGNATURE + header(2, 1) + chunk(b"tIME", b"") * 5000 + END, "more than 4096 chunks"),
        (SIGNATURE + header(0, 1) + TWO + END, "an image of 0 by 1 pixels"),
        (SIGNATURE + header(2049, 1) + TWO + END, "an image of 2,049 by 1 pixels; at most 2,048 by 2,048 are taken"),
        (SIGNATURE + header(1 << 22, 1 << 22) + TWO + END, "4,194,304 by 4,194,304"),
        (SIGNATURE + bytes(MOST_BYTES), "at most 4,194,304 are taken"),
    ],
)  # fmt: skip
def test_what_is_refused(content: bytes, said: str) -> None:
    with pytest.raises(Unsafe, match=said):
        checked_png(content)


def test_blank_is_one_color() -> None:
    image = Image.new("RGB", (9, 9), (3, 4, 5))
    assert is_blank(image)
    image.putpixel((8, 8), (3, 4, 6))
    assert not is_blank(image)


def test_a_drawing_stands_in_the_middle_of_a_square() -> None:
    wide = squared(Image.new("RGB", (64, 32), "black"), 64)
    assert [wide.getpixel((32, y)) for y in (15, 16, 47, 48)] == [(255,) * 3, (0,) * 3, (0,) * 3, (255,) * 3]
    assert squared(Image.new("RGB", (300, 600), "black"), 64).size == (64, 64)
