"""Kills at any instant: the same command ends as the run that nobody killed, bit by bit."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import killable
import pytest
from processes import Process, until

from ex2.run.adapter import verify_adapter
from ex2.trainers.checkpoints import COMPLETE, delete_old_checkpoints, mark_complete, newest_checkpoint
from reward.files import read_jsonl

RECIPE = """
name: killed
output_dir: {folder}
threads: 1
policy: {{model: "package:ex2/data/demo_policy"}}
lora: {{r: 4, alpha: 8, dropout: 0.05, target_modules: [q_proj, v_proj]}}
prompts: {{questions: [0]}}
vlm: {{name: demo-visual}}
dataset: {{name: shapes, reward_split: reward, test_split: test}}
rl: {{batches: {batches}, batch_size: 8, minibatch_size: 4, epochs: 2, learning_rate: 1.0e-3, kl: {{horizon: 100}}}}
generation: {{max_new_tokens: 8}}
training: {{save_every: 1, save_total_limit: {limit}}}
describe: {{policies: [aligned]}}
judge: {{name: scripted}}
"""
BATCHES = 7  # of 8 of the 16 prompts: three and a half epochs
UNREPEATABLE = ("seconds", "per_second", "memory")
POINTS = [
    ("ex2.trainers.ppo:save_parameters", 3),  # inside a checkpoint: its folder has just been made
    ("transformers.trainer:Trainer._save_optimizer_and_scheduler", 2),  # the adapter is there, its optimizer is not
    ("ex2.trainers.controlled:mark_complete", 1),  # the very first checkpoint, all but complete
    ("ex2.trainers.controlled:delete_old_checkpoints", 4),
    ("ex2.trainers.checkpoints:shutil.rmtree", 5),  # an old checkpoint has lost `complete.json` only
    ("ex2.monitoring.progress:append_jsonl", 5),  # a batch is done and not in the log
    ("ex2.training.stage:save_policy", 1),  # trained, nothing exported
    ("ex2.training.stage:write_json", 1),  # the adapter's folder lacks its last file
    ("ex2.run.descriptions:append_jsonl", 1),
]


class Runs:
    """Processes that train and describe, with one cache."""

    def __init__(self, cache: Path) -> None:
        self._environment = os.environ | {"EX2_CACHE": str(cache)}

    def start(self, recipe: Path, *fatal: Any) -> Process:
        return Process(killable.work, str(recipe), *fatal, environment=self._environment)

    def finish(self, recipe: Path, *fatal: Any) -> int:
        return self.start(recipe, *fatal).wait().returncode


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(tmp_path_factory.mktemp("runs") / "cache")


def write(folder: Path, *, batches: int = BATCHES, limit: int = 1) -> Path:
    folder.mkdir(parents=True)
    path = folder / "recipe.yaml"
    path.write_text(RECIPE.format(folder=folder, batches=batches, limit=limit))
    return path


def seed_folder(recipe: Path) -> Path:
    return recipe.parent / "killed" / "seed-0"


def ending(recipe: Path) -> dict[str, Any]:
    """Everything that a run leaves and that a kill must not change."""
    folder = seed_folder(recipe)
    adapter = folder / "adapter"
    assert verify_adapter(adapter), "its files are what training.json says"
    summary = json.loads((adapter / "training.json").read_text())
    del summary["files"]  # adapter_config.json lists a set, whose order differs from process to process
    rows = read_jsonl(folder / "train.jsonl")
    assert [row["batch"] for row in rows] == list(range(1, len(rows) + 1))
    return {
        "weights": (adapter / "adapter_model.safetensors").read_bytes(),
        "value head": (adapter / "value_head.safetensors").read_bytes(),
        "summary": summary,
        "metrics": [{k: v for k, v in row.items() if not any(word in k for word in UNREPEATABLE)} for row in rows],
        "descriptions": (folder / "descriptions.jsonl").read_bytes(),
    }


@pytest.fixture(scope="module")
def unkilled(runs: Runs, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], float]:
    """What the uninterrupted run leaves, and its seconds."""
    recipe = write(tmp_path_factory.mktemp("unkilled") / "run")
    runs.finish(write(tmp_path_factory.mktemp("warm") / "run", batches=1))  # makes the image bank
    start = time.monotonic()
    assert runs.finish(recipe) == 0
    found = ending(recipe)
    assert len(found["metrics"]) == BATCHES
    assert found["summary"]["kl_coef"] != 0.2
    return found, time.monotonic() - start


def torn(folder: Path) -> list[Path]:
    return [path for path in folder.glob("checkpoint-*") if not (path / COMPLETE).is_file()]


def kill_while_writing(runs: Runs, recipe: Path, number: int) -> bool:
    """Kill while checkpoint `number` is written; whether it was caught in the act."""
    checkpoints = seed_folder(recipe) / "checkpoints"
    target = checkpoints / f"checkpoint-{4 * number}"
    child = runs.start(recipe)
    until(target.exists, unless_ended=child, look_every=0.0005)
    child.send_signal(signal.SIGKILL)
    assert child.wait().returncode == -signal.SIGKILL
    return target in torn(checkpoints)


def same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    for key in expected:
        assert found[key] == expected[key], key


def test_two_kills_and_the_same_ending(runs: Runs, unkilled: tuple[dict[str, Any], float], tmp_path: Path) -> None:
    """One inside a checkpoint's writing, one while the only other checkpoint is deleted; then the newer is lost."""
    recipe = write(tmp_path / "run")
    assert runs.finish(recipe, "transformers.trainer:Trainer._save_optimizer_and_scheduler", 2) == -signal.SIGKILL
    checkpoints = seed_folder(recipe) / "checkpoints"
    assert [path.name for path in torn(checkpoints)] == ["checkpoint-8"]
    assert newest_checkpoint(checkpoints) == checkpoints / "checkpoint-4"
    assert runs.finish(recipe, "ex2.trainers.controlled:delete_old_checkpoints", 2) == -signal.SIGKILL
    assert newest_checkpoint(checkpoints) == checkpoints / "checkpoint-12"
    (checkpoints / "checkpoint-12" / "optimizer.pt").unlink()
    assert newest_checkpoint(checkpoints) == checkpoints / "checkpoint-8"
    assert runs.finish(recipe) == 0
    same(ending(recipe), unkilled[0])
    assert [path.name for path in checkpoints.iterdir()] == [f"checkpoint-{4 * BATCHES}"]  # save_total_limit: 1


def test_a_run_that_is_told_to_end_finishes_its_batch(
    runs: Runs, unkilled: tuple[dict[str, Any], float], tmp_path: Path
) -> None:
    """SIGTERM in the third batch's rollout, and no checkpoint was due before the last batch's."""
    recipe = write(tmp_path / "run")
    recipe.write_text(recipe.read_text().replace("save_every: 1,", "save_every: 100,"))
    assert runs.finish(recipe, "ex2.trainers.controlled:check_scored", 3, signal.SIGTERM) not in (0, -signal.SIGTERM)
    checkpoints = seed_folder(recipe) / "checkpoints"
    assert [path.name for path in checkpoints.iterdir()] == ["checkpoint-12"]
    assert newest_checkpoint(checkpoints) == checkpoints / "checkpoint-12"
    assert len(read_jsonl(seed_folder(recipe) / "train.jsonl")) == 3
    assert runs.finish(recipe) == 0
    same(ending(recipe), unkilled[0])


@pytest.mark.slow
@pytest.mark.parametrize("number", range(20))
def test_twenty_kills_and_twenty_identical_endings(
    runs: Runs, unkilled: tuple[dict[str, Any], float], tmp_path: Path, number: int
) -> None:
    """Six while a checkpoint is seen to be written, nine at chosen points, five at random instants."""
    expected, seconds = unkilled
    recipe = write(tmp_path / "run", limit=1 + number % 2)
    if number < 6:
        attempts = 0
        while not kill_while_writing(runs, recipe, 1 + number):
            attempts += 1
            assert attempts < 5, "the writer was never caught in the act"
            recipe = write(tmp_path / f"run-{attempts}", limit=1 + number % 2)
    elif number < 6 + len(POINTS):
        assert runs.finish(recipe, *POINTS[number - 6]) == -signal.SIGKILL
    else:
        instant = random.Random(number).uniform(0.2, 0.9) * seconds
        for attempt in range(5):
            child = runs.start(recipe)
            time.sleep(instant)
            child.send_signal(signal.SIGKILL)
            if child.wait().returncode == -signal.SIGKILL:
                break
            # a machine that has become faster since `seconds` was measured had ended the run already
            instant, recipe = 0.5 * instant, write(tmp_path / f"run-{attempt}", limit=1 + number % 2)
        else:
            raise AssertionError("every run ended before it could be killed")
    assert runs.finish(recipe) == 0
    same(ending(recipe), expected)


def test_old_checkpoints_go_and_the_only_complete_one_stays(tmp_path: Path) -> None:
    for step, complete in ((4, True), (8, True), (12, False), (20, False)):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        (folder / "weights").write_text("w")
        if complete:
            mark_complete(folder, {"global_step": step})
    os.utime(tmp_path / "checkpoint-4")  # age is by step, not by time
    delete_old_checkpoints(tmp_path, keep=1)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-8"]
    (tmp_path / "checkpoint-12").mkdir()
    delete_old_checkpoints(tmp_path, keep=1)
    delete_old_checkpoints(tmp_path, keep=None)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-8"]
    mark_complete(_made(tmp_path / "checkpoint-100"), {})
    delete_old_checkpoints(tmp_path, keep=None)
    assert newest_checkpoint(tmp_path) == tmp_path / "checkpoint-100"  # by number: 100 is after 8
    assert len(list(tmp_path.iterdir())) == 2


def test_a_checkpoint_deleted_by_half_is_torn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for step in (4, 8):
        mark_complete(_made(tmp_path / f"checkpoint-{step}"), {})
    monkeypatch.setattr("ex2.trainers.checkpoints.shutil.rmtree", lambda *args, **kwargs: None)  # killed before it
    delete_old_checkpoints(tmp_path, keep=1)
    assert torn(tmp_path) == [tmp_path / "checkpoint-4"]


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
