"""Pictures of single texts, for a reward that looks at what a text draws."""

from __future__ import annotations

import hashlib
import json
import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from PIL import Image

from ex2.sets.draw import BATCH_SIZE
from ex2.sets.generators.base import GENERATORS, build_generator
from ex2.sets.requests import Drawn, DrawRequest
from reward.errors import UserError
from reward.own_code import code_digest

MOST_BYTES = 2**29
"""Of the pictures that are kept, as pixels, with their texts: 131,000 of 32 × 32 points, 680 of 512 × 512. Beyond it
those go that were not asked for the longest; asked for again, they are drawn again, and are the same."""


class TextDrawer:
    """Draws texts with a generator, each with each seed once, and keeps the pictures in memory.

    A text that the generator has failed to draw is not asked again either.

    Args:
        generator: A mapping with the generator's name and settings.
        where: Key for messages.
        most_bytes: Of the pictures that are kept.

    Raises:
        UserError: If there is no such generator, it copies images whatever a text says, or it asks a server.
    """

    def __init__(
        self, generator: Mapping[str, Any], where: str = "reward.generator", most_bytes: int = MOST_BYTES
    ) -> None:
        self.name, self.where = str(generator["name"]), where
        settings = {key: value for key, value in generator.items() if key != "name"}
        try:
            self.generator = build_generator(self.name, settings, where)
        except UserError as error:
            raise UserError(
                "\n".join(re.sub(r"^generator\b", where, line) for line in str(error).splitlines())
            ) from error
        if not getattr(self.generator, "reads_prompts", True):
            raise UserError(
                f"{where}: '{self.name}' copies images and reads no text, so that all texts of a class would "
                "score the same; name a generator that draws, such as toy."
            )
        if not getattr(self.generator, "offline", True):
            raise UserError(
                f"{where}: '{self.name}' asks a server, which need not draw a text again as it did, so that a run that "
                "is continued would not end as one that was not; name a generator that draws on this machine."
            )
        self.most_bytes, self.kept_bytes = most_bytes, 0
        self.kept: OrderedDict[tuple[str, int], Image.Image | None] = OrderedDict()

    def __call__(self, texts: Sequence[str], seeds: Sequence[int]) -> list[Image.Image | None]:
        """Return the picture of each text, drawn with its seed; `None` where the generator fails."""
        keys = [*zip(texts, seeds, strict=True)]
        found = {key: self.kept[key] for key in keys if key in self.kept}
        new = [key for key in dict.fromkeys(keys) if key not in found]
        found |= zip(new, self._draw(new), strict=True)
        for key, picture in found.items():
            self._keep(key, picture)
        return [found[key] for key in keys]

    def identity(self) -> str:
        """Return a hash of the generator, of all its settings, defaults included, and of what draws."""
        decides = {
            "generator": self.generator.name,
            "settings": self.generator.settings,
            "fingerprint": self.generator.fingerprint(),
            "code": code_digest(self.name, GENERATORS),
        }
        return hashlib.sha256(json.dumps(decides, sort_keys=True, default=dict).encode()).hexdigest()[:16]

    def _draw(self, keys: Sequence[tuple[str, int]]) -> list[Image.Image | None]:
        requests = [DrawRequest(class_name="", label=0, index=0, prompt=text, seed=seed) for text, seed in keys]
        size = max(1, int(getattr(self.generator, "batch_size", BATCH_SIZE)))
        answers = [
            answer
            for start in range(0, len(requests), size)
            for answer in self.generator.draw(requests[start : start + size])
        ]
        return [answer.image if isinstance(answer, Drawn) else None for answer in answers]

    def _keep(self, key: tuple[str, int], picture: Image.Image | None) -> None:
        if key not in self.kept:
            self.kept_bytes += _size(picture)
        self.kept[key] = picture
        self.kept.move_to_end(key)
        while self.kept_bytes > self.most_bytes:
            self.kept_bytes -= _size(self.kept.popitem(last=False)[1])


class Drawers:
    """Makes what draws texts for a recipe's reward: one for each generator, however many terms of a sum name it.

    Args:
        settings: The reward's settings, in which the generators stand.
        where: Their key in the recipe.
    """

    def __init__(self, settings: Mapping[str, Any], where: str = "reward") -> None:
        self.settings, self.where = settings, where
        self.made: dict[str, TextDrawer] = {}

    def __call__(self, generator: Mapping[str, Any]) -> TextDrawer:
        """Return what draws with a generator. Raises `UserError` as `TextDrawer` does."""
        place = next(_places(self.settings, generator, self.where), f"{self.where}.generator")
        if place not in self.made:
            self.made[place] = TextDrawer(generator, place)
        return self.made[place]

    def identities(self) -> dict[str, str]:
        """Return the identity of each generator that was made: name for messages → hash."""
        return {f"the generator of {place}": drawer.identity() for place, drawer in self.made.items()}


def _places(tree: Any, part: Mapping[str, Any], where: str) -> Iterator[str]:
    """Yield the keys at which a part stands in a tree of settings."""
    if tree == part:
        yield where
    elif isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from _places(value, part, f"{where}.{key}")
    elif isinstance(tree, list):
        for place, value in enumerate(tree):
            yield from _places(value, part, f"{where}[{place}]")


def _size(picture: Image.Image | None) -> int:
    """Return about how many bytes a picture and its text take in memory."""
    return 1024 + (0 if picture is None else picture.width * picture.height * len(picture.getbands()))
