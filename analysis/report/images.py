"""Small images of each class for the report's table of descriptions, few enough to keep the page small."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from analysis.results.shown_images import MOST_IMAGES, PER_CLASS, shown_digest, shown_images
from analysis.tables.pages.thumbnails import encode
from ex2.data.datasets.base import ImageDataset
from ex2.data.selection import load_dataset
from ex2.data.source import DatasetSource
from reward.errors import EX2Error, UserError
from reward.images import IMAGE_ERRORS, LabeledImage

MOST_BYTES = 3 << 20
"""Most base64 characters of all images together."""


def class_images(source: DatasetSource, analyzed: Mapping[Path, str] | None = None) -> dict[str, list[str]]:
    """Return thumbnails of a few test images of each class, always of the same images.

    Args:
        source: The run's dataset.
        analyzed: For each seed's folder, `shown_digest` when it was analysed; seeds for which it is not known are not
            in it.

    Returns:
        Class name → JPEGs in base64. Empty if the dataset cannot be opened on this machine; the report then has no
        images. An image that cannot be read is left out.

    Raises:
        UserError: If they are not the images that were analysed.
    """
    try:
        now = shown_digest(source) if analyzed else ""
        dataset = load_dataset(source)
        made = thumbnails(dataset, dataset.images(source.test_split))
    except (EX2Error, OSError):
        return {}
    others = [folder for folder, digest in (analyzed or {}).items() if digest != now]
    if others:
        raise UserError(
            "\n".join(f"{folder}: the test images are not those that were analysed." for folder in others)
            + "\nRun `ex2 analyze RECIPE` again, then `ex2 report`."
        )
    return made


def thumbnails(
    dataset: ImageDataset,
    images: Sequence[LabeledImage],
    *,
    per_class: int = PER_CLASS,
    most_images: int = MOST_IMAGES,
    most_bytes: int = MOST_BYTES,
) -> dict[str, list[str]]:
    """Make thumbnails: one of every class, then a second one of every class, and so on as long as the bounds allow.

    Args:
        dataset: The dataset, which names the classes.
        images: Images of the test split.
        per_class: Most images of a class.
        most_images: Most images of all classes together; each class may have one even beyond this.
        most_bytes: Most base64 characters of all images together; an image that would exceed it is left out.

    Returns:
        Class name → JPEGs in base64.
    """
    names = dataset.class_names
    by_class: dict[int, list[LabeledImage]] = defaultdict(list)
    chosen_images = shown_images(dataset, images, per_class=per_class, most_images=most_images)
    for image in chosen_images:
        by_class[image.label].append(image)
    made: dict[str, list[str]] = {}
    size = 0
    for turn in range(max(map(len, by_class.values()), default=0)):
        for label, chosen in by_class.items():
            if turn >= len(chosen):
                continue
            try:
                encoded = encode(chosen[turn].open())
            except (EX2Error, *IMAGE_ERRORS):
                continue
            size += len(encoded)
            if size > most_bytes:
                return made
            made.setdefault(names[label], []).append(encoded)
    return made
