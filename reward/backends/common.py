"""What all neural backends share: devices, batches, normalisation, fingerprints, checks of pinned settings."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import torch
from PIL import Image
from pydantic import Field

from reward.errors import UserError, shown

BatchSize = Annotated[int, Field(strict=True, gt=0)]
"""Images or texts of one forward pass, as a recipe sets it."""
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

PIN_TOLERANCE = 1e-3
"""Largest relative difference of a checkpoint's scale, mean or deviation from its pinned value, which is rounded."""


class Normalization(NamedTuple):
    """Mean and deviation of each colour channel; the model is given (x − mean) / std, with pixel values x in [0, 1]."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


def pick_device(device: str, where: str = "device") -> torch.device:
    """Return the named device; `auto` is this process's GPU, or the CPU where there is none.

    Args:
        device: `auto` or a torch device.
        where: Key for messages.

    Raises:
        UserError: If there is no such device, with those that are there.
    """
    if device == "auto":
        return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")
    there = {"cpu": 1}
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    if accelerator is not None:
        there[accelerator.type] = torch.accelerator.device_count()
    with contextlib.suppress(RuntimeError, TypeError):
        found = torch.device(device)
        if (found.index or 0) < there.get(found.type, 0):
            return found
    named = [name for kind, count in there.items() for name in (kind, *(f"{kind}:{at}" for at in range(count)))]
    allowed = ", ".join(name for name in named if name != "cpu:0")
    raise UserError(f"{where}: given {shown(device)}, which this machine does not have; give auto or one of {allowed}.")


def unit_norm(vectors: torch.Tensor) -> torch.Tensor:
    """Scale rows to length 1 in float32 and move them to the CPU; shape (N, D) in and out."""
    return torch.nn.functional.normalize(vectors.detach().float(), dim=-1).cpu()


def encode_in_batches(
    pixels: Callable[[Image.Image], torch.Tensor],
    encode_pixels: Callable[[torch.Tensor], torch.Tensor],
    images: Sequence[Image.Image],
    batch_size: int,
    dim: int,
) -> torch.Tensor:
    """Preprocess and embed images, one batch of pixels in memory at a time: shape (N, D)."""
    parts = [torch.zeros(0, dim)]
    for start in range(0, len(images), batch_size):
        parts.append(encode_pixels(torch.stack([pixels(image) for image in images[start : start + batch_size]])))
    return torch.cat(parts)


def in_chunks(pixels: torch.Tensor, size: int) -> Iterator[torch.Tensor]:
    """Yield consecutive chunks of at most `size` rows; an empty tensor gives none."""
    for start in range(0, len(pixels), size):
        yield pixels[start : start + size]


def measured_normalization(pixels: Callable[[Image.Image], torch.Tensor], side: int) -> Normalization:
    """Measure the normalisation of a preprocessing from what it makes of a black and a white image.

    Args:
        pixels: Preprocessing to shape (3, H, W).
        side: Side of the square images, in pixels.
    """
    black, white = (
        pixels(Image.new("RGB", (side, side), color)).double().flatten(1).mean(1) for color in ("black", "white")
    )
    std = 1 / (white - black)
    return Normalization(tuple((-black * std).tolist()), tuple(std.tolist()))


def pin_problems(pinned: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """List the settings in which a checkpoint differs from what a preset or recipe pins.

    Args:
        pinned: Setting → pinned value, `None` if it is not pinned.
        found: Setting → the checkpoint's value, `None` if it does not tell.

    Returns:
        One clause per difference. Numbers may differ by `PIN_TOLERANCE`.
    """
    problems = []
    for name, value in pinned.items():
        other = found.get(name)
        if value is not None and other is not None and not _close(value, other):
            problems.append(f"{name} is {_shown(value)}, but the checkpoint's is {_shown(other)}")
    return problems


def _close(first: Any, second: Any) -> bool:
    if isinstance(first, str) or isinstance(second, str):
        return bool(first == second)
    a, b = (torch.as_tensor(value, dtype=torch.float64) for value in (first, second))
    return a.shape == b.shape and bool(((a - b).abs() <= PIN_TOLERANCE * a.abs()).all())


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value
    return f"{value:.6g}" if isinstance(value, float) else f"({', '.join(f'{part:.4g}' for part in value)})"


def weights_digest(module: torch.nn.Module) -> str:
    """Return a hash of every parameter and buffer, names and dtypes included."""
    state = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        state.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)}".encode())
        state.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return state.hexdigest()[:32]


def fingerprint(backend: str, module: torch.nn.Module, settings: Mapping[str, Any]) -> str:
    """Return a string that changes with whatever could change an embedding.

    Args:
        backend: Name of the code path.
        module: The model, whose weights are hashed.
        settings: Preprocessing and whatever else the embeddings depend on.
    """
    return json.dumps({"backend": backend, "weights": weights_digest(module), **settings}, sort_keys=True, default=str)


def in_training_mode(module: torch.nn.Module) -> bool:
    """Return whether any part of the module is in training mode, where it would drop units or update statistics."""
    return any(part.training for part in module.modules())


def one_line(error: BaseException, limit: int = 400) -> str:
    """Return an exception's text without line breaks, cut at `limit` characters."""
    text = " ".join(str(error).split())
    return text if len(text) <= limit else f"{text[:limit]}…"
