"""The images of a class that an embedding is learned from: of a dataset or folder, or retrieved from a pool."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ex2.data.datasets.base import ImageFile
from ex2.sets.class_images import ClassImages, read_class_images
from ex2.sets.generators.retrieval import Retrieval
from ex2.sets.pool import read_pool
from reward.components import settings_problems
from reward.errors import UserError, shown
from reward.images import LabeledImage

RETRIEVED = 100
"""Images of a class that are retrieved before some are kept: GenBench, section 3.3."""


@dataclass(frozen=True)
class Reference:
    """An image that an embedding may be learned from.

    Attributes:
        image: The image.
        told: What a further column of its pool says of it; empty if there is none.
    """

    image: LabeledImage
    told: str = ""


class References(Protocol):
    """Images by class."""

    @property
    def settings(self) -> Mapping[str, Any]: ...

    def digest(self) -> str:
        """Return a hash of what the images are."""
        ...

    def problems(self, class_names: Sequence[str]) -> list[str]:
        """Return a line for each class that has no image."""
        ...

    def of_class(self, class_name: str) -> list[Reference]:
        """Return a class's images, in order."""
        ...


@dataclass(frozen=True)
class GivenImages:
    """Images that stand in a dataset's split or a folder, which are taken as they are."""

    images: ClassImages

    @property
    def settings(self) -> Mapping[str, Any]:
        """Which images these are."""
        return self.images.settings

    def digest(self) -> str:
        """Return a hash of the images' content."""
        return self.images.digest()

    def problems(self, class_names: Sequence[str]) -> list[str]:
        """Return a line for each class that has no image."""
        return self.images.problems(class_names)

    def of_class(self, class_name: str) -> list[Reference]:
        """Return a class's images, in order."""
        return [Reference(image) for image in self.images.images[class_name]]


class PoolImages:
    """Images of a pool whose captions are nearest to a class's name.

    Args:
        pool: The generator that ranks the pool.
        per_class: Images of a class.
        told: Column of the pool that says what each image shows; None if there is none.
    """

    def __init__(self, pool: Retrieval, per_class: int, told: str | None, keys: str) -> None:
        self.pool, self.per_class = pool, per_class
        listed = (
            pool.pool
            if told is None
            else read_pool(
                pool.pool.path, caption=pool.caption_column, file=pool.file_column, told=told, where=keys, keys=keys
            )
        )
        # An image with several captions is told of by its first row.
        self._told: dict[Path, str] = {}
        for row in reversed(range(len(listed.files) if listed.told else 0)):
            self._told[listed.image(row)] = listed.told[row]
        self.settings: Mapping[str, Any] = {**pool.settings, "per_class": per_class}

    def digest(self) -> str:
        """Return a hash of the pool and of what ranks it."""
        return hashlib.sha256(json.dumps([self.pool.fingerprint(), self.per_class]).encode()).hexdigest()

    def problems(self, class_names: Sequence[str]) -> list[str]:
        """Return nothing: a pool has images for any class, of which a filter may keep none."""
        return []

    def of_class(self, class_name: str) -> list[Reference]:
        """Return the images that are nearest to a class's name, as many as there are of those that can be read."""
        images = [image for image in self.pool.taken(class_name, self.per_class) if isinstance(image, ImageFile)]
        return [Reference(image, self._told.get(image.path, "")) for image in images]


def read_references(given: Mapping[str, Any], where: str, told: str | None = None) -> References:
    """Find the images that embeddings are learned from; none is opened.

    Args:
        given: As `read_class_images` takes it; or with `pool`, the settings of the generator `retrieval` and
            `per_class` (default 100).
        where: Key for messages.
        told: Column of the pool that says what each image shows.

    Raises:
        UserError: If they are not there or a setting does not fit; every problem at once.
    """
    if "pool" not in given:
        if told is not None:
            raise UserError(f"{where}: the captioner 'column' reads a pool's list, and there is none; give pool.")
        return GivenImages(read_class_images(given, where))
    settings = {str(key): value for key, value in given.items() if key != "per_class"}
    per_class = given.get("per_class", RETRIEVED)
    problems = settings_problems(Retrieval, settings, where)
    if isinstance(per_class, bool) or not isinstance(per_class, int) or per_class < 1:
        problems.append(f"{where}.per_class: given {shown(per_class)}; at least one image of a class is needed.")
    if problems:
        raise UserError("\n".join(problems))
    try:
        pool = Retrieval(**settings)
    except UserError as error:
        raise UserError(str(error).replace("generator.", f"{where}.")) from error
    return PoolImages(pool, per_class, told, where)
