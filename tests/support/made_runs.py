"""A small run with a reward and a judge of the user's own, each in a module beside the recipe."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

import tiny

from ex2.recipe import Recipe
from ex2.recipe_io import read_recipe
from ex2.run.directory import RunDirectory, SeedDirectory

RECIPE = """
name: made
output_dir: {folder}/runs
threads: 1
policy: {{model: "{policy}"}}
lora: {{r: 2, alpha: 4, target_modules: [q_proj, v_proj]}}
prompts: {{questions: [0, 1]}}
vlm: {{name: huggingface, model: {clip}, context_length: 40, image_size: 32, device: cpu}}
reward: {{name: made_reward.Terse, price: 0.25}}
dataset: {{name: folder, root: {images}, reward_split: reward, test_split: test}}
rl: {{batches: {batches}, batch_size: 8, minibatch_size: 4, epochs: 1, learning_rate: 1.0e-2}}
generation: {{max_new_tokens: 6}}
training: {{save_every: 1}}
describe: {{batch_size: 4}}
analysis: {{attribution: null, controls: [], bootstrap_samples: 50}}
judge: {{name: made_judge.Even}}
"""
REWARD = """
from made_words import words
from reward.cosine import CosineReward


class Terse:
    __name__ = "terse"

    def __init__(self, vlm, class_means, price: float) -> None:
        self.cosine, self.price = CosineReward(vlm, class_means), price

    def __call__(self, completions, class_name, **columns):
        return [s - self.price * words(t) for s, t in zip(self.cosine(completions, class_name), completions)]
"""
WORDS = "def words(text):\n    return len(text) / 6\n"
JUDGE = """
from analysis.judge.base import Verdict


class Even:
    name, exact, rubric_version = "even", True, "own"

    def answer(self, requests, on_answer):
        for request in requests:
            on_answer(request, Verdict(len(request.description) % 2 == 0, "counted"))
"""


class Base(NamedTuple):
    """A finished run, its recipe and the folder with both, its images and its user's modules."""

    folder: Path
    recipe: Path

    def read(self, *overrides: str) -> Recipe:
        return read_recipe(self.recipe, overrides)

    @property
    def run(self) -> RunDirectory:
        return RunDirectory(self.folder / "runs/made")

    @property
    def seed(self) -> SeedDirectory:
        return self.run.seed(0)


def make(folder: Path, mistral: Path, clip: Path, images: Path, *, batches: int) -> Base:
    shutil.copytree(images, folder / "images", dirs_exist_ok=True)
    for name, text in (("made_reward", REWARD), ("made_words", WORDS), ("made_judge", JUDGE)):
        (folder / f"{name}.py").write_text(text)
    text = RECIPE.format(folder=folder, policy=mistral, clip=clip, images=folder / "images", batches=batches)
    return Base(folder, tiny.write_recipe(folder / "made.yaml", text))
