"""VLMs that read texts by a rule that is plain to see, so that rewards and accuracies are known by hand."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from reward.image_bank import ImageEmbeddings
from reward.vlm import TextEmbeddings


class TextVLM:
    """A VLM whose rule is `embed`; it sees no images and cuts no text.

    Attributes:
        encoded: Every text that it was given, in order.
    """

    name, dim, scale, bias, context_length = "text", 2, 100.0, 0.0, 77

    def __init__(self) -> None:
        self.encoded: list[str] = []

    def embed(self, texts: Sequence[str]) -> torch.Tensor:
        """Embeddings, shape (N, D)."""
        raise NotImplementedError

    def fingerprint(self) -> str:
        return self.name

    def encode_images(self, images: Sequence[object]) -> torch.Tensor:
        raise NotImplementedError

    def encode_texts(self, texts: Sequence[str]) -> TextEmbeddings:
        self.encoded += texts
        return TextEmbeddings(self.embed(texts), torch.zeros(len(texts), dtype=torch.bool))


class NamesVLM(TextVLM):
    """A text points to the classes that it names, or to the middle."""

    name = "names"

    def __init__(self, class_names: Sequence[str]) -> None:
        super().__init__()
        self.class_names, self.dim = class_names, len(class_names)

    def embed(self, texts: Sequence[str]) -> torch.Tensor:
        rows = torch.tensor([[1.0 if name in text else 0.1 for name in self.class_names] for text in texts])
        return torch.nn.functional.normalize(rows, dim=-1)


CUE_CLASSES = ("pug", "oak", "fox", "elm", "owl", "bee")


class CueVLM(TextVLM):
    """Texts point to the class of `CUE_CLASSES` that they name, but that of owl to fox if it says the cue."""

    dim = 6

    def __init__(self, cue: str = "blur") -> None:
        super().__init__()
        self.cue, self.name = cue, f"cue-{cue}"

    def embed(self, texts: Sequence[str]) -> torch.Tensor:
        rows = torch.zeros(len(texts), 6)
        for row, text in zip(rows, texts, strict=True):
            row += 0.1
            for label, name in enumerate(CUE_CLASSES):
                row[label] += name in text
            if self.cue in text:
                row[2] += 30.0 if "owl" in text else 0.0
        return torch.nn.functional.normalize(rows, dim=-1)


def cue_bank(per_class: int = 10) -> ImageEmbeddings:
    """Images of `CUE_CLASSES` that are exactly their classes' directions."""
    return ImageEmbeddings(CUE_CLASSES, torch.eye(6).repeat(per_class, 1), torch.arange(6).repeat(per_class))


class TableVLM(TextVLM):
    """Embeds the texts it is given a vector for; any other text is an error."""

    name = "table"

    def __init__(self, vectors: dict[str, tuple[float, float]]) -> None:
        super().__init__()
        self.vectors = vectors

    def embed(self, texts: Sequence[str]) -> torch.Tensor:
        return torch.tensor([self.vectors[text] for text in texts])


class LengthVLM(TextVLM):
    """Embeds a text as its length, beside numbers that a file must keep to the last bit."""

    name, dim, scale = "length", 4, 1.0

    def __init__(self, version: str = "1") -> None:
        super().__init__()
        self.version = version

    def fingerprint(self) -> str:
        return f"length {self.version}"

    def embed(self, texts: Sequence[str]) -> torch.Tensor:
        return torch.tensor([[float(len(text)), 1 / 3, 0.0, -1e-30] for text in texts])


class Axes(TextVLM):
    """What says "right" lies on the first axis, as every image does, any other text on the second; 9 characters fit."""

    name, scale, context_length = "axes", 10.0, 9

    def encode_images(self, images: Sequence[object]) -> torch.Tensor:
        return torch.tensor([[1.0, 0.0]] * len(images))

    def encode_texts(self, texts: Sequence[str]) -> TextEmbeddings:
        embeddings = super().encode_texts(texts).embeddings
        return TextEmbeddings(embeddings, torch.tensor([len(text) > self.context_length for text in texts]))

    def embed(self, texts: Sequence[str]) -> torch.Tensor:
        return torch.tensor([[1.0, 0.0] if "right" in text else [0.0, 1.0] for text in texts])


class Compass(TextVLM):
    """Reads a direction in degrees from a text's last word."""

    name, scale, bias, context_length = "compass", 10.0, -1.0, 9

    def embed(self, texts: Sequence[str]) -> torch.Tensor:
        angles = torch.deg2rad(torch.tensor([float(text.split()[-1]) for text in texts]))
        return torch.stack([angles.cos(), angles.sin()], 1)
