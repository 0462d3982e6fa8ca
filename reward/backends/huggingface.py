"""CLIP, ALIGN, SigLIP, SigLIP 2 and their kin from Hugging Face transformers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
import transformers
from huggingface_hub import hf_hub_download
from PIL import Image
from transformers import AutoConfig, AutoImageProcessor, AutoModel, AutoTokenizer

from reward import revisions
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

_PADDING_TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.05, torch.float16: 0.05}
_RESAMPLING = {Image.Resampling.BILINEAR: "bilinear", Image.Resampling.BICUBIC: "bicubic"}


class _Parts(NamedTuple):
    """A checkpoint's parts as loaded: the model is in float32 on the CPU; the commits are of model and tokenizer."""

    model: Any
    tokenizer: Any
    processor: Any
    commit: str | None
    tokenizer_commit: str | None


class HuggingFaceVLM:
    """A dual encoder of transformers that has `get_text_features` and `get_image_features`.

    Args:
        model: Hub id or local directory.
        context_length: Most tokens of a text, special tokens included.
        image_size: Side of the square that the image tower expects, in pixels; for a NaFlex model, side of the square
            with the most patches. Checked against the checkpoint.
        revision: Commit, branch or tag of the hub repository; default: the commit of the first load.
        tokenizer: Hub id or local directory of the tokenizer; default: `model`.
        scale: Expected logit scale; checked against the checkpoint if given.
        mean: Expected mean of the image normalisation per channel; checked if given.
        std: Expected deviation of the image normalisation per channel; checked if given.
        interpolation: Expected resampling of images; checked if given.
        padding: How texts are padded: to the longest of a batch, or to the context length.
        lowercase: Lower-case texts before tokenizing.
        dtype: Precision of the towers; embeddings and scale are float32 in any case.
        device: `auto` or a torch device.
        batch_size: Texts or images per forward.
        trust_remote_code: Run code from the model's repository.

    Attributes:
        dtype: Precision of the towers.
        normalization: Mean and deviation per channel that the checkpoint's preprocessing declares.

    Raises:
        UserError: If the checkpoint is not there, leaves weights untrained, is no dual encoder, differs from what
            the preset pins, or if the padding changes embeddings.
    """

    def __init__(
        self,
        model: str,
        context_length: int,
        image_size: int,
        revision: str | None = None,
        tokenizer: str | None = None,
        scale: float | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        interpolation: Literal["bilinear", "bicubic"] | None = None,
        padding: Literal["longest", "max_length"] = "longest",
        lowercase: bool = False,
        dtype: Literal["float32", "bfloat16", "float16"] = "float32",
        device: str = "auto",
        batch_size: BatchSize = 64,
        trust_remote_code: bool = False,
    ) -> None:
        self.name = model
        self.context_length = context_length
        self.image_size = image_size
        self.padding = padding
        self.lowercase = lowercase
        self.batch_size = batch_size
        self.dtype = DTYPES[dtype]
        self._device = pick_device(device)
        parts = _load(model, tokenizer or model, revision, trust_remote_code)
        self._tokenizer, self._processor = parts.tokenizer, parts.processor
        # Read before the cast: bfloat16 rounds a scale by up to 0.4 %.
        self.scale = _logit_scale(parts.model, model)
        self.bias = float(getattr(parts.model, "logit_bias", torch.zeros(())).detach())
        self._model = parts.model.eval().requires_grad_(False).to(self._device, self.dtype)
        self.normalization = _declared_normalization(self._processor)
        self._check_pins({"scale": scale, "mean": mean, "std": std, "interpolation": interpolation})
        for repository, commit, trained in (
            (model, parts.commit, {"scale": self.scale, "bias": self.bias}),
            (tokenizer or model, parts.tokenizer_commit, {}),
        ):
            if not _is_local(repository):
                revisions.confirm("vlm.model", repository, revision if repository == model else None, commit, **trained)
        self._settings = {
            "transformers": transformers.__version__,
            "commit": parts.commit,
            "tokenizer": [tokenizer or model, parts.tokenizer_commit],
            "processor": self._processor.to_dict(),
            "context_length": context_length,
            "padding": padding,
            "lowercase": lowercase,
            "dtype": dtype,
        }

    def fingerprint(self) -> str:
        """Return a string of everything that could change an embedding.

        It holds the weights' digest, the revision, preprocessing, text settings and precision.
        """
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        return fingerprint("huggingface", self._model, self._settings)

    @cached_property
    def dim(self) -> int:
        """Embedding dimension D."""
        return int(self.encode_texts(["a"]).embeddings.shape[1])

    def pixels(self, image: Image.Image) -> torch.Tensor:
        """Preprocess one image of any PIL mode: float32, shape (3, H, W), on the CPU.

        A NaFlex model's image has shape (patches, values + 3): one row per patch, whose last three columns are the
        patch's mask and the image's height and width in patches.
        """
        return _packed(self._processed([image]))[0]

    @torch.inference_mode()
    def encode_pixels(self, pixels: torch.Tensor) -> torch.Tensor:
        """Embed stacked results of `pixels`: unit-norm float32, shape (N, D), on the CPU."""
        parts = [torch.zeros(0, self.dim)]
        for chunk in in_chunks(pixels, self.batch_size):
            parts.append(unit_norm(_features(self._model.get_image_features(**self._image_inputs(chunk)))))
        return torch.cat(parts)

    def encode_images(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """Embed images of any PIL mode: unit-norm float32, shape (N, D), on the CPU."""
        return encode_in_batches(self.pixels, self.encode_pixels, images, self.batch_size, self.dim)

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str]) -> TextEmbeddings:
        """Embed texts; too long ones are cut at a token boundary with the end token kept."""
        parts: list[torch.Tensor] = []
        cut: list[bool] = []
        for start in range(0, len(texts), self.batch_size):
            batch = self._cleaned(texts[start : start + self.batch_size])
            ids = self._tokenizer(batch, truncation=False, verbose=False)["input_ids"]
            cut += [len(row) > self.context_length for row in ids]
            inputs = self._tokenized(batch).to(self._device)
            parts.append(unit_norm(_features(self._model.get_text_features(**inputs))))
        embeddings = torch.cat(parts) if parts else torch.zeros(0, self.dim)
        return TextEmbeddings(embeddings, torch.tensor(cut, dtype=torch.bool))

    @torch.inference_mode()
    def own_logits(self, images: Sequence[Image.Image], texts: Sequence[str]) -> torch.Tensor:
        """Return the `logits_per_image` of the model's own forward, float32, shape (N images, M texts)."""
        inputs = self._tokenized(self._cleaned(texts)).to(self._device)
        output = self._model(**inputs, **self._image_inputs(_packed(self._processed(images))))
        logits: torch.Tensor = output.logits_per_image
        return logits.float().cpu()

    def in_training_mode(self) -> bool:
        """Return whether dropout or batch statistics are active."""
        return in_training_mode(self._model)

    def end_token_kept(self, text: str) -> bool | None:
        """Return whether the tokens given to the model hold the end token; `None` if the tokenizer has none."""
        ends = {self._tokenizer.eos_token_id, self._tokenizer.sep_token_id} - {None}
        ids = self._tokenized(self._cleaned([text]))["input_ids"][0].tolist()
        return bool(ends & set(ids)) if ends else None

    def vocabulary(self) -> tuple[int, int]:
        """Return how many tokens the tokenizer knows and how many the text tower has embeddings for."""
        return len(self._tokenizer), int(self._model.config.get_text_config().vocab_size)

    def measured_normalization(self) -> Normalization | None:
        """Return the normalisation that `pixels` applies, as measured; `None` for a NaFlex model, which has patches."""
        if self.pixels(Image.new("RGB", (8, 8))).ndim != 3:
            return None
        return measured_normalization(self.pixels, self.image_size)

    def _cleaned(self, texts: Sequence[str]) -> list[str]:
        return [text.lower() for text in texts] if self.lowercase else list(texts)

    def _tokenized(self, texts: list[str]) -> Any:
        return self._tokenizer(
            texts, padding=self.padding, truncation=True, max_length=self.context_length, return_tensors="pt"
        )

    def _processed(self, images: Sequence[Image.Image]) -> Any:
        return self._processor(images=[to_rgb(image) for image in images], return_tensors="pt")

    def _image_inputs(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        if pixels.ndim == 4:
            return {"pixel_values": pixels.to(self._device, self.dtype)}
        return {
            "pixel_values": pixels[..., :-3].to(self._device, self.dtype),
            "pixel_attention_mask": pixels[..., -3].to(self._device, torch.int32),
            "spatial_shapes": pixels[:, 0, -2:].to(self._device, torch.int64),
        }

    def _check_pins(self, pinned: dict[str, Any]) -> None:
        problems = []
        blank = Image.new("RGB", (self.image_size + 7, self.image_size + 3))
        processed = self._processed([blank])
        if "spatial_shapes" in processed:
            side = self._processor.patch_size * self._processor.max_num_patches**0.5
            shape = (round(side), round(side))
        else:
            shape = tuple(processed["pixel_values"].shape[-2:])
        if shape != (self.image_size, self.image_size):
            problems.append(
                f"image_size is {self.image_size}, but the checkpoint's preprocessing gives {shape[0]}×{shape[1]}"
            )
        positions = getattr(self._model.config.get_text_config(), "max_position_embeddings", None)
        if positions is not None and self.context_length > positions:
            problems.append(f"context_length is {self.context_length}, but the text tower has {positions} positions")
        found = {
            "scale": self.scale,
            **self.normalization._asdict(),
            "interpolation": _RESAMPLING.get(self._processor.resample),
        }
        problems += pin_problems(pinned, found)
        if not problems and self._padding_effect() > _PADDING_TOLERANCE[self.dtype]:
            problems.append(
                f"with padding: {self.padding} a text's embedding depends on its neighbours'; try max_length"
            )
        if problems:
            raise UserError(f"vlm '{self.name}': {'; '.join(problems)}. Correct the recipe or the checkpoint.")

    def _padding_effect(self) -> float:
        alone, beside = (self.encode_texts(texts).embeddings[0] for texts in (["a"], ["a", "a longer text beside it"]))
        return float((alone - beside).abs().max())


def _load(model: str, tokenizer: str, revision: str | None, trust_remote_code: bool) -> _Parts:
    commit = None
    try:
        if not _is_local(model):
            wanted = revisions.revision_to_load(model, revision)
            commit = revisions.commit_of(hf_hub_download(model, "config.json", revision=wanted))
        source: dict[str, Any] = {"revision": commit, "trust_remote_code": trust_remote_code}
        config = AutoConfig.from_pretrained(model, **source)
        if not getattr(config, "projection_dim", None) and not hasattr(config, "text_config"):
            raise UserError(f"vlm.model: '{model}' is a {config.model_type}, not an image-text dual encoder.")
        loaded, info = AutoModel.from_pretrained(model, **source, dtype=torch.float32, output_loading_info=True)
        processor = AutoImageProcessor.from_pretrained(model, **source, backend="pil")  # type: ignore[no-untyped-call]
    except OSError as error:
        raise _not_loadable(model, revision, error) from error
    fresh = sorted(info["missing_keys"]) + sorted(str(key) for key in info["mismatched_keys"])
    if fresh:
        raise UserError(
            f"vlm.model: the checkpoint '{model}' lacks {len(fresh)} weights of a {type(loaded).__name__} "
            f"({', '.join(fresh[:3])}, …); it would be a half random model. Give the checkpoint of the whole model."
        )
    for method in ("get_text_features", "get_image_features"):
        if not hasattr(loaded, method):
            raise UserError(f"vlm.model: '{model}' is a {type(loaded).__name__}, which has no {method}.")
    load = partial(AutoTokenizer.from_pretrained, tokenizer, trust_remote_code=trust_remote_code)
    try:
        if tokenizer == model:
            return _Parts(loaded, load(revision=commit), processor, commit, commit)
        if _is_local(tokenizer):
            return _Parts(loaded, load(), processor, commit, None)
        at = revisions.revision_to_load(tokenizer, None)
        return _Parts(loaded, load(revision=at), processor, commit, revisions.cached_commit(tokenizer, at))
    except OSError as error:
        raise _not_loadable(tokenizer, revision if tokenizer == model else None, error) from error


def _is_local(model: str) -> bool:
    return Path(model).is_dir() or Path(model).is_absolute() or model.startswith(".")


def _packed(processed: Any) -> torch.Tensor:
    """Return an image processor's output as one float32 tensor; a NaFlex model's mask and shape become columns."""
    pixels: torch.Tensor = processed["pixel_values"].float()
    if "spatial_shapes" not in processed:
        return pixels
    shapes = processed["spatial_shapes"].float()[:, None, :].expand(-1, pixels.shape[1], -1)
    return torch.cat([pixels, processed["pixel_attention_mask"].float()[..., None], shapes], dim=-1)


def _features(output: Any) -> torch.Tensor:
    """Return the projected embedding, which transformers 5 wraps in an output object."""
    features: torch.Tensor = output if isinstance(output, torch.Tensor) else output.pooler_output
    return features


def _logit_scale(model: Any, name: str) -> float:
    if hasattr(model, "logit_scale"):
        return float(model.logit_scale.detach().double().exp())
    if hasattr(model, "temperature"):
        return 1.0 / float(model.temperature.detach().double())
    raise UserError(f"vlm.model: '{name}' has neither a logit_scale nor a temperature; its reward has no scale.")


def _declared_normalization(processor: Any) -> Normalization:
    """Return the normalisation that a processor declares, for pixel values x in [0, 1].

    The processor computes (255·f·x − o − m) / s with rescaling factor f, offset o, mean m and deviation s.
    """
    factor = 255 * processor.rescale_factor if processor.do_rescale else 255.0
    offset = 1.0 if getattr(processor, "rescale_offset", False) else 0.0
    mean, std = (processor.image_mean, processor.image_std) if processor.do_normalize else ([0.0] * 3, [1.0] * 3)
    return Normalization(tuple((offset + m) / factor for m in mean), tuple(s / factor for s in std))


def _not_loadable(model: str, revision: str | None, error: OSError) -> Exception:
    if _is_local(model):
        return UserError(f"vlm.model: no complete checkpoint in '{model}' ({one_line(error)}).")
    return revisions.explain_failure("vlm.model", model, revision) or EnvironmentFault(
        f"vlm.model: '{model}' is neither in the local cache nor could it be downloaded "
        f"({one_line(error)}); check the name and the network."
    )
