"""Every backend keeps the contract, on small checkpoints of the real classes; and the contract catches planted bugs.

The reference logits come from the libraries' own classes and processors, put together here without EX2's backends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import tiny
import torch
from PIL import Image
from transformers import (
    AlignModel,
    AutoImageProcessor,
    AutoTokenizer,
    BertConfig,
    BertModel,
    CLIPModel,
    PreTrainedTokenizerFast,
    Siglip2Model,
    SiglipModel,
)

from reward.backends import conse
from reward.contract import ContractResult, OwnLogits, check_vlm, failed
from reward.contract_probes import image_pairs, noise_images
from reward.preprocess import to_rgb
from reward.presets import load_vlm
from reward.vlm import PixelVLM, TextEmbeddings

ALWAYS_SILENT: dict[str, list[str]] = {
    "siglip2": ["normalisation"],  # patches, not an image
    "open_clip clipa": ["end token"],  # its tokenizer takes the end token out of every text
}
"""Checks that do not apply to a backend; all others must."""


class Kind(NamedTuple):
    """A small checkpoint, how to load it, and how its own library computes logits."""

    save: Callable[[Path], Path]
    backend: str
    settings: dict[str, Any]
    model: Any = None
    text: dict[str, Any] = {}  # noqa: RUF012 - never changed


def siglip(naflex: bool) -> Kind:
    settings = {"context_length": 24, "image_size": 32, "padding": "max_length", "lowercase": True}
    text = {"padding": "max_length", "max_length": 24}
    model = Siglip2Model if naflex else SiglipModel
    return Kind(lambda folder: tiny.save_siglip(folder, naflex=naflex), "huggingface", settings, model, text)


def open_clip_kind(name: str, image_size: int) -> Kind:
    settings = {"context_length": 24, "image_size": image_size}
    return Kind(lambda folder: tiny.save_open_clip_kind(folder, name), "open_clip", settings)


KINDS = {
    "clip": Kind(
        tiny.save_clip,
        "huggingface",
        {"context_length": 40, "image_size": 32},
        CLIPModel,
        {"padding": True, "max_length": 40},
    ),
    "align": Kind(
        tiny.save_align,
        "huggingface",
        {"context_length": 64, "image_size": 64, "padding": "max_length"},
        AlignModel,
        {"padding": "max_length", "max_length": 64},
    ),
    "siglip": siglip(naflex=False),
    "siglip2": siglip(naflex=True),
    "open_clip": Kind(tiny.save_open_clip, "open_clip", {"context_length": 77, "image_size": 32}),
    "open_clip siglip": open_clip_kind("siglip", 160),
    "open_clip clipa": open_clip_kind("clipa", 32),
    "open_clip timm": open_clip_kind("timm", 160),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: kind.save(tmp_path_factory.mktemp("kinds") / name) for name, kind in KINDS.items()}


def load(name: str, folders: dict[str, Path], **settings: Any) -> Any:
    kind = KINDS[name]
    model = f"local-dir:{folders[name]}" if kind.backend == "open_clip" else str(folders[name])
    return load_vlm(kind.backend, {**kind.settings, "model": model, "device": "cpu", **settings})


def reference(name: str, folder: Path) -> OwnLogits:
    """The model's own logits in float32, from its library alone."""
    kind = KINDS[name]

    def transformers_logits(images: Sequence[Image.Image], texts: Sequence[str]) -> torch.Tensor:
        model = kind.model.from_pretrained(folder, dtype=torch.float32).eval()
        processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
        if kind.settings.get("lowercase"):
            texts = [text.lower() for text in texts]
        tokens = AutoTokenizer.from_pretrained(folder)(list(texts), truncation=True, return_tensors="pt", **kind.text)
        with torch.no_grad():
            output = model(**tokens, **processor(images=list(images), return_tensors="pt"))
        return output.logits_per_image

    def open_clip_logits(images: Sequence[Image.Image], texts: Sequence[str]) -> torch.Tensor:
        import open_clip

        model, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
        tokens = open_clip.get_tokenizer(f"local-dir:{folder}")(list(texts))
        with torch.no_grad():
            return model.eval().get_logits(torch.stack([preprocess(image) for image in images]), tokens)[0]

    return open_clip_logits if kind.backend == "open_clip" else transformers_logits


def silent(results: Sequence[ContractResult]) -> list[str]:
    return [result.name for result in results if result.passed is None]


@pytest.mark.parametrize("name", list(KINDS))
def test_every_backend_keeps_the_contract(name: str, folders: dict[str, Path]) -> None:
    vlm = load(name, folders)
    results = check_vlm(vlm, reference(name, folders[name]))
    assert failed(results) == []
    assert silent(results) == ALWAYS_SILENT.get(name, [])
    assert isinstance(vlm, PixelVLM)
    assert vlm.encode_images([]).shape == (0, vlm.dim)
    assert vlm.encode_texts([]).embeddings.shape == (0, vlm.dim)
    assert vlm.encode_pixels(torch.stack([vlm.pixels(noise_images(1)[0])])[:0]).shape == (0, vlm.dim)


@pytest.mark.parametrize("name", list(KINDS))
def test_bfloat16_agrees_on_cosines_and_keeps_the_scale_in_float32(name: str, folders: dict[str, Path]) -> None:
    exact, rounded = load(name, folders), load(name, folders, dtype="bfloat16")
    assert next(rounded._model.parameters()).dtype == torch.bfloat16
    assert (rounded.scale, rounded.bias) == (exact.scale, exact.bias)
    assert rounded.fingerprint() != exact.fingerprint()
    results = check_vlm(rounded, reference(name, folders[name]))
    (cosines,) = (result for result in results if result.name == "own logits")
    assert (cosines.passed, cosines.limit) == (True, 1e-2)
    # Single steps of a random model in bfloat16 may differ more than those of a trained one; the rest must hold.
    assert set(failed(results)) <= {"batch size", "padding", "order"}


@pytest.mark.parametrize(
    ("name", "scale", "bias"),
    [
        ("clip", 14.284856, 0.0),  # exp(2.6592), CLIPConfig's initial value
        ("align", 1 / 0.07, 0.0),  # 1 / temperature
        ("siglip", 109.947172, -12.9),  # exp(4.7)
        ("siglip2", 109.947172, -12.9),
        ("open_clip", 1 / 0.07, 0.0),
        ("open_clip siglip", 1 / 0.07, -10.0),
    ],
)
def test_scale_and_bias_are_the_checkpoints(name: str, scale: float, bias: float, folders: dict[str, Path]) -> None:
    vlm = load(name, folders)
    assert vlm.scale == pytest.approx(scale, rel=1e-6)
    assert vlm.bias == pytest.approx(bias, rel=1e-6)


@pytest.mark.parametrize("name", ["demo-visual", "demo-non-visual", "demo-spurious"])
def test_demo_models_keep_the_contract(name: str) -> None:
    results = check_vlm(load_vlm(name, {}))
    assert failed(results) == []
    assert silent(results) == ["scale", "own logits"]


def test_conse_keeps_the_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    classifier = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 16, 16), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    )
    tokenizer = tiny.text_tower_tokenizer("[CLS]", "[SEP]", "[PAD]", cls_token="[CLS]", sep_token="[SEP]")
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4
    )
    parts = conse.Networks(classifier, [f"thing {n}" for n in range(8)], BertModel(config), tokenizer)
    monkeypatch.setattr(conse, "load_networks", lambda: parts)
    results = check_vlm(load_vlm("conse", {"device": "cpu", "top_k": 3, "context_length": 48}))
    assert failed(results) == []
    assert silent(results) == ["vocabulary", "scale", "own logits"]


OWN_CLASS = """
import torch
from reward.preprocess import to_rgb
from reward.vlm import TextEmbeddings

class Corners:
    name, dim, scale, bias, context_length = "corners", 3, 10.0, 0.0, 50

    def fingerprint(self):
        return "corners 1"

    def encode_images(self, images):
        corners = [torch.tensor(to_rgb(image).getpixel((0, 0))).float() + 1 for image in images]
        return torch.nn.functional.normalize(torch.stack(corners), dim=-1)

    def encode_texts(self, texts):
        counts = torch.tensor([[text.count(letter) for letter in "aei"] for text in texts]).float() + 1
        return TextEmbeddings(torch.nn.functional.normalize(counts, dim=-1), torch.zeros(len(texts), dtype=torch.bool))
"""


def test_a_users_class_is_checked_and_never_passes_silently(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "corners_vlm.py").write_text(OWN_CLASS)
    monkeypatch.syspath_prepend(tmp_path)
    results = check_vlm(load_vlm("corners_vlm.Corners", {}))
    assert failed(results) == []
    assert silent(results) == [
        "truncation",
        "end token",
        "vocabulary",
        "eval mode",
        "pixels",
        "normalisation",
        "scale",
        "own logits",
    ]


def test_pictures_of_every_mode_show_what_their_plain_counterparts_show() -> None:
    modes = {"P transparent": "P", "EXIF": "RGB"}
    for name, (image, plain) in image_pairs().items():
        assert image.mode == modes.get(name, name)
        assert plain.mode == "RGB"
        assert to_rgb(image).tobytes() == plain.tobytes(), name
    turned, plain = image_pairs()["EXIF"]
    assert turned.size == plain.size[::-1] != plain.size


# --- planted bugs -----------------------------------------------------------------------------------------------------


def wrong_tokenizer(vlm: Any) -> None:
    """Another model's tokens in the same vocabulary, and no end token."""
    letters = vlm._tokenizer.get_vocab()
    other = tiny.byte_tokenizer("<|startoftext|>", "<|endoftext|>", "<pad>", right_padded=True)
    other.backend_tokenizer.post_processor = None
    assert len(other) == len(letters)
    vlm._tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=other.backend_tokenizer, eos_token="<|endoftext|>", pad_token="<pad>", padding_side="right"
    )


def wrong_padding(vlm: Any) -> None:
    """SigLIP padded to the longest text, as CLIP is: it reads the last position."""
    vlm.padding = "longest"


def train_mode(vlm: Any) -> None:
    """Dropout on and batch statistics from the batch."""
    vlm._model.train()


def missing_normalization(vlm: Any) -> None:
    """Pixels in [0, 1] go into the model as they are."""
    vlm._processor.do_normalize = False


def wrong_scale(vlm: Any) -> None:
    """100 for every model."""
    vlm.scale = 100.0


def ignored_bias(vlm: Any) -> None:
    """SigLIP's bias left out."""
    vlm.bias = 0.0


def missing_unit_norm(vlm: Any) -> None:
    """Text features as they come out of the tower."""
    encode = vlm.encode_texts
    vlm.encode_texts = lambda texts: TextEmbeddings(2 * encode(texts).embeddings, encode(texts).cut)


PLANTED = [
    (wrong_tokenizer, "clip", ["end token", "scale", "own logits"], ["end token"]),
    (wrong_padding, "siglip", ["batch size", "padding", "scale", "own logits"], None),
    (
        train_mode,
        "align",
        [
            "determinism",
            "batch size",
            "order",
            "padding",
            "truncation",
            "eval mode",
            "image modes",
            "pixels",
            "scale",
            "own logits",
        ],
        None,
    ),
    (missing_normalization, "clip", ["normalisation", "scale", "own logits"], ["normalisation"]),
    (wrong_scale, "siglip", ["scale", "own logits"], None),
    (ignored_bias, "siglip", ["own logits"], None),
    (missing_unit_norm, "clip", ["unit norm", "scale", "own logits"], None),
]
"""Bug, backend, checks that catch it with the library's logits as reference, and those that catch it without (`None`:
the same), as `ex2 vlms NAME --check` does."""


@pytest.mark.parametrize(("plant", "name", "caught", "caught_alone"), PLANTED, ids=[row[0].__name__ for row in PLANTED])
def test_a_planted_bug_is_caught(
    plant: Callable[[Any], None], name: str, caught: list[str], caught_alone: list[str] | None, folders: dict[str, Path]
) -> None:
    vlm = load(name, folders)
    torch.manual_seed(0)
    assert failed(check_vlm(vlm)) == []
    plant(vlm)
    results = check_vlm(vlm, reference(name, folders[name]))
    for result in results:
        if result.passed is False:
            print(f"{plant.__name__} | {name} | {result.name} | {result.measured:.3g} | {result.limit:.3g}")
    assert failed(results) == caught
    assert failed(check_vlm(vlm)) == (caught if caught_alone is None else caught_alone)


def test_the_backend_refuses_wrong_padding_itself(folders: dict[str, Path]) -> None:
    from reward.errors import UserError

    with pytest.raises(UserError, match=r"with padding: longest a text's embedding depends on .*; try max_length"):
        load("siglip", folders, padding="longest")
