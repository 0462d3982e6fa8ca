"""PPO on what texts draw: each is drawn once, failures are counted, a run goes on as if it had not been stopped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from text_generators import Noting

from ex2.describe import describe
from ex2.recipe import Recipe
from ex2.recipe_io import read_recipe
from ex2.run.directory import RunDirectory
from ex2.run.manifest import read_manifest
from ex2.sets.generators import toy
from ex2.sets.texts import TextDrawer
from ex2.training.stage import train
from reward.errors import UserError
from reward.files import read_jsonl

RECIPE = """
name: drawn
threads: 1
policy: {model: "package:ex2/data/demo_policy"}
lora: {r: 4, alpha: 8, dropout: 0.05, target_modules: [q_proj, v_proj]}
prompts: {questions: [0]}
vlm: {name: demo-visual}
reward: {name: drawn_cler, beside: 0, generator: {name: text_generators.Noting, fails: 3}}
dataset: {name: shapes, images_per_class: 2, reward_split: reward, test_split: test}
rl: {batches: 3, batch_size: 16, minibatch_size: 16, epochs: 1, learning_rate: 1.0e-3, kl: {horizon: 200}}
generation: {max_new_tokens: 8, temperature: 0.3}
training: {save_every: 1}
watch: {without_name_every: 0}
judge: {name: scripted}
"""
UNREPEATABLE = ("seconds", "per_second", "memory")


class Trained(NamedTuple):
    """A run that nothing stopped.

    Attributes:
        file: Its recipe.
        recipe: The recipe, read.
        asked: What its generator was asked: text and seed.
        wanted: What its reward wanted drawn.
    """

    file: Path
    recipe: Recipe
    asked: list[tuple[str, int]]
    wanted: list[tuple[str, int]]


def read(file: Path, folder: Path, *changes: str) -> Recipe:
    return read_recipe(file, [f"output_dir={folder}", *changes])


def ending(recipe: Recipe) -> tuple[bytes, list[dict[str, Any]]]:
    folder = RunDirectory.of(recipe).seed(0)
    rows = read_jsonl(folder.train_log)
    kept = [{k: v for k, v in row.items() if not any(word in k for word in UNREPEATABLE)} for row in rows]
    return (folder.adapter / "adapter_model.safetensors").read_bytes(), kept


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    folder = tmp_path_factory.mktemp("drawn")
    file = folder / "drawn.yaml"
    file.write_text(RECIPE)
    wanted: list[tuple[str, int]] = []
    drawing = TextDrawer.__call__

    def noted(self: TextDrawer, texts: Sequence[str], seeds: Sequence[int]) -> Any:
        wanted.extend(zip(texts, seeds, strict=True))
        return drawing(self, texts, seeds)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EX2_CACHE", str(folder / "cache"))
        patch.setattr(TextDrawer, "__call__", noted)
        patch.setattr(Noting, "asked", [])
        recipe = read(file, folder)
        train(recipe, 0)
        yield Trained(file, recipe, [*Noting.asked], [*wanted])


def test_a_text_is_drawn_once_and_failures_are_counted(whole: Trained) -> None:
    assert len(whole.asked) == len(set(whole.asked)), "nothing is drawn twice"
    assert set(whole.asked) == set(whole.wanted)
    assert len(whole.wanted) > len(whole.asked), "texts did come again"
    rows = read_jsonl(RunDirectory.of(whole.recipe).seed(0).train_log)
    assert [row["unscored"] for row in rows] == [0, 0, 0]
    failed = sum(seed % 3 == 0 for _, seed in whole.wanted[:16])
    assert 0 < failed < 16
    assert rows[0]["share_not_drawn"] == pytest.approx(failed / 16)  # in the first batch each class comes once


def test_a_run_that_goes_on_ends_as_one_that_was_not_stopped(whole: Trained, tmp_path: Path) -> None:
    train(read(whole.file, tmp_path, "rl.batches=1"), 0)
    again = read(whole.file, tmp_path)
    train(again, 0)
    assert ending(again) == ending(whole.recipe)


def test_another_generator_is_refused_by_its_key(whole: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    """What draws, and a setting of it; before a model is loaded."""
    folder = RunDirectory.of(whole.recipe).seed(0).root
    manifest = read_manifest(folder, "train")
    assert manifest is not None
    used = manifest.inputs["the generator of reward.generator"]
    with monkeypatch.context() as patch:
        patch.setattr(toy, "VERSION", toy.VERSION + 1)
        now = TextDrawer({"name": "text_generators.Noting", "fails": 3}).identity()
        assert now != used
        expected = (
            f"{folder}: the generator of reward.generator: now {now}, train used {used}.\n"
            "Go on with what was used, or give this recipe another name (name=…) for a new run."
        )
        for stage, changes in ((train, ["rl.batches=4"]), (describe, [])):
            with pytest.raises(UserError) as caught:
                stage(read(whole.file, folder.parents[1], *changes), 0)
            assert str(caught.value) == expected
    with pytest.raises(UserError) as caught:
        train(read(whole.file, folder.parents[1], "reward.generator.fails=2"), 0)
    assert str(caught.value).startswith(f"{folder}: reward.generator.fails: now 2, train used 3.\n")
