"""Archives that are damaged, encrypted, or have names that no disk takes: one line each, and nothing is unpacked."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ex2.data.datasets.archives import unpack
from reward.errors import UserError

Change = Callable[[bytearray], object]


def zip_of(path: Path, *names: str, change: Change = lambda content: None) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, b"hello" * 100)
    content = bytearray(path.read_bytes())
    change(content)
    path.write_bytes(content)


def tar_of(path: Path, *members: dict[str, Any]) -> None:
    with tarfile.open(path, "w") as archive:
        for member in members:
            info = tarfile.TarInfo("a")
            for key, value in member.items():
                setattr(info, key, value)
            archive.addfile(info, io.BytesIO(b"x" * info.size))


def encrypt(content: bytearray) -> None:
    """Set the flag in the member's header and in the directory."""
    content[content.find(b"PK\x03\x04") + 6] |= 1
    content[content.find(b"PK\x01\x02") + 8] |= 1


def claim_utf8(content: bytearray) -> None:
    content[content.find(b"PK\x03\x04") + 7] |= 8
    content[content.find(b"PK\x01\x02") + 9] |= 8
    content[:] = content.replace(b"aXb", b"a\xffb")


def flip(content: bytearray) -> None:
    content[45] ^= 255


def damaged(reason: str) -> str:
    return f"damaged ({reason}); nothing was unpacked. Delete it and run the same command again."


def impossible(reason: str) -> str:
    return f"has members that cannot be unpacked ({reason}); nothing was unpacked. Do not trust this archive."


LONG = "File name too long"


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        (
            "a.zip",
            lambda path: zip_of(path, "a.txt", change=encrypt),
            "is encrypted; nothing was unpacked. Unpack it yourself, with its password.",
        ),
        ("a.zip", lambda path: zip_of(path, "a.txt", change=flip), damaged("Bad CRC-32 for file 'a.txt'")),
        ("a.zip", lambda path: zip_of(path, "a" * 300), impossible(LONG)),
        ("a.zip", lambda path: zip_of(path, "a", "a/b"), impossible("Not a directory")),
        ("a.zip", lambda path: zip_of(path, "a/" * 3000 + "b"), None),
        ("a.zip", lambda path: zip_of(path, "aXb", change=claim_utf8), None),
        ("a.zip", lambda path: path.write_bytes(b""), damaged("File is not a zip file")),
        ("a.tar", lambda path: path.write_bytes(b""), None),
        ("a.tar", lambda path: path.write_bytes(b"no archive" * 100), None),
        ("a.tar", lambda path: tar_of(path, {"type": tarfile.LNKTYPE, "linkname": "b"}), None),
        ("a.tar", lambda path: tar_of(path, {"size": 3}, {"name": "a/b", "size": 3}), impossible("Not a directory")),
        ("a.tar", lambda path: tar_of(path, {"name": "a/b", "size": 3}, {"size": 3}), impossible("Is a directory")),
        ("a.tar", lambda path: tar_of(path, {"name": "a" * 300}), impossible(LONG)),
        ("a.tar", lambda path: tar_of(path, {"pax_headers": {"mtime": "1e400"}}), None),
        ("a.tar", lambda path: tar_of(path, {"pax_headers": {"path": "a\0b"}}), None),
        (
            "a.tar",
            lambda path: tar_of(
                path,
                {"pax_headers": {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "x"}},
            ),
            None,
        ),
        ("a.tar", os.mkfifo, "is a pipe or a device, which is not read; give a regular file."),
    ],
)
def test_a_bad_archive_is_one_line(
    name: str, make: Callable[[Path], object], message: str | None, tmp_path: Path
) -> None:
    """Where the reason is Python's, its words are not asserted."""
    path = tmp_path / name
    make(path)
    with pytest.raises(UserError) as caught:
        unpack(path, tmp_path / "content", bare=True)
    told = str(caught.value)
    if message is not None:
        assert told == f"{path}: {message}"
    assert told.startswith(f"{path}: ")
    assert "\n" not in told
    assert len(told) < 1000
    assert [each.name for each in tmp_path.iterdir()] == [name]
