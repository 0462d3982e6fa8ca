"""Which of ImageNet's classes are kinds of a category: a reviewed list, and a user's own.

A category is looked up by its words. One with an empty list was reviewed, and ImageNet has no class of it: no
recognizer of ImageNet's classes can name it. One that is in no list was not reviewed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import Field

from reward.errors import UserError, unknown_name
from reward.files import read_record
from reward.records import JSON, Record
from reward.user_paths import user_path

CLASSES = 1000
"""Number of ImageNet-1k's classes."""
FORM = "give a JSON object, class name → [class numbers]"
PACKAGED = Path(__file__).with_name("imagenet_synsets.json")


@dataclass(frozen=True)
class Category(Record):
    """ImageNet's classes that are kinds of a category.

    Attributes:
        ids: Their numbers, from 0; empty if there are none.
        note: What was decided where it was not plain.
    """

    ids: tuple[Annotated[int, Field(strict=True)], ...]
    note: str = ""


@dataclass(frozen=True)
class _Stored(Record):
    categories: Mapping[str, Category]


class OwnSynsets(NamedTuple):
    """A user's file of categories.

    Attributes:
        categories: Class, as it is looked up → its numbers.
        path: The file, from the root.
        digest: SHA-256 of its content.
    """

    categories: dict[str, Category]
    path: Path
    digest: str


def packaged_synsets() -> dict[str, Category]:
    """Return the reviewed categories by their words."""
    return {words_of(name): one for name, one in read_record(PACKAGED, _Stored.from_json).categories.items()}


def words_of(name: str) -> str:
    """Return a category's name as it is looked up: small letters, single spaces in place of underscores."""
    return " ".join(name.lower().replace("_", " ").split())


def read_synsets(path: str | Path, class_names: Collection[str]) -> OwnSynsets:
    """Read a user's file: a JSON object, class name → list of ImageNet's class numbers.

    Args:
        path: The file.
        class_names: Of the dataset, of which the file may name any.

    Returns:
        What it says, and which file it is.

    Raises:
        UserError: If it cannot be read, names a class that the dataset does not have or one twice, or has numbers that
            ImageNet does not have; a line for each.
    """
    file = user_path(path, "measure.synsets")
    if not file.is_file():
        raise UserError(f"measure.synsets: {path}: no such file; {FORM}.")
    try:
        stored = read_record(file, _object, remedy=FORM)
    except _NoObjectError as error:
        raise UserError(f"measure.synsets: {file}: holds no JSON object; {FORM}.") from error
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    known = {words_of(name): name for name in class_names}
    found: dict[str, Category] = {}
    problems = []
    for name, ids in stored.items():
        where, words = f"{file}: '{name}'", words_of(name)
        if words not in known:
            problems.append(unknown_name(f"{file}: class", name, class_names))
        elif words in found:
            problems.append(f"{where}: the class stands twice; give it once.")
        if not isinstance(ids, list) or not all(type(one) is int for one in ids):
            problems.append(f"{where}: given {str(ids)[:60]}; a list of class numbers is allowed, such as [385, 386].")
            continue
        outside = [str(one) for one in ids if not 0 <= one < CLASSES]
        if outside:
            problems.append(f"{where}: {', '.join(outside)}: ImageNet's classes are numbered 0 to {CLASSES - 1}.")
        twice = sorted({str(one) for one in ids if ids.count(one) > 1})
        if twice:
            problems.append(f"{where}: {', '.join(twice)} stands twice; give each number once.")
        found[words] = Category(tuple(ids))
    if problems:
        raise UserError("\n".join(problems))
    return OwnSynsets(found, file.resolve(), digest)


class _NoObjectError(Exception):
    """The file holds another kind of JSON."""


def _object(content: Any) -> JSON:
    if not isinstance(content, dict):
        raise _NoObjectError
    return content
