"""The one protocol that a vision-language model must satisfy to serve as a reward."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from PIL import Image


class TextEmbeddings(NamedTuple):
    """Encoded texts.

    Attributes:
        embeddings: Unit-norm float32, shape (N, D), on the CPU.
        cut: True where the text was longer than the context and lost its tail, shape (N,).
    """

    embeddings: torch.Tensor
    cut: torch.Tensor


@runtime_checkable
class VLM(Protocol):
    """A dual encoder with one similarity scale.

    Attributes:
        name: Shown in reports and part of the image bank's key.
        dim: Embedding dimension D.
        scale: Factor on the cosine in the model's own logits (CLIP: exp(logit_scale)).
        bias: Constant added to the model's own logits (SigLIP); 0 elsewhere.
        context_length: Most tokens of one text, special tokens included.
    """

    name: str
    dim: int
    scale: float
    bias: float
    context_length: int

    def fingerprint(self) -> str:
        """Return a string that changes whenever an embedding could change."""
        ...

    def encode_images(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """Embed images of any PIL mode: unit-norm float32, shape (N, D), on the CPU."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> TextEmbeddings:
        """Embed texts; too long ones are cut at a token boundary with the end token kept."""
        ...


@runtime_checkable
class PixelVLM(VLM, Protocol):
    """A VLM whose image preprocessing can run apart from its forward pass, in the image bank's worker processes.

    `encode_images(images)` equals `encode_pixels(torch.stack([pixels(image) for image in images]))`.
    """

    def pixels(self, image: Image.Image) -> torch.Tensor:
        """Preprocess one image of any PIL mode: float32 on the CPU, shape (3, H, W) or another fixed one."""
        ...

    def encode_pixels(self, pixels: torch.Tensor) -> torch.Tensor:
        """Embed N stacked results of `pixels`: unit-norm float32, shape (N, D), on the CPU."""
        ...
