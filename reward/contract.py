"""The contract that every VLM must keep, as one suite of checks for the tests and for `ex2 vlms NAME --check`.

A VLM has to satisfy `reward.vlm.VLM` only. Some checks need more of it: one of the small protocols below. For a VLM
without that protocol the check's result is "not applicable"; it never counts as passed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from PIL import Image

from reward.contract_probes import LONG_WORDS, TEXTS, image_pairs, noise_images
from reward.vlm import VLM, PixelVLM

OwnLogits = Callable[[Sequence[Image.Image], Sequence[str]], torch.Tensor]
"""Takes N images and M texts and returns the model's own `logits_per_image`, shape (N, M)."""

BATCH = 32
UNIT_LIMIT = 1e-5
SAME_LIMIT = 1e-6
CLOSE_LIMIT = {torch.float32: 1e-5, torch.bfloat16: 1e-2, torch.float16: 1e-2}
SCALE_LIMIT = {torch.float32: 1e-3, torch.bfloat16: 2e-2, torch.float16: 2e-2}
DISTINCT = 1e-4
"""Least Euclidean distance between the unit-norm embeddings of two different texts or images. If all embeddings were
equal, so would be all rewards."""


class ContractResult(NamedTuple):
    """One check's outcome.

    Attributes:
        name: Short name of the check.
        passed: Whether it passed; `None` if the check does not apply.
        measured: What was found, in the check's own unit; `None` if it does not apply.
        limit: The largest (for `distinct`, the least) allowed value.
        message: What was measured; for a check that does not apply, why.
    """

    name: str
    passed: bool | None
    measured: float | None
    limit: float | None
    message: str


@runtime_checkable
class HasOwnLogits(Protocol):
    """A VLM whose model can compute image-text logits by itself."""

    def own_logits(self, images: Sequence[Image.Image], texts: Sequence[str]) -> torch.Tensor:
        """Return the model's own logits, shape (N images, M texts)."""
        ...


@runtime_checkable
class HasMode(Protocol):
    """A VLM that can tell whether its networks are in training mode."""

    def in_training_mode(self) -> bool:
        """Return whether dropout or batch statistics are active."""
        ...


@runtime_checkable
class HasEndToken(Protocol):
    """A VLM that can tell whether a text's tokens hold the end token."""

    def end_token_kept(self, text: str) -> bool | None:
        """Return whether the text's tokens hold the end token; `None` if this model uses none."""
        ...


@runtime_checkable
class HasVocabulary(Protocol):
    """A VLM that can tell the sizes of its tokenizer's vocabulary and of its text tower's embedding table."""

    def vocabulary(self) -> tuple[int, int]:
        """Return how many tokens the tokenizer knows and how many the text tower has embeddings for."""
        ...


@runtime_checkable
class HasNormalization(Protocol):
    """A VLM that declares its pixel normalisation, (x − mean) / std with x in [0, 1], and can measure it."""

    @property
    def normalization(self) -> tuple[Sequence[float], Sequence[float]]:
        """Declared mean and deviation per channel."""
        ...

    def measured_normalization(self) -> tuple[Sequence[float], Sequence[float]] | None:
        """Mean and deviation measured on a black and a white image; `None` if the pixels do not show them."""
        ...


def check_vlm(vlm: VLM, own_logits: OwnLogits | None = None) -> list[ContractResult]:
    """Run every check on a VLM.

    Args:
        vlm: The VLM to check; it encodes about 200 images and texts.
        own_logits: Computes the model's own logits from its checkpoint, independently of the VLM. Default: the VLM's
            method `own_logits`, if it has one.

    Returns:
        One result per check; every VLM gets the same checks in the same order.
    """
    images = noise_images(BATCH)
    texts = [f"{text} {number}" for number, text in enumerate(TEXTS * (BATCH // len(TEXTS)))]
    image_vectors, text_vectors = vlm.encode_images(images), vlm.encode_texts(texts).embeddings
    alone_images = torch.cat([vlm.encode_images([image]) for image in images])
    alone_texts = torch.cat([vlm.encode_texts([text]).embeddings for text in texts])
    close = CLOSE_LIMIT[_dtype(vlm)]
    if own_logits is None and isinstance(vlm, HasOwnLogits):
        own_logits = vlm.own_logits
    return [
        _shape(vlm, image_vectors, text_vectors),
        _unit_norm(image_vectors, text_vectors),
        _at_most("determinism", _gap(vlm, images, texts, image_vectors, text_vectors), SAME_LIMIT, "second encoding"),
        _batch_size(image_vectors, text_vectors, alone_images, alone_texts, close),
        _order(vlm, images, texts, image_vectors, text_vectors, close),
        _distinct(image_vectors, text_vectors),
        _padding(vlm, close),
        _truncation(vlm, close),
        _end_token(vlm),
        _vocabulary(vlm),
        _eval_mode(vlm),
        _image_modes(vlm, close),
        _pixels(vlm, images, image_vectors),
        _normalization(vlm),
        *_logits(vlm, images, texts, alone_images, alone_texts, own_logits),
        _fingerprint(vlm),
    ]


def failed(results: Sequence[ContractResult]) -> list[str]:
    """Return the names of the checks that failed."""
    return [result.name for result in results if result.passed is False]


def _dtype(vlm: VLM) -> torch.dtype:
    dtype = getattr(vlm, "dtype", torch.float32)
    return dtype if dtype in CLOSE_LIMIT else torch.float32


def _at_most(name: str, measured: float, limit: float, what: str) -> ContractResult:
    return ContractResult(name, measured <= limit, measured, limit, what)  # NaN fails


def _not_applicable(name: str, why: str) -> ContractResult:
    return ContractResult(name, None, None, None, why)


def _difference(first: torch.Tensor, second: torch.Tensor) -> float:
    if first.shape != second.shape:
        return float("inf")
    return float((first.double() - second.double()).abs().max())


def _shape(vlm: VLM, images: torch.Tensor, texts: torch.Tensor) -> ContractResult:
    wrong = sum(
        tensor.shape != (BATCH, vlm.dim) or tensor.dtype != torch.float32 or tensor.device.type != "cpu"
        for tensor in (images, texts)
    )
    return _at_most("float32, shape", wrong, 0, f"tensors not float32 of shape ({BATCH}, D) on the CPU")


def _unit_norm(images: torch.Tensor, texts: torch.Tensor) -> ContractResult:
    off = max(_difference(rows.norm(dim=1), torch.ones(len(rows))) for rows in (images, texts))
    return _at_most("unit norm", off, UNIT_LIMIT, "|length − 1|")


def _gap(
    vlm: VLM, images: Sequence[Image.Image], texts: Sequence[str], image_rows: torch.Tensor, text_rows: torch.Tensor
) -> float:
    gaps = (
        _difference(vlm.encode_images(images), image_rows),
        _difference(vlm.encode_texts(texts).embeddings, text_rows),
    )
    return max(gaps)


def _batch_size(
    images: torch.Tensor, texts: torch.Tensor, alone_images: torch.Tensor, alone_texts: torch.Tensor, limit: float
) -> ContractResult:
    gap = max(_difference(images, alone_images), _difference(texts, alone_texts))
    return _at_most("batch size", gap, limit, f"1 against {BATCH}")


def _order(
    vlm: VLM,
    images: Sequence[Image.Image],
    texts: Sequence[str],
    image_rows: torch.Tensor,
    text_rows: torch.Tensor,
    limit: float,
) -> ContractResult:
    backwards = _gap(vlm, images[::-1], texts[::-1], image_rows.flip(0), text_rows.flip(0))
    return _at_most("order", backwards, limit, "the same inputs backwards")


def _distinct(images: torch.Tensor, texts: torch.Tensor) -> ContractResult:
    spread = min(float(torch.pdist(rows).max()) for rows in (images, texts))
    return ContractResult("distinct", spread >= DISTINCT, spread, DISTINCT, "largest distance of different inputs")


def _padding(vlm: VLM, limit: float) -> ContractResult:
    filling = " ".join(LONG_WORDS[index % len(LONG_WORDS)] for index in range(vlm.context_length))
    alone = torch.cat([vlm.encode_texts([text]).embeddings for text in TEXTS])
    beside = vlm.encode_texts([*TEXTS, filling]).embeddings[:-1]
    return _at_most("padding", _difference(alone, beside), limit, "alone against beside a text that fills the context")


def _too_long(vlm: VLM, tail: str) -> str:
    return " ".join(LONG_WORDS[index % len(LONG_WORDS)] for index in range(2 * vlm.context_length)) + tail


def _truncation(vlm: VLM, limit: float) -> ContractResult:
    result = vlm.encode_texts([_too_long(vlm, ""), _too_long(vlm, " and a tail"), TEXTS[0]])
    name, what = "truncation", "two texts that differ beyond the context"
    if result.cut.tolist() == [False, False, False]:
        return _not_applicable(name, "no text is too long for this VLM")
    if result.cut.tolist() != [True, True, False]:
        flags = result.cut.tolist()
        return ContractResult(name, False, None, limit, f"cut is {flags} for two too long texts and a short one")
    return _at_most(name, _difference(result.embeddings[0], result.embeddings[1]), limit, what)


def _end_token(vlm: VLM) -> ContractResult:
    why = "the model reads no end token, or does not show its tokens"
    if not isinstance(vlm, HasEndToken):
        return _not_applicable("end token", why)
    kept = [vlm.end_token_kept(text) for text in (TEXTS[0], _too_long(vlm, ""))]
    if None in kept:
        return _not_applicable("end token", why)
    return _at_most("end token", sum(not there for there in kept), 0, "texts without it, of a short and a too long one")


def _vocabulary(vlm: VLM) -> ContractResult:
    if not isinstance(vlm, HasVocabulary):
        return _not_applicable("vocabulary", "the VLM does not show its tokenizer")
    known, embedded = vlm.vocabulary()
    return _at_most("vocabulary", known, embedded, "tokens that the tokenizer knows; limit: those of the text tower")


def _eval_mode(vlm: VLM) -> ContractResult:
    if not isinstance(vlm, HasMode):
        return _not_applicable("eval mode", "the VLM does not show its mode")
    return _at_most("eval mode", float(vlm.in_training_mode()), 0, "1 if dropout or batch statistics are active")


def _image_modes(vlm: VLM, limit: float) -> ContractResult:
    pairs = image_pairs()
    gaps = {
        name: _difference(vlm.encode_images([image]), vlm.encode_images([plain]))
        for name, (image, plain) in pairs.items()
    }
    worst = max(gaps, key=lambda name: gaps[name])
    return _at_most("image modes", gaps[worst], limit, f"{', '.join(pairs)} against plain RGB; worst: {worst}")


def _pixels(vlm: VLM, images: Sequence[Image.Image], image_rows: torch.Tensor) -> ContractResult:
    if not isinstance(vlm, PixelVLM):
        return _not_applicable("pixels", "the VLM preprocesses and encodes in one step")
    pixels = torch.stack([vlm.pixels(image) for image in images])
    gap = _difference(vlm.encode_pixels(pixels), image_rows)
    if pixels.dtype != torch.float32 or pixels.device.type != "cpu":
        return ContractResult("pixels", False, gap, SAME_LIMIT, f"pixels are {pixels.dtype} on {pixels.device}")
    return _at_most("pixels", gap, CLOSE_LIMIT[_dtype(vlm)], "encode_pixels(pixels) against encode_images")


def _normalization(vlm: VLM) -> ContractResult:
    measured = vlm.measured_normalization() if isinstance(vlm, HasNormalization) else None
    if measured is None or not isinstance(vlm, HasNormalization):
        return _not_applicable("normalisation", "the VLM shows no pixel values")
    gap = max(
        _difference(torch.tensor(list(found)), torch.tensor(list(declared)))
        for found, declared in zip(measured, vlm.normalization, strict=True)
    )
    return _at_most("normalisation", gap, 1e-3, "mean and std seen on black and white against the declared ones")


def _logits(
    vlm: VLM,
    images: Sequence[Image.Image],
    texts: Sequence[str],
    image_rows: torch.Tensor,
    text_rows: torch.Tensor,
    own_logits: OwnLogits | None,
) -> list[ContractResult]:
    if not vlm.scale > 0:
        return [ContractResult(name, False, vlm.scale, None, "scale") for name in ("scale", "own logits")]
    if own_logits is None:
        return [_not_applicable(name, "the model computes no logits itself") for name in ("scale", "own logits")]
    own = own_logits(images, texts).double()
    cosines = image_rows.double() @ text_rows.double().T
    dtype = _dtype(vlm)
    # own = scale · cos + bias: the slope of the regression is the scale, whatever the bias.
    centered = cosines - cosines.mean()
    slope = float((centered * own).sum() / (centered * centered).sum())
    scale = _at_most("scale", abs(slope / vlm.scale - 1), SCALE_LIMIT[dtype], f"scale {vlm.scale:.6g}, own {slope:.6g}")
    ours = vlm.scale * cosines + vlm.bias
    gap = _difference(ours, own)
    if dtype == torch.float32:
        return [scale, _at_most("own logits", gap / float(own.abs().max()), 1e-5, "relative to the largest logit")]
    return [scale, _at_most("own logits", gap / vlm.scale, CLOSE_LIMIT[dtype], "on cosines")]


def _fingerprint(vlm: VLM) -> ContractResult:
    same = bool(vlm.fingerprint()) and vlm.fingerprint() == vlm.fingerprint()
    return _at_most("fingerprint", float(not same), 0, "1 if it is empty or changes between two calls")
