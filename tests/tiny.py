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
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPTextConfig,
    CLIPVisionConfig,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedTokenizerFast,
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
