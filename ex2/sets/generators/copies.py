"""Copying images of named classes: what `original`, `folder` and imports of other layouts have in common."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from ex2.data.source import Selection
from ex2.sets.requests import Drawn, DrawRequest, Failure
from reward.embedding import content_digests
from reward.errors import UserError, unknown_name
from reward.images import LabeledImage
from reward.preprocess import to_rgb

ORDERS = "an order for each seed and class"
"""Enters the fingerprint where images are taken at random: a set that was begun in another order is another set."""


class Copies:
    """Images by class, of which an image's number chooses one; a copy has taken no time.

    Args:
        images: Class → its images, in order.
        selection: `first` takes them in order, `random` in an order that seed and class give: each class has one of its
            own, so that few images of each still make many different sets.
        where: What has the images, for messages.
    """

    def __init__(self, images: Mapping[str, Sequence[LabeledImage]], selection: Selection, where: str) -> None:
        self._images, self._selection, self._where = images, selection, where
        self._orders: dict[tuple[str, int], list[int]] = {}
        self._digests: dict[str, list[str]] = {}

    def digests(self) -> Mapping[str, Sequence[str]]:
        """Return the hash of each image's content, by class; each image is read once."""
        if not self._digests:
            self._digests = {name: content_digests(images, title=name) for name, images in self._images.items()}
        return self._digests

    def digest(self) -> str:
        """Return a hash of the classes and of the content of all images."""
        state = hashlib.sha256(ORDERS.encode() if self._selection == "random" else b"")
        for name, digests in self.digests().items():
            state.update(f"{name}\0{len(digests)}\0{''.join(digests)}".encode())
        return state.hexdigest()

    def request_problems(self, requests: Sequence[DrawRequest]) -> list[str]:
        """Return a line for each class that is not there, or has fewer images than are asked for."""
        wanted: dict[str, int] = {}
        for request in requests:
            wanted[request.class_name] = max(wanted.get(request.class_name, 0), request.index + 1)
        problems = []
        for name, count in wanted.items():
            if name not in self._images:
                problems.append(unknown_name(f"{self._where}: class", name, self._images))
            elif len(self._images[name]) < count:
                problems.append(
                    f"{self._where}: class '{name}' has {len(self._images[name])} images, and {count} are asked for; "
                    "ask for fewer of every class, or leave the class out."
                )
        return problems

    def draw(self, requests: Sequence[DrawRequest]) -> list[Drawn]:
        """Return the image that each request asks for.

        Raises:
            UserError: If a class or image is not there, or a file cannot be read.
        """
        problems = self.request_problems(requests)
        if problems:
            raise UserError("\n".join(problems))
        drawn = []
        for request in requests:
            images = self._images[request.class_name]
            image = images[self._order(request.class_name, request.set_seed)[request.index]]
            drawn.append(Drawn(to_rgb(image.open()), seconds=0.0, source=image.digest()))
        return drawn

    def _order(self, class_name: str, set_seed: int) -> list[int]:
        if (class_name, set_seed) not in self._orders:
            order = [*range(len(self._images[class_name]))]
            if self._selection == "random":
                order.sort(key=lambda place: hashlib.sha256(f"{set_seed}\0{class_name}\0{place}".encode()).digest())
            self._orders[class_name, set_seed] = order
        return self._orders[class_name, set_seed]


class CopyingGenerator:
    """What generators that copy images have in common; each says where its copies come from."""

    reads_prompts = False
    _copies: Copies

    def fingerprint(self) -> str:
        """Return a hash of the classes and of the content of their images."""
        return self._copies.digest()

    def request_problems(self, requests: Sequence[DrawRequest]) -> list[str]:
        """Return a line for each class that is not there, or has too few images."""
        return self._copies.request_problems(requests)

    def draw(self, requests: Sequence[DrawRequest]) -> list[Drawn | Failure]:
        """Return the images that are asked for. Raises `UserError` if one is not there or cannot be read."""
        return [*self._copies.draw(requests)]


def by_class(images: Sequence[LabeledImage], class_names: Sequence[str]) -> dict[str, list[LabeledImage]]:
    """Return each class's images, in their order; a class may have none."""
    found: dict[str, list[LabeledImage]] = {name: [] for name in class_names}
    for image in images:
        found[class_names[image.label]].append(image)
    return found
