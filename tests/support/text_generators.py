"""A generator of one's own, named by its dotted path, that notes what it is asked and fails where it is told to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from PIL import Image

from ex2.sets.generators.toy import Toy
from ex2.sets.requests import Drawn, DrawRequest, Failure


class Noting(Toy):
    """The toy generator, which fails for each seed that `fails` divides.

    Attributes:
        asked: Text and seed of each request of all instances, in order.
    """

    asked: ClassVar[list[tuple[str, int]]] = []

    def __init__(self, fails: int = 0, obey: float = 1.0) -> None:
        super().__init__(obey=obey)
        self.fails = fails

    def draw(self, requests: Sequence[DrawRequest]) -> list[Drawn | Failure]:
        self.asked.extend((request.prompt, request.seed) for request in requests)
        answers: list[Any] = super().draw(requests)
        return [
            Failure("syntax", "line 1: no code", 0.1) if self.fails and request.seed % self.fails == 0 else answer
            for request, answer in zip(requests, answers, strict=True)
        ]


class Paints:
    """Paints the color that a text begins with, and of any other text nothing."""

    name = "paints"
    colors: ClassVar[dict[str, tuple[int, int, int]]] = {
        "east": (200, 0, 0),
        "north": (0, 200, 0),
        "a photo of a": (40, 30, 0),
    }

    def __init__(self, side: int = 2) -> None:
        self.settings = {"side": side}

    def fingerprint(self) -> str:
        return "paints 1"

    def draw(self, requests: Sequence[DrawRequest]) -> list[Drawn | Failure]:
        return [self._one(request.prompt) for request in requests]

    def _one(self, text: str) -> Drawn | Failure:
        for start, color in self.colors.items():
            if text.startswith(start):
                return Drawn(Image.new("RGB", (self.settings["side"],) * 2, color), 0.0)
        return Failure("no_image", "no color", 0.0)


class Served(Toy):
    """A generator that asks a server."""

    offline = False
