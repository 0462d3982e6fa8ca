"""The protocol that an image of any dataset satisfies, for the image bank, and how a file becomes an image."""

from __future__ import annotations

import os
import stat
import warnings
from io import BufferedReader
from pathlib import Path
from typing import IO, Protocol

from PIL import Image, UnidentifiedImageError

from reward.errors import UserError, one_line, shortened
from reward.preprocess import grey_problem

IMAGE_ERRORS = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)
"""Exceptions that Pillow is meant to raise for files that are truncated, damaged, too large or no image."""

NARROWEST = 200
"""Most times that one side of an image may be as long as the other. VLMs scale the shorter side to hundreds of pixels:
beyond this the longer one would fill the memory."""


class LabeledImage(Protocol):
    """One image of a dataset.

    Attributes:
        label: Index into the dataset's class names.
        name: Shown in messages: a path, or for a drawn image how it was drawn.
    """

    @property
    def label(self) -> int: ...

    @property
    def name(self) -> str: ...

    def open(self) -> Image.Image:
        """Decode the image.

        Raises:
            UserError: If it cannot be read; the message names the file.
        """
        ...

    def digest(self) -> str:
        """Return a hash of the content: equal images have equal digests."""
        ...


def open_regular(path: Path) -> BufferedReader:
    """Open a regular file for reading. A pipe, which might keep the reader waiting for ever, is never read.

    Raises:
        UserError: If it is a pipe, a socket or a device.
        OSError: If it is missing, is a folder or cannot be read.
    """
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    mode = os.fstat(handle).st_mode
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return open(handle, "rb")  # raises for a folder
    os.close(handle)
    raise UserError(f"{path}: is a pipe or a device, which is not read; give a regular file.")


def decode(file: IO[bytes], name: str, remedy: str = "replace the file or remove it from the dataset") -> Image.Image:
    """Decode an image.

    Args:
        file: An open file.
        name: Of the image, for the message.
        remedy: What to do about it, for the message.

    Raises:
        UserError: If it is truncated, damaged, too large, too narrow or no image, or if its white is not known.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's on odd metadata, which do not say of which file
            with Image.open(file) as image:
                image.load()
    except MemoryError as error:
        raise UserError(f"{name}: does not fit in memory; {remedy}.") from error
    except Exception as error:
        unknown = isinstance(error, UnidentifiedImageError)  # its words show the file object
        reason = "of no known format, or damaged" if unknown else shortened(one_line(error), 300)
        raise UserError(f"{name}: not a readable image ({reason}); {remedy}.") from error
    width, height = image.size
    if min(width, height) < 1 or max(width, height) > NARROWEST * min(width, height):
        raise UserError(
            f"{name}: has {width} × {height} pixels; a VLM can show no image whose sides differ more than "
            f"{NARROWEST}-fold; {remedy}."
        )
    problem = grey_problem(image)
    if problem:
        raise UserError(f"{name}: {problem}; save it with 8 bits, or remove it from the dataset.")
    return image
