"""What the base model says, with the score that a world's VLM gives it: all that the theory and simulations need."""

from __future__ import annotations

import json
import os
from collections import Counter
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from theory import Tilt, tilt_to_kl
from tqdm import tqdm

from calibration.worlds import World, folder, weights
from ex2 import banks
from ex2.data.demo.world import CAPTION_KINDS, CONCEPTS, kind_of
from ex2.data.prompts import make_prompts
from ex2.policy.generation import TransformersGenerator, derived_seed
from ex2.policy.loading import load_model, load_tokenizer
from ex2.recipe import Recipe
from ex2.recipe_io import read_recipe
from reward.cosine import CosineReward
from reward.presets import load_vlm

RECIPE = "recipes/demo/visual.yaml"
SAMPLES_PER_PROMPT = 64

Array = NDArray[np.float64]


class BaseTexts(NamedTuple):
    """The distinct texts that the base model says of each class, empty ones left out, as they have no score.

    Attributes:
        texts: For each class its texts, in alphabetical order.
        masses: Share of each text among the samples of its class, shape (C, T); 0 where a class has fewer texts.
        kinds: Place of each text's kind in `CAPTION_KINDS`, shape (C, T); -1 where there is no text.
    """

    texts: list[list[str]]
    masses: Array
    kinds: NDArray[np.int64]

    def spread(self, values: list[list[float]]) -> Array:
        """Lay a number of each text out as `masses`, 0 where there is no text."""
        laid = np.zeros(self.masses.shape)
        for row, own in enumerate(values):
            laid[row, : len(own)] = own
        return laid

    def kind_shares(self, distribution: Array) -> Array:
        """Return each kind's share under a distribution of shape (..., C, T), for every class, shape (..., C, 3)."""
        return np.stack([np.where(self.kinds == kind, distribution, 0).sum(-1) for kind in range(3)], axis=-1)

    def with_mix(self, mix: tuple[float, float, float]) -> BaseTexts:
        """Return the texts with other masses, so that in every class the kinds have the given shares."""
        masses = np.zeros_like(self.masses)
        for kind, share in enumerate(mix):
            own = np.where(self.kinds == kind, self.masses, 0)
            masses += share * own / own.sum(axis=-1, keepdims=True)
        return self._replace(masses=masses)


def collect(samples: list[tuple[int, str]], classes: int) -> BaseTexts:
    """Count the texts of each class.

    Args:
        samples: Label and text.
        classes: Number of classes, each of which needs a text that is not empty.
    """
    counts = [Counter(text for label, text in samples if label == one and text.strip()) for one in range(classes)]
    texts = [sorted(each) for each in counts]
    longest = max(map(len, texts))
    masses, kinds = np.zeros((classes, longest)), np.full((classes, longest), -1)
    for label, own in enumerate(texts):
        masses[label, : len(own)] = [counts[label][text] / counts[label].total() for text in own]
        kinds[label, : len(own)] = [CAPTION_KINDS.index(kind_of(text, CONCEPTS[label].name)) for text in own]
    return BaseTexts(texts, masses, kinds)


@cache
def base_texts() -> BaseTexts:
    """Return what the demo policy says before any alignment; sampled at the first call."""
    path = folder() / "base.json"
    if not path.is_file():
        unfinished = path.with_suffix(f".{os.getpid()}")
        unfinished.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_text(json.dumps(_sample(read_recipe(RECIPE, []))))
        unfinished.replace(path)
    return collect([(label, text) for label, text in json.loads(path.read_text())], len(CONCEPTS))


def _sample(recipe: Recipe) -> list[tuple[int, str]]:
    """Sample the base model for every prompt: label and text."""
    generator = TransformersGenerator(
        load_model(recipe.policy.source(), torch.device("cpu")),
        load_tokenizer(recipe.policy.source()),
        adapter=None,
        style=recipe.prompts.style,
        sampling=recipe.generation.sampling(),
    )
    prompts = make_prompts([concept.name for concept in CONCEPTS], recipe.prompts.questions)
    rows = []
    for sample in tqdm(range(SAMPLES_PER_PROMPT), desc="base model", unit="round"):
        for start in range(0, len(prompts), 200):
            batch = prompts[start : start + 200]
            made = generator.generate(batch, "base", derived_seed("calibrate", sample, start))
            rows += [(prompt.label, text.text) for prompt, text in zip(batch, made, strict=True)]
    return rows


def scores_by(weights_path: Path, base: BaseTexts) -> Array:
    """Return the reward that a VLM gives each text of the base model, shape (C, T); 0 where there is no text."""
    recipe = read_recipe(RECIPE, [f"vlm={{name: toy, weights: {weights_path}}}"])
    vlm = load_vlm(recipe.vlm.name, recipe.vlm.settings)
    reward = CosineReward(vlm, banks.class_means(recipe.dataset.source(), vlm))
    rows = []
    for concept, texts in zip(CONCEPTS, base.texts, strict=True):
        found = reward(texts, [concept.name] * len(texts))
        rows.append([score for score in found if score is not None])
    return base.spread(rows)


@cache
def scores_of(world: World) -> Array:
    """Return the reward of each of `base_texts()` in a world, shape (C, T)."""
    return scores_by(weights(world.planting), base_texts())


def optimum(world: World, kl: float) -> Tilt:
    """Return the distribution over `base_texts()` that alignment with a world's VLM aims at, at a mean KL."""
    return tilt_to_kl(scores_of(world), base_texts().masses, max(kl, 0.0))


def optimum_with_share(world: World, share: float) -> Tilt:
    """Return the optimum whose visual share is a given one, or the nearest: KL by bisection.

    The visual share must grow with the KL, as it does where the VLM prefers visual texts.
    """
    base, low, high = base_texts(), 0.0, 5.0
    visual = CAPTION_KINDS.index("visual")
    for _ in range(20):
        middle = (low + high) / 2
        reached = base.kind_shares(optimum(world, middle).weights)[:, visual].mean()
        low, high = (middle, high) if reached < share else (low, middle)
    return optimum(world, low)


def drawn_texts(rng: np.random.Generator, distribution: Array, each: int) -> list[list[str]]:
    """Draw texts of every class.

    Args:
        rng: Source of the draws.
        distribution: Share of each of `base_texts()`, shape (C, T).
        each: Texts of each class.
    """
    return [
        [texts[place] for place in rng.choice(len(texts), each, p=row[: len(texts)] / row[: len(texts)].sum())]
        for texts, row in zip(base_texts().texts, distribution, strict=True)
    ]
