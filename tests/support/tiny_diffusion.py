"""A tiny Stable Diffusion of the real classes with random weights, and a text encoder, both made on the spot."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertModel, CLIPTextConfig, CLIPTextModel, CLIPTokenizer, PreTrainedTokenizerFast

from ex2.sets.requests import DrawRequest, image_seed

WORDS = ("a", "an", "photo", "of", "zorb", "blick", "object", "red", "blue", "blurry", "in", "the", "style", "very")
SIDE = 32
CONTEXT = 16


def clip_tokenizer(context: int = CONTEXT) -> CLIPTokenizer:
    """CLIP's own tokenizer with a vocabulary of bytes and of `WORDS`, one token each."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*letters, *(f"{letter}</w>" for letter in letters)]
    merges: list[tuple[str, str]] = []
    for word in WORDS:
        parts = [*word[:-1], f"{word[-1]}</w>"]
        while len(parts) > 1:
            pair = (parts[0], parts[1])
            if pair not in merges:
                merges.append(pair)
                tokens.append("".join(pair))
            parts = ["".join(pair), *parts[2:]]
    tokens = [*dict.fromkeys(tokens), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: place for place, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=context)


def save_stable_diffusion(folder: Path, *, seed: int = 0, prediction: str = "epsilon", **changes: Any) -> Path:
    """Save a StableDiffusionPipeline that draws images of 32 × 32 points: 16 × 16 latents, two blocks of a VAE."""
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel

    torch.manual_seed(seed)
    tokenizer = clip_tokenizer()
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=37,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=CONTEXT,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            initializer_factor=20.0,  # or no word would change an image of random weights
        )
    )
    unet = UNet2DConditionModel(
        block_out_channels=(16, 32),
        layers_per_block=1,
        sample_size=SIDE // 2,
        in_channels=4,
        out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=32,
        norm_num_groups=4,
        attention_head_dim=8,
    )
    with torch.no_grad():
        for name, weight in unet.named_parameters():
            if "attn2" in name:
                weight.mul_(3.0)  # likewise
    vae = AutoencoderKL(
        block_out_channels=(16, 16),
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D"),
        up_block_types=("UpDecoderBlock2D", "UpDecoderBlock2D"),
        latent_channels=4,
        norm_num_groups=4,
        sample_size=SIDE,
    )
    scheduler = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type=prediction,
    )
    parts = {
        "unet": unet,
        "scheduler": scheduler,
        "vae": vae,
        "text_encoder": text,
        "tokenizer": tokenizer,
        "safety_checker": None,
        "feature_extractor": None,
        **changes,
    }
    pipeline = StableDiffusionPipeline(**parts, requires_safety_checker=False)
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder


def save_sentence_encoder(folder: Path, words: tuple[str, ...] = WORDS, *, seed: int = 0) -> Path:
    """Save a small Bert whose tokenizer knows some words, as a sentence encoder's folder."""
    torch.manual_seed(seed)
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words]
    inner = Tokenizer(models.WordLevel({token: place for place, token in enumerate(tokens)}, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )
    config = BertConfig(
        vocab_size=len(tokens),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=4,
        intermediate_size=37,
        initializer_range=1.0,
    )
    BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_pool(folder: Path, rows: list[dict[str, Any]], name: str = "pool.jsonl") -> Path:
    """Write a pool's list."""
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_photos(folder: Path, colors: Mapping[str, tuple[int, int, int]], count: int, size: tuple[int, int]) -> Path:
    """Write pictures of each class, one color and noise each; `size` is height and width."""
    pixels = np.random.default_rng(0)
    for name, color in colors.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            noisy = np.array(color) + pixels.normal(0, 15, (*size, 3))
            Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(folder / name / f"{number}.png")
    return folder


def asked(index: int = 0, name: str = "zorb", prompt: str | None = None, **changes: Any) -> DrawRequest:
    """Return the request for an image of a class."""
    text = f"a photo of a {name}" if prompt is None else prompt
    given = {"class_name": name, "label": 0, "index": index, "prompt": text, "seed": image_seed(0, name, index)}
    return DrawRequest(**{**given, **changes})
