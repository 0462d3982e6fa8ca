"""Whether a dataset's images can be read: every file's header, and the whole of those whose end looks wrong.

Decoding a photograph of 500 × 375 points takes 1 ms, its header and last bytes 0.05 ms: ten thousand photographs take
half a second. What this misses is a file that is damaged in its middle; that one is named when it is decoded.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from reward.errors import UserError
from reward.images import IMAGE_ERRORS, NARROWEST, LabeledImage, open_regular

ENDINGS = {"JPEG": b"\xff\xd9", "PNG": b"IEND\xaeB`\x82", "GIF": b";"}
"""What the last bytes of a whole file hold, by format; a file of another format is decoded."""
PLAIN = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr")
"""Modes of 8 bits or fewer, whose white is known; an image of another mode is decoded."""
TAIL = 64
"""Last bytes that are looked at: programs leave padding behind the end."""
DRAWN = 16
"""How many images that are no files (rows of a table, drawings) are opened, evenly over the split."""
SHOWN = 10
"""Most unreadable images that are named."""


def unreadable_images(images: Sequence[LabeledImage]) -> list[str]:
    """List images that cannot be read: one message each for the first `SHOWN`, then their number."""
    files = [(image, path) for image in images if isinstance(path := getattr(image, "path", None), Path)]
    others = [image for image in images if not isinstance(getattr(image, "path", None), Path)]
    doubtful = [image for image, path in files if not looks_whole(path)]
    doubtful += others[:: max(1, len(others) // DRAWN)]
    problems = []
    for image in doubtful:
        try:
            image.open()
        except UserError as error:
            problems += str(error).splitlines()
    more = len(problems) - SHOWN
    return problems[:SHOWN] + [f"and {more} more images that cannot be read"] * (more > 0)


def looks_whole(path: Path) -> bool:
    """Say whether a file has an image's header and the ending of its format; False asks for decoding it.

    A process reads a file once for it, unless the file changes: a sweep's recipes share their images.
    """
    try:
        found = path.stat()
    except OSError:
        return False
    return _looks_whole(path, (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns))


@functools.lru_cache(maxsize=1 << 18)
def _looks_whole(path: Path, state: tuple[int, ...]) -> bool:
    try:
        with open_regular(path) as file:
            with Image.open(file) as image:
                ending, narrow = ENDINGS.get(image.format or ""), max(image.size) > NARROWEST * min(image.size)
                if ending is None or narrow or image.mode not in PLAIN:
                    return False
            file.seek(max(0, state[2] - TAIL))
            return ending in file.read()
    except (*IMAGE_ERRORS, UserError):
        return False
