"""Images of noise and a VLM that projects them, for tests of image banks."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from reward import image_bank
from reward.errors import UserError
from reward.vlm import TextEmbeddings


@dataclass(frozen=True)
class Noise:
    """An image drawn from its number; `broken` ones cannot be read."""

    number: int
    label: int
    broken: bool = False

    @property
    def name(self) -> str:
        return f"noise {self.number}"

    def open(self) -> Image.Image:
        if self.broken:
            raise UserError(f"{self.name}: not a readable image.")
        values = np.random.default_rng(self.number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        return Image.fromarray(values)

    def digest(self) -> str:
        return hashlib.sha256(f"{self.number}".encode()).hexdigest()


class Projection:
    """A VLM whose image embedding is a fixed random projection of the pixels; remembers how it was called."""

    name, scale, bias, context_length = "projection", 1.0, 0.0, 9

    def __init__(self, dim: int = 16) -> None:
        self.dim = dim
        self.weight = torch.from_numpy(np.random.default_rng(5).normal(size=(192, dim))).float()
        self.batches: list[int] = []
        self.resident: list[float] = []

    def fingerprint(self) -> str:
        return f"projection {self.dim}"

    def pixels(self, image: Image.Image) -> torch.Tensor:
        return torch.from_numpy(np.asarray(image, dtype=np.float32).transpose(2, 0, 1) / 255)

    def encode_pixels(self, pixels: torch.Tensor) -> torch.Tensor:
        self.batches.append(len(pixels))
        self.resident.append(resident_megabytes())
        return torch.nn.functional.normalize(pixels.flatten(1) @ self.weight, dim=-1)

    def encode_images(self, images: Sequence[Image.Image]) -> torch.Tensor:
        return self.encode_pixels(torch.stack([self.pixels(image) for image in images]))

    def encode_texts(self, texts: Sequence[str]) -> TextEmbeddings:
        raise AssertionError("no texts here")


NAMES = ("a", "b", "c")


NOISE = [Noise(number, number % 3) for number in range(22)]


def build(vlm: Any, images: Sequence[Noise], cache: Path, **settings: Any) -> torch.Tensor:
    return image_bank.image_embeddings(vlm, images, NAMES, cache=cache, where="noise", **settings).embeddings


def resident_megabytes() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
