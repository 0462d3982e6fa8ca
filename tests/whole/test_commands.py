"""The public commands, as a user types them, on small models of the real classes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
from paths import ROOT
from processes import Ended, command, new_interpreter
from safetensors.torch import load_file

from ex2.run.manifest import read_manifest, write_manifest


def run(*words: str, cwd: Path) -> Ended:
    """Run `python -m WORD…`."""
    return command(*words, folder=cwd, EX2_CACHE=str(cwd / "cache"))


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    tiny.save_mistral(folder / "mistral")
    tiny.save_clip(folder / "clip")
    tiny.save_image_folder(folder / "photos")
    return folder


TINY = (
    "policy.model=mistral",
    "policy.quantization=none",
    "policy.dtype=float32",
    "vlm.model=clip",
    "vlm.context_length=40",
    "vlm.image_size=32",
    "vlm.scale=null",
    "vlm.dtype=float32",
    "dataset.name=folder",
    "dataset.root=photos",
    "dataset.reward_split=reward",
    "rl.batches=2",
    "rl.learning_rate=1e-3",
    "training.save_every=1",
    "generation.max_new_tokens=8",
    "threads=1",
    "training.report_to=[tensorboard]",
)


def test_the_papers_recipe_trains_through_accelerate_with_small_parts(work: Path) -> None:
    recipe = str(ROOT / "recipes/paper/clip/pets.yaml")
    config = str(ROOT / "accelerate_configs/cpu.yaml")
    launch = ("accelerate.commands.accelerate_cli", "launch", "--config_file", config, "-m", "ex2.train", recipe)
    result = new_interpreter("-m", *launch, *TINY, folder=work, EX2_CACHE=str(work / "cache"))
    assert result.returncode == 0, result.stderr[-3000:]
    seed = work / "runs/clip-pets/seed-0"
    rows = [json.loads(line) for line in (seed / "train.jsonl").read_text().splitlines()]
    assert [row["batch"] for row in rows] == [1, 2]
    assert rows[0]["kl"] == pytest.approx(0, abs=1e-4)
    assert rows[1]["kl_coef"] < rows[0]["kl_coef"] == 0.2  # KL under its target: β falls
    assert set(load_file(seed / "adapter/value_head.safetensors")) == {"summary.weight", "summary.bias"}
    assert "β starts at 0.2" in result.stdout
    assert "batch    1" in result.stderr or "batch    1" in result.stdout  # sample descriptions
    assert (work / "runs/clip-pets/recipe.yaml").is_file()
    assert list(seed.rglob("events.out.tfevents.*")), "report_to reaches transformers' loggers"
    versions = json.loads((work / "runs/clip-pets/provenance.json").read_text())["packages"]
    assert versions["trl"].startswith("1.16")

    again = run("ex2.train", recipe, *TINY, cwd=work)
    assert again.returncode == 0, again.stderr[-3000:]
    assert "align" not in again.stderr  # a finished stage is skipped

    other = run("ex2.train", recipe, *TINY, "rl.batches=1", cwd=work)
    assert other.returncode == 2
    assert "runs/clip-pets/recipe.yaml: rl.batches: now 1, the run used 2." in other.stderr

    described = run("ex2.cli", "describe", recipe, *TINY, cwd=work)
    assert described.returncode == 0, described.stderr[-3000:]
    lines = (seed / "descriptions.jsonl").read_text().splitlines(keepends=True)
    assert len(lines) == 2 * 4 * 25
    first = json.loads(lines[0])
    assert set(first) >= {"class", "question", "policy", "seed", "text", "tokens", "cut", "reward"}
    (seed / "descriptions.jsonl").write_text("".join(lines[:70]) + lines[70][:20])  # killed while writing
    described_so_far = read_manifest(seed, "describe")
    assert described_so_far is not None
    write_manifest(seed, replace(described_so_far, complete=False, files={}))
    resumed = run("ex2.cli", "describe", recipe, *TINY, cwd=work)
    assert resumed.returncode == 0, resumed.stderr[-3000:]
    assert (seed / "descriptions.jsonl").read_text().splitlines(keepends=True) == lines


def test_validate_names_every_problem_without_a_traceback(work: Path) -> None:
    result = run("ex2.cli", "validate", str(ROOT / "recipes/demo/visual.yaml"), "vlm.name=clp", "rl.batchs=1", cwd=work)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    assert "rl: unknown 'batchs'. Did you mean 'batches'?" in result.stderr


def test_dry_run_shows_the_plan_without_hub_weights_or_images(work: Path) -> None:
    result = run("ex2.cli", "train", str(ROOT / "recipes/paper/clip/pets.yaml"), "--dry-run", cwd=work)
    assert result.returncode == 0, result.stderr
    assert "accelerate launch --config_file accelerate_configs/single_gpu.yaml -m ex2.train" in result.stdout
    assert "base model 7.24 B parameters, 8bit (float16): 7.0 GiB" in result.stdout
    assert "adapter 6.8 M parameters" in result.stdout
    assert "β starts at 0.2 and can reach 0.105 to 0.379" in result.stdout
    assert "missing: dataset.root: no Oxford-IIIT Pets in 'data/pets'" in result.stdout
    assert not (work / "runs/pets").exists()
