"""Small checkpoints of the real classes, made on the spot: no hub is needed to test real loading code."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from tokenizers import decoders as token_decoders
from transformers import (
    AlignConfig,
    AlignModel,
    AlignTextConfig,
    AlignVisionConfig,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPTextConfig,
    CLIPVisionConfig,
    EfficientNetImageProcessorPil,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Siglip2Config,
    Siglip2ImageProcessorPil,
    Siglip2Model,
    Siglip2Tokenizer,
    SiglipConfig,
    SiglipImageProcessorPil,
    SiglipModel,
)


def byte_tokenizer(bos: str, eos: str, pad: str, *, right_padded: bool) -> PreTrainedTokenizerFast:
    """One token per byte, `bos … eos` around a text if padded on the right (a text tower), `bos …` otherwise."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    names = list(dict.fromkeys([pad, bos, eos]))
    vocabulary = {token: index for index, token in enumerate([*names, *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = token_decoders.ByteLevel()
    single = f"{bos} $A {eos}" if right_padded else f"{bos} $A"
    tokenizer.post_processor = processors.TemplateProcessing(
        single=single, special_tokens=[(bos, vocabulary[bos]), (eos, vocabulary[eos])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=bos,
        eos_token=eos,
        pad_token=pad,
        padding_side="right" if right_padded else "left",
    )


def text_tower_tokenizer(start: str, end: str, pad: str, **names: str) -> PreTrainedTokenizerFast:
    """One token per byte, ended by `end`, begun by `start` unless that is empty; `names` are its special tokens."""
    tokenizer = byte_tokenizer(start or end, end, pad, right_padded=True).backend_tokenizer
    single = f"{start} $A {end}".strip()
    special = [(token, tokenizer.token_to_id(token)) for token in dict.fromkeys([start or end, end])]
    tokenizer.post_processor = processors.TemplateProcessing(single=single, special_tokens=special)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=pad,
        padding_side="right",
        model_input_names=["input_ids"] if not start else ["input_ids", "token_type_ids", "attention_mask"],
        **names,
    )


def gemma_tokenizer() -> Siglip2Tokenizer:
    """One token per printable ASCII character, lower-cased, ended by `<eos>`, padded on the right without a mask."""
    names = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "▁"]
    letters = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    vocabulary = {token: index for index, token in enumerate([*names, *letters])}
    tokenizer = Siglip2Tokenizer(vocab=vocabulary, padding_side="right", model_input_names=["input_ids"])
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="$A <eos>", special_tokens=[("<eos>", vocabulary["<eos>"])]
    )
    return tokenizer


def save_mistral(folder: Path, *, seed: int = 0, hidden: int = 32, layers: int = 2) -> Path:
    """Save a small MistralForCausalLM with a byte tokenizer."""
    torch.manual_seed(seed)
    tokenizer = byte_tokenizer("<s>", "</s>", "<pad>", right_padded=False)
    config = MistralConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        initializer_range=0.2,  # a frozen head with tiny weights could not be steered
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    MistralForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_clip(folder: Path, *, seed: int = 0, context_length: int = 40, image_size: int = 32) -> Path:
    """Save a small CLIPModel with a byte tokenizer and an image processor."""
    torch.manual_seed(seed)
    tokenizer = byte_tokenizer("<|startoftext|>", "<|endoftext|>", "<pad>", right_padded=True)
    text = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=context_length,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        projection_dim=24,
    )
    vision = CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        image_size=image_size,
        patch_size=8,
        projection_dim=24,
    )
    model = CLIPModel(CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=24))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    CLIPImageProcessor(
        size={"shortest_edge": image_size}, crop_size={"height": image_size, "width": image_size}
    ).save_pretrained(folder)
    return folder


def save_align(folder: Path, *, seed: int = 0) -> Path:
    """Save a small AlignModel: EfficientNet with batch statistics, BERT with dropout 0.1, a temperature, no bias."""
    torch.manual_seed(seed)
    tokenizer = text_tower_tokenizer("[CLS]", "[SEP]", "[PAD]", cls_token="[CLS]", sep_token="[SEP]")
    text = AlignTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=64,
    )
    vision = AlignVisionConfig(image_size=64, width_coefficient=0.25, depth_coefficient=0.3, hidden_dim=80)
    model = AlignModel(
        AlignConfig(
            text_config=text.to_dict(),
            vision_config=vision.to_dict(),
            projection_dim=80,  # the image tower's width: ALIGN projects texts only
            temperature_init_value=0.07,
        )
    )
    _spread(model)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    # As published: pixels / 127.5 − 1, no further normalisation, the middle of a larger square.
    EfficientNetImageProcessorPil(
        size={"height": 76, "width": 76},
        crop_size={"height": 64, "width": 64},
        do_center_crop=True,
        rescale_factor=1 / 127.5,
        rescale_offset=True,
        do_normalize=False,
        include_top=False,
        resample=Image.Resampling.BILINEAR,
    ).save_pretrained(folder)
    return folder


def save_siglip(folder: Path, *, seed: int = 0, naflex: bool = False) -> Path:
    """Save a small SiglipModel or, with `naflex`, Siglip2Model: read at the last position, with scale and bias."""
    torch.manual_seed(seed)
    tokenizer = gemma_tokenizer() if naflex else text_tower_tokenizer("", "</s>", "</s>", eos_token="</s>")
    size = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    text = {**size, "vocab_size": len(tokenizer), "max_position_embeddings": 24, "projection_size": 32}
    text |= {"bos_token_id": None, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    if naflex:
        patches = {"patch_size": 8, "num_patches": 16}
        model: PreTrainedModel = Siglip2Model(Siglip2Config(text_config=text, vision_config={**size, **patches}))
        processor = Siglip2ImageProcessorPil(patch_size=8, max_num_patches=16)
    else:
        vision = {**size, "image_size": 32, "patch_size": 8}
        model = SiglipModel(SiglipConfig(text_config=text, vision_config=vision))
        processor = SiglipImageProcessorPil(size={"height": 32, "width": 32})
    _spread(model)
    with torch.no_grad():
        model.logit_scale.fill_(4.7)
        model.logit_bias.fill_(-12.9)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _spread(model: torch.nn.Module) -> None:
    """Draw weights with a gain near 1 and uneven batch statistics: libraries' own draws fade out in small models."""
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name.endswith("running_mean"):
                tensor.uniform_(-0.2, 0.2)
            elif name.endswith("running_var"):
                tensor.uniform_(0.5, 1.5)
            elif tensor.ndim >= 2:
                tensor.normal_(0, 1.2 * (tensor.shape[0] / tensor.numel()) ** 0.5)


def save_open_clip_kind(folder: Path, kind: str, *, seed: int = 0) -> Path:
    """Save a small open_clip model as a `local-dir:` checkpoint.

    Args:
        folder: Where it goes.
        kind: `siglip` (timm image tower, bias, canonicalised text, read at the last position), `clipa` (BERT tokens
            without the end token, mean pooling) or `timm` (the towers of EVA, MobileCLIP and PE: timm and a text
            tower of its own).
        seed: Of the weights.
    """
    import open_clip
    from safetensors.torch import save_file

    vision = {"image_size": 160, "timm_model_name": "test_vit", "timm_pool": "token", "timm_proj": "linear"}
    text: dict[str, object] = {"context_length": 24, "vocab_size": 300, "width": 64, "heads": 4, "layers": 2}
    config: dict[str, object] = {"embed_dim": 48, "vision_cfg": vision, "custom_text": True}
    preprocess = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"}
    tokenizer = None
    if kind == "siglip":
        tokenizer = text_tower_tokenizer("", "</s>", "</s>", eos_token="</s>")
        config["init_logit_bias"] = -10
        cleaning = {"tokenizer_kwargs": {"clean": "canonicalize"}}
        text |= {"no_causal_mask": True, "proj_bias": True, "pool_type": "last", "hf_tokenizer_name": "own", **cleaning}
    elif kind == "clipa":
        tokenizer = text_tower_tokenizer("[CLS]", "[SEP]", "[PAD]", cls_token="[CLS]", sep_token="[SEP]")
        config["custom_text"] = False
        config["vision_cfg"] = {"image_size": 32, "layers": 2, "width": 64, "head_width": 16, "patch_size": 8}
        config["vision_cfg"] |= {"no_ln_pre": True, "pool_type": "avg", "final_ln_after_pool": True}
        stripping = {"tokenizer_kwargs": {"strip_sep_token": True}}
        text |= {"no_causal_mask": True, "pool_type": "last", "hf_tokenizer_name": "own", **stripping}
        preprocess |= {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "interpolation": "bilinear"}
    else:
        text["vocab_size"] = 49408
    config["text_cfg"] = text
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}))
    torch.manual_seed(seed)
    custom = config.pop("custom_text")
    model = (open_clip.CustomTextCLIP if custom else open_clip.CLIP)(**config)
    save_file(
        {key: value.contiguous() for key, value in model.state_dict().items()}, folder / "open_clip_model.safetensors"
    )
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)
    return folder


def put_in_hub_cache(cache: Path, repository: str, checkpoint: Path, commit: str) -> Path:
    """Lay a checkpoint out as the hub client does after a download of `main`; return the snapshot's folder."""
    root = cache / f"models--{repository.replace('/', '--')}"
    snapshot = root / "snapshots" / commit
    snapshot.mkdir(parents=True)
    for file in checkpoint.iterdir():
        (snapshot / file.name).write_bytes(file.read_bytes())
    if not (snapshot / "config.json").exists():  # asked for by tokenizers; the client notes that there is none
        (root / ".no_exist" / commit).mkdir(parents=True)
        (root / ".no_exist" / commit / "config.json").touch()
    (root / "refs").mkdir(exist_ok=True)
    (root / "refs" / "main").write_text(commit)
    return snapshot


def save_open_clip(folder: Path, *, seed: int = 0) -> Path:
    """Save a small open_clip CLIP as a `local-dir:` checkpoint."""
    import open_clip
    from safetensors.torch import save_file

    model_cfg = {
        "embed_dim": 24,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 8, "patch_size": 8},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 4, "layers": 2},
    }
    folder.mkdir(parents=True, exist_ok=True)
    preprocess = {"mean": [0.48, 0.46, 0.41], "std": [0.27, 0.26, 0.28], "size": [32, 32]}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": model_cfg, "preprocess_cfg": preprocess}))
    torch.manual_seed(seed)
    model = open_clip.model.CLIP(**{**model_cfg, "vision_cfg": model_cfg["vision_cfg"]})
    save_file(
        {key: value.contiguous() for key, value in model.state_dict().items()}, folder / "open_clip_model.safetensors"
    )
    return folder


def save_image_folder(root: Path, classes: int = 4, reward: int = 3, test: int = 2) -> Path:
    """Save noise images as `root/{reward,test}/class_N/*.png`."""
    random = np.random.default_rng(0)
    for split, count in (("reward", reward), ("test", test)):
        for label in range(classes):
            folder = root / split / f"class_{label}"
            folder.mkdir(parents=True)
            for index in range(count):
                Image.fromarray(random.integers(0, 256, (40, 48, 3), dtype=np.uint8)).save(folder / f"{index}.png")
    return root


def write_recipe(path: Path, text: str) -> Path:
    """Write a recipe and return its path."""
    path.write_text(text)
    return path
