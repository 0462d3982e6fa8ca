"""Test images in a set, which make it look better than it is: equal ones by hash, near ones by their embeddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from tqdm import tqdm

from ex2.data.datasets.image_sets import ImageSet
from ex2.data.datasets.set_records import ImageRow
from ex2.sets.store import pixels_digest
from reward.embedding import content_digests
from reward.errors import UserError
from reward.images import LabeledImage
from reward.preprocess import to_rgb

if TYPE_CHECKING:
    import torch

NEAR = 0.98
"""Cosine of two images' embeddings above which they are near-duplicates."""
LISTED = 20
"""Most pairs of near-duplicates that are listed."""
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
        by_file: Hash of a file → the first image that has it.
        by_pixels: Hash of decoded pixels, and size → likewise.
    """

    names: tuple[str, ...]
    by_file: Mapping[str, int]
    by_pixels: Mapping[tuple[str, tuple[int, int]], int]


def hashed(test: Sequence[LabeledImage], *, progress: bool = False) -> HashedImages:
    """Read and decode every test image, one in memory at a time.

    Args:
        test: The test images.
        progress: Whether to show a bar.

    Raises:
        UserError: If one cannot be read.
    """
    by_file: dict[str, int] = {}
    by_pixels: dict[tuple[str, tuple[int, int]], int] = {}
    digests = content_digests(test, title="test images")
    for index, digest in enumerate(digests):
        by_file.setdefault(digest, index)
    for index, image in enumerate(tqdm(test, desc="overlap", unit="img", leave=False, disable=not progress)):
        opened = to_rgb(image.open())
        by_pixels.setdefault((pixels_digest(opened), opened.size), index)
    return HashedImages(tuple(image.name for image in test), by_file, by_pixels)


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
    """Two images whose embeddings nearly agree.

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
    """Find pairs of an image of a set and a test image whose embeddings nearly agree.

    Args:
        images: Unit-norm embeddings of the set, shape (N, D).
        test: Unit-norm embeddings of the test images, shape (M, D).
        above: Cosine above which two images are near-duplicates.
        most: Most pairs to list.

    Returns:
        The pairs, nearest first, those of equal cosine by their indices; and the number of all pairs. Memory grows with
        M alone.
    """
    pairs: list[Near] = []
    count = 0
    for start in range(0, len(images), _BLOCK):
        cosines = images[start : start + _BLOCK] @ test.T
        count += int((cosines > above).sum())
        best = cosines.flatten().topk(min(most, cosines.numel()))
        for cosine, place in zip(best.values.tolist(), best.indices.tolist(), strict=True):
            if cosine > above:
                row, column = divmod(place, len(test))
                pairs.append(Near(start + row, column, cosine))
        pairs = sorted(pairs, key=lambda pair: (-pair.cosine, pair.row, pair.test))[:most]
    return pairs, count
