"""The recognizers that a recipe can name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from reward.components import Parts, build, resolve, settings_problems
from reward.errors import UserError, shown
from reward.recognizers.base import Recognizer, Vocabulary

_ROWS = {
    "torchvision": "reward.recognizers.torchvision_models:TorchvisionModel",
    "timm": "reward.recognizers.timm_models:TimmModel",
    "vlm": "reward.recognizers.by_class_names:ByClassNames",
}
_LITE = "reward.recognizers.lite:EfficientNetLite"


@dataclass(frozen=True)
class Pinned:
    """A recognizer with its weights.

    Attributes:
        factory: `"module:class"`.
        settings: What is pinned.
        paper: As Borji (2022) calls it; empty for others.
    """

    factory: str
    settings: Mapping[str, Any]
    paper: str = ""


def _torchvision(model: str, paper: str) -> Pinned:
    return Pinned(_ROWS["torchvision"], {"model": model, "weights": "IMAGENET1K_V1"}, paper)


PINNED: Mapping[str, Pinned] = {
    "alexnet": _torchvision("alexnet", "AlexNet"),
    "mobilenet_v2": _torchvision("mobilenet_v2", "MobileNetV2"),
    "googlenet": _torchvision("googlenet", "GoogleNet"),
    "densenet121": _torchvision("densenet121", "DenseNet"),
    "resnext50_32x4d": _torchvision("resnext50_32x4d", "ResNext"),
    "resnet101": _torchvision("resnet101", "ResNet101"),
    "resnet152": _torchvision("resnet152", "ResNet152"),
    "inception_v3": _torchvision("inception_v3", "Inception_V3"),
    "deit_base_patch16_224": Pinned(_ROWS["timm"], {"model": "deit_base_patch16_224.fb_in1k"}, "Deit"),
    "resnext101_32x8d_wsl": Pinned(_ROWS["timm"], {"model": "resnext101_32x8d.fb_wsl_ig1b_ft_in1k"}, "ResNext_WSL"),
    **{f"efficientnet-lite{number}": Pinned(_LITE, {"number": number}) for number in (0, 1, 2)},
}
"""Name → recognizer with pinned weights. The ten that have a name of the paper's are those of Borji, "How good are deep
models in understanding the generated images?" (August 2022), section 2, which took them from PyTorch's hub.
It does not say which DenseNet and which ResNeXt: these are the first on their pages there."""

RECOGNIZERS = Parts(
    {**{name: row.factory for name, row in PINNED.items()}, **_ROWS},
    kind="recognizer",
    methods=("fingerprint", "scores"),
)
"""Name → `"module:class"`, imported on use. A recipe may also give a dotted path to a class that satisfies
`reward.recognizers.base.Recognizer`."""
SUPPLIED = ("classes", "encoder")
"""Parameters of a recognizer's constructor that the program fills in: names of the classes, and the recipe's VLM."""


def recognizer_problems(name: str, settings: Mapping[str, Any], where: str) -> list[str]:
    """List what is wrong with a recognizer's settings; nothing is loaded.

    Raises:
        UserError: For an unknown name.
    """
    factory = resolve(name, RECOGNIZERS, f"{where}.name")
    if name in PINNED:
        fixed = sorted(set(settings) & (set(PINNED[name].settings) - {"weights"}))
        if fixed:
            return [f"{where}: '{name}' fixes {', '.join(fixed)}; leave it out, or name torchvision or timm instead."]
    return settings_problems(factory, merged_recognizer_settings(name, settings), where, SUPPLIED)


def weights_problems(name: str, settings: Mapping[str, Any], where: str) -> list[str]:
    """Say what weights are missing and what to do about it, a line each; the settings must be valid.

    A class that does not tell, such as one of the user's own, has none.
    """
    told: Callable[..., list[str]] | None = getattr(resolve(name, RECOGNIZERS, where), "weights_problems", None)
    return [] if told is None else told(merged_recognizer_settings(name, settings), where)


def load_recognizer(name: str, settings: Mapping[str, Any], where: str, **supplied: Any) -> Recognizer:
    """Load a recognizer.

    Args:
        name: Row of the table, or a dotted path.
        settings: Of the recipe.
        where: Section, for messages.
        **supplied: `classes` and `encoder`, which are given only to those that take them.

    Raises:
        UserError: If a setting is wrong, or weights are missing or not those that are pinned.
    """
    made: Recognizer = build(name, merged_recognizer_settings(name, settings), RECOGNIZERS, where, **supplied)
    problems = _misfits(made, name, where)
    if problems:
        raise UserError("\n".join(problems))
    return made


def _misfits(made: object, name: str, where: str) -> list[str]:
    """Say in a line each what a recognizer, which may be of the user's own class, has of another kind than it must."""
    labels, batch_size = getattr(made, "labels", None), getattr(made, "batch_size", None)
    fits = {
        "name": isinstance(getattr(made, "name", None), str),
        "labels": isinstance(labels, Sequence)
        and not isinstance(labels, str)
        and len(labels) > 0
        and all(isinstance(one, str) for one in labels),
        "vocabulary": getattr(made, "vocabulary", None) in get_args(Vocabulary),
        "batch_size": type(batch_size) is int and batch_size > 0,
    }
    wanted = {
        "name": "a text",
        "labels": "a list of texts",
        "vocabulary": f"one of {', '.join(get_args(Vocabulary))}",
        "batch_size": "a whole number above 0",
    }
    return [
        f"{where}: '{name}': {key}: given {shown(getattr(made, key, None))}; {wanted[key]} is needed."
        for key, fitting in fits.items()
        if not fitting
    ]


def merged_recognizer_settings(name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recognizer's settings with what its row pins."""
    return {**(PINNED[name].settings if name in PINNED else {}), **settings}
