"""The VLMs of the worlds, trained once and kept."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from safetensors.torch import save_file

from ex2.data.demo import pretrain_vlm
from ex2.data.demo.pretrain_vlm import CONTENT, PLANTED, STYLE, Planting, caption, train_vlm
from ex2.data.demo.reproducible import generator
from ex2.data.demo.shapes import Shapes
from ex2.data.demo.world import CONCEPTS, Kind
from reward.backends.toy import SHIPPED, config_metadata
from reward.cache import cache_dir


class World(NamedTuple):
    """A VLM with a known preference.

    Attributes:
        name: Of the world, as in tables and names of runs.
        planting: How the captions of its VLM are made.
    """

    name: str
    planting: Planting

    @property
    def planted(self) -> tuple[Kind, ...]:
        """Kinds that the VLM prefers; none where nothing of the preference is planted."""
        nothing = self.planting.preference == "none" or self.planting.dose == 0
        return () if nothing else PLANTED[self.planting.preference]

    def seeded(self, seed: int) -> World:
        """Return the same world with the VLM of another seed."""
        planting = replace(self.planting, seed=seed)
        return World(f"{self.name}-{seed}" if seed else self.name, planting)


def folder() -> Path:
    """Return where models, samples and runs of the calibration are kept."""
    return cache_dir() / "calibration"


def dose_world(dose: float, preference: pretrain_vlm.Preference = "visual") -> World:
    """Return the world with a share of a preference."""
    return World(f"{preference.replace('_', '-')}-{round(100 * dose)}", Planting(preference, dose=dose))


STYLE_WORLD = World("style", STYLE)
CONTENT_WORLD = World("content", CONTENT)


def recipe_digest(planting: Planting) -> str:
    """Return a hash of what a VLM is trained on, 8 hexadecimal digits: other captions, images or steps, another VLM."""
    rng = generator(*planting.key)
    captions = [caption(rng, number % len(CONCEPTS), planting) for number in range(500)]
    images = [image.digest() for image in Shapes(1).images("train")]
    numbers = [pretrain_vlm.IMAGES_PER_CLASS, pretrain_vlm.STEPS, pretrain_vlm.BATCH, pretrain_vlm.RATE]
    return hashlib.sha256("\n".join([*captions, *images, *map(str, numbers)]).encode()).hexdigest()[:8]


def weights(planting: Planting) -> Path:
    """Return where a VLM's weights are: the shipped ones if there are some, else trained at the first call."""
    shipped = SHIPPED / f"{planting.preference}.safetensors"
    if planting == Planting(planting.preference) and shipped.is_file():
        return shipped
    path = folder() / "vlms" / f"{'-'.join(map(str, planting.key))}-{recipe_digest(planting)}.safetensors"
    if not path.is_file():
        model = train_vlm(planting)
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(f".{os.getpid()}")
        save_file(model.state_dict(), unfinished, metadata=config_metadata(model.config))
        unfinished.replace(path)  # a VLM that is there is whole
    return path
