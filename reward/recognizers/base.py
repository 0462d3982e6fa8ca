"""The protocol that a recognizer satisfies, and what those of ImageNet's classes share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from PIL import Image
from safetensors.torch import load_file

from reward.backends.common import fingerprint, in_chunks, one_line, pick_device
from reward.errors import UserError, shown
from reward.preprocess import to_rgb

Vocabulary = Literal["imagenet-1k", "classes", "own"]
"""What a recognizer's classes are: ImageNet's 1,000 in their usual order, the dataset's own classes in label order, or
others, of which only the labels are known."""
IMAGENET_CLASSES = 1000


@runtime_checkable
class Recognizer(Protocol):
    """What tells classes apart on images.

    Attributes:
        name: Shown in tables.
        labels: The words of each of its C classes.
        vocabulary: What these classes are.
        batch_size: Images of one forward pass.
    """

    name: str
    labels: Sequence[str]
    vocabulary: Vocabulary
    batch_size: int

    def fingerprint(self) -> str:
        """Return a string that changes whenever a prediction could change."""
        ...

    def scores(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """Return the score of each class for images of any PIL mode: float32, shape (N, C), on the CPU."""
        ...


class Network:
    """A network with its preprocessing, in evaluation mode and without gradients.

    Args:
        kind: Name of the code path, a part of the fingerprint.
        module: Takes pixels, shape (N, 3, H, W), and returns logits, shape (N, C).
        transform: Preprocessing of an RGB image: shape (3, H, W).
        settings: What the predictions depend on beside weights and preprocessing.
        batch_size: Images of one forward pass.
        device: `auto` or a torch device.
    """

    def __init__(
        self,
        kind: str,
        module: torch.nn.Module,
        transform: Callable[[Image.Image], torch.Tensor],
        settings: dict[str, Any],
        batch_size: int,
        device: str,
    ) -> None:
        self.device = pick_device(device)
        self.module = module.eval().requires_grad_(False).to(self.device)
        self.transform, self.batch_size = transform, batch_size
        self.fingerprint = fingerprint(kind, module, {**settings, "transform": repr(transform)})

    def pixels(self, image: Image.Image) -> torch.Tensor:
        """Preprocess one image of any PIL mode: float32, shape (3, H, W), on the CPU."""
        return self.transform(to_rgb(image))

    @torch.inference_mode()
    def scores(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """Return logits, float32, shape (N, C), on the CPU; one batch of pixels is in memory at a time."""
        parts = []
        for start in range(0, len(images), self.batch_size):
            pixels = torch.stack([self.pixels(image) for image in images[start : start + self.batch_size]])
            for chunk in in_chunks(pixels, self.batch_size):
                parts.append(self.module(chunk.to(self.device)).float().cpu())
        return torch.cat(parts)


def device_problems(device: str, where: str) -> list[str]:
    """Say in a line that torch has no device of this name, whether or not this machine has it."""
    try:
        if device != "auto":
            torch.device(device)
    except RuntimeError:
        return [f"{where}.device: given {shown(device)}; auto, cpu, cuda, cuda:1, mps and the like are allowed."]
    return []


def missing_device(device: str, where: str) -> list[str]:
    """Say in a line that nothing can be computed on a device of this machine; its name must be one of torch's."""
    try:
        torch.zeros(1, device=pick_device(device)).cpu()
    except (RuntimeError, AssertionError, ImportError, UserError) as error:
        why = one_line(error, 100).rstrip(".")
        return [f"{where}.device: {device}: not on this machine ({why}); give auto or cpu."]
    return []


def read_weights(path: Path, where: str) -> dict[str, torch.Tensor]:
    """Read a file of weights, `.safetensors` or what `torch.save` wrote; no code in it is run.

    Args:
        path: The file.
        where: Section of the recipe, for messages.

    Raises:
        UserError: If it cannot be read, or holds no weights by name.
    """
    try:
        found = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except Exception as error:  # what is no such file fails in any of its readers' ways
        if type(error).__name__ == "UnpicklingError":
            raise UserError(
                f"{where}: {path}: holds more than weights, which is not read; save the model's state_dict."
            ) from error
        raise UserError(f"{where}: {path}: no readable weights ({one_line(error, 200)}); give another file.") from error
    for key in ("state_dict", "model"):
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
    if not isinstance(found, dict) or not all(
        isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in found.items()
    ):
        raise UserError(f"{where}: {path}: holds no weights by name; save the model's state_dict.")
    return found


def put_weights(module: torch.nn.Module, state: dict[str, torch.Tensor], path: Path, where: str) -> None:
    """Give a module the weights of a file, all of them and no others.

    Raises:
        UserError: If they are another model's, or not all are numbers.
    """
    try:
        module.load_state_dict(state)
    except (RuntimeError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{where}: {path}: the weights are those of another model ({one_line(error, 200)}); name the model that "
            "they belong to."
        ) from error
    faulty = [name for name, one in module.named_parameters() if not torch.isfinite(one).all()]
    faulty += [name for name, one in module.named_buffers() if torch.isnan(one).any()]
    if faulty:
        raise UserError(
            f"{where}: {path}: {faulty[0]}, one of {len(faulty)}, holds values that are not finite; give another file."
        )
