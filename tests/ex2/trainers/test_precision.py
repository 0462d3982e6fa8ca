"""Bases in 32, 16, 8 and 4 bits, and no adapter at all: what is trained is float32 and moves."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from peft import LoraConfig
from tiny_trainers import Letters, four_updates, things
from transformers import AutoModelForCausalLM, AutoTokenizer

from ex2.checks.plan import memory_lines
from ex2.policy.generation import WholeModelGenerator
from ex2.policy.loading import load_model, load_tokenizer
from ex2.policy.source import ModelSource
from ex2.recipe_io import read_recipe
from ex2.trainers.checkpoints import newest_checkpoint
from ex2.trainers.config import PPOConfig
from ex2.trainers.ppo import PPOTrainer
from ex2.training.arguments import reference_arguments

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")

PAPERS_RATE = 1.41e-5
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def wider(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """bitsandbytes quantises in blocks of 64 weights."""
    return tiny.save_mistral(tmp_path_factory.mktemp("wider"), hidden=64)


def make(model: Any, source: Path, folder: Path, *, lora: bool = True, batches: int = 1, **changes: Any) -> PPOTrainer:
    """Four optimizer steps a batch."""
    settings = four_updates(folder, batches=batches) | {
        "save_strategy": "no",
        "learning_rate": PAPERS_RATE,
        "weight_decay": 0.0,
        "max_completion_length": 6,
    }
    return PPOTrainer(
        model=model,
        reward_funcs=Letters(),
        args=PPOConfig(**(settings | changes)),
        train_dataset=things(16),
        processing_class=load_tokenizer(ModelSource(str(source))),
        peft_config=LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM") if lora else None,
    )


def weights(trainer: PPOTrainer) -> dict[str, torch.Tensor]:
    return {n: p.detach().clone().float() for n, p in trainer.model.named_parameters() if p.requires_grad}


class Change:
    """How far 100 steps move what is trained.

    Attributes:
        moved: Share of elements that differ, of adapter matrices that start away from zero, and of the value head.
        norms: Length of the change of all adapter matrices, and of the value head.
        dtypes: Of what is trained.
    """

    def __init__(self, trainer: PPOTrainer) -> None:
        before = weights(trainer)
        trainer.train()
        after = weights(trainer)
        self.dtypes = {p.dtype for p in trainer.model.parameters() if p.requires_grad}
        self.norms = {
            kind: float(torch.cat([(after[n] - before[n]).flatten() for n in before if kind in n]).norm())
            for kind in ("lora", "value_head")
        }
        away = [n for n in before if "lora_A" in n or "value_head.summary.weight" in n]
        assert len(away) == 5
        self.moved = {n: float((after[n] != before[n]).float().mean()) for n in away}


@pytest.fixture(scope="module")
def on_float32(wider: Path, tmp_path_factory: pytest.TempPathFactory) -> Change:
    model = load_model(ModelSource(str(wider)), CPU)
    return Change(make(model, wider, tmp_path_factory.mktemp("float32"), batches=25))


@pytest.mark.parametrize(
    ("quantization", "dtype"), [("none", "bfloat16"), ("8bit", "float16"), ("4bit", "bfloat16")], ids=str
)
def test_hundred_steps_move_adapter_and_head_as_on_float32(
    quantization: Any, dtype: Any, on_float32: Change, wider: Path, tmp_path: Path, caplog: Any
) -> None:
    """At the paper's learning rate; a step is about 1e-5, 16-bit weights of 0.1 are 5e-4 apart."""
    caplog.set_level(logging.ERROR, "bitsandbytes")
    model = load_model(ModelSource(str(wider), quantization=quantization, dtype=dtype), CPU)
    kinds = {type(m).__name__ for m in model.modules()}
    assert ("Linear8bitLt" in kinds, "Linear4bit" in kinds) == (quantization == "8bit", quantization == "4bit")
    ours = Change(make(model, wider, tmp_path, batches=25))
    assert ours.dtypes == on_float32.dtypes == {torch.float32}
    assert min(ours.moved.values()) > 0.99
    assert min(on_float32.moved.values()) > 0.99
    for name, norm in on_float32.norms.items():
        assert 0.8 < ours.norms[name] / norm < 1.25, name


def test_in_bfloat16_most_would_not_move(on_float32: Change, wider: Path, tmp_path: Path) -> None:
    trainer = make(load_model(ModelSource(str(wider), dtype="bfloat16"), CPU), wider, tmp_path, batches=25)
    for name, parameter in trainer.model.named_parameters():
        if "lora_" in name:
            parameter.data = parameter.data.bfloat16()
    faulty = Change(trainer)
    moved = [share for name, share in faulty.moved.items() if "lora_A" in name]
    assert max(moved) < 0.1
    assert min(on_float32.moved.values()) > 0.99


# --- every weight ---------------------------------------------------------------------------------------------------


def test_every_weight_is_trained_against_a_reference_that_stays(wider: Path, tmp_path: Path) -> None:
    """The reference is a second model in the recipe's own precision; it resumes, and loads as the plain model."""
    settings: dict[str, Any] = {
        "lora": False,
        "learning_rate": 1e-3,
        "save_strategy": "steps",
        "save_steps": 4,
        "model_init_kwargs": {"dtype": "float32"},
    }
    base = AutoModelForCausalLM.from_pretrained(wider).state_dict()
    trainer = make(load_model(ModelSource(str(wider)), CPU), wider, tmp_path / "whole", batches=3, **settings)
    assert trainer.ref_model is not None
    trainer.train()
    for name, value in trainer.ref_model.state_dict().items():
        assert torch.equal(value, base[name]), name
    after = trainer.model.state_dict()
    assert all(not torch.equal(after[name], value) for name, value in base.items() if "layers" in name)
    assert trainer.batch_log["kl"] is not None
    assert trainer.batch_log["kl"] > 0.001  # against a model that did not move along

    trainer.save_model(str(tmp_path / "saved"))
    loaded, info = AutoModelForCausalLM.from_pretrained(tmp_path / "saved", output_loading_info=True)
    assert not info["unexpected_keys"]
    assert not info["missing_keys"]
    for name, value in loaded.state_dict().items():
        assert torch.equal(value, after[name]), name

    make(load_model(ModelSource(str(wider)), CPU), wider, tmp_path / "parts", batches=2, **settings).train()
    resumed = make(load_model(ModelSource(str(wider)), CPU), wider, tmp_path / "parts", batches=3, **settings)
    checkpoint = newest_checkpoint(tmp_path / "parts")
    assert checkpoint is not None
    assert checkpoint.name == "checkpoint-8"
    resumed.train(resume_from_checkpoint=str(checkpoint))
    for name, value in resumed.model.state_dict().items():
        assert torch.equal(value, after[name]), name


RECIPE = """
name: whole
policy: {{model: "{model}", dtype: bfloat16}}
lora: null
vlm: {{name: demo-visual}}
dataset: {{name: shapes, reward_split: reward, test_split: test}}
judge: {{name: scripted}}
"""


def test_plan_counts_the_reference_and_every_weights_moments(wider: Path, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(RECIPE.format(model="mistralai/Mistral-7B-v0.1"))
    recipe = read_recipe(tmp_path / "r.yaml")
    assert reference_arguments(recipe) == {"dtype": "bfloat16", "trust_remote_code": False}
    lines = memory_lines(recipe)
    # 7.24 B parameters: 2 bytes each in the reference, 16 in weights, gradients and two moments
    assert "reference model 7.24 B parameters, none (bfloat16): 13.5 GiB" in lines[0]
    assert "trained model 7241.7 M parameters with Adam, float32: 107.91 GiB" in lines[1]
    assert reference_arguments(read_recipe(tmp_path / "r.yaml", ["lora.r=8"])) is None


def test_base_and_trained_model_describe_each_as_itself(wider: Path, tmp_path: Path) -> None:
    from ex2.data.prompts import make_prompts
    from ex2.policy.generation import TransformersGenerator

    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(wider)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.2)
    model.save_pretrained(tmp_path / "aligned")
    AutoTokenizer.from_pretrained(wider).save_pretrained(tmp_path / "aligned")
    (tmp_path / "r.yaml").write_text(RECIPE.format(model=wider))
    recipe = read_recipe(tmp_path / "r.yaml", ["policy.dtype=float32", "generation.max_new_tokens=6"])
    tokenizer, prompts = load_tokenizer(recipe.policy.source()), make_prompts(["wug", "lorp"], [0])
    given: dict[str, Any] = {"style": "plain", "sampling": recipe.generation}
    both = WholeModelGenerator(recipe.policy.source(), tokenizer, aligned=tmp_path / "aligned", device=CPU, **given)
    for name, source in (("base", wider), ("aligned", tmp_path / "aligned"), ("base", wider)):
        alone = TransformersGenerator(
            AutoModelForCausalLM.from_pretrained(source),
            tokenizer,
            adapter=None,
            style="plain",
            sampling=given["sampling"],
        )
        assert both.generate(prompts, name, 5) == alone.generate(prompts, "base", 5)  # type: ignore[arg-type]
    assert both.generate(prompts, "base", 5) != both.generate(prompts, "aligned", 5)
    made = both.generate(prompts, "aligned", 5)
    base = TransformersGenerator(AutoModelForCausalLM.from_pretrained(wider), tokenizer, adapter=None, **given)
    assert both.reference_logprobs(prompts, made) == base.reference_logprobs(prompts, made)
    both.close()
