"""Any model of open_clip: a named architecture with weights, a local checkpoint or a hub id."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import open_clip
import torch
from open_clip.tokenizer import HFTokenizer, SigLipTokenizer, SimpleTokenizer
from PIL import Image

from reward.backends.common import fingerprint, pick_device, unit_norm
from reward.errors import EnvironmentFault, UserError, unknown_name
from reward.preprocess import to_rgb
from reward.vlm import TextEmbeddings

_PRECISION = {"float32": "fp32", "bfloat16": "pure_bf16", "float16": "pure_fp16"}


class OpenCLIP:
    """A model of the open_clip library.

    Args:
        model: Architecture such as `ViT-B-32`, `hf-hub:ORG/REPO`, or `local-dir:PATH`.
        context_length: Most tokens of a text, special tokens included; checked against the model.
        image_size: Side of the square the image tower expects, in pixels; checked against the model.
        pretrained: A tag of open_clip's table or a checkpoint file; not for `hf-hub:` and `local-dir:`.
        scale: Expected logit scale; checked against the checkpoint if given.
        dtype: Precision of the towers; embeddings and scale are float32 in any case.
        device: `auto` or a torch device.
        batch_size: Texts or images per forward.

    Raises:
        UserError: For an unknown architecture or tag, weights left untrained, or a difference from what is pinned.
    """

    def __init__(
        self,
        model: str,
        context_length: int,
        image_size: int,
        pretrained: str | None = None,
        scale: float | None = None,
        dtype: Literal["float32", "bfloat16", "float16"] = "float32",
        device: str = "auto",
        batch_size: int = 64,
    ) -> None:
        self.name = f"{model}:{pretrained}" if pretrained else model
        self.context_length = context_length
        self.image_size = image_size
        self.batch_size = batch_size
        self._device = pick_device(device)
        _check_source(model, pretrained)
        try:
            # The image and text towers' own base weights are not wanted: the checkpoint must bring every weight.
            loaded, _, self._preprocess = open_clip.create_model_and_transforms(
                model,
                pretrained=pretrained,
                precision=_PRECISION[dtype],
                device=self._device,
                require_pretrained=True,
                pretrained_text=False,
                weights_only=True,
            )
            self._tokenizer: Any = open_clip.get_tokenizer(model, context_length=context_length)
        except RuntimeError as error:
            raise UserError(f"vlm.model: '{self.name}' cannot be loaded: {str(error).splitlines()[0]}") from error
        except OSError as error:
            raise EnvironmentFault(
                f"vlm.model: '{self.name}' is neither in the local cache nor could it be downloaded "
                f"({str(error).splitlines()[0]}); check the name and the network."
            ) from error
        self._model: Any = loaded.eval().requires_grad_(False)
        self._dtype = next(loaded.visual.parameters()).dtype
        self.scale = float(self._model.logit_scale.detach().float().exp())
        bias = getattr(self._model, "logit_bias", None)
        self.bias = 0.0 if bias is None else float(bias.detach().float())
        self._check_pins(scale)

    def fingerprint(self) -> str:
        """Return weights digest, library version, preprocessing and text settings."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        settings = {
            "open_clip": open_clip.__version__,
            "architecture": self.name,
            "preprocess": repr(self._preprocess),
            "context_length": self.context_length,
            "tokenizer": type(self._tokenizer).__name__,
        }
        return fingerprint("open_clip", self._model, settings)

    @cached_property
    def dim(self) -> int:
        """Embedding dimension D."""
        return int(self.encode_texts(["a"]).embeddings.shape[1])

    @torch.inference_mode()
    def encode_images(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """Embed images of any PIL mode: unit-norm float32, shape (N, D), on the CPU."""
        parts = []
        for start in range(0, len(images), self.batch_size):
            batch = torch.stack([self._preprocess(to_rgb(image)) for image in images[start : start + self.batch_size]])
            parts.append(unit_norm(self._model.encode_image(batch.to(self._device, self._dtype))))
        return torch.cat(parts) if parts else torch.zeros(0, self.dim)

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str]) -> TextEmbeddings:
        """Embed texts; too long ones are cut at a token boundary with the end token kept."""
        parts = []
        for start in range(0, len(texts), self.batch_size):
            tokens = self._tokenizer(list(texts[start : start + self.batch_size])).to(self._device)
            parts.append(unit_norm(self._model.encode_text(tokens)))
        cut = [count > self.context_length for count in token_counts(self._tokenizer, texts)]
        embeddings = torch.cat(parts) if parts else torch.zeros(0, self.dim)
        return TextEmbeddings(embeddings, torch.tensor(cut, dtype=torch.bool))

    def _check_pins(self, scale: float | None) -> None:
        problems = []
        size = self._model.visual.image_size
        if tuple(size if isinstance(size, tuple) else (size, size)) != (self.image_size, self.image_size):
            problems.append(f"image_size is {self.image_size}, but the model's is {size}")
        positions = getattr(self._model, "context_length", None)
        if positions is not None and positions != self.context_length:
            problems.append(f"context_length is {self.context_length}, but the model's is {positions}")
        if scale is not None and abs(self.scale - scale) > 1e-3 * abs(scale):
            problems.append(f"scale is {scale}, but the checkpoint's is {self.scale:.6g}")
        if problems:
            raise UserError(f"vlm '{self.name}': {'; '.join(problems)}. Correct the recipe or the checkpoint.")


def token_counts(tokenizer: Any, texts: Sequence[str]) -> list[int]:
    """Return each text's length in tokens before any cut, special tokens included.

    Args:
        tokenizer: One of open_clip's tokenizers.
        texts: N texts.

    Returns:
        N counts.

    Raises:
        TypeError: For a tokenizer that this does not know.
    """
    if isinstance(tokenizer, SimpleTokenizer):
        return [len(tokenizer.encode(text)) + 2 for text in texts]
    if isinstance(tokenizer, HFTokenizer | SigLipTokenizer):
        cleaned = [tokenizer.clean_fn(text) if isinstance(tokenizer, HFTokenizer) else text for text in texts]
        reserved = 3 if getattr(tokenizer, "tokenizer_mode", None) == "clips" else 0
        ids = tokenizer.tokenizer(cleaned, add_special_tokens=not reserved, truncation=False)["input_ids"]
        return [len(row) + reserved for row in ids]
    raise TypeError(f"cannot count the tokens of a {type(tokenizer).__name__}")


def _check_source(model: str, pretrained: str | None) -> None:
    if model.startswith("local-dir:"):
        folder = Path(model.removeprefix("local-dir:"))
        if not (folder / "open_clip_config.json").is_file():
            raise UserError(f"vlm.model: no open_clip_config.json in '{folder}'.")
        return
    if model.startswith("hf-hub:"):
        return
    if model not in open_clip.list_models():
        raise UserError(unknown_name("vlm.model", model, open_clip.list_models()))
    if pretrained is None:
        raise UserError(
            f"vlm.pretrained: missing; tags of {model}: {', '.join(open_clip.list_pretrained_tags_by_model(model))}."
        )
    if not Path(pretrained).is_file() and pretrained not in open_clip.list_pretrained_tags_by_model(model):
        raise UserError(
            unknown_name(
                "vlm.pretrained", pretrained, open_clip.list_pretrained_tags_by_model(model), hint="Or a file."
            )
        )
