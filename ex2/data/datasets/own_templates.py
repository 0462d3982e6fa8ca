"""Templates of the published datasets, and the class names that they take."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ex2.data.datasets.base import ImageDataset
from ex2.data.datasets.class_lists import FOLDER, read_class_list


@dataclass(frozen=True)
class OwnTemplates:
    """A dataset's own templates.

    Attributes:
        templates: Texts with one `{}` each.
        names: What stands for it, for each class in label order: the class's name, without what EX2 adds to it if the
            templates say that themselves ("banded" and not "banded texture" in "a photo of a {} texture.").
    """

    templates: tuple[str, ...]
    names: tuple[str, ...]


def own_templates(name: str, dataset: ImageDataset) -> OwnTemplates | None:
    """Return a dataset's own templates; None if it has none, as ImageNet, whose are the generic ones.

    Args:
        name: Row of the dataset table.
        dataset: The opened dataset. What it has in an attribute `templates` comes before what EX2 knows.

    Source: see `templates.json`.
    """
    given = tuple(getattr(dataset, "templates", None) or ())
    if given:
        return OwnTemplates(given, tuple(dataset.class_names))
    known = _known()["templates"].get(name)
    if known is None:
        return None
    taken: dict[str, str] = {}
    if (FOLDER / f"{name}.json").is_file():
        listed = read_class_list(name)
        taken = dict(zip(listed.names, _known()["names"].get(name, listed.bare), strict=True))
    return OwnTemplates(tuple(known), tuple(taken.get(one, one) for one in dataset.class_names))


@functools.cache
def _known() -> dict[str, Any]:
    stored: dict[str, Any] = json.loads(Path(__file__).with_name("templates.json").read_text(encoding="utf-8"))
    return stored
