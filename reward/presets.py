"""The VLMs that a recipe can name; each row pins every setting that could change an embedding.

A preset is a backend with its settings; nothing is inferred from a name. A recipe may override single settings
(`vlm: {name: clip-vit-b32, device: cpu}`), name a backend and give every setting itself, or give the dotted path of a
class that satisfies `reward.vlm.VLM`. This module loads no torch, so that `ex2 vlms` answers at once.

Rows do not hold commits of hub repositories, which are recorded at the first load (`reward.revisions`), nor scales that
are not certain. A test compares the rows with the installed libraries.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from reward.components import Parts, build, resolve, settings_problems

if TYPE_CHECKING:
    from reward.vlm import VLM

BACKENDS = {
    "huggingface": "reward.backends.huggingface:HuggingFaceVLM",
    "open_clip": "reward.backends.openclip:OpenCLIP",
    "conse": "reward.backends.conse:ConSE",
    "toy": "reward.backends.toy:ToyDualEncoder",
}
"""Name of a backend → `"module:class"`, imported on use."""

OPENAI = {"mean": (0.48145466, 0.4578275, 0.40821073), "std": (0.26862954, 0.26130258, 0.27577711)}
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
HALF = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
OWN_TOKENIZER = {"tokenizer": "the repository's own, at the same commit"}


@dataclass(frozen=True)
class VLMPreset:
    """A backend with pinned settings.

    Attributes:
        backend: Name in `BACKENDS`.
        source: Where the weights come from.
        parameters: Number of parameters of both towers together.
        dim: Embedding dimension D.
        settings: Arguments for the backend.
        repository: Hub repository of the weights; `None` for weights that a package brings.
        built_in: Values that the backend itself fixes and does not take as arguments, such as context_length.
        note: What a user should know before quoting numbers.
    """

    backend: str
    source: str
    parameters: int
    dim: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    repository: str | None = None
    built_in: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""

    def value(self, name: str) -> Any:
        """Return the value of a setting that is pinned or fixed by the backend; `None` if the weights decide it."""
        return self.settings.get(name, self.built_in.get(name))

    @property
    def repositories(self) -> tuple[str, ...]:
        """Hub repositories that loading reads: that of the weights, then that of the tokenizer if it is another one."""
        tokenizer = self.settings.get("tokenizer", "simple")
        names = [self.repository, None if tokenizer == "simple" else tokenizer]
        return tuple(dict.fromkeys(name for name in names if name))


def _open_clip(
    model: str,
    pretrained: str,
    repository: str,
    *,
    parameters: int,
    dim: int,
    image_size: int,
    normalization: Mapping[str, Any],
    context_length: int = 77,
    tokenizer: str = "simple",
    cleaning: str = "lower",
    interpolation: str = "bicubic",
    resize_mode: str = "shortest",
    note: str = "",
) -> VLMPreset:
    settings = {
        "model": model,
        "pretrained": pretrained,
        "context_length": context_length,
        "tokenizer": tokenizer,
        "cleaning": cleaning,
        "image_size": image_size,
        **normalization,
        "interpolation": interpolation,
        "resize_mode": resize_mode,
        "dtype": "float32",
    }
    return VLMPreset("open_clip", f"open_clip {model}:{pretrained}", parameters, dim, settings, repository, note=note)


def _demo(weights: str) -> VLMPreset:
    fixed = {"context_length": 20, "image_size": 32}
    return VLMPreset("toy", "shipped with EX2", 187_521, 64, {"weights": weights}, built_in=fixed)


PRESETS = {
    # The paper's seven.
    "clip-vit-b32": VLMPreset(
        "huggingface",
        "hub openai/clip-vit-base-patch32",
        151_277_313,
        512,
        {
            "model": "openai/clip-vit-base-patch32",
            "context_length": 77,
            "padding": "longest",
            "image_size": 224,
            **OPENAI,
            "interpolation": "bicubic",
            "scale": 100.0,
            "dtype": "float32",
        },
        "openai/clip-vit-base-patch32",
        OWN_TOKENIZER,
    ),
    "align-base": VLMPreset(
        "huggingface",
        "hub kakaobrain/align-base",
        172_117_841,
        640,
        {
            "model": "kakaobrain/align-base",
            "context_length": 64,
            "padding": "max_length",
            "image_size": 289,
            **HALF,
            "interpolation": "bilinear",
            "dtype": "float32",
        },
        "kakaobrain/align-base",
        OWN_TOKENIZER,
    ),
    "eva01-g14-laion400m": _open_clip(
        "EVA01-g-14",
        "laion400m_s11b_b41k",
        "timm/eva_giant_patch14_clip_224.laion400m_s11b_b41k",
        parameters=1_136_435_841,
        dim=1024,
        image_size=224,
        normalization=OPENAI,
    ),
    "siglip-vit-b16-webli": _open_clip(
        "ViT-B-16-SigLIP",
        "webli",
        "timm/ViT-B-16-SigLIP",
        parameters=203_155_970,
        dim=768,
        image_size=224,
        normalization=HALF,
        context_length=64,
        tokenizer="timm/ViT-B-16-SigLIP",
        cleaning="canonicalize",
        resize_mode="squash",
    ),
    "metaclip-vit-b16-400m": _open_clip(
        "ViT-B-16-quickgelu",
        "metaclip_400m",
        "timm/vit_base_patch16_clip_224.metaclip_400m",
        parameters=149_620_737,
        dim=512,
        image_size=224,
        normalization=OPENAI,
    ),
    "clipa-vit-h14-336-datacomp1b": _open_clip(
        "ViT-H-14-CLIPA-336",
        "datacomp1b",
        "UCSC-VLAA/ViT-H-14-CLIPA-336-datacomp1B",
        parameters=968_644_609,
        dim=1024,
        image_size=336,
        normalization=IMAGENET,
        context_length=32,
        tokenizer="bert-base-uncased",
        cleaning="whitespace",
        interpolation="bilinear",
        resize_mode="squash",
        note="The paper's CLIPA, trained on LAION-400M, is not in open_clip; this one saw DataComp-1B.",
    ),
    "dfn5b-vit-h14-378": _open_clip(
        "ViT-H-14-378-quickgelu",
        "dfn5b",
        "apple/DFN5B-CLIP-ViT-H-14-378",
        parameters=986_714_881,
        dim=1024,
        image_size=378,
        normalization=OPENAI,
        resize_mode="squash",
    ),
    # Used today.
    "siglip2-so400m-16-384": _open_clip(
        "ViT-SO400M-16-SigLIP2-384",
        "webli",
        "timm/ViT-SO400M-16-SigLIP2-384",
        parameters=1_136_039_602,
        dim=1152,
        image_size=384,
        normalization=HALF,
        context_length=64,
        tokenizer="timm/ViT-SO400M-16-SigLIP2-384",
        cleaning="canonicalize",
        resize_mode="squash",
    ),
    "metaclip2-vit-h14-worldwide": _open_clip(
        "ViT-H-14-worldwide-quickgelu",
        "metaclip2_worldwide",
        "timm/vit_huge_patch14_clip_224.metaclip2_worldwide",
        parameters=1_858_783_745,
        dim=1024,
        image_size=224,
        normalization=OPENAI,
        tokenizer="facebook/xlm-v-base",
        cleaning="whitespace",
    ),
    "openclip-vit-bigg14-laion2b": _open_clip(
        "ViT-bigG-14",
        "laion2b_s39b_b160k",
        "laion/CLIP-ViT-bigG-14-laion2B-39B-b160k",
        parameters=2_539_567_105,
        dim=1280,
        image_size=224,
        normalization=OPENAI,
    ),
    "mobileclip2-s4": _open_clip(
        "MobileCLIP2-S4",
        "dfndr2b",
        "timm/MobileCLIP2-S4-OpenCLIP",
        parameters=445_435_137,
        dim=768,
        image_size=256,
        normalization=OPENAI,
        interpolation="bilinear",
    ),
    "pe-core-l14-336": _open_clip(
        "PE-Core-L-14-336",
        "meta",
        "timm/PE-Core-L-14-336",
        parameters=671_138_817,
        dim=1024,
        image_size=336,
        normalization=HALF,
        context_length=32,
        interpolation="bilinear",
        resize_mode="squash",
    ),
    "openclip-vit-b32-laion2b": _open_clip(
        "ViT-B-32",
        "laion2b_s34b_b79k",
        "laion/CLIP-ViT-B-32-laion2B-s34B-b79K",
        parameters=151_277_313,
        dim=512,
        image_size=224,
        normalization=OPENAI,
    ),
    # Without a hub.
    "conse-efficientnet-minilm": VLMPreset(
        "conse",
        "PyPI: EfficientNet-Lite0 and all-MiniLM-L6-v2",
        27_365_224,
        384,
        {"top_k": 10, "scale": 100.0, "context_length": 256},
        built_in={"image_size": 224},
        note="Neither network has a scale of its own; 100 is CLIP's.",
    ),
    "demo-visual": _demo("visual"),
    "demo-non-visual": _demo("non_visual"),
    "demo-spurious": _demo("spurious"),
}

_NAMES = Parts(
    {**{name: BACKENDS[preset.backend] for name, preset in PRESETS.items()}, **BACKENDS},
    kind="VLM",
    methods=("encode_images", "encode_texts", "fingerprint"),
)


def merged_settings(name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return a preset's settings with a recipe's overrides applied; of a name that is no preset, the overrides only."""
    return {**(PRESETS[name].settings if name in PRESETS else {}), **settings}


def resolve_vlm(name: str, where: str) -> Any:
    """Import the class that a preset, a backend or a dotted path stands for.

    Raises:
        UserError: If the name is in no table, or the path cannot be imported.
    """
    return resolve(name, _NAMES, f"{where}.name")


def vlm_problems(name: str, settings: Mapping[str, Any], where: str) -> list[str]:
    """List what is wrong with a recipe's VLM section, without loading weights; the list is empty if nothing is."""
    return settings_problems(resolve_vlm(name, where), merged_settings(name, settings), where)


def load_vlm(name: str, settings: Mapping[str, Any], where: str = "vlm") -> VLM:
    """Load a VLM by preset name, backend name or dotted path.

    Args:
        name: Row of `PRESETS` or `BACKENDS`, or a dotted path.
        settings: Overrides of a preset's settings, or all settings of a backend or class.
        where: File and section for messages.

    Returns:
        The VLM, ready to encode.

    Raises:
        UserError: For an unknown name or setting, or a checkpoint that differs from what is pinned.
    """
    vlm: VLM = build(name, merged_settings(name, settings), _NAMES, where)
    return vlm


def shown_name(name: str, vlm: VLM) -> str:
    """Return a VLM's name for readers: `vlm.name` if the recipe names a backend, else the recipe's own name for it."""
    return name if name in PRESETS or name not in BACKENDS else vlm.name
