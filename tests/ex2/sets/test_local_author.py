"""The author `local`: an answer depends on its question and seed alone, and is read as code."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from ex2.sets.authors.base import Question, Reply, build_author
from ex2.sets.requests import DrawRequest
from reward.errors import UserError


def local(model: Path, **settings: Any) -> Any:
    given = {"model": str(model), "chat": False, "max_new_tokens": 12} | settings
    return build_author("local", given)


def question(text: str, seed: int = 1, examples: Sequence[tuple[str, str]] = ()) -> Question:
    request = DrawRequest(class_name="x", label=0, index=0, prompt=text, seed=seed)
    return Question(request, text, tuple(examples), "```svg\n")


def test_an_answer_depends_on_its_seed_and_nothing_beside_it(mistral: Path) -> None:
    author = local(mistral)
    asked = [question("a", 2**62 + 5), question("a", 7), question("b", 2**62 + 5)]
    state = torch.get_rng_state()
    first, other_seed, other_text = author.write(asked)
    assert torch.equal(torch.get_rng_state(), state), "the caller's random state is left alone"
    assert author.write(asked[::-1])[-1].text == first.text
    assert len({first.text, other_seed.text, other_text.text}) == 3
    assert first.text.startswith("```svg\n")
    assert isinstance(first, Reply)
    assert first.seconds > 0


def test_the_likeliest_tokens_have_no_seed(mistral: Path) -> None:
    author = local(mistral, temperature=0)
    one, other = author.write([question("a", 1), question("a", 2)])
    assert one.text == other.text


def test_examples_come_before_the_question(mistral: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    author = local(mistral)
    _, tokenizer = author._load()
    ids = author._ids(tokenizer, question("q", examples=[("asked", "```svg\nx\n```")]))
    text = tokenizer.decode(ids[0], skip_special_tokens=True)
    assert text == "asked\n\n```svg\nx\n```\n\nq\n\n```svg\n"


def test_what_is_cut_is_told(mistral: Path) -> None:
    replies = local(mistral, max_new_tokens=2).write([question("a", seed) for seed in range(8)])
    assert any(reply.truncated for reply in replies)


def test_a_question_beyond_the_context_and_a_missing_template(mistral: Path) -> None:
    with pytest.raises(UserError, match="beyond the model's context of 512; give fewer shots or max_new_tokens"):
        local(mistral, max_new_tokens=500).write([question("x" * 200)])
    with pytest.raises(UserError, match=r"generator.author.chat: the model has no chat template; give chat: false"):
        local(mistral, chat=True).write([question("x")])


def test_the_fingerprint_is_the_models(mistral: Path, tmp_path: Path) -> None:
    assert local(mistral).fingerprint() == local(mistral, temperature=0.5).fingerprint()
    assert local(mistral).settings["temperature"] == 1.0
    with pytest.raises(UserError, match=r"generator.author.model: no folder"):
        local(tmp_path / "none").fingerprint()
