"""Class names of the published datasets in label order, and a check against the list in each dataset's own files."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reward.errors import UserError

FOLDER = Path(__file__).parent / "class_names"
_KINDS = {
    "dtd": " texture",
    "fer2013": " looking face",
    "fgvc_aircraft": " aircraft",
    "gtsrb": " traffic sign",
    "rendered_sst2": " review of a movie",
}
"""Dataset → what its class names lack to be things."""

SHOWN = 5
"""Most differences that a message spells out; the others are only counted."""


@dataclass(frozen=True)
class ClassList:
    """A dataset's classes in label order.

    Attributes:
        file: The file that lists them, for messages.
        names: Class names as they appear in prompts.
        bare: The same without what `prompt_name` adds, for templates that say the kind of thing themselves.
        official: Class names as in the dataset's own list, up to case, hyphens, underscores and spaces.
    """

    file: str
    names: tuple[str, ...]
    bare: tuple[str, ...]
    official: tuple[str, ...]

    def label_of(self) -> dict[str, int]:
        """Return the label of each official name, by its `comparable` form."""
        return {comparable(name): label for label, name in enumerate(self.official)}


def read_class_list(dataset: str) -> ClassList:
    """Read `class_names/<dataset>.json` and apply the dataset's rule for names in prompts."""
    file = f"{dataset}.json"
    data = json.loads((FOLDER / file).read_text(encoding="utf-8"))
    names = tuple(prompt_name(dataset, name) for name in data["names"])
    bare = tuple(name.replace("_", " ") for name in data["names"])
    return ClassList(f"class_names/{file}", names, bare, tuple(data.get("official", data["names"])))


def prompt_name(dataset: str, name: str) -> str:
    """Return a class name as it appears in prompts: with the kind of thing added if the name does not tell it.

    An aircraft variant gets " aircraft", a texture " texture", a breed without "dog" in its name " dog", a mood
    " looking face", a verdict " review of a movie", a sign " traffic sign". A digit, which is no name by itself, gets
    "number " before it.
    """
    spaced = name.replace("_", " ")
    if dataset == "stanford_dogs":
        return spaced if "dog" in spaced.lower() else f"{spaced} dog"
    if dataset == "mnist":
        return f"number {spaced}"
    return spaced + _KINDS.get(dataset, "")


def comparable(name: str) -> str:
    """Return a name in lower case without spaces and punctuation, so that spellings of one class become equal."""
    return re.sub(r"[^a-z0-9]", "", name.casefold())


def check_label_order(found: Sequence[str], expected: ClassList, where: str) -> None:
    """Refuse a dataset whose own list of classes disagrees with ours, in number or in order.

    Args:
        found: The dataset's own list, in label order.
        expected: The list that the project ships.
        where: The file or folder of the dataset's own list.

    Raises:
        UserError: If the lists differ, since images would get names of other classes. The message has the labels.
    """
    problems = []
    if len(found) != len(expected.official):
        problems.append(f"{len(found)} classes, {expected.file} has {len(expected.official)}")
    differing = [
        f"label {label} is '{own}', {expected.file} says '{ours}'"
        for label, (own, ours) in enumerate(zip(found, expected.official, strict=False))
        if comparable(own) != comparable(ours)
    ]
    if differing:
        more = f" ({len(differing)} labels differ)" if len(differing) > SHOWN else ""
        problems.append("; ".join(differing[:SHOWN]) + more)
    if problems:
        raise UserError(
            f"{where}: wrong label order: {'; '.join(problems)}. Names would go to other classes' images: use the "
            "official files, unchanged."
        )
