"""Reads Qt resource archives (`.rcc`), the format in which GCompris ships its pictures.

    header  'qres', then big-endian u32: version, tree offset, data offset, names offset, (version 3) flags
    tree    nodes of 14 bytes (22 from version 2 on): u32 name offset, u16 flags, then
            a directory: u32 number of children, u32 index of the first; a file: u16, u16, u32 data offset
    names   u16 length, u32 hash, UTF-16-BE characters
    data    u32 length, then the bytes; a zlib entry starts with its u32 unpacked length

Source: `rcc.cpp` and `qresource.cpp` of qtbase, format versions 1 to 3.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

MAX_ENTRY_BYTES = 64 * 2**20
"""Most bytes that an entry may unpack to; a package's picture has a few megabytes."""

_ZLIB, _DIRECTORY, _ZSTD = 1, 2, 4
_MAX_DEPTH = 64


class RccError(ValueError):
    """The bytes are no readable Qt resource archive."""


@dataclass(frozen=True)
class RccEntry:
    """One file of an archive. Its path is a name only and must not be used to write a file.

    Attributes:
        path: Slash-separated path inside the archive, without a leading slash.
        flags: 1 for zlib, 4 for zstandard, 0 for stored.
        packed: The bytes as stored.
    """

    path: str
    flags: int
    packed: bytes

    def read(self) -> bytes:
        """Return the unpacked content.

        Raises:
            RccError: If the entry is damaged, larger than `MAX_ENTRY_BYTES`, or packed with zstandard.
        """
        if self.flags & _ZSTD:
            raise RccError(f"{self.path}: packed with zstandard, which this reader does not unpack")
        if not self.flags & _ZLIB:
            return self.packed
        if len(self.packed) < 4:
            raise RccError(f"{self.path}: truncated")
        (size,) = struct.unpack_from(">I", self.packed)
        if size > MAX_ENTRY_BYTES:
            raise RccError(f"{self.path}: unpacks to {size} bytes, more than {MAX_ENTRY_BYTES}")
        try:
            # One byte more than announced is enough to notice a lie without unpacking a bomb.
            content = zlib.decompressobj().decompress(self.packed[4:], size + 1)
        except zlib.error as error:
            raise RccError(f"{self.path}: damaged ({error})") from error
        if len(content) != size:
            raise RccError(f"{self.path}: announces {size} bytes, unpacks to another number")
        return content


def entries(archive: bytes) -> Iterator[RccEntry]:
    """Yield the files of an archive, packed, in the archive's order.

    Args:
        archive: The content of an `.rcc` file.

    Yields:
        One entry per file.

    Raises:
        RccError: If a header, an offset or a name points outside the archive, or the tree has a loop.
    """
    if archive[:4] != b"qres":
        raise RccError("no Qt resource archive: it does not start with 'qres'")
    version, tree, data, names = _unpack(">IIII", archive, 4)
    if version not in (1, 2, 3):
        raise RccError(f"format version {version} is unknown; versions 1 to 3 are read")
    node_bytes = 22 if version >= 2 else 14
    seen: set[int] = set()

    def walk(index: int, path: str, depth: int) -> Iterator[RccEntry]:
        if index in seen or depth > _MAX_DEPTH:
            raise RccError("the tree has a loop or is too deep")
        seen.add(index)
        offset = tree + index * node_bytes
        name_offset, flags = _unpack(">IH", archive, offset)
        if index:  # the root has no name
            name = _name(archive, names + name_offset)
            path = f"{path}/{name}" if path else name
        if flags & _DIRECTORY:
            count, first = _unpack(">II", archive, offset + 6)
            for child in range(first, first + count):
                yield from walk(child, path, depth + 1)
            return
        _, _, data_offset = _unpack(">HHI", archive, offset + 6)
        (size,) = _unpack(">I", archive, data + data_offset)
        start = data + data_offset + 4
        if start + size > len(archive):
            raise RccError(f"{path}: its data lie outside the archive")
        yield RccEntry(path, flags, archive[start : start + size])

    return walk(0, "", 0)


def _unpack(layout: str, archive: bytes, offset: int) -> tuple[int, ...]:
    try:
        return struct.unpack_from(layout, archive, offset)
    except struct.error as error:
        raise RccError(f"truncated: nothing at offset {offset}") from error


def _name(archive: bytes, offset: int) -> str:
    (length,) = _unpack(">H", archive, offset)
    raw = archive[offset + 6 : offset + 6 + 2 * length]
    try:
        name = raw.decode("utf-16-be")
    except UnicodeDecodeError as error:
        raise RccError(f"a name at offset {offset} is not UTF-16") from error
    if len(raw) != 2 * length or not name or "/" in name or "\0" in name or name in (".", ".."):
        raise RccError(f"a name at offset {offset} is truncated or no file name: {name!r}")
    return name
