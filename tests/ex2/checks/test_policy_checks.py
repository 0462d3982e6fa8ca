"""The policy's model is checked without its weights: adapter, kernel, template, positions, memory, room on the disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest
from paths import ROOT
from transformers import AutoTokenizer

from ex2.checks import machine
from ex2.checks.machine import GIB, disk_problem, memory_problem, policy_memory, seed_bytes
from ex2.checks.policy import PolicyFindings, adapter_size, empty_model, policy_problems, template_problems
from ex2.policy.source import ModelSource
from ex2.recipe import Lora, Prompts, Recipe
from ex2.recipe_io import read_recipe
from reward.errors import EnvironmentFault
from reward.files import write_text

DEMO = ROOT / "recipes/demo/visual.yaml"
MODEL = "package:ex2/data/demo_policy"
NAMES = ["lion", "red fox"]
LINEAR = "down_proj, gate_proj, k_proj, lm_head, o_proj, q_proj, up_proj, v_proj"


def recipe(*overrides: str) -> Recipe:
    return read_recipe(DEMO, overrides)


def found(*overrides: str) -> PolicyFindings:
    return policy_problems(recipe(*overrides), NAMES)


def test_the_demo_has_no_problem_and_its_size_is_known() -> None:
    """Hidden 128, 3 layers, 254 tokens, 2 key heads of width 32, intermediate 352, embeddings tied.

    Embedding 254 × 128 = 32,512; a layer's linear parts 128 × 128 (q) + 2 × 128 × 64 (k, v) + 128 × 128 (o) +
    3 × 128 × 352 = 184,320; its norms 256; the last norm 128. Adapter of rank 4 on q and v: 4 × (128 + 128) +
    4 × (128 + 64) = 1,792 a layer.
    """
    whole = found("lora={r: 4, target_modules: [q_proj, v_proj]}")
    assert whole[:3] == ([], [], [])
    assert whole.size == (32_512 + 3 * (184_320 + 256) + 128, 3 * 184_320, 3 * 1_792)


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (
            "[nope]",
            f"unknown 'nope'. Available: {LINEAR}. A text is a regular expression of whole names, or all-linear; ",
        ),
        ("[q_proj, v_prj]", f"unknown 'v_prj'. Did you mean 'v_proj'? Available: {LINEAR}. A text is"),
        ("q_proj", f"unknown 'q_proj'. Did you mean 'q_proj'? Available: {LINEAR}. A text is a regular expression of"),
        ('".*\\\\.(q|v)"', f"unknown '.*\\.(q|v)'. Available: {LINEAR}. A text is a regular expression of whole"),
        ('"(q"', "'(q' is no regular expression (missing ), unterminated subpattern at position 0)."),
        (
            "[mlp]",
            "'model.layers.2.mlp' is a MistralMLP, which PEFT cannot adapt; name linear layers, such as down_proj",
        ),
    ],
)
def test_an_adapter_without_its_modules_is_refused(targets: str, message: str) -> None:
    (problem,) = found(f"lora.target_modules={targets}").wrong
    assert problem.startswith(f"lora.target_modules: {message}")


@pytest.mark.parametrize(
    "targets", [["q_proj", "v_proj"], ["embed_tokens", "layers.0.mlp.up_proj"], "all-linear", ".*_proj"]
)
@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning", "ignore:.*tied layer:UserWarning")
def test_the_adapter_has_the_size_that_peft_makes(targets: Any) -> None:
    from accelerate import init_empty_weights
    from peft import LoraConfig, get_peft_model

    source = ModelSource(MODEL)
    counted = adapter_size(empty_model(source).model, Lora(r=3, target_modules=targets))
    with init_empty_weights():
        config = LoraConfig(r=3, target_modules=targets, task_type="CAUSAL_LM")
        made = get_peft_model(empty_model(source).model, config)
    assert counted == sum(one.numel() for one in made.parameters() if one.requires_grad) > 0


def test_chat_wants_a_template_that_takes_a_question() -> None:
    (problem,) = found("prompts.style=chat").wrong
    assert problem == (
        f"prompts.style: chat needs a chat template, and the tokenizer of '{MODEL}' has none; give prompts.style: "
        "plain, or a model that is tuned to chat."
    )
    tokenizer = AutoTokenizer.from_pretrained(ROOT / "ex2/data/demo_policy")
    chat = Prompts(style="chat")
    tokenizer.chat_template = "{{ raise_exception('roles must alternate') }}"
    assert template_problems(tokenizer, chat, "m") == [
        "prompts.style: the chat template of 'm' does not take one question (roles must alternate)."
    ]
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    assert template_problems(tokenizer, chat, "m") == []


def test_descriptions_stay_within_the_models_positions() -> None:
    """128 positions; the longest prompt is that of the longer name. One token more than what is left is refused."""
    (problem,) = found("generation.max_new_tokens=128").wrong
    left = int(problem.rpartition("at most ")[2].rstrip("."))
    assert problem == (
        f"generation.max_new_tokens: 128 after a prompt of up to {128 - left} tokens is more than the 128 positions of "
        f"'{MODEL}'; allowed is at most {left}."
    )
    assert found(f"generation.max_new_tokens={left}").wrong == []
    assert len(found(f"generation.max_new_tokens={left + 1}").wrong) == 1


def test_attention_kernels_are_known_and_installed() -> None:
    (unknown,) = found("policy.attn_implementation=flsh_attention_2").wrong
    assert unknown.startswith(
        "policy.attn_implementation: unknown 'flsh_attention_2'. Did you mean 'flash_attention_2'? Available: eager, "
    )
    assert found("policy.attn_implementation=flash_attention_2").lacking == [
        "policy.attn_implementation: 'flash_attention_2' needs the package 'flash_attn', which is not installed; or "
        "take sdpa."
    ]
    assert found("policy.attn_implementation=eager")[:2] == ([], [])


def test_a_model_of_the_hub_that_is_not_here_is_said_to_be_unchecked() -> None:
    nothing = found("policy.model=nobody/nothing", "prompts.style=chat")
    assert nothing == (
        [],
        [],
        [
            "policy.model: the tokenizer of nobody/nothing (chat template, length of the prompts)",
            "policy.model: nobody/nothing is not in the local cache (LoRA targets, positions, memory)",
        ],
        None,
    )


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    (problem,) = found(f"policy.model={tmp_path}").wrong
    assert problem.startswith(f"policy.model: no configuration of a language model in '{tmp_path}' (")
    (problem,) = found("policy.gguf_file=x.gguf").wrong
    assert problem == f"policy.gguf_file: no file 'x.gguf' in '{MODEL}'."


def test_memory_is_that_of_weights_and_optimizer(monkeypatch: pytest.MonkeyPatch) -> None:
    """1000 weights, 800 of them linear, 10 trained: 4 bits 800 × 0.5 + 200 × 2 bytes, and 10 × 16 bytes of training."""
    quantized = recipe("policy.quantization=4bit", "policy.dtype=bfloat16")
    assert policy_memory(quantized, 1000, 800, 10) == (800 * 0.5 + 200 * 2, 160)
    whole = policy_memory(recipe("lora=null"), 1000, 800, 1000)
    assert whole == (4000, 16_000)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("os.sysconf", lambda name: {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": GIB // 4096}[name])
    assert memory_problem(recipe(), machine.Memory(0.75 * GIB, 0.25 * GIB)) is None
    assert memory_problem(recipe(), machine.Memory(1.5 * GIB, 0.25 * GIB)) == (
        f"policy: '{MODEL}' takes at least 1.8 GiB in training, before activations; this machine, which shows no GPU, "
        "has 1.0. Use policy.quantization, a smaller model or another machine."
    )


class Usage(NamedTuple):
    free: int


def test_room_on_the_disk_is_for_seeds_that_are_not_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """10 batches saved every 2nd: 5 checkpoints, of which 2 + 1 are there at once, of 12 bytes for each weight."""
    given = ("seeds=[0, 1]", "rl.batches=10", "training={save_every: 2, save_total_limit: 2}", f"output_dir={tmp_path}")
    run = recipe(*given, "generation.max_new_tokens=10", "describe={policies: [base, aligned], per_question: 3}")
    size = 3 * 12 * 10**6 + 4 * 10**6 + 10 * 2000 + 6 * 50 * (600 + 60)
    assert seed_bytes(run, 10**6, 50) == size
    assert seed_bytes(recipe(*given, "training.save_total_limit=null"), 10**6, 0) == 5 * 12 * 10**6 + 4 * 10**6 + 20_000
    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage(2 * size))
    assert disk_problem(run, 10**6, 50) is None
    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage(2 * size - 1))
    assert disk_problem(run, 10**6, 50) == (
        f"output_dir: the disk of {tmp_path} has 76.7 MiB free, and 2 seeds write about 76.7 MiB; make room, "
        "lower training.save_total_limit, or give another output_dir."
    )
    done = tmp_path / run.name / "seed-0" / "adapter" / "training.json"
    done.parent.mkdir(parents=True)
    done.write_text("{}")
    assert disk_problem(run, 10**6, 50) is None
    file = tmp_path / "file"
    file.touch()
    assert disk_problem(recipe(f"output_dir={file}/runs"), 1, 1) == f"output_dir: {file} is a file; give a folder."


@pytest.mark.parametrize("leads_to", ["nowhere/at-all", "link"])
def test_a_link_that_leads_nowhere_is_no_place_for_a_run(tmp_path: Path, leads_to: str) -> None:
    link = tmp_path / "link"
    link.symlink_to(leads_to)
    assert disk_problem(recipe(f"output_dir={link}/runs"), 1, 1) == (
        f"output_dir: {link} is a link that leads nowhere; mend it, or give another output_dir."
    )
    with pytest.raises(EnvironmentFault, match=r"cannot be written: a part of the path is a (file, or a )?link that"):
        write_text(link / "page.html", "words")
    link.unlink()
    (tmp_path / "link").symlink_to(tmp_path)
    assert disk_problem(recipe(f"output_dir={link}/runs"), 1, 1) is None
