"""The protocol that an image of any dataset satisfies, for the image bank."""

from __future__ import annotations

from typing import Protocol

from PIL import Image


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
