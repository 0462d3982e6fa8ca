"""Any model of open_clip: a named architecture with weights, a local checkpoint or a hub id."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal

import open_clip
import torch
from open_clip.tokenizer import HFTokenizer, SimpleTokenizer
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image

from reward import revisions
from reward.backends import openclip_source
from reward.backends.common import (
    DTYPES,
    BatchSize,
    Normalization,
    encode_in_batches,
    fingerprint,
    in_chunks,
    in_training_mode,
    measured_normalization,
    one_line,
    pick_device,
    pin_problems,
    unit_norm,
)
from reward.errors import EnvironmentFault, UserError
from reward.preprocess import to_rgb
from reward.vlm import TextEmbeddings


class OpenCLIP:
    """A model of the open_clip library.

    Texts are always padded to the context length, as open_clip's towers expect.

    Args:
        model: Architecture such as `ViT-B-32`, `hf-hub:ORG/REPO`, or `local-dir:PATH`.
        context_length: Most tokens of a text, special tokens included; checked against the model.
        image_size: Side of the square the image tower expects, in pixels; checked against the model.
        pretrained: A tag of open_clip's table, or a checkpoint file. Not given with `hf-hub:` or `local-dir:`.
        revision: Commit, branch or tag of the weights' hub repository; default: the commit of the first load.
        tokenizer: Expected tokenizer: `simple`, or the name of a Hugging Face one; checked if given.
        cleaning: Expected cleaning of texts before the tokenizer; checked if given.
        scale: Expected logit scale; checked against the checkpoint if given.
        mean: Mean of the image normalisation per channel. It is checked against the checkpoint, or used where the
            checkpoint declares none.
        std: Deviation of the image normalisation per channel; checked or used like `mean`.
        interpolation: Resampling of images; checked or used like `mean`.
        resize_mode: `shortest` crops the middle square, `squash` distorts, `longest` pads; checked or used like `mean`.
        dtype: Precision of the towers; embeddings and scale are float32 in any case.
        device: `auto` or a torch device.
        batch_size: Texts or images per forward.

    Attributes:
        dtype: Precision of the towers.
        normalization: Mean and deviation per channel that the preprocessing declares.

    Raises:
        UserError: For an unknown architecture or tag, weights left untrained, or a difference from what is pinned.
        EnvironmentFault: If a file is not in the cache and cannot be downloaded.
    """

    def __init__(
        self,
        model: str,
        context_length: int,
        image_size: int,
        pretrained: str | None = None,
        revision: str | None = None,
        tokenizer: str | None = None,
        cleaning: Literal["lower", "whitespace", "canonicalize"] | None = None,
        scale: float | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        interpolation: Literal["bilinear", "bicubic"] | None = None,
        resize_mode: Literal["shortest", "longest", "squash"] | None = None,
        dtype: Literal["float32", "bfloat16", "float16"] = "float32",
        device: str = "auto",
        batch_size: BatchSize = 64,
    ) -> None:
        self.name = f"{model}:{pretrained}" if pretrained else model
        self.context_length = context_length
        self.image_size = image_size
        self.batch_size = batch_size
        self.dtype = DTYPES[dtype]
        self._device = pick_device(device)
        source = openclip_source.find(model, pretrained, revision)
        given = {"mean": mean, "std": std, "interpolation": interpolation, "resize_mode": resize_mode}
        loaded = self._create(source, {**given, **{k: v for k, v in source.preprocess.items() if k in given}})
        self._text = source.text
        named = openclip_source.load_tokenizer(source, context_length)
        self._tokenizer: Any = named.call
        # Read before the cast: bfloat16 rounds a scale by up to 0.4 %.
        self.scale = float(loaded.logit_scale.detach().double().exp())
        bias = getattr(loaded, "logit_bias", None)
        self.bias = 0.0 if bias is None else float(bias.detach())
        if bias is not None and self.bias == 0.0:  # what open_clip fills in, silently, where a checkpoint has none
            raise UserError(f"vlm.model: '{self.name}' has a logit_bias, but its checkpoint brings none.")
        self._model: Any = loaded.eval().requires_grad_(False).to(self._device, self.dtype)
        self._transform_config = PreprocessCfg(**loaded.visual.preprocess_cfg)
        self._transform = image_transform_v2(self._transform_config, is_train=False)
        self.normalization = Normalization(tuple(self._transform_config.mean), tuple(self._transform_config.std))
        self._check_pins(
            {"scale": scale, "tokenizer": tokenizer, "cleaning": cleaning, **given},
            {"tokenizer": named.name, "cleaning": named.cleaning},
        )
        if source.repository:
            trained = {"scale": self.scale, "bias": self.bias}
            revisions.confirm("vlm.model", source.repository, revision, source.commit, **trained)
        if named.repository and named.repository != source.repository:
            revisions.confirm("vlm.model", named.repository, None, named.commit)
        self._settings = {
            "open_clip": open_clip.__version__,
            "architecture": self.name,
            "commit": source.commit,
            "preprocess": repr(self._transform),
            "context_length": context_length,
            "tokenizer": [named.name, named.cleaning, named.commit],
            "text": dict(source.text),
            "dtype": dtype,
        }

    def fingerprint(self) -> str:
        """Return a string of everything that could change an embedding.

        It holds the weights' digest, revision, library version, preprocessing, text settings and precision.
        """
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        return fingerprint("open_clip", self._model, self._settings)

    @cached_property
    def dim(self) -> int:
        """Embedding dimension D."""
        return int(self.encode_texts(["a"]).embeddings.shape[1])

    def pixels(self, image: Image.Image) -> torch.Tensor:
        """Preprocess one image of any PIL mode: float32, shape (3, H, W), on the CPU."""
        pixels: torch.Tensor = self._transform(to_rgb(image))
        return pixels

    @torch.inference_mode()
    def encode_pixels(self, pixels: torch.Tensor) -> torch.Tensor:
        """Embed preprocessed images, shape (N, 3, H, W): unit-norm float32, shape (N, D), on the CPU."""
        parts = [torch.zeros(0, self.dim)]
        for chunk in in_chunks(pixels, self.batch_size):
            parts.append(unit_norm(self._model.encode_image(chunk.to(self._device, self.dtype))))
        return torch.cat(parts)

    def encode_images(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """Embed images of any PIL mode: unit-norm float32, shape (N, D), on the CPU."""
        return encode_in_batches(self.pixels, self.encode_pixels, images, self.batch_size, self.dim)

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

    @torch.inference_mode()
    def own_logits(self, images: Sequence[Image.Image], texts: Sequence[str]) -> torch.Tensor:
        """Return the logits that the model computes itself, float32, shape (N images, M texts)."""
        transform = image_transform_v2(self._transform_config, is_train=False)
        pixels = torch.stack([transform(to_rgb(image)) for image in images]).to(self._device, self.dtype)
        tokens = self._tokenizer(list(texts)).to(self._device)
        if hasattr(self._model, "get_logits"):
            logits: torch.Tensor = self._model.get_logits(pixels, tokens)[0]
        else:  # CoCa
            image, text = self._model.encode_image(pixels), self._model.encode_text(tokens)
            logits = self._model.logit_scale.exp() * image @ text.T
        return logits.float().cpu()

    def in_training_mode(self) -> bool:
        """Return whether dropout or batch statistics are active."""
        return in_training_mode(self._model)

    def end_token_kept(self, text: str) -> bool | None:
        """Return whether the tokens given to the model hold the end token; `None` if this model uses none."""
        if isinstance(self._tokenizer, SimpleTokenizer):
            ends = {self._tokenizer.eot_token_id}
        elif self._tokenizer.strip_sep_token:
            return None
        else:
            ends = {self._tokenizer.tokenizer.eos_token_id, self._tokenizer.tokenizer.sep_token_id} - {None}
        return bool(ends & set(self._tokenizer([text])[0].tolist())) if ends else None

    def vocabulary(self) -> tuple[int, int]:
        """Return how many tokens the tokenizer knows and how many the text tower has embeddings for."""
        simple = isinstance(self._tokenizer, SimpleTokenizer)
        known = self._tokenizer.vocab_size if simple else len(self._tokenizer.tokenizer)
        return known, int(self._text.get("vocab_size", self._model.vocab_size))

    def measured_normalization(self) -> Normalization:
        """Return the mean and deviation of the normalisation that `pixels` applies, as measured."""
        return measured_normalization(self.pixels, self.image_size)

    def _create(self, source: openclip_source.Source, preprocess: dict[str, Any]) -> Any:
        try:
            # The image and text towers' own base weights are not wanted: the checkpoint must bring every weight.
            return open_clip.create_model(
                source.model,
                pretrained=source.pretrained,
                force_preprocess_cfg=preprocess,
                require_pretrained=True,
                pretrained_text=False,
                weights_only=True,
            )
        except RuntimeError as error:
            raise UserError(f"vlm.model: '{self.name}' cannot be loaded: {one_line(error)}") from error
        except OSError as error:
            raise EnvironmentFault(
                f"vlm.model: '{self.name}' is neither in the local cache nor could it be downloaded "
                f"({one_line(error)}); check the name and the network."
            ) from error

    def _check_pins(self, pinned: dict[str, Any], found: dict[str, Any]) -> None:
        problems = []
        size = self._model.visual.image_size
        height, width = size if isinstance(size, tuple) else (size, size)
        if (height, width) != (self.image_size, self.image_size):
            problems.append(f"image_size is {self.image_size}, but the model's is {height}×{width}")
        positions = self._text.get("context_length", open_clip.tokenizer.DEFAULT_CONTEXT_LENGTH)
        if positions != self.context_length:
            problems.append(f"context_length is {self.context_length}, but the model's is {positions}")
        config = self._transform_config
        found = {
            **found,
            **self.normalization._asdict(),
            "scale": self.scale,
            "interpolation": config.interpolation,
            "resize_mode": config.resize_mode,
        }
        problems += pin_problems(pinned, found)
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
        TypeError: For any other kind of tokenizer.
    """
    if isinstance(tokenizer, SimpleTokenizer):
        return [len(tokenizer.encode(text)) + 2 for text in texts]
    if isinstance(tokenizer, HFTokenizer):
        if not texts:
            return []
        cleaned = [tokenizer.clean_fn(text) for text in texts]
        reserved = 3 if tokenizer.tokenizer_mode == "clips" else 0
        ids = (
            tokenizer.tokenizer(cleaned, add_special_tokens=not reserved, truncation=False)["input_ids"]
            if cleaned
            else []
        )
        return [len(row) + reserved for row in ids]
    raise TypeError(f"cannot count the tokens of a {type(tokenizer).__name__}")
