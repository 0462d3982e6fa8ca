"""Presets: their rows against the installed libraries, what they pin, and checkpoints that are not what they say."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import pytest
import tiny
import torch
from open_clip.tokenizer import HFTokenizer, SimpleTokenizer
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import AlignConfig, AlignModel, CLIPConfig, CLIPImageProcessor, CLIPModel

from reward.backends import openclip_source
from reward.backends.common import measured_normalization
from reward.errors import UserError
from reward.presets import PRESETS, load_vlm, vlm_problems

CLIP = {"context_length": 40, "image_size": 32, "device": "cpu"}
OPEN_CLIP_ROWS = [name for name, preset in PRESETS.items() if preset.backend == "open_clip"]
PAPER = {
    "clip-vit-b32": "openai/clip-vit-base-patch32",
    "align-base": "kakaobrain/align-base",
    "eva01-g14-laion400m": "EVA01-g-14:laion400m_s11b_b41k",
    "siglip-vit-b16-webli": "ViT-B-16-SigLIP:webli",
    "metaclip-vit-b16-400m": "ViT-B-16-quickgelu:metaclip_400m",
    "clipa-vit-h14-336-datacomp1b": "ViT-H-14-CLIPA-336:datacomp1b",
    "dfn5b-vit-h14-378": "ViT-H-14-378-quickgelu:dfn5b",
}


# --- rows against the installed libraries -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_names_a_backend_and_gives_it_all_it_needs(name: str) -> None:
    assert vlm_problems(name, {}, "vlm") == []


def test_the_papers_seven_are_there() -> None:
    found = {
        name: ":".join(PRESETS[name].settings[key] for key in ("model", "pretrained") if key in PRESETS[name].settings)
        for name in PAPER
    }
    assert found == PAPER
    assert "LAION-400M" in PRESETS["clipa-vit-h14-336-datacomp1b"].note


@pytest.mark.parametrize("name", OPEN_CLIP_ROWS)
def test_open_clip_rows_are_what_the_library_says(name: str) -> None:
    preset = PRESETS[name]
    settings = preset.settings
    config = open_clip.get_model_config(settings["model"])
    entry = open_clip.get_pretrained_cfg(settings["model"], settings["pretrained"])
    text = config["text_cfg"]
    assert preset.repository == entry["hf_hub"].rstrip("/")
    assert preset.dim == config["embed_dim"]
    assert settings["image_size"] == config["vision_cfg"]["image_size"]
    assert settings["context_length"] == text["context_length"]
    for key in ("mean", "std", "interpolation", "resize_mode"):
        assert settings[key] == entry[key], key
    assert settings["tokenizer"] == text.get("hf_tokenizer_name", "simple")
    default = "lower" if settings["tokenizer"] == "simple" else "whitespace"
    assert settings["cleaning"] == text.get("tokenizer_kwargs", {}).get("clean", default)
    assert entry.get("quick_gelu", False) == config.get("quick_gelu", False)


@pytest.mark.parametrize("name", OPEN_CLIP_ROWS)
def test_parameters_are_those_of_the_architecture(name: str) -> None:
    config = open_clip.get_model_config(PRESETS[name].settings["model"])
    kind = open_clip.CustomTextCLIP if config.pop("custom_text", False) else open_clip.CLIP
    with torch.device("meta"):
        model = kind(**config)
    assert PRESETS[name].parameters == sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("name", "model", "config"), [("clip-vit-b32", CLIPModel, CLIPConfig()), ("align-base", AlignModel, AlignConfig())]
)
def test_transformers_rows_are_the_libraries_defaults(name: str, model: Any, config: Any) -> None:
    """The default configurations are those of the two checkpoints, as their docstrings say."""
    preset = PRESETS[name]
    with torch.device("meta"):
        built = model(config)
    assert preset.parameters == sum(parameter.numel() for parameter in built.parameters())
    assert preset.dim == config.projection_dim
    if name == "clip-vit-b32":
        defaults = CLIPImageProcessor()
        assert list(preset.settings["mean"]) == pytest.approx(defaults.image_mean)
        assert list(preset.settings["std"]) == pytest.approx(defaults.image_std)
        assert preset.settings["context_length"] == config.text_config.max_position_embeddings
        assert preset.settings["image_size"] == config.vision_config.image_size == defaults.crop_size["height"]
        assert preset.settings["scale"] == 100.0
    else:
        from transformers import AlignProcessor, EfficientNetImageProcessor

        assert preset.settings["context_length"] == AlignProcessor.text_kwargs["max_length"]
        assert preset.settings["padding"] == AlignProcessor.text_kwargs["padding"]
        assert preset.settings["image_size"] == EfficientNetImageProcessor.crop_size["height"]


@pytest.mark.parametrize("name", ["demo-visual", "demo-non-visual", "demo-spurious"])
def test_demo_rows_are_what_is_shipped(name: str) -> None:
    preset, vlm = PRESETS[name], load_vlm(name, {})
    assert preset.dim == vlm.dim
    assert preset.value("context_length") == vlm.context_length
    assert preset.value("image_size") == vlm._model.config.image_size  # type: ignore[attr-defined]
    assert preset.parameters == sum(p.numel() for p in vlm._model.parameters())  # type: ignore[attr-defined]


def test_tokenizers_are_built_as_open_clip_builds_them(open_clip_folder: Path, tmp_path: Path) -> None:
    texts = ["A photo of a DOG!", "stripes, red & white", "word " * 100]
    clipa = tiny.save_open_clip_kind(tmp_path / "clipa", "clipa")
    siglip = tiny.save_open_clip_kind(tmp_path / "siglip", "siglip")
    for folder, length, kind in (
        (open_clip_folder, 77, SimpleTokenizer),
        (clipa, 24, HFTokenizer),
        (siglip, 24, HFTokenizer),
    ):
        source = openclip_source.find(f"local-dir:{folder}", None, None)
        ours = openclip_source.load_tokenizer(source, length).call
        assert type(ours) is kind
        assert torch.equal(ours(texts), open_clip.get_tokenizer(f"local-dir:{folder}")(texts))


# --- names and settings -----------------------------------------------------------------------------------------------


def test_a_name_never_picks_a_backend() -> None:
    with pytest.raises(UserError, match=r"vlm.name: unknown 'clip-vit-b23'\. Did you mean 'clip-vit-b32'\?"):
        vlm_problems("clip-vit-b23", {}, "vlm")
    (problem,) = vlm_problems("clip-vit-b32", {"imagesize": 3}, "vlm")
    assert problem.startswith("vlm: unknown 'imagesize'. Did you mean 'image_size'? Available: batch_size, context_le")
    assert "vlm: 'model' is missing; 'HuggingFaceVLM' cannot do without it." in vlm_problems("huggingface", {}, "vlm")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "ViT-B-23"}, r"vlm.model: unknown 'ViT-B-23'\. Did you mean 'ViT-B-32'"),
        ({"model": "ViT-B-32"}, r"vlm.pretrained: missing; tags of ViT-B-32: openai, laion400m_e31"),
        ({"model": "ViT-B-32", "pretrained": "laion2b"}, r"vlm.pretrained: unknown 'laion2b'.*Or a file\."),
        (
            {"model": "ViT-B-32", "pretrained": "openai"},
            r"'ViT-B-32' has another activation than 'openai' was trained with; give 'ViT-B-32-quickgelu'",
        ),
        (
            {"model": "hf-hub:org/name", "pretrained": "openai"},
            r"'openai' has no meaning with 'hf-hub:org/name', which brings its own weights",
        ),
        ({"model": "local-dir:/nowhere"}, r"vlm.model: no open_clip_config.json in '/nowhere'"),
    ],
)
def test_open_clip_names_are_checked_before_anything_is_loaded(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_vlm("open_clip", {"context_length": 77, "image_size": 224, **settings})


@pytest.mark.parametrize(
    ("pin", "message"),
    [
        ({"image_size": 48}, r"image_size is 48, but the checkpoint's preprocessing gives 32×32"),
        ({"context_length": 77}, r"context_length is 77, but the text tower has 40 positions"),
        ({"scale": 50.0}, r"scale is 50, but the checkpoint's is 14\.28"),
        (
            {"mean": [0.5, 0.5, 0.5]},
            r"mean is \(0\.5, 0\.5, 0\.5\), .* is \(0\.4815, 0\.4578, 0\.4082\)",
        ),
        (
            {"std": [0.5, 0.5, 0.5]},
            r"std is \(0\.5, 0\.5, 0\.5\), .* is \(0\.2686, 0\.2613, 0\.2758\)",
        ),
        ({"interpolation": "bilinear"}, r"interpolation is bilinear, but the checkpoint's is bicubic"),
    ],
)
def test_a_checkpoint_that_differs_from_its_preset_is_an_error(clip: Path, pin: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_vlm("huggingface", {"model": str(clip), **CLIP, **pin})


def test_all_differences_are_told_at_once(open_clip_folder: Path) -> None:
    settings = {
        "model": f"local-dir:{open_clip_folder}",
        "context_length": 64,
        "image_size": 64,
        "tokenizer": "bert-base-uncased",
        "cleaning": "canonicalize",
        "mean": [0.5] * 3,
        "scale": 100.0,
        "device": "cpu",
    }
    with pytest.raises(UserError) as caught:
        load_vlm("open_clip", settings)
    for clause in (
        "image_size is 64, but the model's is 32×32",
        "context_length is 64, but the model's is 77",
        "tokenizer is bert-base-uncased, but the checkpoint's is simple",
        "cleaning is canonicalize, but the checkpoint's is lower",
        "mean is (0.5, 0.5, 0.5), but the checkpoint's is (0.48, 0.46, 0.41)",
        "scale is 100, but the checkpoint's is 14.28",
    ):
        assert clause in str(caught.value)


def test_a_language_model_is_no_vlm(mistral: Path) -> None:
    with pytest.raises(UserError, match="is a mistral, not an image-text dual encoder"):
        load_vlm("huggingface", {"model": str(mistral), **CLIP})


def test_normalization_is_measured_by_hand() -> None:
    # Black gives -mean/std = -1, white (1 - mean)/std = 3: std = 1/4, mean = 1/4.
    found = measured_normalization(lambda image: torch.full((3, 2, 2), -1.0 + 4 * (image.getpixel((0, 0))[0] > 0)), 8)
    assert found.mean == pytest.approx((0.25,) * 3)
    assert found.std == pytest.approx((0.25,) * 3)


def test_alignment_of_declared_and_measured_normalization_for_align(tmp_path: Path) -> None:
    """ALIGN rescales to [-1, 1] instead of normalising: mean and deviation 0.5."""
    folder = tiny.save_align(tmp_path / "align")
    vlm: Any = load_vlm("huggingface", {"model": str(folder), **CLIP, "context_length": 64, "image_size": 64})
    assert vlm.normalization.mean == pytest.approx((0.5,) * 3)
    assert vlm.normalization.std == pytest.approx((0.5,) * 3)
    assert vlm.pixels(Image.new("RGB", (9, 9), "white")).max().item() == pytest.approx(1.0)


def test_weights_from_a_file_take_the_preprocessing_that_is_given(tmp_path: Path) -> None:
    """A tag or a folder brings its own; a bare file does not."""
    path = tmp_path / "weights.safetensors"
    torch.manual_seed(0)
    config = {
        "embed_dim": 8,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 8, "patch_size": 16},
    }
    config["text_cfg"] = {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
    (tmp_path / "tiny-ex2.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path / "tiny-ex2.json")
    save_file({key: value.contiguous() for key, value in open_clip.CLIP(**config).state_dict().items()}, path)
    settings = {"model": "tiny-ex2", "pretrained": str(path), "context_length": 16, "image_size": 32, "device": "cpu"}
    vlm: Any = load_vlm("open_clip", {**settings, "mean": [0.4] * 3, "std": [0.2] * 3, "resize_mode": "squash"})
    measured = vlm.measured_normalization()
    assert measured.mean == pytest.approx([0.4] * 3, abs=1e-6)
    assert measured.std == pytest.approx([0.2] * 3, abs=1e-6)


# --- weights that are not there ---------------------------------------------------------------------------------------


def copy_without(source: Path, target: Path, lost: str) -> Path:
    target.mkdir()
    for file in source.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    (weights,) = target.glob("*.safetensors")
    tensors = load_file(weights)
    del tensors[lost]
    save_file(tensors, weights, metadata={"format": "pt"})
    return target


@pytest.mark.parametrize(
    ("save", "lost", "settings"),
    [
        (tiny.save_clip, "visual_projection.weight", CLIP),
        (tiny.save_clip, "logit_scale", CLIP),
        (tiny.save_siglip, "logit_bias", {"context_length": 24, "image_size": 32, "padding": "max_length"}),
        (
            tiny.save_align,
            "vision_model.encoder.blocks.0.projection.project_bn.running_mean",
            {"context_length": 64, "image_size": 64},
        ),
    ],
)
def test_weights_and_buffers_that_are_missing_are_an_error_not_a_warning(
    save: Callable[[Path], Path], lost: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    folder = copy_without(save(tmp_path / "whole"), tmp_path / "part", lost)
    with pytest.raises(
        UserError, match=rf"lacks 1 weights of a \w+ \({re.escape(lost)}, …\); it would be a half random"
    ):
        load_vlm("huggingface", {"model": str(folder), "device": "cpu", **settings})


@pytest.mark.parametrize(
    ("lost", "message"),
    [
        ("visual.trunk.cls_token", r"cannot be loaded: .*Missing key\(s\).*visual\.trunk\.cls_token"),
        ("logit_bias", r"has a logit_bias, but its checkpoint brings none"),
    ],
)
def test_missing_open_clip_weights_are_an_error(lost: str, message: str, tmp_path: Path) -> None:
    folder = copy_without(tiny.save_open_clip_kind(tmp_path / "whole", "siglip"), tmp_path / "part", lost)
    with pytest.raises(UserError, match=message):
        load_vlm("open_clip", {"model": f"local-dir:{folder}", "context_length": 24, "image_size": 160})


def test_an_open_clip_folder_without_weights_is_an_error(open_clip_folder: Path, tmp_path: Path) -> None:
    config = (open_clip_folder / "open_clip_config.json").read_text()
    (tmp_path / "open_clip_config.json").write_text(config)
    with pytest.raises(UserError, match=r"Required pretrained weights .* could not be loaded"):
        load_vlm("open_clip", {"model": f"local-dir:{tmp_path}", "context_length": 77, "image_size": 32})


def test_fingerprint_follows_weights_preprocessing_text_settings_and_precision(clip: Path, tmp_path: Path) -> None:
    first = load_vlm("huggingface", {"model": str(clip), **CLIP}).fingerprint()
    assert load_vlm("huggingface", {"model": str(clip), **CLIP}).fingerprint() == first
    changes: list[dict[str, Any]] = [
        {"model": str(tiny.save_clip(tmp_path / "other", seed=1))},
        {"context_length": 30},
        {"padding": "max_length"},
        {"lowercase": True},
        {"dtype": "bfloat16"},
    ]
    for change in changes:
        assert load_vlm("huggingface", {"model": str(clip), **CLIP, **change}).fingerprint() != first, change
