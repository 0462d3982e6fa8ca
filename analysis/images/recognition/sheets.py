"""Contact sheets of what is not recognized, with the five likeliest classes under each image."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from analysis.images.recognition.record import Failures, Recognition
from analysis.images.recognition.wording import RULE_NAMES, counted
from analysis.images.record import Measures, SetMeasures
from analysis.tables.pages.thumbnails import encode
from ex2.data.datasets.image_sets import is_set, read_set
from reward.errors import EX2Error
from reward.images import IMAGE_ERRORS, decode, open_regular

MOST_BYTES = 1 << 20
"""Most base64 characters of the images of all sheets together."""


class FailedImage(NamedTuple):
    """An image as a JPEG in base64, what it is to show, and what it is taken for."""

    image: str
    category: str
    predictions: tuple[str, ...]


class FailureSheet(NamedTuple):
    """The failures of a set's best recognizer.

    Attributes:
        title: Which set and recognizer, and how many failures there are.
        images: Those that are shown.
        missing: Why there are none, in a sentence; empty if there are some.
    """

    title: str
    images: tuple[FailedImage, ...]
    missing: str


def failure_sheets(found: Recognition, measures: Measures, *, most_bytes: int = MOST_BYTES) -> list[FailureSheet]:
    """Read the images that are not recognized from the sets' folders.

    Args:
        found: What recognizers see.
        measures: The measurement, which knows the folders.
        most_bytes: Most base64 characters of all images together.
    """
    sets = {one.name: one for one in measures.sets}
    made = []
    left = most_bytes
    for at, of_set in enumerate(found.failures):
        share = left // (len(found.failures) - at)
        images, missing = _images(of_set, sets.get(of_set.of), share)
        left -= sum(len(one.image) for one in images)
        title = (
            f"{of_set.of}: {of_set.failed:,} of {counted(of_set.images, 'image', 'images')} whose category "
            f"{of_set.recognizer} does not name among five guesses, by the {RULE_NAMES[of_set.rule]}"
            + (f"; {counted(len(images), 'is', 'are')} shown" if len(images) < of_set.failed and images else "")
        )
        made.append(FailureSheet(title, tuple(images), missing))
    return made


def _images(failures: Failures, one: SetMeasures | None, most_bytes: int) -> tuple[list[FailedImage], str]:
    folders = {} if one is None else {seed.seed: (Path(seed.folder), seed.digest) for seed in one.seeds}
    made: list[FailedImage] = []
    try:
        faulty = _changed(folders.values())
        if faulty:
            return [], faulty
        for failure in failures.shown:
            if failure.seed not in folders:
                return [], "Its images are not those that were looked at."
            path = folders[failure.seed][0] / failure.image
            with open_regular(path) as file:
                encoded = encode(decode(file, str(path)))
            if sum(len(shown.image) for shown in made) + len(encoded) > most_bytes:
                break
            made.append(FailedImage(encoded, failure.category, failure.predictions))
    except (EX2Error, *IMAGE_ERRORS):
        return [], "Its images cannot be read any more."
    return made, ""


def _changed(folders: Iterable[tuple[Path, str]]) -> str:
    """Return why a set's images are not shown, as a sentence; empty if they are what was measured."""
    for folder, digest in folders:
        if not folder.is_dir():
            return "Its images are not on this machine."
        if is_set(folder) and read_set(folder).record.seal != digest:
            return "Its images are not those that were measured."
    return ""
