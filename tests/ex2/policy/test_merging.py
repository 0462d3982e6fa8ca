"""Merged copies of models whose input and output embeddings share a weight, and the check of every export."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import fake_vllm
import pytest
import tiny
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from tiny_trainers import Letters, four_updates, things
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GemmaConfig,
    GPT2Config,
    MistralConfig,
    PreTrainedModel,
    Qwen2Config,
)

from ex2.cli import main
from ex2.data.prompts import make_prompts
from ex2.policy import merging
from ex2.policy.loading import load_model, load_tokenizer
from ex2.policy.merging import BOUNDS, difference, merge_adapter, probe_logits
from ex2.policy.source import ModelSource, Sampling
from ex2.policy.vllm_engine import VLLMGenerator
from ex2.recipe_io import read_recipe
from ex2.run.directory import RunDirectory
from ex2.trainers.config import PPOConfig
from ex2.trainers.ppo import PPOTrainer
from reward.errors import EnvironmentFault
from reward.files import write_json

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")

CPU = torch.device("cpu")
SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.2,
}
KINDS: dict[str, Any] = {
    "mistral": lambda rows: MistralConfig(vocab_size=rows, tie_word_embeddings=True, **SIZES),
    "qwen2": lambda rows: Qwen2Config(vocab_size=rows, tie_word_embeddings=True, **SIZES),
    "gemma": lambda rows: GemmaConfig(vocab_size=rows, head_dim=8, **SIZES),  # tied unless told otherwise
    "gpt2": lambda rows: GPT2Config(vocab_size=rows, n_embd=32, n_layer=2, n_head=4, initializer_range=0.2),
}
OF_GPT2 = {"embed_tokens": "wte", "q_proj": "c_attn", "v_proj": "c_fc"}
TARGETS = [
    ["lm_head"],
    ["embed_tokens"],
    ["lm_head", "q_proj"],
    ["embed_tokens", "lm_head", "v_proj"],
    ["q_proj", "v_proj"],
]


def save_tied(folder: Path, kind: str = "mistral") -> Path:
    tiny.save_mistral(folder)  # for its tokenizer
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ends = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    torch.manual_seed(0)
    config = KINDS[kind](len(tokenizer))
    config.update(ends)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config)
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight  # type: ignore[union-attr]
    model.save_pretrained(folder)
    return folder


def save_adapter(model: Path, folder: Path, targets: list[str]) -> Any:
    torch.manual_seed(1)
    config = LoraConfig(r=4, target_modules=targets, task_type="CAUSAL_LM", init_lora_weights=False)
    adapted = get_peft_model(AutoModelForCausalLM.from_pretrained(model), config)
    adapted.save_pretrained(str(folder))
    return adapted.eval()


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model.eval()(torch.arange(5, 25).unsqueeze(0)).logits
    return found


@pytest.mark.parametrize("targets", TARGETS, ids="+".join)
@pytest.mark.parametrize("kind", KINDS)
def test_a_merged_tied_model_gives_the_adapters_logits(kind: str, targets: list[str], tmp_path: Path) -> None:
    base = save_tied(tmp_path / "base", kind)
    names = [OF_GPT2.get(name, name) for name in targets] if kind == "gpt2" else targets
    adapted = save_adapter(base, tmp_path / "adapter", names)
    expected = logits(adapted)
    with adapted.disable_adapter():
        assert float((expected - logits(adapted)).abs().max()) > 0.1
    merge_adapter(ModelSource(str(base)), tmp_path / "adapter", tmp_path / "merged")
    merged, info = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    torch.testing.assert_close(logits(merged), expected, atol=1e-3, rtol=1e-4)
    shared = merged.get_input_embeddings().weight is merged.get_output_embeddings().weight
    assert shared == (targets == ["q_proj", "v_proj"]), "what no adapter changes stays tied"
    assert merged.config.tie_word_embeddings == shared
    assert torch.equal(logits(AutoModelForCausalLM.from_pretrained(base)), logits(load_model_of(base)))


def load_model_of(folder: Path) -> Any:
    return load_model(ModelSource(str(folder)), CPU)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("targets", [["lm_head"], ["embed_tokens"], ["q_proj", "v_proj"]], ids="+".join)
def test_merging_in_16_bits_is_off_by_rounding_only(dtype: Any, targets: list[str], tmp_path: Path) -> None:
    base = save_tied(tmp_path / "base")
    save_adapter(base, tmp_path / "adapter", targets)
    source = ModelSource(str(base), dtype=dtype)
    merge_adapter(source, tmp_path / "adapter", tmp_path / "merged")
    tokenizer = load_tokenizer(source)
    adapted = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), str(tmp_path / "adapter")).eval()
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged").eval()
    assert merged.dtype == getattr(torch, dtype)
    off = difference(probe_logits(adapted, tokenizer), probe_logits(merged, tokenizer))
    assert 1e-5 < off < BOUNDS[dtype]


# --- the verb -------------------------------------------------------------------------------------------------------

RECIPE = """
name: exported
output_dir: {folder}/runs
policy: {{model: "{model}"}}
{lora}
vlm: {{name: demo-visual}}
dataset: {{name: shapes, reward_split: reward, test_split: test}}
judge: {{name: scripted}}
"""
SUMMARY = {"batches": 7, "kl": 5.4321, "kl_coef": 0.1234, "score_mean": 21.0, "recipe": "exported"}


class Trained:
    """A recipe's file with a trained seed on a tied model."""

    def __init__(self, folder: Path, lora: str) -> None:
        self.model = save_tied(folder / "base")
        self.recipe = tiny.write_recipe(
            folder / "recipe.yaml", RECIPE.format(folder=folder, model=self.model, lora=lora)
        )
        self.directory = RunDirectory.of(read_recipe(self.recipe)).seed(0)
        self.out = folder / "out"

    def finish(self) -> None:
        write_json(self.directory.adapter / "training.json", SUMMARY)

    def export(self, *flags: str) -> int:
        return main(["export", str(self.recipe), "--out", str(self.out), *flags])


@pytest.mark.parametrize("targets", TARGETS, ids="+".join)
@pytest.mark.parametrize("flags", [[], ["--merge"]], ids=["adapter", "merge"])
def test_what_is_exported_computes_what_was_trained(flags: list[str], targets: list[str], tmp_path: Path) -> None:
    trained = Trained(tmp_path, f"lora: {{r: 4, target_modules: [{', '.join(targets)}]}}")
    expected = logits(save_adapter(trained.model, trained.directory.adapter, targets))
    trained.finish()
    assert trained.export(*flags) == 0
    if flags:
        found = AutoModelForCausalLM.from_pretrained(trained.out)
    else:
        found = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(trained.model), str(trained.out))
    torch.testing.assert_close(logits(found), expected, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("flags", [[], ["--merge"]], ids=["whole", "merge"])
def test_a_tied_model_with_all_weights_trained_is_exported_as_it_is(flags: list[str], tmp_path: Path) -> None:
    trained = Trained(tmp_path, "lora: null")
    trainer = PPOTrainer(
        model=load_model(ModelSource(str(trained.model)), CPU),
        reward_funcs=Letters(),
        args=PPOConfig(
            **(four_updates(tmp_path / "checkpoints", batches=1) | {"save_strategy": "no", "learning_rate": 1e-2})
        ),
        train_dataset=things(20),
        processing_class=load_tokenizer(ModelSource(str(trained.model))),
    )
    trainer.train()
    trainer.save_model(str(trained.directory.adapter))
    trainer.save_value_head(trained.directory.adapter)
    trained.finish()
    expected = logits(trainer.model)
    assert float((expected - logits(AutoModelForCausalLM.from_pretrained(trained.model))).abs().max()) > 0.1
    assert trained.export(*flags) == 0
    found = AutoModelForCausalLM.from_pretrained(trained.out)
    assert found.get_input_embeddings().weight is found.get_output_embeddings().weight
    torch.testing.assert_close(logits(found), expected, atol=1e-5, rtol=0)


def spoil(folder: Path) -> None:
    """Change one tensor of a saved adapter or model."""
    file = next(folder.glob("*model.safetensors"))
    tensors = load_file(file)
    name = next(name for name in tensors if "q_proj" in name)
    save_file(tensors | {name: tensors[name] + 0.5}, file, metadata={"format": "pt"})


@pytest.mark.parametrize("lora", ["lora: {r: 4, target_modules: [q_proj]}", "lora: null"])
@pytest.mark.parametrize("flags", [[], ["--merge"]], ids=["copy", "merge"])
def test_an_export_that_computes_something_else_leaves_nothing_behind(
    flags: list[str], lora: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file is changed after it has been written, as a failing disk or a library's fault would."""
    trained = Trained(tmp_path, lora)
    if "null" in lora:
        AutoModelForCausalLM.from_pretrained(trained.model).save_pretrained(trained.directory.adapter)
    else:
        save_adapter(trained.model, trained.directory.adapter, ["q_proj"])
    trained.finish()
    load = merging._policy

    def spoiled(base: ModelSource, folder: Path) -> Any:
        if folder != trained.directory.adapter:
            spoil(folder)
        return load(base, folder)

    monkeypatch.setattr(merging, "_policy", spoiled)
    (tmp_path / "cache").mkdir(exist_ok=True)
    before = sorted(tmp_path.iterdir())
    assert trained.export(*flags) == 1
    said = capsys.readouterr().err
    assert f"{trained.directory.adapter}: the {'merged model' if flags and 'null' not in lora else 'copy'}" in said
    assert "computes other logits than what was trained: they differ by" in said
    assert "0.0001 is allowed in float32. Nothing is kept." in said
    assert sorted(tmp_path.iterdir()) == before


def test_the_check_catches_a_merge_into_a_shared_weight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = save_tied(tmp_path / "base")
    save_adapter(base, tmp_path / "adapter", ["lm_head"])
    monkeypatch.setattr(merging, "untie", lambda model: None)
    with pytest.raises(EnvironmentFault, match="the merged model computes other logits"):
        merge_adapter(ModelSource(str(base)), tmp_path / "adapter", tmp_path / "merged")


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_logits_that_are_no_numbers_are_a_difference(bad: float) -> None:
    fine = [torch.randn(3, 5, generator=torch.Generator().manual_seed(n)) for n in (0, 1)]
    wrong = [fine[0], fine[1].clone().index_put_((torch.tensor(0), torch.tensor(0)), torch.tensor(bad))]
    assert difference(fine, fine) == 0
    assert not difference(fine, wrong) <= BOUNDS["bfloat16"]
    assert not difference(wrong, wrong) <= BOUNDS["bfloat16"]


# --- vLLM -----------------------------------------------------------------------------------------------------------


def vllm_generator(base: Path, adapter: Path) -> VLLMGenerator:
    given: dict[str, Any] = {"style": "plain", "sampling": Sampling(max_new_tokens=8), "longest_prompt": 100}
    return VLLMGenerator(ModelSource(str(base)), adapter=adapter, attach="merged", memory=0.5, **given)


@pytest.mark.parametrize("targets", [["lm_head"], ["embed_tokens"], ["q_proj", "v_proj"]], ids="+".join)
def test_vllm_serves_the_merged_tied_model_as_trained(
    targets: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, module in fake_vllm.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    base = save_tied(tmp_path / "base")
    adapted = save_adapter(base, tmp_path / "run" / "adapter", targets)
    generator = vllm_generator(base, tmp_path / "run" / "adapter")
    generator.generate(make_prompts(["cat"], [0, 1]), "aligned", 5)
    torch.testing.assert_close(logits(fake_vllm.LLMS[-1]._model), logits(adapted), atol=1e-3, rtol=1e-4)
    generator.close()
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["adapter"]


def test_vllm_gets_no_merged_copy_that_computes_something_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, module in fake_vllm.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    base = save_tied(tmp_path / "base")
    save_adapter(base, tmp_path / "run" / "adapter", ["embed_tokens"])
    monkeypatch.setattr(merging, "untie", lambda model: None)
    generator = vllm_generator(base, tmp_path / "run" / "adapter")
    with pytest.raises(EnvironmentFault, match="computes other logits"):
        generator.generate(make_prompts(["cat"], [0]), "aligned", 5)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["adapter"]
    assert fake_vllm.LLMS == []
