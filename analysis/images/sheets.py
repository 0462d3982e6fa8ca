"""A few images of each class of each set, side by side, read from the sets' folders where these are at hand."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from analysis.images.record import Measures, SetMeasures
from analysis.tables.pages.thumbnails import encode
from ex2.data.datasets.image_sets import ImageSet, is_set, read_set
from ex2.runtime import tell_once
from reward.errors import EX2Error
from reward.images import IMAGE_ERRORS

PER_CLASS = 3
MOST_CLASSES = 24
"""Classes of a sheet; a page says how many more there are."""
MOST_BYTES = 3 << 20
"""Most base64 characters of all images together."""


class Sheet(NamedTuple):
    """Images of the sets by class.

    Attributes:
        sets: Names of the sets that have images here.
        rows: Class name, then for each of these sets its images as JPEGs in base64.
        more: Classes that are not shown.
        missing: A sentence for each set whose images cannot be shown.
    """

    sets: tuple[str, ...]
    rows: tuple[tuple[str, tuple[tuple[str, ...], ...]], ...]
    more: int
    missing: tuple[str, ...]


def contact_sheet(measures: Measures, *, most_bytes: int = MOST_BYTES) -> Sheet:
    """Read the first images of each class from the first seed of each set.

    Args:
        measures: The measurement.
        most_bytes: Most base64 characters of all images together.

    Returns:
        The sheet. A set that is not at hand, is damaged or is another than was measured has a sentence instead.
    """
    found: dict[str, dict[str, tuple[str, ...]]] = {}
    missing = []
    left = most_bytes
    for at, one in enumerate(measures.sets):
        share = left // (len(measures.sets) - at)
        opened = _open(one)
        if isinstance(opened, str):
            missing.append(opened)
            continue
        try:
            shown = _thumbnails(opened, measures.classes[:MOST_CLASSES], share)
        except (EX2Error, *IMAGE_ERRORS) as error:
            tell_once(f"note: {error}")  # of a record and its rows, whoever read the measures has said so
            missing.append(f"{one.name}: its images cannot be read any more.")
            continue
        found[one.name] = shown
        left -= sum(len(image) for images in shown.values() for image in images)
    rows = tuple(
        (name, tuple(images.get(name, ()) for images in found.values())) for name in measures.classes[:MOST_CLASSES]
    )
    return Sheet(
        tuple(found),
        rows if found else (),
        max(len(measures.classes) - MOST_CLASSES, 0) if found else 0,
        tuple(missing),
    )


def _open(one: SetMeasures) -> ImageSet | str:
    """Return a set, or why its images cannot be shown."""
    if not one.seeds:
        return f"{one.name}: no seed was measured."
    folder = Path(one.seeds[0].folder)
    if not folder.is_dir():
        return f"{one.name}: its images are not on this machine."
    if not is_set(folder):
        return f"{one.name}: a folder without a record of its images, which are not shown."
    try:
        found = read_set(folder)
    except (EX2Error, OSError):
        return f"{one.name}: its images cannot be read any more."
    if found.record.seal != one.seeds[0].digest:
        return f"{one.name}: its images are not those that were measured."
    return found


def _thumbnails(found: ImageSet, classes: tuple[str, ...], most_bytes: int) -> dict[str, tuple[str, ...]]:
    """Return images by class: the first of every class, then the second of each, as long as the bound allows.

    Raises:
        UserError: If one is missing or another one than was written.
    """
    by_class = defaultdict(list)
    for row in sorted(found.rows, key=lambda row: (row.label, row.index)):
        by_class[row.class_name].append(row)
    made: dict[str, tuple[str, ...]] = {}
    size = 0
    for turn in range(PER_CLASS):
        for name in classes:
            if turn >= len(by_class[name]):
                continue
            encoded = encode(found.image(by_class[name][turn]).open())
            size += len(encoded)
            if size > most_bytes:
                return made
            made[name] = (*made.get(name, ()), encoded)
    return made
