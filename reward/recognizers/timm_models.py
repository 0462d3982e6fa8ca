"""Any of timm's ImageNet classifiers, with pinned weights or those of a file, and timm's preprocessing."""

from __future__ import annotations

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

FILES = ("model.safetensors", "pytorch_model.bin")
"""Files of a hub repository, the first of which that is in the cache is taken."""
SHOWN = 8


class TimmModel:
    """A classifier of timm.

    Args:
        model: Its name with the weights' tag, such as `deit_base_patch16_224.fb_in1k`.
        weights: A file of a state dict; default: the hub's, from the local cache.
        batch_size: Images of one forward pass.
        device: `auto` or a torch device.

    Raises:
        UserError: If weights are missing or are another model's.
    """

    vocabulary: Vocabulary = "imagenet-1k"

    def __init__(
        self, model: str, weights: str | None = None, batch_size: BatchSize = 32, device: str = "auto"
    ) -> None:
        import timm
        from timm.data.config import resolve_data_config
        from timm.data.transforms_factory import create_transform

        self.name, self.batch_size = model if weights is None else f"{model} {Path(weights).name}", batch_size
        where = f"recognizer '{model}'"
        problems = self.weights_problems({"model": model, "weights": weights}, where)
        if problems:
            raise UserError("\n".join(problems))
        path = _file(model, weights, where)
        assert path is not None
        module = timm.create_model(model, pretrained=False)
        put_weights(module, read_weights(path, where), path, where)
        data = resolve_data_config({}, model=module)  # type: ignore[no-untyped-call]
        transform = create_transform(**data, is_training=False)
        self.labels: Sequence[str] = imagenet_labels().labels
        self.network = Network("timm", module, transform, {"model": model}, batch_size, device)

    @staticmethod
    def setting_problems(settings: Mapping[str, Any], where: str, supplied: object = ()) -> list[str]:
        """List an unknown model or device, or a model whose classes are not ImageNet's 1,000."""
        import timm

        model, device = settings["model"], device_problems(settings.get("device", "auto"), where)
        try:
            found = timm.get_pretrained_cfg(model, allow_unregistered=False) if timm.is_model(model) else None
        except RuntimeError:  # the model is known, and the tag of its weights is not
            found = None
        if found is None:
            own = timm.list_pretrained(f"{model.partition('.')[0]}*")[:SHOWN]
            return [unknown_name(f"{where}.model", model, own or ["names of timm.list_pretrained()"]), *device]
        if found.num_classes != IMAGENET_CLASSES:
            return [
                f"{where}.model: '{model}' tells {found.num_classes} classes apart, not ImageNet's {IMAGENET_CLASSES}; "
                "give the tag of weights that do, such as resnet50.a1_in1k.",
                *device,
            ]
        return device

    @staticmethod
    def weights_problems(settings: Mapping[str, Any], where: str) -> list[str]:
        """Say in a line each that weights or the device are not there, and what to do; nothing is read or fetched."""
        model, weights = settings["model"], settings.get("weights")
        device = missing_device(settings.get("device", "auto"), where)
        path = _file(model, weights, where)
        if path is not None and path.is_file():
            return device
        if weights is not None:
            return [f"{where}: weights {weights}: no such file; give the file of {model}'s state dict.", *device]
        return [
            f"{where}: the weights of {model} are not in the local cache; run: hf download {_repository(model)} "
            f"{FILES[0]}, or give weights=FILE.",
            *device,
        ]

    def fingerprint(self) -> str:
        """Return a digest of weights and preprocessing."""
        return self.network.fingerprint

    def scores(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """Return logits of ImageNet's classes, float32, shape (N, 1000), on the CPU."""
        return self.network.scores(images)


def _repository(model: str) -> str:
    import timm

    found = timm.get_pretrained_cfg(model)
    return f"timm/{model}" if found is None or not found.hf_hub_id else str(found.hf_hub_id)


def _file(model: str, weights: str | None, where: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    if weights is not None:
        return user_path(weights, f"{where}.weights")
    for name in FILES:
        found = try_to_load_from_cache(_repository(model), name)
        if isinstance(found, str):
            return Path(found)
    return None
