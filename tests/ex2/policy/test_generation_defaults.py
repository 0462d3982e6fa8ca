"""A checkpoint's own generation settings change no description and no rollout, whatever they are."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fake_vllm
import pytest
import tiny
import torch
from peft import LoraConfig, get_peft_model
from tiny_trainers import Letters, four_updates, things
from transformers import AutoModelForCausalLM

from ex2.checks.policy import empty_model
from ex2.data.prompts import make_prompts
from ex2.policy.generation import Generated, TransformersGenerator, WholeModelGenerator
from ex2.policy.generation_defaults import check_stored_settings
from ex2.policy.gguf import convert_gguf
from ex2.policy.loading import load_model, load_tokenizer
from ex2.policy.source import ModelSource, Sampling
from ex2.policy.vllm_engine import VLLMGenerator
from ex2.trainers.config import ControlledGRPOConfig, ControlledRLOOConfig, PPOConfig
from ex2.trainers.ppo import PPOTrainer
from ex2.trainers.rloo_grpo import ControlledGRPO, ControlledRLOO
from ex2.trainers.seeded_sampling import SeededSampler, row_key
from reward.errors import UserError

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")

CPU = torch.device("cpu")
PROMPTS = make_prompts(["cat", "red fox"], [0, 1])
SAMPLING = Sampling(max_new_tokens=10)
BYTES = list(range(60, 200))
STORED: list[dict[str, Any]] = [
    {"min_new_tokens": 9},
    {"min_length": 200},
    {"max_length": 3},
    {"max_time": 1e-9},
    {"stop_strings": ["e", "a", "t"]},
    {"do_sample": False},
    {"num_beams": 3},
    {"num_beams": 2, "length_penalty": 3.0, "early_stopping": True},
    {"num_return_sequences": 2, "do_sample": True},
    {"return_dict_in_generate": True, "output_scores": True},
    {"do_sample": False, "penalty_alpha": 0.6, "top_k": 4},
    {"do_sample": False, "prompt_lookup_num_tokens": 3},
    {"temperature": 0.1, "top_k": 2, "top_p": 0.3, "do_sample": True},
    {"min_p": 0.9},
    {"top_h": 0.1},
    {"typical_p": 0.2},
    {"epsilon_cutoff": 0.2},
    {"eta_cutoff": 0.9},
    {"repetition_penalty": 5.0},
    {"encoder_repetition_penalty": 5.0},
    {"no_repeat_ngram_size": 1},
    {"encoder_no_repeat_ngram_size": 1},
    {"bad_words_ids": [[token] for token in BYTES]},
    {"suppress_tokens": BYTES},
    {"begin_suppress_tokens": BYTES},
    {"sequence_bias": [[[97], 50.0]]},
    {"exponential_decay_length_penalty": [1, 20.0]},
    {"forced_bos_token_id": 97},
    {"forced_eos_token_id": 1},
    {"guidance_scale": 9.0},
    {"watermarking_config": {"bias": 20.0}},
    {"cache_implementation": "static"},
    {"use_cache": False, "an_entry_of_its_own": 7},
]


@pytest.fixture(scope="module")
def mistral(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small Mistral that often ends its text."""
    folder = tiny.save_mistral(tmp_path_factory.mktemp("ending"))
    model = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        model.lm_head.weight[model.config.eos_token_id] *= 4
    model.save_pretrained(folder)
    return folder


@pytest.fixture
def stored(mistral: Path, tmp_path: Path) -> Callable[[dict[str, Any]], Path]:
    """The tiny Mistral with settings beside those that it was saved with."""

    def make(settings: dict[str, Any]) -> Path:
        folder = tmp_path / "stored"
        shutil.copytree(mistral, folder)
        file = folder / "generation_config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | settings))
        return folder

    return make


def described(folder: Path, adapter: Path | None = None) -> list[Generated]:
    source = ModelSource(str(folder))
    generator = TransformersGenerator(
        load_model(source, CPU), load_tokenizer(source), adapter=adapter, style="plain", sampling=SAMPLING
    )
    return generator.generate(PROMPTS, "base" if adapter is None else "aligned", 3)


@pytest.mark.parametrize("settings", STORED, ids=lambda settings: "+".join(settings))
def test_descriptions_are_those_without_them(
    settings: dict[str, Any], mistral: Path, stored: Callable[[dict[str, Any]], Path]
) -> None:
    assert described(stored(settings)) == described(mistral)


def test_an_adapters_descriptions_are_those_without_them(
    mistral: Path, stored: Callable[[dict[str, Any]], Path], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    config = LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM", init_lora_weights=False)
    get_peft_model(AutoModelForCausalLM.from_pretrained(mistral), config).save_pretrained(tmp_path / "adapter")
    folder = stored({"repetition_penalty": 5.0, "min_new_tokens": 10, "num_beams": 2})
    assert described(folder, tmp_path / "adapter") == described(mistral, tmp_path / "adapter")


def test_whole_models_describe_as_without_them(mistral: Path, stored: Callable[[dict[str, Any]], Path]) -> None:
    def texts(aligned: Path) -> list[Generated]:
        source = ModelSource(str(mistral))
        given: dict[str, Any] = {"device": CPU, "style": "plain", "sampling": SAMPLING}
        generator = WholeModelGenerator(source, load_tokenizer(source), aligned=aligned, **given)
        return generator.generate(PROMPTS, "aligned", 3)

    assert texts(stored({"no_repeat_ngram_size": 1, "min_p": 0.9})) == texts(mistral)


def test_vllm_is_told_to_leave_them_aside(
    mistral: Path, stored: Callable[[dict[str, Any]], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, module in fake_vllm.modules().items():
        monkeypatch.setitem(sys.modules, name, module)

    def texts(folder: Path) -> list[Generated]:
        given: dict[str, Any] = {"style": "plain", "sampling": SAMPLING, "attach": "lora", "memory": 0.5}
        generator = VLLMGenerator(ModelSource(str(folder)), adapter=None, longest_prompt=100, **given)
        return generator.generate(PROMPTS, "base", 3)

    assert texts(stored({"repetition_penalty": 5.0, "min_new_tokens": 9})) == texts(mistral)
    assert [llm.settings["generation_config"] for llm in fake_vllm.LLMS] == ["vllm", "vllm"]


def test_a_converted_gguf_file_describes_as_without_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its converted folder may hold settings, where a later transformers reads them from the file."""
    from test_gguf import write_gguf

    write_gguf(tmp_path / "tiny.gguf")
    source = ModelSource(str(tmp_path), gguf_file="tiny.gguf")
    monkeypatch.setenv("EX2_CACHE", str(tmp_path / "cache"))
    converted = convert_gguf(tmp_path, "tiny.gguf", tmp_path / "cache" / "gguf")
    file = converted / "generation_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"min_new_tokens": 9, "repetition_penalty": 5.0}))
    kept = load_model(source, CPU).generation_config
    assert kept is not None
    assert (kept.min_new_tokens, kept.repetition_penalty, kept.eos_token_id) == (None, None, 2)


def test_settings_in_config_json_are_left_aside_too(mistral: Path, tmp_path: Path) -> None:
    """Older checkpoints have no file for generation and keep its settings among the model's own."""
    folder = tmp_path / "legacy"
    shutil.copytree(mistral, folder)
    (folder / "generation_config.json").unlink()
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"repetition_penalty": 5.0, "min_length": 200}))
    assert described(folder) == described(mistral)


def test_a_repositorys_own_generate_is_not_called(mistral: Path, tmp_path: Path) -> None:
    folder = tmp_path / "custom"
    shutil.copytree(mistral, folder)
    (folder / "custom_generate").mkdir()
    (folder / "custom_generate/generate.py").write_text("def generate(model, **given):\n    raise RuntimeError\n")
    model = load_model(ModelSource(str(folder), trust_remote_code=True), CPU)
    assert model.generate.__func__ is type(model).generate  # type: ignore[attr-defined]


def test_special_tokens_are_kept(stored: Callable[[dict[str, Any]], Path]) -> None:
    tokens = {"eos_token_id": [1, 97], "pad_token_id": 2, "bos_token_id": 0, "decoder_start_token_id": 5}
    kept = load_model(ModelSource(str(stored(tokens | {"top_k": 7}))), CPU).generation_config
    assert kept is not None
    assert {key: getattr(kept, key) for key in tokens} == tokens
    assert kept.top_k is None


def test_what_is_left_aside_is_said_once_by_the_main_process(
    stored: Callable[[dict[str, Any]], Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"repetition_penalty": 1.3, "top_k": 20, "stop_strings": ["a\nb"], "suppress_tokens": BYTES}
    source = ModelSource(str(stored(settings)))

    def said() -> list[str]:
        return [line for line in capsys.readouterr().err.splitlines() if line.startswith("note")]

    load_model(source, CPU)
    assert said() == [
        f"note: policy.model: '{source.model}' is stored with generation settings that are not used: "
        "repetition_penalty=1.3, stop_strings=['a\\nb'], suppress_tokens=[60, 61, 62, 63, 64, 65, ...], top_k=20. "
        "The recipe says how to sample; only the model's end, pad and begin tokens are taken from there."
    ]
    load_model(source, CPU)
    assert said() == []
    monkeypatch.setenv("RANK", "1")
    load_model(ModelSource(source.model, named_in="judge"), CPU)
    assert said() == []


def test_a_model_without_settings_says_nothing(mistral: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load_model(ModelSource(str(mistral)), CPU)
    assert "not used" not in capsys.readouterr().err


# --- training -------------------------------------------------------------------------------------------------------

LEAKS = [
    {"min_new_tokens": 9, "no_repeat_ngram_size": 1},
    {"repetition_penalty": 5.0, "typical_p": 0.2, "sequence_bias": [[[97], 50.0]]},
    {"suppress_tokens": BYTES, "min_p": 0.9, "stop_strings": ["e"], "exponential_decay_length_penalty": [1, 20.0]},
    {"num_beams": 2},
]


def rollout(algorithm: str, folder: Path, checkpoints: Path) -> tuple[Any, dict[str, torch.Tensor]]:
    trainers: dict[str, Any] = {
        "ppo": (PPOTrainer, PPOConfig, {}),
        "rloo": (ControlledRLOO, ControlledRLOOConfig, {"num_generations": 4}),
        "grpo": (ControlledGRPO, ControlledGRPOConfig, {"num_generations": 4}),
    }
    base, config, own = trainers[algorithm]
    kept: list[dict[str, torch.Tensor]] = []

    class Recording(base):  # type: ignore[misc]
        def _generate_and_score_completions(self, inputs: Any) -> Any:
            output = super()._generate_and_score_completions(inputs)
            kept.append({key: value.clone() for key, value in output.items() if isinstance(value, torch.Tensor)})
            return output

    source = ModelSource(str(folder))
    trainer = Recording(
        model=load_model(source, CPU),
        reward_funcs=Letters(),
        args=config(**(four_updates(checkpoints, batches=1) | {"save_strategy": "no"} | own)),
        train_dataset=things(20),
        processing_class=load_tokenizer(source),
        peft_config=LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM"),
    )
    trainer.train()
    return trainer, kept[0]


@pytest.fixture(scope="module", params=["ppo", "rloo", "grpo"])
def plain(
    request: pytest.FixtureRequest, mistral: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, dict[str, torch.Tensor]]:
    return request.param, rollout(request.param, mistral, tmp_path_factory.mktemp("plain"))[1]


@pytest.mark.parametrize("settings", LEAKS, ids=lambda settings: "+".join(settings))
def test_rollouts_are_those_without_them(
    settings: dict[str, Any],
    plain: tuple[str, dict[str, torch.Tensor]],
    stored: Callable[[dict[str, Any]], Path],
    tmp_path: Path,
) -> None:
    algorithm, expected = plain
    _, found = rollout(algorithm, stored(settings), tmp_path / "checkpoints")
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=0, msg=name)


@pytest.mark.parametrize("algorithm", ["ppo", "rloo", "grpo"])
def test_each_token_is_drawn_from_the_distribution_whose_log_probability_is_used(
    algorithm: str, mistral: Path, stored: Callable[[dict[str, Any]], Path], tmp_path: Path
) -> None:
    """Every token again, by the sampler from the logits of a plain forward of the base: the adapter begins at zero."""
    _, made = rollout(algorithm, stored(LEAKS[1] | LEAKS[0]), tmp_path / "checkpoints")
    model = AutoModelForCausalLM.from_pretrained(mistral).eval()
    order = ("prompt_ids", "prompt_mask", "completion_ids", "completion_mask", "old_logprobs")
    seen = []
    for prompt, prompt_mask, ids, mask, logprobs in zip(*(made[key] for key in order), strict=True):
        asked, drawn = prompt[prompt_mask.bool()], ids[mask.bool()]
        with torch.no_grad():
            logits = model(torch.cat([asked, drawn]).unsqueeze(0)).logits[0, len(asked) - 1 : -1]
        own = logits.log_softmax(-1).gather(-1, drawn.unsqueeze(-1)).squeeze(-1)
        torch.testing.assert_close(logprobs[mask.bool()], own, atol=2e-5, rtol=0)
        seen.append((logits, drawn))
    rows = range(len(seen))
    # TRL shuffles a rollout's rows: each must be the draw of one key, and each key that of one row
    keys = [row_key(3, 0, row) for row in rows]
    redrawn = [[again(key, logits) == drawn.tolist() for key in keys] for logits, drawn in seen]
    assert sorted(matches.index(True) for matches in redrawn) == list(rows)


def again(key: int, logits: torch.Tensor) -> list[int]:
    sampler = SeededSampler([key], temperature=1.0, top_k=0, top_p=1.0)
    return [
        int(sampler(torch.zeros(1, 5 + place, dtype=torch.long), row.unsqueeze(0)).argmax())
        for place, row in enumerate(logits)
    ]


DAMAGED = [
    (b"", "empty"),
    (b'{"eos_token_id": 2', "not JSON"),
    (b"\xff\xfe{}", "UTF-8"),
    (b"[2]", "no JSON object but list"),
    (b'{"eos_token_id": 2, "eos_token_id": 3}', "twice"),
    (b'{"eos_token_id": "</s>"}', "eos_token_id: '</s>' is no number of a token"),
    (b'{"eos_token_id": [2, 1.5]}', "eos_token_id: [2, 1.5] is no number of a token"),
    (b'{"pad_token_id": true}', "pad_token_id: True is no number of a token"),
]


@pytest.mark.parametrize(("content", "said"), DAMAGED, ids=[said for _, said in DAMAGED])
def test_damaged_settings_are_refused_and_not_passed_over(tmp_path: Path, content: bytes, said: str) -> None:
    folder = tmp_path / "model"
    tiny.save_mistral(folder)
    (folder / "generation_config.json").write_bytes(content)
    source = ModelSource(str(folder), "float32")
    for read in (lambda: load_model(source, CPU), lambda: empty_model(source)):
        with pytest.raises(UserError, match=re.escape(said)) as caught:
            read()
        assert "policy.model" in str(caught.value)
        assert "generation_config.json" in str(caught.value)


@pytest.mark.parametrize("content", [b"{}", b'\xef\xbb\xbf{"eos_token_id": [2, 3], "pad_token_id": null}'])
def test_whole_settings_are_read(tmp_path: Path, content: bytes) -> None:
    folder = tmp_path / "model"
    tiny.save_mistral(folder)
    (folder / "generation_config.json").write_bytes(content)
    check_stored_settings(str(folder), ModelSource(str(folder), "float32"))
    assert empty_model(ModelSource(str(folder), "float32")).model is not None


def test_a_model_without_settings_ends_where_its_configuration_says(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    tiny.save_mistral(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    check_stored_settings(str(folder), ModelSource(str(folder), "float32"))
    check_stored_settings("org/name", ModelSource("org/name", "float32"))
