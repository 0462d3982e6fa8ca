"""Files of embeddings that would draw something else: their tokens, and the numbers of their vectors."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_diffusion
import torch
from safetensors.torch import save_file

from ex2.sets.generators.pipeline import Diffusers
from ex2.sets.requests import Drawn, DrawRequest
from reward.errors import UserError

VECTOR = torch.zeros(32)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_diffusion.save_stable_diffusion(tmp_path_factory.mktemp("tokens") / "tiny")


def asked(name: str = "zorb", prompt: str = "", negative: str = "") -> DrawRequest:
    text = prompt or f"a photo of a {name}"
    return DrawRequest(class_name=name, label=0, index=0, prompt=text, negative_prompt=negative, seed=0)


def embedded(model: Path, folder: Path, tokens: dict[str, str], vector: torch.Tensor = VECTOR) -> Diffusers:
    folder.mkdir(exist_ok=True)
    for name, token in tokens.items():
        save_file({token: vector}, folder / f"{name}.safetensors")
    return Diffusers(str(model), steps=1, inversion=str(folder))


@pytest.mark.parametrize("token", ["", " ", "\t\n"])
def test_a_blank_token_is_refused(model: Path, tmp_path: Path, token: str) -> None:
    with pytest.raises(UserError, match=r"zorb\.safetensors: its token '.*' is blank; give it one such as <zorb>\.$"):
        embedded(model, tmp_path / "some", {"zorb": token})


def test_vectors_are_of_finite_floating_point_numbers(model: Path, tmp_path: Path) -> None:
    for number, (vector, told) in enumerate(
        (
            (torch.zeros(32, dtype=torch.int64), "its vector is of int64; an embedding is of floating-point numbers."),
            (torch.zeros(32, dtype=torch.bool), "its vector is of bool; an embedding is of floating-point numbers."),
            (torch.full((32,), torch.nan), "its vector has NaN or infinite numbers; learn it again."),
            (torch.tensor([0.0] * 31 + [-torch.inf]).bfloat16(), "its vector has NaN or infinite numbers"),
            (torch.full((32,), 1e300, dtype=torch.float64), "its vector has NaN or infinite numbers"),
        )
    ):
        with pytest.raises(UserError) as raised:
            embedded(model, tmp_path / str(number), {"zorb": "<zorb>"}, vector)
        assert told in str(raised.value)
    for kind in (torch.float16, torch.bfloat16, torch.float64):
        assert (
            embedded(model, tmp_path / str(kind), {"zorb": "<zorb>"}, VECTOR.to(kind)).request_problems([asked()]) == []
        )


@pytest.mark.parametrize("token", ["photo", "Photo", "a</w>", "<|endoftext|>", "o", "zorb"])
def test_a_token_that_the_tokenizer_has_is_refused(model: Path, tmp_path: Path, token: str) -> None:
    (line,) = embedded(model, tmp_path / "some", {"zorb": token}).request_problems([asked()])
    assert line == (
        f"generator.inversion: the token {token!r} of class 'zorb' is one that the pipeline's tokenizer has already, "
        "so that the embedding would replace it; give the embedding another token, such as <my-class>."
    )


@pytest.mark.parametrize(
    ("tokens", "request_", "culprit"),
    [
        ({"zorb": "hoto"}, asked(), "hoto"),
        ({"zorb": "HOTO"}, asked(), "HOTO"),
        ({"zorb": "red blick"}, asked(prompt="a red blick and a zorb"), "red blick"),
        ({"zorb": "lurr"}, asked(negative="blurry"), "lurr"),
    ],
)
def test_a_token_in_other_words_of_a_prompt_is_refused(
    model: Path, tmp_path: Path, tokens: dict[str, str], request_: DrawRequest, culprit: str
) -> None:
    requests = [request_]
    generator = embedded(model, tmp_path / "some", tokens)
    lines = generator.request_problems(requests)
    assert lines, "what diffusers itself takes without a word"
    assert f"the token {culprit!r} of class 'zorb' is read in other words of a prompt" in lines[0]
    assert generator.request_problems(requests) == lines, "asking leaves nothing behind"


def test_a_token_in_the_words_of_another_class_is_refused(model: Path, tmp_path: Path) -> None:
    generator = embedded(model, tmp_path / "some", {"zorb": "<z>", "blick": "hoto"})
    assert generator.request_problems([asked()]) == [], "of which no prompt is drawn, so that it is not loaded"
    (line,) = generator.request_problems([asked(), asked("blick")])
    assert "the token 'hoto' of class 'blick' is read in other words" in line


def test_tokens_that_differ_by_case_are_refused(model: Path, tmp_path: Path) -> None:
    generator = embedded(model, tmp_path / "some", {"zorb": "<z>", "blick": "<Z>"})
    assert generator.request_problems([asked(), asked("blick")]) == [
        "generator.inversion: the tokens '<Z>' of class 'blick' and '<z>' of class 'zorb' are one to the pipeline's "
        "tokenizer; give each its own."
    ]


def test_tokens_that_diffusers_takes_for_one_embedding_are_refused(model: Path, tmp_path: Path) -> None:
    generator = embedded(model, tmp_path / "some", {"zorb": "<z>", "blick": "<z>_1"})
    (line,) = generator.request_problems([asked(), asked("blick")])
    assert "the token '<z>' of class 'zorb' would be read together with '<z>_1'" in line


def test_tokens_of_their_own_are_drawn_with(model: Path, tmp_path: Path) -> None:
    for number, token in enumerate(("<zorb>", "<|ex2 zorb|>", "\\1<z>", "red blick", "emb_params")):
        generator = embedded(model, tmp_path / str(number), {"zorb": token})
        requests = [asked(), asked(prompt="zorb, zorb in the style of a zorb"), asked(negative="a blurry photo")]
        assert generator.request_problems(requests) == [], token
        assert isinstance(generator.draw(requests[:1])[0], Drawn)


def test_the_length_of_an_embedding_is_told(model: Path, tmp_path: Path) -> None:
    generator = embedded(model, tmp_path / "some", {"zorb": "<zorb>"}, torch.zeros(7))
    with pytest.raises(UserError) as raised:
        generator.draw([asked()])
    assert str(raised.value) == (
        "generator.inversion: an embedding does not fit the pipeline: that of class 'zorb' has 7 numbers, and the text "
        "encoder's have 32; learn it with this pipeline."
    )
