"""Image files of every kind become the pixels that a viewer shows, or an error that names the file."""

from __future__ import annotations

import io
import os
import random
import socket
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from ex2.data.datasets.base import ImageFile
from reward.errors import UserError
from reward.images import decode
from reward.preprocess import to_rgb

GREYS = np.array([[0, 255, 256, 257], [32768, 40000, 65280, 65535]], dtype=np.uint16)
EIGHT_BITS = [[0, 0, 1, 1], [128, 156, 255, 255]]
"""Each divided by 256, rounded down."""


def tiff(values: np.ndarray, order: str, sample_format: int, bits: int) -> bytes:
    """Return an uncompressed grey TIFF, written by hand: `order` is `<` or `>`."""
    height, width = values.shape
    data = values.astype(values.dtype.newbyteorder(order)).tobytes()
    tags = [
        (256, 3, width), (257, 3, height), (258, 3, bits), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, 1),
        (278, 3, height), (279, 4, len(data)), (339, 3, sample_format),
    ]  # fmt: skip
    rows = b"".join(
        struct.pack(f"{order}HHI", tag, kind, 1) + struct.pack(f"{order}I" if kind == 4 else f"{order}HH", *value)
        for tag, kind, number in tags
        for value in [(number,) if kind == 4 else (number, 0)]
    )
    start = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 8 + len(data))
    return start + data + struct.pack(f"{order}H", len(tags)) + rows + bytes(4)


def rgb(content: bytes) -> np.ndarray:
    return np.asarray(to_rgb(decode(io.BytesIO(content), "x")))


@pytest.mark.parametrize("order", ["<", ">"])
def test_grey_of_16_bits_is_scaled_whatever_its_byte_order(order: str) -> None:
    assert rgb(tiff(GREYS, order, 1, 16)).tolist() == [[[v] * 3 for v in row] for row in EIGHT_BITS]


@pytest.mark.parametrize("order", ["<", ">"])
def test_grey_of_32_bits_is_read_as_16(order: str) -> None:
    content = tiff(GREYS.astype(np.int32), order, 2, 32)
    assert rgb(content)[..., 0].tolist() == EIGHT_BITS


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 0.25, 0.5, 1.0], [0, 64, 128, 255]),  # 63.75 and 127.5, rounded to even
        ([0.0, 1.0, 128.0, 255.0], [0, 1, 128, 255]),
        ([0.0, 0.0, 0.0, 0.0], [0, 0, 0, 0]),
    ],
)
def test_grey_of_decimal_numbers_is_white_at_1_or_at_255(order: str, values: list[float], expected: list[int]) -> None:
    content = tiff(np.array([values], dtype=np.float32), order, 3, 32)
    assert rgb(content)[..., 1].tolist() == [expected]


@pytest.mark.parametrize(
    ("values", "sample_format", "limit"),
    [
        (np.array([[-1.0, 1.0]], np.float32), 3, 255),
        (np.array([[0.0, 4000.0]], np.float32), 3, 255),
        (np.array([[0.0, np.nan]], np.float32), 3, 255),
        (np.array([[0, 70000]], np.int32), 2, 65535),
        (np.array([[-5, 7]], np.int32), 2, 65535),
    ],
)
def test_grey_without_a_known_white_is_refused(values: np.ndarray, sample_format: int, limit: int) -> None:
    with pytest.raises(UserError) as caught:
        decode(io.BytesIO(tiff(values, "<", sample_format, 32)), "photos/cat/1.tif")
    assert str(caught.value) == (
        f"photos/cat/1.tif: its grey values are not all from 0 to {limit}, so that white is not known; "
        "save it with 8 bits, or remove it from the dataset."
    )


def jpeg(orientation: int) -> bytes:
    """Return a JPEG of a left black and a right white half."""
    picture = Image.new("RGB", (32, 16))
    picture.paste("white", (16, 0, 32, 16))
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    picture.save(file, "JPEG", exif=exif.tobytes())
    return file.getvalue()


def test_a_photograph_is_turned_as_the_camera_was_held() -> None:
    """Held so that the right side is up: 90° to the right, the black half is above."""
    turned = rgb(jpeg(6))
    assert turned.shape == (32, 16, 3)
    assert turned[:12].max() < 30
    assert turned[20:].min() > 225


@pytest.mark.parametrize(("tag", "value"), [(0x8769, "text"), (0x010F, 5), (0x9286, (1, 2)), (0x011A, "a/b")])
def test_one_bad_exif_tag_neither_ends_anything_nor_keeps_it_from_being_turned(tag: int, value: object) -> None:
    image = decode(io.BytesIO(jpeg(6)), "x")
    image.getexif()[tag] = value
    assert to_rgb(image).size == (16, 32)


def test_exif_data_that_cannot_be_read_at_all_leave_the_image_as_it_is_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_self: Image.Image) -> Image.Exif:
        raise struct.error("unpack requires a buffer of 2 bytes")

    image = decode(io.BytesIO(jpeg(6)), "x")
    monkeypatch.setattr(Image.Image, "getexif", fail)
    assert to_rgb(image).size == (32, 16)


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "CMYK", "YCbCr", "LAB", "HSV"]
)
def test_white_is_white_in_every_mode(mode: str) -> None:
    white = Image.new("RGBA", (4, 4), "white") if mode in ("La", "RGBa") else Image.new("RGB", (4, 4), "white")
    via = white.convert("LA") if mode == "La" else white.convert("P") if mode == "PA" else white
    assert np.asarray(to_rgb(via.convert(mode))).min() >= 254


def test_pipes_sockets_and_folders_named_as_images_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "0.png")
    (tmp_path / "1.png").mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "2.png"))
        problems = ["is a pipe or a device, which is not read", "cannot be read (Is a directory)", "cannot be read"]
        for number, problem in enumerate(problems):
            image = ImageFile(tmp_path / f"{number}.png", 0)
            for read in (image.open, image.digest):
                with pytest.raises(UserError) as caught:
                    read()
                assert str(caught.value).startswith(f"{tmp_path}/{number}.png: {problem}")


def test_an_image_that_would_fill_the_memory_when_scaled_is_refused() -> None:
    file = io.BytesIO()
    Image.new("L", (2000, 2)).save(file, "PNG")
    with pytest.raises(UserError, match=r"^x: has 2000 × 2 pixels; a VLM can show no image whose sides differ more"):
        decode(file, "x")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP", "PPM"])
def test_damaged_files_name_themselves(kind: str) -> None:
    """Cut at 40 places and with 40 bytes changed: an image, or an error of one line; never another exception."""
    generator = random.Random(kind)
    file = io.BytesIO()
    picture = Image.effect_noise((24, 20), 60).convert("RGB")
    picture.save(file, kind, **({"exif": Image.Exif().tobytes()} if kind == "JPEG" else {}))
    content = file.getvalue()
    told = []
    for _ in range(40):
        broken = bytearray(content)
        broken[generator.randrange(len(broken))] ^= 1 << generator.randrange(8)
        for each in (content[: generator.randrange(len(content))], bytes(broken)):
            try:
                to_rgb(decode(io.BytesIO(each), "photos/cat/1"))
            except UserError as error:
                told.append(str(error))
    assert len(told) >= 20
    assert all(message.startswith("photos/cat/1: ") for message in told)
    assert not any("\n" in message or "<_io" in message for message in told)


def test_a_tiff_whose_tags_are_of_wrong_types_is_named() -> None:
    info = TiffImagePlugin.ImageFileDirectory_v2()
    info[270] = "x"
    file = io.BytesIO()
    Image.new("L", (8, 8)).save(file, "TIFF", tiffinfo=info)
    content = bytearray(file.getvalue())
    offset = content.find(struct.pack("<H", 257))
    content[offset + 2 : offset + 4] = struct.pack("<H", 2)  # the height is text
    with pytest.raises(UserError, match=r"^x: not a readable image \(.+\); replace the file or remove it"):
        decode(io.BytesIO(bytes(content)), "x")
