"""What the server and its jobs say to each other and to the outside: frames on pipes, and how a job fails."""

from __future__ import annotations

import json
import os
import struct
from dataclasses import dataclass
from typing import Any, Literal

PNG, SYNTAX, ERROR, MEMORY, NO_IMAGE, TIMEOUT, UNSAFE = b"P", b"S", b"E", b"M", b"N", b"T", b"U"
"""Kinds of a frame: an image, or why there is none."""
Status = Literal["syntax", "error", "memory", "no_image", "timeout", "unsafe_output"]
KINDS: dict[bytes, Status] = {
    SYNTAX: "syntax",
    ERROR: "error",
    MEMORY: "memory",
    NO_IMAGE: "no_image",
    TIMEOUT: "timeout",
    UNSAFE: "unsafe_output",
}
HEAD = struct.Struct(">cI")
"""Before each frame's content: its kind and its length."""
MOST_BYTES = 4 << 20
"""Of an image's file."""
MOST_PIXELS = 2048
"""Of an image's width and height."""
MOST_MESSAGE = 4000
"""Bytes of a message that are kept."""


@dataclass(frozen=True)
class Job:
    """A program to run.

    Attributes:
        code: The program.
        size: Greatest width and height of its image, in pixels.
        seed: Of the random numbers that it draws.
        seconds: Wall clock that it may take.
        memory: Address space that it may take, in bytes.
    """

    code: str
    size: int
    seed: int
    seconds: float
    memory: int


@dataclass(frozen=True)
class Setup:
    """How a server works; what it is started with.

    Attributes:
        language: Its module in this folder.
        filtered: Whether system calls of jobs are filtered; only outside a sandbox they are not.
        writes: Whether jobs may write files and start programs, which their own language's needs.
    """

    language: str
    filtered: bool
    writes: bool


class Failed(Exception):
    """A job ends without an image.

    Args:
        kind: One of the kinds of frames.
        message: What happened.
    """

    def __init__(self, kind: bytes, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def frame(kind: bytes, content: bytes) -> bytes:
    """Return a frame."""
    return HEAD.pack(kind, len(content)) + content


def message_frame(kind: bytes, message: str) -> bytes:
    """Return a frame with a message, cut to what is kept of one."""
    return frame(kind, message.encode("utf-8", "replace")[:MOST_MESSAGE])


def write_all(descriptor: int, content: bytes) -> None:
    """Write everything to a pipe."""
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


def read_exactly(descriptor: int, count: int) -> bytes:
    """Read so many bytes from a pipe, or what there is until it ends."""
    parts = []
    while count:
        part = os.read(descriptor, min(count, 1 << 20))
        if not part:
            break
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def packed(record: Job | Setup) -> str:
    """Return a record as JSON in ASCII."""
    return json.dumps(vars(record))


def unpacked(kind: Literal["job", "setup"], text: str | bytes) -> Any:
    """Return a job or setup from its JSON."""
    return {"job": Job, "setup": Setup}[kind](**json.loads(text))
