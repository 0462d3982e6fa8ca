"""Pictures of single texts, for a reward that looks at what a text draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image

from ex2.sets.draw import BATCH_SIZE
from ex2.sets.generators.base import build_generator
from ex2.sets.requests import Drawn, DrawRequest
from reward.errors import UserError


class TextDrawer:
    """Draws texts with a generator, and keeps nothing.

    Args:
        generator: A mapping with the generator's name and settings.
        where: Key for messages.

    Raises:
        UserError: If there is no such generator, or it copies images whatever a text says.
    """

    def __init__(self, generator: Mapping[str, Any], where: str = "reward.generator") -> None:
        settings = {key: value for key, value in generator.items() if key != "name"}
        self.generator = build_generator(generator["name"], settings, where)
        if hasattr(self.generator, "class_names"):
            raise UserError(
                f"{where}: '{generator['name']}' copies images and reads no text, so that all texts of a class would "
                "score the same; name a generator that draws, such as toy."
            )

    def __call__(self, texts: Sequence[str], seeds: Sequence[int]) -> list[Image.Image | None]:
        """Return the picture of each text, drawn with its seed; `None` where the generator fails."""
        requests = [
            DrawRequest(class_name="", label=0, index=0, prompt=text, seed=seed)
            for text, seed in zip(texts, seeds, strict=True)
        ]
        size = max(1, int(getattr(self.generator, "batch_size", BATCH_SIZE)))
        answers = [
            answer
            for start in range(0, len(requests), size)
            for answer in self.generator.draw(requests[start : start + size])
        ]
        return [answer.image if isinstance(answer, Drawn) else None for answer in answers]
