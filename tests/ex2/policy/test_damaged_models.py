"""A model's folder with damaged files, and settings that the libraries refuse: one line that names the setting."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
import pytest
import torch
from paths import ROOT
from peft import LoraConfig, get_peft_model

from ex2.policy.loading import load_model, load_tokenizer, resolve_model
from ex2.policy.source import ModelSource
from reward.errors import EX2Error, UserError
from reward.exits import guarded

POLICY = ROOT / "ex2/data/demo_policy"


@pytest.mark.parametrize("content", ["", "[]", "5", "null", '{"model_type": 5}', None])
@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json", "config.json", "model.safetensors"])
def test_damaged_files(name: str, content: str | None, tmp_path: Path) -> None:
    """`None` stands for a file cut in its middle. What a loader does not need may be damaged."""
    folder = tmp_path / "model"
    shutil.copytree(POLICY, folder)
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: len(whole) // 2] if content is None else content.encode())
    source = ModelSource(model=str(folder))
    messages = []
    for load in (lambda: load_model(source, torch.device("cpu")), lambda: load_tokenizer(source)):
        try:
            load()
        except EX2Error as error:
            messages.append(str(error))
    assert messages
    assert all(message.startswith("policy.model: ") and str(folder) in message for message in messages)
    assert not any("\n" in message for message in messages)


@pytest.mark.parametrize("kernel", ["flash_attention_2", "nothing"])
def test_an_attention_kernel_that_does_not_work_here(kernel: str) -> None:
    with pytest.raises(UserError, match=rf"^policy\.attn_implementation: '{kernel}' does not work here \("):
        load_model(ModelSource(model=str(POLICY), attn_implementation=kernel), torch.device("cpu"))


@pytest.mark.parametrize("package", ["", "..x", "a.b", "no such", "-x"])
def test_packages_that_cannot_be(package: str) -> None:
    with pytest.raises(UserError, match=r"^policy\.model: package '.*' is not installed"):
        resolve_model(f"package:{package}")


def _adapter(**settings: Any) -> object:
    model = load_model(ModelSource(model=str(POLICY)), torch.device("cpu"))
    return get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **settings))


def _chat(template: str) -> object:
    tokenizer = load_tokenizer(ModelSource(model=str(POLICY)))
    return tokenizer.apply_chat_template([{"role": "user", "content": "x"}], chat_template=template)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: _adapter(target_modules=["nope"]), "ex2: lora: the adapter does not fit the model (Target modules"),
        (lambda: _adapter(r=0, target_modules=["q_proj"]), "ex2: lora: the adapter does not fit the model (`r` should"),
        (lambda: _chat("{% if %}"), "ex2: the model's chat template fails (Expected an expression"),
        (lambda: _chat("{{ nothing.at.all }}"), "ex2: the model's chat template fails ('nothing' is undefined)"),
        (lambda: _chat("{{ 1 / 0 }}"), "ex2: the model's chat template fails (division by zero)"),
        (
            lambda: jinja2.Environment(autoescape=True).from_string("{{ x.y.z }}").render(),
            "ex2: the model's chat template fails ('x' is undefined)",
        ),
        (
            lambda: exec(compile("[].reshape(1)", "/lib/bitsandbytes/functional.py", "exec")),
            "ex2: policy.quantization: this model cannot be computed in it on this machine ('list' object has no",
        ),
    ],
)
def test_libraries_that_meet_settings(
    call: Callable[[], object], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def run() -> int:
        call()
        return 0

    assert guarded(run) == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.count("ex2: ") == 1
