"""A VLM as a recognizer: the class whose texts are nearest to the image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from PIL import Image

from reward.backends.common import BatchSize
from reward.errors import UserError, one_line
from reward.presets import load_vlm, shown_name, vlm_problems
from reward.recognizers.base import Vocabulary
from reward.vlm import VLM


class ByClassNames:
    """Zero-shot classification by the texts of the dataset's classes.

    Args:
        classes: Names of the C classes in label order.
        encoder: The recipe's VLM.
        vlm: Name and settings of another VLM; default: the recipe's.
        batch_size: Images of one forward pass.
    """

    vocabulary: Vocabulary = "classes"

    def __init__(
        self,
        classes: Sequence[str],
        encoder: VLM | None = None,
        vlm: Mapping[str, Any] | None = None,
        batch_size: BatchSize = 32,
    ) -> None:
        self.labels, self.batch_size = tuple(classes), batch_size
        if vlm is not None:
            name, settings = _parts(vlm)
            self.encoder = load_vlm(name, settings, "measure.recognizers: vlm")
            self.name = f"{shown_name(name, self.encoder)} by class names"
        elif encoder is not None:
            self.encoder, self.name = encoder, f"{encoder.name} by class names"
        else:
            raise UserError("measure.recognizers: vlm: no VLM is given; name one: {name: vlm, vlm: {name: NAME}}.")
        self._texts: torch.Tensor | None = None

    @staticmethod
    def setting_problems(settings: Mapping[str, Any], where: str, supplied: object = ()) -> list[str]:
        """List what is wrong with the VLM, if one is named."""
        vlm = settings.get("vlm")
        if vlm is None:
            return []
        if "name" not in vlm:
            return [f"{where}.vlm: 'name' is missing; such as: {{name: clip-vit-b32}}."]
        try:
            return vlm_problems(*_parts(vlm), f"{where}.vlm")
        except UserError as error:
            return [one_line(error)]

    def fingerprint(self) -> str:
        """Return a string that changes with the VLM and the class names."""
        return f"by class names {list(self.labels)}: {self.encoder.fingerprint()}"

    def use_texts(self, texts: torch.Tensor) -> None:
        """Classify by these texts from now on: unit embeddings of the classes, shape (C, D)."""
        self._texts = texts

    def scores_of(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Return cosines with the classes' texts, float32, shape (N, C).

        Args:
            embeddings: Unit embeddings of images, shape (N, D).
        """
        if self._texts is None:
            self._texts = self.encoder.encode_texts([f"a photo of a {name}." for name in self.labels]).embeddings
        return embeddings.float() @ self._texts.float().T

    def scores(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """Return cosines with the classes' texts, float32, shape (N, C), on the CPU."""
        parts = [images[start : start + self.batch_size] for start in range(0, len(images), self.batch_size)]
        return torch.cat([self.scores_of(self.encoder.encode_images(part)) for part in parts])


def _parts(vlm: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    return str(vlm["name"]), {key: value for key, value in vlm.items() if key != "name"}
