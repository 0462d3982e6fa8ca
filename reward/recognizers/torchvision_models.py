"""Any of torchvision's ImageNet classifiers with pinned weights, or those of a file, and its own preprocessing."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from reward.backends.common import BatchSize
from reward.errors import UserError, unknown_name
from reward.recognizers.base import (
    IMAGENET_CLASSES,
    Network,
    Vocabulary,
    device_problems,
    missing_device,
    put_weights,
    read_weights,
)
from reward.recognizers.imagenet import imagenet_labels
from reward.user_paths import user_path

BUILT: Mapping[str, Mapping[str, Any]] = {
    name: {"transform_input": True, "aux_logits": True, "init_weights": False} for name in ("googlenet", "inception_v3")
}
"""Models whose published weights want pixels in another scale than torchvision's preprocessing gives them."""
_HASH = re.compile(r"-([0-9a-f]{8,})\.pth$")


class TorchvisionModel:
    """A classifier of `torchvision.models`.

    Args:
        model: Its name there, such as `resnet101`.
        weights: A row of the model's weights, such as `IMAGENET1K_V1`, or a file of a state dict. A row's file is taken
            from torch's cache, and only if its content is what its name says.
        batch_size: Images of one forward pass.
        device: `auto` or a torch device.

    Raises:
        UserError: If weights are missing, are another model's, or are not what was pinned.
    """

    vocabulary: Vocabulary = "imagenet-1k"

    def __init__(
        self, model: str, weights: str = "IMAGENET1K_V1", batch_size: BatchSize = 32, device: str = "auto"
    ) -> None:
        from torchvision.models import get_model

        self.name = model if weights == "IMAGENET1K_V1" else f"{model} {Path(weights).name}"
        self.batch_size = batch_size
        where = f"recognizer '{model}'"
        problems = self.weights_problems({"model": model, "weights": weights}, where)
        if problems:
            raise UserError("\n".join(problems))
        path = _file(model, weights, where)
        state = read_weights(path, where)
        if weights in _rows(model):
            _check_hash(path, where)
        if model.startswith("densenet"):  # as they are published, their layers are named norm.1 instead of norm1
            state = {re.sub(r"\.(norm|conv)\.([12])\.", r".\1\2.", key): value for key, value in state.items()}
        module = get_model(model, weights=None, **BUILT.get(model, {}))
        put_weights(module, state, path, where)
        self.labels: Sequence[str] = imagenet_labels().labels
        self.network = Network(
            "torchvision", module, _row(model, weights).transforms(), {"model": model}, batch_size, device
        )

    @staticmethod
    def setting_problems(settings: Mapping[str, Any], where: str, supplied: object = ()) -> list[str]:
        """List an unknown model or device, and weights that are neither a row of it nor a file's name."""
        model, weights = settings["model"], settings.get("weights", "IMAGENET1K_V1")
        known, device = _classifiers(), device_problems(settings.get("device", "auto"), where)
        if model not in known:
            return [unknown_name(f"{where}.model", model, known), *device]
        rows = _rows(model)
        if weights not in rows and not Path(weights).suffix:
            return [unknown_name(f"{where}.weights", weights, rows, hint="Or give the file of a state dict."), *device]
        return device

    @staticmethod
    def weights_problems(settings: Mapping[str, Any], where: str) -> list[str]:
        """Say in a line each that the weights' file or the device is not there, and what to do; no file is read."""
        model, weights = settings["model"], settings.get("weights", "IMAGENET1K_V1")
        device = missing_device(settings.get("device", "auto"), where)
        path = _file(model, weights, where)
        if path.is_file():
            return device
        if weights not in _rows(model):
            return [f"{where}: weights {weights}: no such file; give the file of {model}'s state dict.", *device]
        url = _rows(model)[weights].url
        return [
            f"{where}: the weights {weights} of {model} are not on this machine; put {url} at {path}, or give "
            "weights=FILE.",
            *device,
        ]

    def fingerprint(self) -> str:
        """Return a digest of weights and preprocessing."""
        return self.network.fingerprint

    def scores(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """Return logits of ImageNet's classes, float32, shape (N, 1000), on the CPU."""
        return self.network.scores(images)


def _classifiers() -> list[str]:
    import torchvision.models

    return list(torchvision.models.list_models(module=torchvision.models))


def _rows(model: str) -> dict[str, Any]:
    """Return a model's weights of ImageNet-1k's classes by name."""
    from torchvision.models import get_model_weights

    return {
        row.name: row for row in get_model_weights(model) if len(row.meta.get("categories", ())) == IMAGENET_CLASSES
    }


def _row(model: str, weights: str) -> Any:
    """Return the weights whose preprocessing is taken: those named, or of a file the model's first ones."""
    rows = _rows(model)
    return rows[weights] if weights in rows else next(iter(rows.values()))


def _file(model: str, weights: str, where: str) -> Path:
    rows = _rows(model)
    if weights not in rows:
        return user_path(weights, f"{where}.weights")
    return Path(torch.hub.get_dir()) / "checkpoints" / str(rows[weights].url).rpartition("/")[2]


def _check_hash(path: Path, where: str) -> None:
    """Refuse a file whose SHA-256 does not begin as its name says."""
    told = _HASH.search(path.name)
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if told and not found.startswith(told.group(1)):
        raise UserError(
            f"{where}: {path}: its SHA-256 begins {found[:8]}, not {told.group(1)}; it is not what was published; "
            "fetch it again, or give it as weights=FILE."
        )
