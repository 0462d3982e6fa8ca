"""Test images in a set, which make it look better than it is: equal ones by hash, near ones by their embeddings."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import PIL
from tqdm import tqdm

from ex2.data.datasets.image_sets import ImageSet
from ex2.data.datasets.set_records import ImageRow
from ex2.sets.store import pixels_digest
from reward.embedding import content_digests
from reward.errors import UserError
from reward.files import read_object, write_json
from reward.images import LabeledImage
from reward.preprocess import to_rgb

if TYPE_CHECKING:
    import torch

NEAR = 0.98
"""Cosine of two images' embeddings above which they are near-duplicates."""
LISTED = 20
"""Most images with a near-duplicate that are listed."""
SHOWN = 3
"""Most pairs of equal images that a message names."""
_BLOCK = 1024


@dataclass(frozen=True)
class Overlap:
    """A test image that is in a set.

    Attributes:
        row: Index into the set's rows.
        test: Index into the test images.
        by: What is equal: `file`, the file or the one that the set's is a copy of; `pixels`, the decoded image.
    """

    row: int
    test: int
    by: Literal["file", "pixels"]


@dataclass(frozen=True)
class HashedImages:
    """Test images by their hashes, made once for any number of sets.

    Attributes:
        names: Of the images, for messages.
        digests: Hash of each image's file.
        by_file: Hash of a file → the first image that has it.
        by_pixels: Hash of decoded pixels, and size → likewise.
    """

    names: tuple[str, ...]
    digests: tuple[str, ...]
    by_file: Mapping[str, int]
    by_pixels: Mapping[tuple[str, tuple[int, int]], int]


def hashed(test: Sequence[LabeledImage], *, cache: Path | None = None, progress: bool = False) -> HashedImages:
    """Hash every test image's file and, one in memory at a time, its decoded pixels.

    Args:
        test: The test images.
        cache: Folder that keeps the hashes of pixels, so that images that were decoded before are only hashed as files.
        progress: Whether to show a bar.

    Raises:
        UserError: If one cannot be read.
        EnvironmentFault: If the cache cannot be written.
    """
    by_file: dict[str, int] = {}
    by_pixels: dict[tuple[str, tuple[int, int]], int] = {}
    digests = content_digests(test, title="test images")
    for index, digest in enumerate(digests):
        by_file.setdefault(digest, index)
    kept = None
    if cache is not None:
        key = "\n".join((PIL.__version__, *digests))  # decoders of JPEG files differ
        kept = cache / f"pixels-{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"
    known = (kept and _known_pixels(kept, len(test))) or []
    if not known:
        for image in tqdm(test, desc="overlap", unit="img", leave=False, disable=not progress):
            opened = to_rgb(image.open())
            known.append((pixels_digest(opened), opened.size))
        if kept is not None:
            write_json(kept, {"seal": _seal(known), "pixels": known})
    for index, pixels in enumerate(known):
        by_pixels.setdefault(pixels, index)
    return HashedImages(tuple(image.name for image in test), tuple(digests), by_file, by_pixels)


def _known_pixels(kept: Path, number: int) -> list[tuple[str, tuple[int, int]]]:
    """Return the hashes and sizes of decoded images from a file of the cache; none if it is missing or damaged."""
    if not kept.exists():
        return []
    with contextlib.suppress(UserError, KeyError, TypeError, ValueError):
        stored = read_object(kept)
        found = [(str(digest), (int(width), int(height))) for digest, (width, height) in stored["pixels"]]
        if len(found) == number and stored["seal"] == _seal(found):
            return found
    return []


def _seal(pixels: Sequence[tuple[str, tuple[int, int]]]) -> str:
    return hashlib.sha256(repr(pixels).encode()).hexdigest()


def find_overlap(
    image_set: ImageSet, test: Sequence[LabeledImage] | HashedImages, *, progress: bool = False
) -> list[Overlap]:
    """Find the images of a set that are test images too.

    Args:
        image_set: The set.
        test: The test images; every one is read and decoded unless their hashes are given.
        progress: Whether to show a bar.

    Returns:
        One for each row that equals a test image, the first of them, in the order of the rows.

    Raises:
        UserError: If a test image cannot be read.
    """
    known = test if isinstance(test, HashedImages) else hashed(test, progress=progress)
    found = []
    for number, row in enumerate(image_set.rows):
        file = next((known.by_file[digest] for digest in (row.sha256, row.source) if digest in known.by_file), None)
        pixels = known.by_pixels.get((row.pixels, (row.width, row.height)))
        if file is not None:
            found.append(Overlap(number, file, "file"))
        elif pixels is not None:
            found.append(Overlap(number, pixels, "pixels"))
    return found


def rows_for_test(
    image_set: ImageSet, test: Sequence[LabeledImage] | HashedImages, overlap: Literal["error", "drop"] = "error"
) -> tuple[ImageRow, ...]:
    """Return the rows of a set that may be measured on test images.

    Args:
        image_set: The set.
        test: The test images, or their hashes.
        overlap: What to do about test images in the set: `error`, or `drop`, which takes them out of the set.

    Raises:
        UserError: If there are some and they are not to be dropped, or if a test image cannot be read.
    """
    known = test if isinstance(test, HashedImages) else hashed(test)
    found = find_overlap(image_set, known)
    if found and overlap == "error":
        pairs = [
            f"{image_set.folder / image_set.rows[one.row].file_name} = {known.names[one.test]} ({one.by})"
            for one in found[:SHOWN]
        ]
        raise UserError(
            f"{image_set.folder}: {len(found)} of {len(image_set.rows)} images are test images, such as "
            f"{'; '.join(pairs)}; a number measured on them would say nothing. Draw the set from other images, or take "
            "them out of it with overlap: drop."
        )
    dropped = {one.row for one in found}
    return tuple(row for number, row in enumerate(image_set.rows) if number not in dropped)


class Near(NamedTuple):
    """An image of a set and the test image that is nearest to it.

    Attributes:
        row: Index into the embeddings of the set.
        test: Index into those of the test images.
        cosine: Of the two.
    """

    row: int
    test: int
    cosine: float


def near_duplicates(
    images: torch.Tensor, test: torch.Tensor, *, above: float = NEAR, most: int = LISTED
) -> tuple[list[Near], int]:
    """Find the images of a set that are nearly a test image.

    Args:
        images: Unit-norm embeddings of the set, shape (N, D).
        test: Unit-norm embeddings of the test images, shape (M, D).
        above: Cosine above which two images are near-duplicates.
        most: Most images to list.

    Returns:
        Images with their nearest test image, the nearest first, those of equal cosine in their order; and the number of
        all images that have a near-duplicate. Memory grows with M alone.
    """
    found: list[Near] = []
    count = 0
    for start in range(0, len(images), _BLOCK):
        best = (images[start : start + _BLOCK] @ test.T).max(dim=1)
        rows = (best.values > above).nonzero().flatten().tolist()
        count += len(rows)
        found += [Near(start + row, int(best.indices[row]), float(best.values[row])) for row in rows]
        found = sorted(found, key=lambda near: (-near.cosine, near.row))[:most]
    return found, count
