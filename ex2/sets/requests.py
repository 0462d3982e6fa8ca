"""What a generator is asked for and what it answers: an image with how long it took, or why there is none."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from PIL import Image

from ex2.data.datasets.set_records import FailureStatus as FailureStatus


@dataclass(frozen=True, kw_only=True)
class DrawRequest:
    """One image to draw.

    Attributes:
        class_name: Class that the image is of, as prompts name it.
        label: Index of the class in the set.
        index: Number of the image within its class, from 0.
        prompt: Text to draw; empty for a generator that copies images.
        negative_prompt: Text of what is not to be seen.
        seed: Seed of this image, from `image_seed`.
        parent: SHA-256 of the image file that this one is to improve, or None.
        feedback: What was wrong with the parent.
        set_seed: Seed of the whole set, for a generator that chooses among images without taking one twice.
    """

    class_name: str
    label: int
    index: int
    prompt: str
    negative_prompt: str = ""
    seed: int
    parent: str | None = None
    feedback: str = ""
    set_seed: int = 0


@dataclass(frozen=True)
class Program:
    """Code that draws, as it is kept beside the images.

    Attributes:
        text: The code.
        extension: Of its file, without a dot.
    """

    text: str
    extension: str

    @property
    def content(self) -> bytes:
        """What its file has."""
        return self.text.encode("utf-8", "replace")

    @property
    def sha256(self) -> str:
        """Hash of its file, which names it."""
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True)
class Drawn:
    """An image that a generator made.

    Attributes:
        image: In mode RGB.
        seconds: Time that it took; of a batch, its share.
        truncated: Whether the generator saw only a part of the prompt.
        source: SHA-256 of the image file that it was copied or started from; empty if there is none.
        code: The code that drew it; None if none did.
    """

    image: Image.Image
    seconds: float
    truncated: bool = False
    source: str = ""
    code: Program | None = None


@dataclass(frozen=True)
class Failure:
    """A request that got no image.

    Attributes:
        status: What kind of failure.
        message: What happened, in one line.
        seconds: Time that it took.
        code: The code that failed; None if there was none.
    """

    status: FailureStatus
    message: str
    seconds: float
    code: Program | None = None


def image_seed(set_seed: int, class_name: str, index: int) -> int:
    """Return the seed of one image, in [0, 2^63).

    It depends on nothing but the arguments: an image stays the same when other classes or images are added, when they
    are drawn in another order, or when it is drawn again alone.

    Args:
        set_seed: Seed of the set.
        class_name: Class of the image.
        index: Number of the image within its class.

    Returns:
        The first eight bytes, big-endian and without the highest bit, of the SHA-256 of `SET_SEED`, a zero byte, the
        name in UTF-8, a zero byte and `INDEX`.
    """
    content = b"\0".join((str(set_seed).encode(), class_name.encode(), str(index).encode()))
    return int.from_bytes(hashlib.sha256(content).digest()[:8], "big") >> 1
