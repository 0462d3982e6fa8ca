"""CLIP and its kin from Hugging Face transformers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
import transformers
from PIL import Image
from transformers import AutoConfig, AutoImageProcessor, AutoModel, AutoTokenizer

from reward.backends.common import DTYPES, fingerprint, pick_device, unit_norm
from reward.errors import EnvironmentFault, UserError
from reward.preprocess import to_rgb
from reward.vlm import TextEmbeddings


class HuggingFaceVLM:
    """A dual encoder with `get_text_features` and `get_image_features`.

    Args:
        model: Hub id or local directory.
        context_length: Most tokens of a text, special tokens included.
        image_size: Side of the square the image tower expects, in pixels; checked against the checkpoint.
        revision: Commit of the hub repository.
        scale: Expected logit scale; checked against the checkpoint if given.
        padding: How texts are padded: to the longest of a batch, or to the context length.
        lowercase: Lower-case texts before tokenizing.
        dtype: Precision of the towers; embeddings and scale are float32 in any case.
        device: `auto` or a torch device.
        batch_size: Texts or images per forward.
        trust_remote_code: Run code from the model's repository.

    Raises:
        UserError: If the checkpoint is not there, leaves weights untrained, is no dual encoder, or differs from what
            the preset pins.
    """

    bias = 0.0

    def __init__(
        self,
        model: str,
        context_length: int,
        image_size: int,
        revision: str | None = None,
        scale: float | None = None,
        padding: Literal["longest", "max_length"] = "longest",
        lowercase: bool = False,
        dtype: Literal["float32", "bfloat16", "float16"] = "float32",
        device: str = "auto",
        batch_size: int = 64,
        trust_remote_code: bool = False,
    ) -> None:
        self.name = model
        self.context_length = context_length
        self.image_size = image_size
        self.padding = padding
        self.lowercase = lowercase
        self.batch_size = batch_size
        self._dtype = DTYPES[dtype]
        self._device = pick_device(device)
        source: dict[str, Any] = {"revision": revision, "trust_remote_code": trust_remote_code}
        try:
            config = AutoConfig.from_pretrained(model, **source)
            if not getattr(config, "projection_dim", None) and not hasattr(config, "text_config"):
                raise UserError(f"vlm.model: '{model}' is a {config.model_type}, not an image-text dual encoder.")
            loaded, info = AutoModel.from_pretrained(model, **source, dtype=self._dtype, output_loading_info=True)
            self._tokenizer = AutoTokenizer.from_pretrained(model, **source)
            self._processor = AutoImageProcessor.from_pretrained(  # type: ignore[no-untyped-call]
                model, **source, backend="pil"
            )
        except OSError as error:
            raise _not_loadable(model, error) from error
        fresh = sorted(info["missing_keys"]) + sorted(str(key) for key in info["mismatched_keys"])
        if fresh:
            raise UserError(
                f"vlm.model: the checkpoint '{model}' lacks {len(fresh)} weights of a {type(loaded).__name__} "
                f"({', '.join(fresh[:3])}, …); it would be a half random model. Give the checkpoint of the whole model."
            )
        for method in ("get_text_features", "get_image_features"):
            if not hasattr(loaded, method):
                raise UserError(f"vlm.model: '{model}' is a {type(loaded).__name__}, which has no {method}.")
        self._model = loaded.eval().requires_grad_(False).to(self._device)
        self.scale = float(_logit_scale(self._model, model))
        self._check_pins(scale)
        self._settings = {
            "transformers": transformers.__version__,
            "commit": getattr(loaded.config, "_commit_hash", None),
            "processor": self._processor.to_dict(),
            "context_length": context_length,
            "padding": padding,
            "lowercase": lowercase,
        }

    def fingerprint(self) -> str:
        """Return weights digest, revision, preprocessing and text settings."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        return fingerprint("huggingface", self._model, self._settings)

    @cached_property
    def dim(self) -> int:
        """Embedding dimension D."""
        return int(self.encode_texts(["a"]).embeddings.shape[1])

    @torch.inference_mode()
    def encode_images(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """Embed images of any PIL mode: unit-norm float32, shape (N, D), on the CPU."""
        parts = []
        for start in range(0, len(images), self.batch_size):
            batch = [to_rgb(image) for image in images[start : start + self.batch_size]]
            pixels = self._processor(images=batch, return_tensors="pt")["pixel_values"].to(self._device, self._dtype)
            parts.append(unit_norm(_features(self._model.get_image_features(pixel_values=pixels))))
        return torch.cat(parts) if parts else torch.zeros(0, self.dim)

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str]) -> TextEmbeddings:
        """Embed texts; too long ones are cut at a token boundary with the end token kept."""
        cleaned = [text.lower() for text in texts] if self.lowercase else list(texts)
        parts, cut = [], []
        for start in range(0, len(cleaned), self.batch_size):
            batch = cleaned[start : start + self.batch_size]
            lengths = [len(ids) for ids in self._tokenizer(batch, truncation=False, verbose=False)["input_ids"]]
            cut += [length > self.context_length for length in lengths]
            inputs = self._tokenizer(
                batch, padding=self.padding, truncation=True, max_length=self.context_length, return_tensors="pt"
            ).to(self._device)
            parts.append(unit_norm(_features(self._model.get_text_features(**inputs))))
        embeddings = torch.cat(parts) if parts else torch.zeros(0, self.dim)
        return TextEmbeddings(embeddings, torch.tensor(cut, dtype=torch.bool))

    def _check_pins(self, scale: float | None) -> None:
        problems = []
        blank = Image.new("RGB", (self.image_size + 7, self.image_size + 3))
        height, width = self._processor(images=[blank], return_tensors="pt")["pixel_values"].shape[-2:]
        if (height, width) != (self.image_size, self.image_size):
            problems.append(
                f"image_size is {self.image_size}, but the checkpoint's preprocessing gives {height}×{width}"
            )
        text_config = getattr(self._model.config, "text_config", self._model.config)
        positions = getattr(text_config, "max_position_embeddings", None)
        if positions is not None and self.context_length > positions:
            problems.append(f"context_length is {self.context_length}, but the text tower has {positions} positions")
        if scale is not None and abs(self.scale - scale) > 1e-3 * abs(scale):
            problems.append(f"scale is {scale}, but the checkpoint's is {self.scale:.6g}")
        if problems:
            raise UserError(f"vlm '{self.name}': {'; '.join(problems)}. Correct the recipe or the checkpoint.")


def _features(output: Any) -> torch.Tensor:
    """Return the projected embedding: transformers 5 wraps it in an output object."""
    features: torch.Tensor = output if isinstance(output, torch.Tensor) else output.pooler_output
    return features


def _logit_scale(model: Any, name: str) -> float:
    if hasattr(model, "logit_scale"):
        return float(model.logit_scale.detach().float().exp())
    if hasattr(model, "temperature"):
        return 1.0 / float(model.temperature.detach().float())
    raise UserError(f"vlm.model: '{name}' has neither a logit_scale nor a temperature; its reward has no scale.")


def _not_loadable(model: str, error: OSError) -> Exception:
    if Path(model).is_dir() or Path(model).is_absolute() or model.startswith("."):
        return UserError(f"vlm.model: no complete checkpoint in '{model}' ({str(error).splitlines()[0]}).")
    return EnvironmentFault(
        f"vlm.model: '{model}' is neither in the local cache nor could it be downloaded "
        f"({str(error).splitlines()[0]}); check the name and the network."
    )
