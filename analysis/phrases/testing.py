"""Templates against the plain one, on the same images; no phrase was mined on the classes of these images."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

import torch

from analysis.accuracy.encoded_texts import Texts
from analysis.accuracy.zero_shot import rank_classes
from analysis.phrases.templates import fill
from analysis.statistics.intervals import Estimate, IntervalSettings
from analysis.statistics.paired import PairedAccuracy, paired_accuracy
from analysis.statistics.shares import share_interval
from reward.image_bank import ImageEmbeddings
from reward.vlm import VLM


class Halves(NamedTuple):
    """Label indices of the classes to mine on and of the classes to test on, each ascending."""

    mined: tuple[int, ...]
    tested: tuple[int, ...]


class Measured(NamedTuple):
    """Accuracy of one template with one VLM.

    Attributes:
        template: The template as it was tested.
        accuracy: The accuracy with its interval.
        paired: Accuracy minus the plain template's on the same images, with its test.
    """

    template: str
    accuracy: Estimate
    paired: PairedAccuracy


def split_classes(class_count: int, seed: int) -> Halves:
    """Split classes at random into two halves; with an odd number, the tested half is the larger one."""
    draw = random.Random(f"probe {seed}")  # as the verb was called once: the same seed gives the same halves
    keys = [draw.random() for _ in range(class_count)]
    order = sorted(range(class_count), key=keys.__getitem__)
    middle = class_count // 2
    return Halves(tuple(sorted(order[:middle])), tuple(sorted(order[middle:])))


def restrict(images: ImageEmbeddings, classes: Sequence[int]) -> ImageEmbeddings:
    """Keep the images and names of some classes; a class that is left out is no possible answer either.

    Args:
        images: Images of C classes.
        classes: Label indices to keep, ascending.
    """
    kept = torch.tensor(classes, dtype=torch.long)
    chosen = torch.isin(images.labels, kept)
    names = tuple(images.class_names[label] for label in classes)
    return ImageEmbeddings(names, images.embeddings[chosen], torch.searchsorted(kept, images.labels[chosen]))


def measure(
    vlm: VLM, images: ImageEmbeddings, plain: str, templates: Sequence[str], settings: IntervalSettings
) -> tuple[Estimate, list[Measured]]:
    """Classify the images with each template, which gives one text for each class.

    Args:
        vlm: Encodes the texts.
        images: Images of the tested classes only, at least one.
        plain: The template to compare with.
        templates: The templates, each with `{}` for the class name.
        settings: How intervals are made.

    Returns:
        The plain template's accuracy, and the result of each template in the given order.
    """
    rows = {template: [fill(template, name) for name in images.class_names] for template in (plain, *templates)}
    texts = Texts(vlm, [text for row in rows.values() for text in row])
    right = {
        template: rank_classes(images.embeddings, texts[row], images.labels).hits(1) for template, row in rows.items()
    }
    estimates = {
        template: share_interval(sum(hits), len(hits), settings.confidence) for template, hits in right.items()
    }
    compared = [
        paired_accuracy(right[template], right[plain], confidence=settings.confidence) for template in templates
    ]
    return estimates[plain], [
        Measured(template, estimates[template], paired) for template, paired in zip(templates, compared, strict=True)
    ]
