"""Safetensors files that carry a hash of themselves, so that a changed byte is seen when they are read.

The hash is SHA-256 of the whole file with 64 zeros in the place of the hash. It stands in the file's metadata, and so
covers names, shapes and metadata too. It is put into the file after everything else, whoever has written it.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from safetensors import SafetensorError, safe_open

if TYPE_CHECKING:
    import torch

SEAL = "content_sha256"
"""Name of the metadata that holds the hash."""

_ZEROS = "0" * 64
UNSEALED = {SEAL: _ZEROS}
"""Metadata that a file must be written with, for `seal` to put its hash there."""

_KNOWN = {SEAL, "kind", "vlm", "fingerprint", "class_names", "format"}
"""Names of metadata that such files have had in any version; another one is a damaged name."""

_BLOCK = 1 << 20
_LONGEST_HEADER = 100_000_000
"""Bytes that a safetensors header may have."""


def seal(path: Path) -> None:
    """Put a file's hash into its metadata.

    Raises:
        ValueError: If the file was not written with `UNSEALED` among its metadata.
    """
    with path.open("r+b") as file:
        header = _header(file)
        place = header.find(f'"{SEAL}":"{_ZEROS}"'.encode())
        if place < 0:
            place = header.find(f'"{SEAL}": "{_ZEROS}"'.encode())
        if place < 0:
            raise ValueError(f"{path}: no metadata {SEAL} to be filled in")
        start = header.index(_ZEROS.encode(), place)
        digest = _hash(file, header)
        file.seek(8 + start)
        file.write(digest.encode())


def read_sealed(path: Path, names: Sequence[str]) -> dict[str, torch.Tensor] | None:
    """Return a file's tensors by name, memory-mapped; None if the file is missing or damaged.

    A damaged one is renamed to `NAME.damaged`, with a line on stderr, so that it can be made anew. A file of an earlier
    version has no hash, and is read without being checked.
    """
    try:
        with path.open("rb") as file:
            opened = os.fstat(file.fileno())
            try:
                fault = _fault(path, file)
                if not fault:
                    with safe_open(path, framework="pt") as tensors:
                        return {name: tensors.get_tensor(name) for name in names}
            except (SafetensorError, ValueError) as error:
                fault = str(error)
    except (FileNotFoundError, NotADirectoryError):
        return None
    _set_aside(path, opened, fault)
    return None


def _fault(path: Path, file: BinaryIO) -> str:
    """Return what is wrong with a file; empty if nothing is, as far as can be told."""
    with safe_open(path, framework="pt") as tensors:
        metadata = tensors.metadata() or {}
    unknown = sorted(set(metadata) - _KNOWN)
    if unknown:
        return f"unknown metadata {unknown[0][:60]!r}"
    if SEAL not in metadata:
        return ""
    header = _header(file)
    stored = metadata[SEAL].encode()
    if _hash(file, header.replace(stored, _ZEROS.encode(), 1)) != metadata[SEAL]:
        return "other content than was written"
    return ""


def _set_aside(path: Path, opened: os.stat_result, fault: str) -> None:
    aside = path.with_name(f"{path.name}.damaged")
    with suppress(OSError):
        if os.path.samestat(path.stat(), opened):  # else another process has made it anew meanwhile
            path.replace(aside)
            print(f"{path}: damaged ({fault[:200]}): set aside as {aside.name} and made anew", file=sys.stderr)


def _header(file: BinaryIO) -> bytes:
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    if length > _LONGEST_HEADER:
        raise ValueError("no safetensors header")
    return file.read(length)


def _hash(file: BinaryIO, header: bytes) -> str:
    """Hash a file that has the given header in the place of its own."""
    state = hashlib.sha256(len(header).to_bytes(8, "little") + header)
    file.seek(8 + len(header))
    while block := file.read(_BLOCK):
        state.update(block)
    return state.hexdigest()
