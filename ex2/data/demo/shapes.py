"""Images of the demo world's concepts, drawn by the program.

A concept fixes colour, shape and pattern; place, size, rotation, tint, shading, background, occlusion and
noise vary from image to image. An image depends on (seed, split, label, index) alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ex2.data.demo.world import CONCEPTS, Concept
from reward.errors import UserError, unknown_name

Array = NDArray[np.float64]

SPLITS = ("train", "reward", "test")

_RGB = {"red": (0.85, 0.2, 0.2), "blue": (0.25, 0.35, 0.9), "green": (0.25, 0.7, 0.3), "yellow": (0.85, 0.8, 0.25)}


@dataclass(frozen=True)
class Nuisance:
    """How much images of one concept differ.

    Attributes:
        tint: Standard deviation of the log gain of each colour channel.
        clutter: Amplitude of the background's texture, intensity in [0, 1].
        occluders: Number of blocks laid over the image; each hides about a twentieth of it.
        noise: Standard deviation of the pixel noise, intensity in [0, 1].
        contrast: Range of how much the pattern's dark parts darken the colour, as shares of it.
    """

    tint: float = 0.2
    clutter: float = 0.08
    occluders: int = 1
    noise: float = 0.06
    contrast: tuple[float, float] = (0.55, 0.85)


NUISANCE = Nuisance()


@dataclass(frozen=True)
class DrawnImage:
    """One image, drawn when it is opened."""

    label: int
    split: str
    index: int
    seed: int
    size: int

    @property
    def name(self) -> str:
        return f"shapes:{self.split}/{CONCEPTS[self.label].name}/{self.index} (seed {self.seed})"

    def open(self) -> Image.Image:
        """Draw the image: RGB, `size` pixels square."""
        # RandomState, because NumPy promises that its numbers never change; those of Generator may.
        key = (self.seed, SPLITS.index(self.split), self.label, self.index)
        rng = np.random.RandomState(np.random.MT19937(np.random.SeedSequence(key)))
        return Image.fromarray(draw(CONCEPTS[self.label], rng, self.size))

    def digest(self) -> str:
        """Return the SHA-256 of the size and the pixels."""
        return hashlib.sha256(f"{self.size} ".encode() + self.open().tobytes()).hexdigest()


class Shapes:
    """The demo world's images as a labelled dataset; each is drawn when it is opened.

    Args:
        images_per_class: Images of each concept in each split.
        seed: Another seed gives other images of the same concepts; at least 0.
        size: Width and height in pixels.

    Attributes:
        class_names: The concepts' names in label order.
        splits: "train" (the demo VLMs were trained on it), "reward" and "test".

    Raises:
        UserError: If a number is out of range.
    """

    class_names: tuple[str, ...] = tuple(concept.name for concept in CONCEPTS)
    splits: tuple[str, ...] = SPLITS

    def __init__(self, images_per_class: int = 60, seed: int = 0, size: int = 32) -> None:
        for key, value, least in (("images_per_class", images_per_class, 1), ("seed", seed, 0), ("size", size, 8)):
            if value < least:
                raise UserError(f"shapes: {key}: {value} is too small; give at least {least}.")
        self.images_per_class = images_per_class
        self.seed = seed
        self.size = size

    def images(self, split: str) -> Sequence[DrawnImage]:
        """Return a split's images, ordered by label, then by index.

        Raises:
            UserError: If the split is unknown.
        """
        if split not in SPLITS:
            raise UserError(unknown_name("shapes: split", split, SPLITS))
        return [
            DrawnImage(label, split, index, self.seed, self.size)
            for label in range(len(CONCEPTS))
            for index in range(self.images_per_class)
        ]


def draw(concept: Concept, rng: np.random.RandomState, size: int, nuisance: Nuisance = NUISANCE) -> NDArray[np.uint8]:
    """Draw a concept with random nuisance.

    Args:
        concept: What to draw; only colour, shape and pattern matter.
        rng: Source of all that varies.
        size: Width and height in pixels.
        nuisance: How much varies.

    Returns:
        RGB pixels, shape (size, size, 3).
    """
    axis = (np.arange(size) + 0.5) / size * 2 - 1
    x, y = axis[None, :], axis[:, None]

    angle, scale = rng.uniform(0, 2 * np.pi), rng.uniform(0.5, 0.85)
    center_x, center_y = rng.uniform(-0.3, 0.3, 2)
    u = ((x - center_x) * np.cos(angle) + (y - center_y) * np.sin(angle)) / scale
    v = (-(x - center_x) * np.sin(angle) + (y - center_y) * np.cos(angle)) / scale

    background = rng.uniform(0.15, 0.85, 3) + nuisance.clutter * _texture(rng, x, y)[..., None]
    color = np.array(_RGB[concept.colour]) * np.exp(rng.normal(0, nuisance.tint, 3)) * rng.uniform(0.7, 1.15)
    dark = _pattern(concept.pattern, u, v, rng.uniform(0, 2 * np.pi), rng.uniform(0.85, 1.2))
    body = color * (1 - rng.uniform(*nuisance.contrast) * dark[..., None])
    # Edges are one pixel wide, so that neither value jumps where the last bits of a sine differ.
    inside = np.clip(_depth(concept.shape, u, v) * scale * size / 2 + 0.5, 0, 1)[..., None]
    image = background * (1 - inside) + body * inside

    for _ in range(nuisance.occluders):
        left, top = rng.uniform(-1, 0.8, 2)
        width, height = rng.uniform(0.2, 0.6, 2)
        hidden = (x > left) & (x < left + width) & (y > top) & (y < top + height)
        image[hidden] = rng.uniform(0.1, 0.9, 3)
    image += rng.normal(0, nuisance.noise, (size, size, 3))
    pixels: NDArray[np.uint8] = np.clip(np.rint(image * 255), 0, 255).astype(np.uint8)
    return pixels


def _texture(rng: np.random.RandomState, x: Array, y: Array) -> Array:
    """Return a sum of three plane waves, shape (size, size), amplitude about 1."""
    waves: Any = 0.0
    for _ in range(3):
        wave_x, wave_y = rng.uniform(-9, 9, 2)
        waves = waves + np.sin(wave_x * x + wave_y * y + rng.uniform(0, 2 * np.pi))
    return np.asarray(waves, dtype=np.float64)


def _depth(shape: str, u: Array, v: Array) -> Array:
    """Return each point's depth inside a shape of radius about 1: positive inside, negative outside."""
    radius = np.hypot(u, v)
    if shape == "circle":
        return np.asarray(0.9 - radius)
    if shape == "square":
        return 0.82 - np.maximum(np.abs(u), np.abs(v))
    if shape == "triangle":
        sides = [u * np.cos(turn) + v * np.sin(turn) for turn in (np.pi / 2, np.pi * 7 / 6, np.pi * 11 / 6)]
        return np.asarray(0.58 - np.maximum.reduce(sides))
    # A star with five points: from the outer radius at a point to the inner one half way to the next.
    sector = np.abs((np.arctan2(v, u) / (2 * np.pi / 5)) % 1 - 0.5) * 2
    return (0.4 + 0.75 * sector**1.5 - radius) * 0.7


def _pattern(pattern: str, u: Array, v: Array, phase: float, period: float) -> Array:
    """Return the darkness of a pattern at each point, in [0, 1]."""
    k = 10.0 / period
    if pattern == "stripes":
        wave = np.sin(k * u + phase)
    elif pattern == "rings":
        wave = np.sin(k * np.hypot(u, v) + phase)
    elif pattern == "checks":
        wave = 1.6 * np.sin(0.7 * k * u + phase) * np.sin(0.7 * k * v + phase)
    else:  # dots
        wave = np.cos(k * u + phase) + np.cos(k * v + phase) - 0.7
    return np.clip(0.5 + 2.0 * wave, 0, 1)
