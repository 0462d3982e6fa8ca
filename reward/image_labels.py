"""What an image's label must be: the only one that the image has."""

from __future__ import annotations

from collections.abc import Sequence

from reward.errors import UserError
from reward.images import LabeledImage

SHOWN = 3
"""Most pairs of images that a message names; the others are only counted."""


def relabeled_problems(images: Sequence[LabeledImage], digests: Sequence[str], where: str) -> list[str]:
    """Return a message if equal images have different labels: one label is wrong, or the classes overlap.

    Args:
        images: Images of a split.
        digests: Content hash of each image.
        where: Dataset and split, for messages.
    """
    first: dict[str, LabeledImage] = {}
    pairs = []
    for image, digest in zip(images, digests, strict=True):
        earlier = first.setdefault(digest, image)
        if earlier.label != image.label:
            pairs.append(f"{earlier.name} = {image.name}")
    if not pairs:
        return []
    listed = "; ".join(pairs[:SHOWN])
    return [
        f"{where}: {len(pairs)} equal images have different labels, such as {listed}; remove them, or join the "
        "classes that have the same images."
    ]


def check_labels(images: Sequence[LabeledImage], digests: Sequence[str], where: str) -> None:
    """Refuse equal images with different labels. The arguments are those of `relabeled_problems`.

    Raises:
        UserError: If there are any.
    """
    problems = relabeled_problems(images, digests, where)
    if problems:
        raise UserError("\n".join(problems))
