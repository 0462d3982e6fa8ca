"""What is handed on: the model card, the adapter, and one model that gives the adapter's logits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from ex2.cli import main
from ex2.recipe import Recipe
from ex2.recipe_io import read_recipe
from ex2.run.card import model_card, refresh_card
from ex2.run.directory import SeedDirectory
from reward.files import write_json

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # peft's

RECIPE = """
name: exported
output_dir: {folder}/runs
seeds: [0, 1]
policy: {{model: "{model}"}}
lora: {{r: 4, alpha: 8}}
vlm: {{name: demo-visual}}
dataset: {{name: shapes, reward_split: reward, test_split: test}}
rl: {{batches: 7, kl: {{target: 6}}}}
judge: {{name: scripted}}
"""
SUMMARY = {"batches": 7, "kl": 5.4321, "kl_coef": 0.1234, "score_mean": 21.0, "recipe": "exported"}
MEASURED = {
    "dataset": "shapes",
    "split": "test",
    "confidence": 0.95,
    "arms": {
        "templates": {"accuracy": 0.55, "low": 0.51, "high": 0.587, "n": 640},
        "base": None,
        "aligned": {"accuracy": 0.6828125, "low": 0.6457, "high": 0.7177, "n": 640},
    },
}


class Made:
    """A recipe's file with a trained seed 0; seed 1 is not trained."""

    def __init__(self, folder: Path, mistral: Path) -> None:
        self.path = folder / "recipe.yaml"
        self.path.write_text(RECIPE.format(folder=folder, model=mistral))
        self.recipe: Recipe = read_recipe(self.path)
        self.directory = SeedDirectory(folder / "runs/exported/seed-0")
        torch.manual_seed(0)
        config = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM", init_lora_weights=False)
        base = AutoModelForCausalLM.from_pretrained(mistral)
        self.logits_of_base = logits(base)
        model = get_peft_model(base, config)
        model.save_pretrained(self.directory.adapter)
        self.logits = logits(model)
        (self.directory.adapter / "value_head.safetensors").write_bytes(b"head")
        write_json(self.directory.adapter / "training.json", SUMMARY)


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model.eval()(torch.arange(5, 25).unsqueeze(0)).logits
    return found


@pytest.fixture
def made(tmp_path: Path, mistral: Path) -> Made:
    return Made(tmp_path, mistral)


def test_card_states_recipe_reward_kl_and_accuracy(made: Made) -> None:
    card = model_card(made.recipe, 0, SUMMARY, accuracy=MEASURED)
    front, _, body = card.removeprefix("---\n").partition("\n---\n")
    assert yaml.safe_load(front) == {
        "library_name": "peft",
        "pipeline_tag": "text-generation",
        "base_model": made.recipe.policy.model,
        "tags": ["ex2", "ppo", "lora"],
    }
    assert "# exported, seed 0" in body
    assert "Reward: `cosine` by the VLM `demo-visual` on images of `shapes`, split `reward`" in body
    assert "5.43 nats on average per description (target 6, final β 0.123)" in body
    assert "descriptions of the aligned policy: 68.3% (n = 640, 95% interval 64.6% to 71.8%)" in body
    assert "descriptions of the templates: 55.0%" in body
    assert "of the base policy" not in body  # it was not measured
    recipe = yaml.safe_load(body.partition("```yaml\n")[2].partition("\n```")[0])
    assert recipe == made.recipe.model_dump(mode="json")
    assert "Accuracy: not measured yet" in model_card(made.recipe, 0, SUMMARY)
    assert "KL to the base model in the last batch: not measured" in model_card(made.recipe, 0, {**SUMMARY, "kl": None})


def test_merged_model_gives_the_adapters_logits(made: Made, tmp_path: Path) -> None:
    out = tmp_path / "merged"
    assert main(["export", str(made.path), "--merge", "--out", str(out), "--seeds", "0"]) == 0
    model, info = AutoModelForCausalLM.from_pretrained(out, output_loading_info=True)
    assert not info["unexpected_keys"]
    assert not info["missing_keys"]
    torch.testing.assert_close(logits(model), made.logits, atol=1e-4, rtol=0)
    assert float((made.logits - made.logits_of_base).abs().max()) > 0.1
    assert AutoTokenizer.from_pretrained(out)("wug")["input_ids"]
    assert not (out / "adapter_config.json").exists()
    assert "library_name: transformers" in (out / "README.md").read_text()
    assert not list(tmp_path.glob("*.unfinished"))


def test_exported_adapter_loads_with_plain_peft(made: Made, mistral: Path, tmp_path: Path) -> None:
    write_json(made.directory.accuracy, MEASURED)
    assert main(["export", str(made.path), "--out", str(tmp_path / "out"), "--seeds", "0"]) == 0
    loaded = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(mistral), str(tmp_path / "out"))
    assert torch.equal(logits(loaded), made.logits)
    assert "68.3%" in (tmp_path / "out/README.md").read_text()
    assert json.loads((tmp_path / "out/training.json").read_text()) == SUMMARY


def test_card_in_the_run_is_refreshed_once_accuracy_is_there(made: Made) -> None:
    refresh_card(made.recipe, 0)
    assert "not measured yet" in (made.directory.adapter / "README.md").read_text()
    write_json(made.directory.accuracy, MEASURED)
    refresh_card(made.recipe, 0)
    assert "68.3%" in (made.directory.adapter / "README.md").read_text()
    refresh_card(made.recipe, 1)  # not trained: nothing is written
    assert not (made.directory.root.parent / "seed-1").exists()


def test_what_a_killed_process_left_of_a_card_is_not_handed_on(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    left = made.directory.adapter / ".README.md.51c5440a"
    left.write_text("half of a ca")
    assert main(["export", str(made.path), "--out", str(tmp_path / "out"), "--seeds", "0"]) == 0, capsys.readouterr()
    assert [path.name for path in (tmp_path / "out").iterdir() if path.name.startswith(".")] == []
    assert (tmp_path / "out/adapter_model.safetensors").is_file()
    refresh_card(made.recipe, 0)
    assert not left.exists()


def test_merging_into_an_unquantized_base_is_said(made: Made) -> None:
    quantized = read_recipe(made.path, ["policy.quantization=8bit", "policy.dtype=float16"])
    said = "Trained on a base of 8 bits and merged into the one in float16"
    assert said in model_card(quantized, 0, SUMMARY, merged=True)
    assert said not in model_card(quantized, 0, SUMMARY)
    assert said not in model_card(made.recipe, 0, SUMMARY, merged=True)


def test_all_problems_at_once(made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").touch()
    assert main(["export", str(made.path), "--out", str(tmp_path / "full")]) == 2
    said = capsys.readouterr().err
    assert "seed-1/adapter: seed 1 is not trained; run `ex2 train` (or `ex2 run`) first." in said
    assert f"--out: {tmp_path / 'full'} is not an empty folder; give a new one." in said
    assert "seed 0 is not trained" not in said
    assert main(["export", str(made.path), "--out", str(tmp_path / "x"), "--seeds", "5"]) == 2
    assert "--seeds: [5] are not all among the recipe's seeds [0, 1]" in capsys.readouterr().err
