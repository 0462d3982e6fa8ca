"""Which test images the report shows, and a hash of them: the page must not show others than were analysed."""

from __future__ import annotations

from collections.abc import Sequence

from ex2.data.datasets.base import ImageDataset
from ex2.data.selection import load_dataset, select
from ex2.data.source import DatasetSource
from reward.embedding import content_digests
from reward.image_bank import images_digest
from reward.images import LabeledImage

PER_CLASS = 3
MOST_IMAGES = 1200

SHOWN_IMAGES = "the images that the report shows"
"""Name of an input of `analyze`."""


def shown_images(
    dataset: ImageDataset,
    images: Sequence[LabeledImage],
    *,
    per_class: int = PER_CLASS,
    most_images: int = MOST_IMAGES,
) -> list[LabeledImage]:
    """Choose a few images of each class, always the same ones.

    Args:
        dataset: The dataset, which names the classes.
        images: Images of the test split.
        per_class: Most images of a class.
        most_images: Most images of all classes together; each class may have one even beyond this.
    """
    return select(images, max(1, min(per_class, most_images // max(1, len(dataset.class_names)))), "random", 0)


def shown_digest(source: DatasetSource) -> str:
    """Return a hash of the images that the report shows: their contents, labels and order, and the class names.

    Raises:
        UserError: If the dataset cannot be opened or one of the images cannot be read.
    """
    dataset = load_dataset(source)
    chosen = shown_images(dataset, dataset.images(source.test_split))
    return images_digest(chosen, dataset.class_names, content_digests(chosen))
