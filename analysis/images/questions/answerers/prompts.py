"""How a server is asked about an image: the words, the image as a data URL, and about how many tokens it takes.

An image is named in the messages by the hash of its pixels and what is done to it, so that answers are kept by what was
seen; it is put in their place just before they are sent.
"""

from __future__ import annotations

import base64
import io
import math
from functools import lru_cache
from typing import Literal

from PIL import Image

from analysis.images.questions.answerers.reading import KEY, VERSION, read_answer
from analysis.images.questions.files import WHITE, ImageQuestion
from analysis.judge.base import Answer, Message, Prompt
from reward.records import JSON

INSTRUCTION = "Look at the image and answer the question with one word, yes or no."
SCHEMA: JSON = {
    "type": "object",
    "properties": {KEY: {"type": "string", "enum": ["Yes", "No"]}},
    "required": [KEY],
    "additionalProperties": False,
}
LONGEST = 2048
"""Most pixels of an image's longer side; OpenAI's models look at no more. A PNG of so many is of 13 MB at most."""
LONGEST_ALLOWED = (32, 4096)

Detail = Literal["low", "high", "auto"]
LOW_TOKENS, TILE_TOKENS, TILE, SHORTER, LONGER = 85, 170, 512, 768, 2048
"""How OpenAI counts an image for gpt-4o: 85 tokens, and in detail 170 for each tile of 512 pixels, once the image is
scaled down to fit 2,048 pixels and its shorter side to 768. Source: OpenAI's guide "Images and vision", "Calculating
costs". Other models count otherwise, which is what the setting `tokens_per_image` is for."""


class QuestionPrompts:
    """Asks one question about one image.

    Args:
        longest: Most pixels of the longer side of an image that is sent; a larger one is scaled down.
        detail: What the server is told of how closely to look; None tells nothing.
        tokens_per_image: Input tokens of an image, for estimates; None counts as for gpt-4o.
    """

    version = VERSION

    def __init__(
        self, longest: int = LONGEST, detail: Detail | None = None, tokens_per_image: int | None = None
    ) -> None:
        self._longest, self._detail, self._tokens = longest, detail, tokens_per_image

    def prompt(self, request: ImageQuestion) -> Prompt:
        """Return what is sent to ask a question; the image is named, and attached when it is sent."""
        look = {} if self._detail is None else {"detail": self._detail}
        url = {"url": f"image of pixels {request.pixels}, at most {self._longest} pixels long", **look}
        words = {"type": "text", "text": f"{INSTRUCTION}\n{request.question}"}
        messages: list[Message] = [{"role": "user", "content": [words, {"type": "image_url", "image_url": url}]}]
        shown = scaled(request.width, request.height, self._longest)
        tokens = image_tokens(*shown, self._detail) if self._tokens is None else self._tokens

        def attach(given: list[Message]) -> list[Message]:
            seen = {"type": "image_url", "image_url": {**url, "url": data_url(request, self._longest)}}
            return [{**message, "content": [words, seen]} for message in given]

        return Prompt(messages, "answer", SCHEMA, attach, tokens)

    def example_of(self, request: ImageQuestion) -> ImageQuestion:
        """Return a question about a white square."""
        return WHITE

    def parse(self, request: ImageQuestion, raw: str, *, cut: bool = False) -> Answer:
        """Read an answer, see `read_answer`."""
        return read_answer(raw, request.question, cut=cut)


def scaled(width: int, height: int, longest: int) -> tuple[int, int]:
    """Return the size of an image whose longer side has at most so many pixels; a smaller image keeps its size."""
    factor = min(1.0, longest / max(width, height))
    return max(1, round(width * factor)), max(1, round(height * factor))


def image_tokens(width: int, height: int, detail: Detail | None = None) -> int:
    """Return how many input tokens an image takes, counted as for gpt-4o.

    Args:
        width: Pixels of the image that is sent.
        height: Likewise.
        detail: What the server is told; None counts as `high`.
    """
    if detail == "low":
        return LOW_TOKENS
    factor = min(1.0, LONGER / max(width, height))
    factor *= min(1.0, SHORTER / (min(width, height) * factor))
    tiles = math.ceil(round(width * factor) / TILE) * math.ceil(round(height * factor) / TILE)
    return LOW_TOKENS + TILE_TOKENS * tiles


@lru_cache(maxsize=16)  # the questions about one image are asked one after the other
def data_url(request: ImageQuestion, longest: int) -> str:
    """Return an image as a data URL: a PNG of the very pixels, scaled down if it is too long, without metadata.

    Raises:
        UserError: If the image cannot be read any more, or has changed.
    """
    image = request.open()
    size = scaled(image.width, image.height, longest)
    if size != image.size:
        image = image.resize(size, Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
