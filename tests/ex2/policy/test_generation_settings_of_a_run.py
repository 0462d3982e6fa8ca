"""Every setting that the library knows is left aside, and a run's two stages are those of a model without any."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from paths import ROOT
from safetensors.torch import load_file
from transformers import GenerationConfig, PreTrainedModel

from ex2.describe import describe
from ex2.policy.generation_defaults import drop_generation_defaults, generation_defaults
from ex2.policy.source import ModelSource
from ex2.recipe_io import read_recipe
from ex2.training.stage import train
from reward.files import read_jsonl

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")

TOKENS = {"eos_token_id": [2, 7], "pad_token_id": 3, "bos_token_id": 5, "decoder_start_token_id": 6}
OF_THE_FILE = ("_from_model_config", "transformers_version")
SETTINGS = sorted(set(GenerationConfig().to_dict()) - {*TOKENS, *OF_THE_FILE})  # type: ignore[no-untyped-call]
"""Of the installed version, whichever it is."""


def dropped(**settings: Any) -> tuple[GenerationConfig, dict[str, Any]]:
    """What is kept of stored settings, and which are said to be left aside."""
    stored = GenerationConfig(**TOKENS)  # type: ignore[no-untyped-call]
    for key, value in settings.items():
        setattr(stored, key, value)
    model = SimpleNamespace(generation_config=stored)
    drop_generation_defaults(cast(PreTrainedModel, model), ModelSource(f"with {sorted(settings)}"))
    return model.generation_config, generation_defaults(stored)


def test_there_are_many_and_those_known_to_leak_are_among_them() -> None:
    assert {"min_new_tokens", "repetition_penalty", "min_p", "num_beams", "no_repeat_ngram_size"} <= set(SETTINGS)
    assert len(SETTINGS) > 50


@pytest.mark.parametrize("key", [*SETTINGS, "a_setting_of_tomorrow"])
def test_each_setting_of_the_library_is_left_aside_and_said(key: str, capsys: pytest.CaptureFixture[str]) -> None:
    plain, said_of_plain = dropped()
    kept, said = dropped(**{key: 0.625})
    assert kept.to_dict() == plain.to_dict()
    assert {token: getattr(kept, token) for token in TOKENS} == TOKENS
    assert (said_of_plain, said) == ({}, {key: 0.625})
    assert f"generation settings that are not used: {key}=0.625. The recipe says how" in capsys.readouterr().err


@pytest.mark.parametrize("token", TOKENS)
def test_special_tokens_are_kept_one_by_one(token: str) -> None:
    kept, said = dropped(**{token: 11})
    assert {key: getattr(kept, key) for key in TOKENS} == TOKENS | {token: 11}
    assert said == {}


# --- a whole run ------------------------------------------------------------------------------------------------------

RECIPE = """
name: stored
output_dir: {folder}
threads: 1
algorithm: {algorithm}
policy: {{model: "{folder}/policy"}}
lora: {lora}
prompts: {{questions: [0]}}
vlm: {{name: demo-visual}}
dataset: {{name: shapes, reward_split: reward, test_split: test}}
rl: {{batches: 2, batch_size: 8, minibatch_size: 4, epochs: 1, learning_rate: 1.0e-3}}
generation: {{max_new_tokens: 8}}
describe: {{policies: [base, aligned]}}
judge: {{name: scripted}}
"""
ADAPTER = "{r: 4, alpha: 8, target_modules: [q_proj, v_proj]}"
LEAK = {"min_new_tokens": 8, "repetition_penalty": 3.0, "min_p": 0.5, "num_beams": 2, "suppress_tokens": [20, 30, 40]}


def ran(folder: Path, algorithm: str, lora: str, settings: dict[str, Any]) -> tuple[list[Any], list[Any], Any]:
    """Both stages: the rows of the log, the descriptions, the trained weights."""
    folder.mkdir()
    shutil.copytree(ROOT / "ex2/data/demo_policy", folder / "policy")
    file = folder / "policy/generation_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))
    (folder / "recipe.yaml").write_text(RECIPE.format(folder=folder, algorithm=algorithm, lora=lora))
    recipe = read_recipe(folder / "recipe.yaml")
    train(recipe, 0)
    describe(recipe, 0)
    run = folder / "stored/seed-0"
    rows = [
        {key: row[key] for key in ("kl", "reward_mean", "response_length")} for row in read_jsonl(run / "train.jsonl")
    ]
    weights = load_file(next((run / "adapter").glob("*model.safetensors")))
    return rows, read_jsonl(run / "descriptions.jsonl"), weights


@pytest.mark.slow
@pytest.mark.parametrize(
    ("algorithm", "lora"), [("ppo", ADAPTER), ("ppo", "null"), ("rloo", ADAPTER), ("grpo", ADAPTER)]
)
def test_a_run_does_not_see_what_is_stored_with_its_model(algorithm: str, lora: str, tmp_path: Path) -> None:
    rows, texts, weights = ran(tmp_path / "plain", algorithm, lora, {})
    own_rows, own_texts, own_weights = ran(tmp_path / "own", algorithm, lora, LEAK)
    assert own_rows == rows
    assert len(rows) == 2
    assert own_texts == texts
    assert len({row["tokens"] for row in texts}) > 1, "min_new_tokens would make them all alike"
    assert own_weights.keys() == weights.keys()
    for name, value in weights.items():
        assert torch.equal(own_weights[name], value), name
