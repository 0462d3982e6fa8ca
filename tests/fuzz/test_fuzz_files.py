"""Hostile images and archives: decoded and unpacked, or refused with the file's name."""

from __future__ import annotations

import io
import operator
import os
import shutil
import stat
import struct
import tarfile
import tempfile
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import hostile
import numpy as np
import pytest
import torch
from fuzzing import Refused, fuzz, outcome
from hypothesis import strategies as st
from PIL import Image

from analysis.tables.pages.thumbnails import encode
from ex2.data.datasets.archives import unpack
from ex2.data.datasets.base import ImageFile
from reward.embedding import Loading, embed_in_parts
from reward.preprocess import to_rgb
from reward.vlm import TextEmbeddings


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as made:
        yield Path(made)


class Seen:
    """A VLM that takes pictures as they are, at one size, and embeds none; it tells which modes it was given."""

    name, dim, scale, bias, context_length = "seen", 1, 1.0, 0.0, 77

    def __init__(self) -> None:
        self.modes: list[str] = []

    def fingerprint(self) -> str:
        return "seen"

    def pixels(self, image: Image.Image) -> torch.Tensor:
        shown = to_rgb(image)
        self.modes.append(shown.mode)
        return torch.from_numpy(np.asarray(shown.resize((2, 2)), dtype=np.float32)).permute(2, 0, 1)

    def encode_pixels(self, pixels: torch.Tensor) -> torch.Tensor:
        return torch.ones(len(pixels), 1)

    def encode_images(self, images: Sequence[Image.Image]) -> torch.Tensor:
        return self.encode_pixels(torch.stack([self.pixels(image) for image in images]))

    def encode_texts(self, texts: Sequence[str]) -> TextEmbeddings:
        raise NotImplementedError


def pictures() -> list[bytes]:
    """Return small pictures in all formats that are read, of all depths."""
    base = Image.radial_gradient("L").resize((9, 7))
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a picture"
    made: list[bytes] = []
    for mode, image_format, settings in (
        ("RGB", "PNG", {}),
        ("RGBA", "PNG", {"exif": exif}),
        ("P", "PNG", {"transparency": 0}),
        ("I;16", "PNG", {}),
        ("RGB", "JPEG", {"exif": exif}),
        ("CMYK", "JPEG", {}),
        ("L", "JPEG", {"progressive": True}),
        ("RGB", "TIFF", {}),
        ("F", "TIFF", {}),
        ("I;16", "TIFF", {}),
        ("I;16B", "TIFF", {}),
        ("1", "TIFF", {"compression": "group4"}),
        ("RGB", "TIFF", {"compression": "tiff_lzw"}),
        ("P", "GIF", {}),
        ("RGB", "WEBP", {}),
        ("RGBA", "WEBP", {"lossless": True, "exif": exif}),
        ("RGB", "BMP", {}),
        ("1", "BMP", {}),
        ("RGB", "PPM", {}),
    ):
        file = io.BytesIO()
        (base.convert("I").convert(mode) if mode.startswith("I;") else base.convert(mode)).save(
            file, image_format, **settings
        )
        made.append(file.getvalue())
    return made


PICTURES = pictures()


def bomb(width: int, height: int) -> bytes:
    """Return a PNG's head that says how large it is, and nothing else."""
    return PICTURES[0][:16] + struct.pack(">II", width, height) + PICTURES[0][24:]


@fuzz(
    "images",
    content=hostile.damaged(PICTURES, most=8)
    | hostile.damaged(PICTURES, most=2)
    | st.sampled_from([*PICTURES, b"", b"\0" * 50, bomb(0, 5), bomb(2**31 - 1, 2), bomb(200_000, 200_000)]),
)
def test_an_image_is_decoded_or_refused_with_its_name(folder: Path, content: bytes) -> None:
    path = folder / "0.png"  # the content tells the format
    path.write_bytes(content)
    image = ImageFile(path, 0)
    seen = Seen()
    parts = outcome(
        lambda: embed_in_parts(seen, [image], ["x"], folder / "bank", title="images", loading=Loading(workers=0))
    )
    shutil.rmtree(folder / "bank", ignore_errors=True)
    if isinstance(parts, Refused):
        assert "0.png" in parts.message
        return
    assert seen.modes == ["RGB"]
    outcome(lambda: encode(image.open()))  # for the page


def tar_bytes(members: list[tuple[str, str, str]], packing: str) -> bytes:
    """Return a tar archive of members: their name, kind and link's target."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=f"w:{packing}", format=tarfile.GNU_FORMAT) as archive:
        for name, kind, target in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind.encode(), target
            content = b"content" if kind == "0" else b""
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def zip_bytes(members: list[tuple[str, str, str]], encrypted: bool) -> bytes:
    """Return a zip archive of members, links among them; `encrypted` only says so."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that stand twice
        for name, kind, target in members:
            info = zipfile.ZipInfo(name or "x")
            info.external_attr = (stat.S_IFLNK if kind == "2" else stat.S_IFREG) << 16
            archive.writestr(info, target if kind == "2" else "content")
    content = bytearray(file.getvalue())
    if encrypted and len(content) > 30:
        for signature, flag in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            place = content.find(signature)
            if place >= 0:
                content[place + flag] |= 1
    return bytes(content)


MEMBERS = (
    *("data/a.png", "data/b/c.png", "data", "data/", "./data/a.png", "data//a.png", "other/x", "a.png", "data/a.png/x"),
    *(
        "../x",
        "/x",
        "data/../../x",
        "C:\\x",
        "..\\x",
        "data/..",
        ".",
        "..",
        "data/\udcff",
        "data/" + "y" * 300,
        "data/a\nb",
    ),
    *("data/" + ("d" * 200 + "/") * 25 + "x", "CON", "data/.hidden", " ", "data/a\0b"),
)
members = st.lists(
    st.tuples(st.sampled_from(MEMBERS), st.sampled_from("0001235A67"), st.sampled_from([*MEMBERS, "/etc/passwd", ""])),
    max_size=4,
)
tame_members = st.lists(
    st.tuples(st.text("abcd", min_size=1, max_size=5).map("data/{}.png".format), st.just("0"), st.just("")),
    min_size=1,
    max_size=3,
    unique_by=operator.itemgetter(0),
)
TAR = tar_bytes([("data/a.png", "0", ""), ("data/b", "2", "a.png")], "")
TGZ = tar_bytes([("data/a.png", "0", "")], "gz")
ZIP = zip_bytes([("data/a.png", "0", ""), ("data/b.png", "0", "")], False)
NO_ZIPS = (b"", b"PK\x03\x04", b"PK\x05\x06" + bytes(18), ZIP[:-10], ZIP[10:], TAR)


@st.composite
def archives(draw: st.DrawFn) -> tuple[str, bytes]:
    kind = draw(st.sampled_from(["a.tar", "a.tar.gz", "a.zip"]))
    if draw(st.booleans()):
        return kind, draw(hostile.damaged([{"a.tar": TAR, "a.tar.gz": TGZ, "a.zip": ZIP}[kind]]))
    chosen = draw(members | tame_members)
    try:
        if kind == "a.zip":
            return kind, zip_bytes(chosen, draw(st.booleans()))
        return kind, tar_bytes(chosen, "gz" if kind == "a.tar.gz" else "")
    except (UnicodeError, ValueError):  # a name that this format cannot hold
        return kind, TAR


@fuzz("archives", archive=archives(), bare=st.booleans())
def test_an_archive_is_unpacked_into_its_folder_or_refused(
    folder: Path, archive: tuple[str, bytes], bare: bool
) -> None:
    root = folder / "archive"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    path = root / archive[0]
    path.write_bytes(archive[1])
    found = outcome(lambda: unpack(path, root / "data", bare=bare))
    if isinstance(found, Refused):
        assert os.listdir(root) == [archive[0]]
        return
    assert sorted(os.listdir(root)) == sorted([archive[0], "data"])
    inside = os.path.realpath(root / "data")
    for above, folders, files in os.walk(root / "data"):
        for name in (*folders, *files):
            assert os.path.realpath(os.path.join(above, name)).startswith(inside)
    assert not (folder / "x").exists()


@pytest.mark.parametrize(
    "members",
    [
        [("../x", "0", "")],
        [("/x", "0", "")],
        [("data/b", "2", "/etc/passwd")],
        [("data/b", "2", "../../x")],
        [("data/b", "1", "../x")],
        [("data/fifo", "6", "")],
        [("data/device", "3", "")],
        [("data", "0", ""), ("data/a.png", "0", "")],
        [("data/" + ("d" * 200 + "/") * 25 + "x", "0", "")],
        [],
    ],
    ids=lambda members: str(members)[:40],
)
def test_a_tar_that_must_not_be_unpacked_is_refused(folder: Path, members: list[tuple[str, str, str]]) -> None:
    refused_archive(folder, "a.tar", tar_bytes(members, ""))


@pytest.mark.parametrize("content", NO_ZIPS, ids=lambda content: str(content[:5]))
def test_a_zip_that_is_none_is_refused(folder: Path, content: bytes) -> None:
    refused_archive(folder, "a.zip", content)


def test_a_zip_with_a_password_or_without_names_is_refused(folder: Path) -> None:
    refused_archive(folder, "a.zip", zip_bytes([("data/a.png", "0", "")], True))
    refused_archive(folder, "a.zip", without_name(ZIP))
    refused_archive(folder, "a.zip", zip_bytes([("data/../../x", "0", "")], False))
    refused_archive(folder, "a.zip", zip_bytes([("data/link", "2", "/etc/passwd")], False))


def without_name(content: bytes) -> bytes:
    """Return a zip file whose first member has no name: its name is taken for its extra field."""
    changed = bytearray(content)
    for signature, place in ((b"PK\x03\x04", 26), (b"PK\x01\x02", 28)):
        start = content.find(signature) + place
        name, extra = struct.unpack("<HH", content[start : start + 4])
        changed[start : start + 4] = struct.pack("<HH", 0, name + extra)
    return bytes(changed)


def refused_archive(folder: Path, name: str, content: bytes) -> None:
    """See that an archive is refused with its name, and that nothing is left."""
    root = folder / "refused"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    (root / name).write_bytes(content)
    refused = outcome(lambda: unpack(root / name, root / "data"))
    assert isinstance(refused, Refused)
    assert name in refused.message
    assert os.listdir(root) == [name]
