"""Describing: chat prompts, end tokens, resume, and vLLM's place in it, on small models of the real classes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import fake_vllm
import pytest
import tiny
import torch
from peft import LoraConfig, PeftConfig, get_peft_model
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer

from ex2 import describe as describing
from ex2.data.prompts import Prompt, make_prompts
from ex2.describe import build_generator, describe
from ex2.policy.generation import Generated, TransformersGenerator, as_generated, derived_seed, end_tokens, prompt_ids
from ex2.policy.source import Sampling
from ex2.policy.vllm_engine import lora_rank
from ex2.recipe import Recipe
from ex2.recipe_io import read_recipe
from ex2.run.directory import RunDirectory
from ex2.run.manifest import read_manifest, write_manifest
from ex2.training.stage import train
from reward.errors import UserError
from reward.files import read_jsonl

TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
KEYS = (
    *("class", "label", "question_id", "question", "policy", "seed", "sample", "text", "tokens", "cut", "reward"),
    "vlm_cut",
)


def save_chat_mistral(folder: Path) -> Path:
    """A small Mistral that speaks through a chat template and ends its turns with <|end|>, not its tokenizer's </s>."""
    tiny.save_mistral(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|user|>", "<|assistant|>", "<|end|>"]})
    tokenizer.chat_template = TEMPLATE
    model = AutoModelForCausalLM.from_pretrained(folder)
    torch.manual_seed(1)
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    end = tokenizer.convert_tokens_to_ids("<|end|>")
    with torch.no_grad():  # a row this long makes the end token likely at many places
        model.lm_head.weight[end] *= 5
    model.generation_config.eos_token_id = [tokenizer.eos_token_id, end]
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def chat_mistral(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_chat_mistral(tmp_path_factory.mktemp("chat"))


Made = Callable[..., Recipe]


@pytest.fixture
def made(tmp_path: Path, chat_mistral: Path, clip: Path, image_folder: Path) -> Made:
    def make(*overrides: str) -> Recipe:
        text = f"""
name: chat
output_dir: {tmp_path}/runs
threads: 1
policy: {{model: {chat_mistral}}}
lora: {{target_modules: [q_proj, v_proj]}}
prompts: {{style: chat, questions: [0, 1]}}
vlm: {{name: huggingface, model: {clip}, context_length: 40, image_size: 32, device: cpu}}
dataset: {{name: folder, root: {image_folder}, reward_split: reward, test_split: test}}
rl: {{batches: 1, batch_size: 8, minibatch_size: 4, epochs: 1, learning_rate: 1.0e-2}}
generation: {{max_new_tokens: 8}}
describe: {{batch_size: 3}}
judge: {{name: scripted}}
"""
        return read_recipe(tiny.write_recipe(tmp_path / "chat.yaml", text), overrides)

    return make


@pytest.fixture
def vllm(monkeypatch: pytest.MonkeyPatch) -> list[fake_vllm.LLM]:
    for name, module in fake_vllm.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    return fake_vllm.LLMS


PROMPTS = make_prompts(["cat", "red fox"], [0, 1])


def test_a_chat_prompt_is_the_template_and_ends_with_the_generation_prompt(chat_mistral: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(chat_mistral)
    rendered = [tokenizer.decode(ids) for ids in prompt_ids(tokenizer, PROMPTS, "chat")]
    assert rendered == [f"<|user|>{prompt.question}<|end|><|assistant|>" for prompt in PROMPTS]


def test_a_plain_prompt_is_the_question_and_two_newlines(mistral: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(mistral)
    rendered = [tokenizer.decode(ids) for ids in prompt_ids(tokenizer, PROMPTS, "plain")]
    assert rendered == [f"<s>{prompt.question}\n\n" for prompt in PROMPTS]


def test_a_response_ends_with_its_first_end_token(chat_mistral: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(chat_mistral)
    model = AutoModelForCausalLM.from_pretrained(chat_mistral)
    end, eos = tokenizer.convert_tokens_to_ids("<|end|>"), tokenizer.eos_token_id
    ends = end_tokens(model.generation_config, tokenizer)
    assert ends == [eos, end]
    hi = tokenizer("hi", add_special_tokens=False)["input_ids"]
    assert as_generated([*hi, end, *hi, eos], ends, tokenizer) == ("hi", (*hi, end), False)
    assert as_generated([*hi, *hi], ends, tokenizer) == ("hihi", (*hi, *hi), True)
    assert as_generated([eos, tokenizer.pad_token_id], ends, tokenizer) == ("", (eos,), False)


def test_seeds_are_those_of_earlier_runs() -> None:
    # sha256("0:base:0:3"), first six bytes, computed with coreutils' sha256sum
    assert derived_seed(0, "base", 0, 3) == SEED_OF_0_BASE_0_3


SEED_OF_0_BASE_0_3 = 0xD94F84761C97


def test_training_and_describing_put_the_same_chat_prompts(
    made: Made, chat_mistral: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the model is given, seen at `generate` of the real class, in training as in describing."""
    from transformers import MistralForCausalLM

    seen: list[list[int]] = []
    ends: list[Any] = []
    tokenizer = AutoTokenizer.from_pretrained(chat_mistral)
    generate = MistralForCausalLM.generate

    def spy(self: Any, *arguments: Any, **settings: Any) -> Any:
        given = settings.get("input_ids", arguments[0] if arguments else None)
        for ids, mask in zip(given.tolist(), settings["attention_mask"].tolist(), strict=True):
            seen.append([token for token, kept in zip(ids, mask, strict=True) if kept])
        config = settings.get("generation_config")
        ends.append(settings.get("eos_token_id") or config.eos_token_id)
        return generate(self, *arguments, **settings)

    monkeypatch.setattr(MistralForCausalLM, "generate", spy)
    recipe = made()
    train(recipe, 0)
    in_training = sorted({tokenizer.decode(ids) for ids in seen})
    assert len(in_training) == 8
    seen.clear()
    describe(recipe, 0)
    assert sorted({tokenizer.decode(ids) for ids in seen}) == in_training
    names = [f"class {n}" for n in range(4)]
    expected = [f"<|user|>{p.question}<|end|><|assistant|>" for p in make_prompts(names, [0, 1])]
    assert in_training == sorted(expected)
    end, eos = tokenizer.convert_tokens_to_ids("<|end|>"), tokenizer.eos_token_id
    assert all(set(tokens) == {end, eos} for tokens in ends)
    rows = read_jsonl(RunDirectory.of(recipe).seed(0).descriptions)
    assert any(not row["cut"] for row in rows), "some descriptions end by themselves"
    assert all("<|" not in row["text"] for row in rows)


def test_the_adapter_is_one_that_vllm_can_serve(made: Made) -> None:
    """vLLM loads LoRA weights alone: no saved modules, no value head among them."""
    recipe = made()
    train(recipe, 0)
    adapter = RunDirectory.of(recipe).seed(0).adapter
    config = PeftConfig.from_pretrained(str(adapter))
    assert not config.modules_to_save  # type: ignore[attr-defined]
    with safe_open(adapter / "adapter_model.safetensors", "pt") as weights:
        assert all("lora_A" in key or "lora_B" in key for key in weights.keys())  # noqa: SIM118 - no mapping
    assert lora_rank(adapter) == 16


@pytest.mark.parametrize("attach", ["lora", "merged"])
def test_vllm_writes_the_same_file(made: Made, vllm: list[fake_vllm.LLM], attach: str, chat_mistral: Path) -> None:
    recipe = made("describe.engine=vllm", f"describe.vllm_adapter={attach}", "describe.vllm_memory=0.5")
    train(recipe, 0)
    directory = RunDirectory.of(recipe).seed(0)
    describe(recipe, 0)
    rows = read_jsonl(directory.descriptions)
    assert [tuple(row) for row in rows] == [KEYS] * 16
    assert [(r["policy"], r["label"], r["question_id"]) for r in rows] == [
        (policy, label, question) for policy in ("base", "aligned") for label in range(4) for question in (0, 1)
    ]
    for row in rows:
        assert row["tokens"] == 8 or not row["cut"]
        assert 1 <= row["tokens"] <= 8

    assert len(vllm) == (1 if attach == "lora" else 2)
    settings = vllm[0].settings
    assert (settings["model"], settings["dtype"], settings["gpu_memory_utilization"]) == (
        str(chat_mistral),
        "float32",
        0.5,
    )
    assert settings["quantization"] is None
    tokenizer = AutoTokenizer.from_pretrained(chat_mistral)
    longest = max(len(ids) for llm in vllm for ids in llm.prompts)
    assert settings["max_model_len"] == longest + 8
    parameters = [given for llm in vllm for given in llm.parameters]
    assert len({given.seed for given in parameters}) == len(parameters) == 16
    assert {(g.temperature, g.top_p, g.top_k, g.max_tokens) for g in parameters} == {(1.0, 1.0, 0, 8)}
    assert parameters[0].stop_token_ids == [tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids("<|end|>")]
    assert settings["enable_lora"] == (attach == "lora")
    if attach == "merged":
        assert Path(vllm[1].settings["model"]).parent == directory.root
    assert not list(directory.root.glob("merged*")), "the merged copy is for the time of describing"

    whole = directory.descriptions.read_text().splitlines(keepends=True)
    directory.descriptions.write_text("".join(whole[:10]) + whole[10][:30])
    with pytest.raises(UserError, match=r"descriptions\.jsonl: its content is not what describe wrote; move it away"):
        describe(recipe, 0)
    begun = read_manifest(directory.root, "describe")
    assert begun is not None
    write_manifest(directory.root, replace(begun, complete=False, files={}))  # killed
    describe(recipe, 0)
    assert directory.descriptions.read_text() == "".join(whole)


def test_lora_and_merged_describe_alike_and_not_as_the_base_does(made: Made, vllm: list[fake_vllm.LLM]) -> None:
    texts = {}
    for attach in ("lora", "merged"):
        recipe = made("describe.engine=vllm", f"describe.vllm_adapter={attach}")
        train(recipe, 0)
        directory = RunDirectory.of(recipe).seed(0)
        generator = build_generator(recipe, directory, PROMPTS)
        texts[attach] = [generator.generate(PROMPTS, "aligned", 5), generator.generate(PROMPTS, "base", 5)]
        generator.close()
    assert texts["lora"] == texts["merged"]
    assert texts["lora"][0] != texts["lora"][1]


def test_without_vllm_the_message_says_how_to_get_it(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    recipe = made("describe.engine=vllm", "describe.policies=[base]")
    with pytest.raises(UserError, match=r"describe.engine: vllm is not installed. .*pip install 'ex2\[vllm\]'"):
        describe(recipe, 0)


def test_a_rank_beyond_vllm_says_what_to_use(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 600}))
    with pytest.raises(UserError, match=r"lora.r: 600 is above vLLM's limit of 512; use describe.vllm_adapter=merged"):
        lora_rank(tmp_path)
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 17}))
    assert lora_rank(tmp_path) == 32


def test_transformers_repeats_what_a_seed_gave(mistral: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(mistral, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(mistral)
    generator = TransformersGenerator(
        model, tokenizer, adapter=None, style="plain", sampling=Sampling(max_new_tokens=6)
    )
    prompts: list[Prompt] = PROMPTS
    first = generator.generate(prompts, "base", 3)
    assert generator.generate(prompts, "base", 3) == first
    assert generator.generate(prompts, "base", 4) != first
    assert all(len(made.ids) <= 6 for made in first)


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing:FutureWarning")
def test_reference_log_probabilities_are_the_base_models(mistral: Path, tmp_path: Path) -> None:
    """With an adapter whose B is away from zero, batched, of unequal lengths: each as if it stood alone."""
    tokenizer = AutoTokenizer.from_pretrained(mistral, padding_side="left")
    adapted = get_peft_model(
        AutoModelForCausalLM.from_pretrained(mistral),
        LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM", init_lora_weights=False),
    )
    adapted.save_pretrained(tmp_path)
    sampling = Sampling(max_new_tokens=6, temperature=0.7)
    base = AutoModelForCausalLM.from_pretrained(mistral)
    generator = TransformersGenerator(base, tokenizer, adapter=tmp_path, style="plain", sampling=sampling)
    texts = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in ("red", "a", "striped")]
    prompts = [PROMPTS[0], PROMPTS[-1], PROMPTS[1]]
    found = generator.reference_logprobs(prompts, [Generated("", tuple(ids), True) for ids in texts])
    plain = AutoModelForCausalLM.from_pretrained(mistral).eval()
    for prompt, ids, logprobs in zip(prompts, texts, found, strict=True):
        asked = tokenizer(str(prompt.render("plain")))["input_ids"]
        with torch.no_grad():
            steps = (plain(torch.tensor([asked + ids])).logits[0] / 0.7).log_softmax(-1)
        assert logprobs == pytest.approx([float(steps[len(asked) - 1 + k, t]) for k, t in enumerate(ids)], abs=2e-5)


def test_the_missing_adapter_is_named(made: Made) -> None:
    with pytest.raises(UserError, match="no aligned adapter of seed 0; run `ex2 train`"):
        describing.describe(made(), 0)
