"""A VLM and images whose accuracies are known by hand."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from reward.image_bank import ImageEmbeddings
from reward.vlm import TextEmbeddings

CLASSES = ("pug", "oak", "fox", "elm", "owl", "bee")


class CueVLM:
    """Texts point to the class that they name, but that of owl to fox if it says the cue."""

    name, dim, scale, bias, context_length = "cue", 6, 100.0, 0.0, 77

    def __init__(self, cue: str = "blur") -> None:
        self.cue = cue

    def fingerprint(self) -> str:
        return f"cue-{self.cue}"

    def encode_images(self, images: Sequence[object]) -> torch.Tensor:
        raise NotImplementedError

    def encode_texts(self, texts: Sequence[str]) -> TextEmbeddings:
        rows = torch.zeros(len(texts), 6)
        for row, text in zip(rows, texts, strict=True):
            row += 0.1
            for label, name in enumerate(CLASSES):
                row[label] += name in text
            if self.cue in text:
                row[2] += 30.0 if "owl" in text else 0.0
        return TextEmbeddings(torch.nn.functional.normalize(rows, dim=-1), torch.zeros(len(texts), dtype=torch.bool))


def bank(per_class: int = 10) -> ImageEmbeddings:
    return ImageEmbeddings(CLASSES, torch.eye(6).repeat(per_class, 1), torch.arange(6).repeat(per_class))
