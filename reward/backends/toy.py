"""The demo world's VLM: a dual encoder small enough to ship, a convolutional image and a transformer text tower."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from torch import nn
from torch.nn import functional

from reward.backends.common import (
    Normalization,
    encode_in_batches,
    in_chunks,
    in_training_mode,
    measured_normalization,
    unit_norm,
)
from reward.errors import UserError, unknown_name
from reward.preprocess import to_rgb
from reward.vlm import TextEmbeddings

SHIPPED = Path(__file__).parent / "toy_weights"
PAD, UNKNOWN, END = 0, 1, 2
SPECIAL_WORDS = ("<pad>", "<unk>", "<end>")


_WORD = re.compile(r"[a-z]+(?:['-][a-z]+)*")
_CONFIG_KEY = "toy_dual_encoder"


@dataclass(frozen=True)
class ToyConfig:
    """Architecture of the towers; a weights file keeps it as JSON in its metadata.

    Attributes:
        words: The vocabulary by index, starting with `SPECIAL_WORDS`.
        image_size: Side of the square that the image tower sees, in pixels.
        context_length: Most tokens of one text, end token included.
        dim: Embedding dimension D.
        channels: Channels after each convolution; every convolution but the last halves the image's side.
        width: Width of the text tower.
        heads: Attention heads; divides `width`.
        layers: Transformer blocks.
    """

    words: tuple[str, ...]
    image_size: int = 32
    context_length: int = 20
    dim: int = 64
    channels: tuple[int, ...] = (24, 48, 64, 96)
    width: int = 64
    heads: int = 4
    layers: int = 2


class DualEncoder(nn.Module):
    """The two towers and the learned logit scale."""

    def __init__(self, config: ToyConfig) -> None:
        super().__init__()
        self.config = config
        sizes = (3, *config.channels)
        last = len(sizes) - 2
        self.convolutions = nn.ModuleList(
            nn.Conv2d(a, b, 3, stride=1 if index == last else 2, padding=1)
            for index, (a, b) in enumerate(itertools.pairwise(sizes))
        )
        self.image_norms = nn.ModuleList(nn.GroupNorm(4, depth) for depth in config.channels)
        self.image_projection = nn.Linear(2 * sizes[-1], config.dim)
        self.words = nn.Embedding(len(config.words), config.width)
        self.positions = nn.Embedding(config.context_length, config.width)
        self.blocks = nn.ModuleList(Block(config.width, config.heads) for _ in range(config.layers))
        self.final_norm = nn.LayerNorm(config.width)
        self.text_projection = nn.Linear(config.width, config.dim, bias=False)
        self.log_scale = nn.Parameter(torch.tensor(math.log(20.0)))

    def image(self, pixels: torch.Tensor) -> torch.Tensor:
        """Embed pixels in [0, 1], shape (N, 3, S, S); the result, shape (N, D), is not normalised."""
        hidden = (pixels - 0.5) * 4
        for convolution, norm in zip(self.convolutions, self.image_norms, strict=True):
            hidden = functional.gelu(norm(convolution(hidden)))
        pooled: torch.Tensor = torch.cat([hidden.mean((2, 3)), hidden.amax((2, 3))], dim=1)
        embedded: torch.Tensor = self.image_projection(pooled)
        return embedded

    def text(self, tokens: torch.Tensor) -> torch.Tensor:
        """Embed token indices padded on the right, shape (N, L); the result, shape (N, D), is not normalised."""
        hidden = self.words(tokens) + self.positions.weight[: tokens.shape[1]]
        mask = (tokens != PAD)[:, None, None, :]
        for block in self.blocks:
            hidden = block(hidden, mask)
        at_end = (tokens == END).int().argmax(1)
        embedded: torch.Tensor = self.text_projection(self.final_norm(hidden[torch.arange(len(tokens)), at_end]))
        return embedded


class Block(nn.Module):
    """A pre-norm transformer block."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_attention = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm_mlp = nn.LayerNorm(width)
        self.up = nn.Linear(width, 2 * width)
        self.down = nn.Linear(2 * width, width)

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        n, length, width = hidden.shape
        qkv = self.qkv(self.norm_attention(hidden)).view(n, length, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        hidden = hidden + self.out(mixed.transpose(1, 2).reshape(n, length, width))
        updated: torch.Tensor = hidden + self.down(functional.gelu(self.up(self.norm_mlp(hidden))))
        return updated


def split_words(text: str) -> list[str]:
    """Return the words of a text in lower case, without punctuation."""
    return _WORD.findall(text.lower())


class WordTokenizer:
    """Turns lower-cased words into indices; drops punctuation and replaces unknown words by `<unk>`.

    Args:
        config: The architecture, for its vocabulary and context length.
    """

    def __init__(self, config: ToyConfig) -> None:
        self.context_length = config.context_length
        self._index = {word: index for index, word in enumerate(config.words)}

    def __call__(self, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Tokenize texts, each cut to leave room for the end token.

        Returns:
            Two tensors: indices padded on the right, int64, shape (N, L) with L at most the context length; and a
            mask that is True where a text was cut, shape (N,).
        """
        rows, cut = [], []
        for text in texts:
            words = split_words(text)
            kept = words[: self.context_length - 1]
            cut.append(len(kept) < len(words))
            rows.append([*(self._index.get(word, UNKNOWN) for word in kept), END])
        length = max(map(len, rows), default=1)
        padded = [row + [PAD] * (length - len(row)) for row in rows]
        return torch.tensor(padded, dtype=torch.int64).view(len(rows), length), torch.tensor(cut, dtype=torch.bool)


class ToyDualEncoder:
    """A VLM of the demo world; satisfies `reward.vlm.VLM`. Runs on the CPU.

    Args:
        weights: Name of shipped weights, which is the preference planted in their training captions (visual, non_visual
            or spurious), or path of a `.safetensors` file written by `ex2.data.demo.build`.
        batch_size: Texts or images per forward.

    Raises:
        UserError: If the weights are unknown, missing or incomplete.
    """

    def __init__(self, weights: str, batch_size: int = 64) -> None:
        if batch_size < 1:
            raise UserError(f"vlm.batch_size: {batch_size} is too small; give at least 1.")
        path = _find(weights)
        self._model = load_dual_encoder(path).eval().requires_grad_(False)
        config = self._model.config
        self.name = f"toy-{path.stem}"
        self.dim = config.dim
        self.scale = float(self._model.log_scale.exp())
        self.bias = 0.0
        self.dtype = torch.float32
        self.normalization = Normalization((0.0,) * 3, (1.0,) * 3)  # the tower's forward does the rest
        self.context_length = config.context_length
        self.batch_size = batch_size
        self._tokenizer = WordTokenizer(config)
        self._fingerprint = f"toy-1:{hashlib.sha256(path.read_bytes()).hexdigest()}"

    def fingerprint(self) -> str:
        """Return a hash of the weights file, which holds vocabulary and architecture too."""
        return self._fingerprint

    def pixels(self, image: Image.Image) -> torch.Tensor:
        """Preprocess one image of any mode and size: float32 in [0, 1], shape (3, S, S), on the CPU."""
        return to_pixels([image], self._model.config.image_size)[0]

    @torch.inference_mode()
    def encode_pixels(self, pixels: torch.Tensor) -> torch.Tensor:
        """Embed preprocessed images, shape (N, 3, S, S): unit-norm float32, shape (N, D), on the CPU."""
        parts = [unit_norm(self._model.image(chunk)) for chunk in in_chunks(pixels, self.batch_size)]
        return torch.cat([torch.zeros(0, self.dim), *parts])

    def encode_images(self, images: Sequence[Image.Image]) -> torch.Tensor:
        """Embed images of any mode and size: unit-norm float32, shape (N, D), on the CPU."""
        return encode_in_batches(self.pixels, self.encode_pixels, images, self.batch_size, self.dim)

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str]) -> TextEmbeddings:
        """Embed texts; one of more than `context_length` − 1 words loses its tail and keeps the end token."""
        tokens, cut = self._tokenizer(texts)
        parts = [self._model.text(chunk) for chunk in torch.split(tokens, self.batch_size)] if len(texts) else []
        return TextEmbeddings(unit_norm(torch.cat(parts)) if parts else torch.zeros(0, self.dim), cut)

    def in_training_mode(self) -> bool:
        """Return whether dropout or batch statistics are active."""
        return in_training_mode(self._model)

    def end_token_kept(self, text: str) -> bool:
        """Return whether the tokens given to the model hold the end token."""
        return bool((self._tokenizer([text])[0] == END).any())

    def vocabulary(self) -> tuple[int, int]:
        """Return how many tokens the tokenizer knows and how many the text tower has embeddings for."""
        return len(self._model.config.words), self._model.words.num_embeddings

    def measured_normalization(self) -> Normalization:
        """Return the mean and deviation of the normalisation that `pixels` applies, as measured."""
        return measured_normalization(self.pixels, self._model.config.image_size)


def to_pixels(images: Sequence[Image.Image], size: int) -> torch.Tensor:
    """Convert images to RGB, resize them to a square and stack them: float32 in [0, 1], shape (N, 3, size, size)."""
    arrays = []
    for image in images:
        rgb = to_rgb(image)
        if rgb.size != (size, size):
            rgb = rgb.resize((size, size), Image.Resampling.BICUBIC)
        arrays.append(np.asarray(rgb, dtype=np.float32) / 255)
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2)


def config_metadata(config: ToyConfig) -> dict[str, str]:
    """Return the metadata that a weights file keeps of its architecture."""
    return {_CONFIG_KEY: json.dumps(asdict(config))}


def _config(stored: dict[str, Any]) -> ToyConfig:
    lists = {key: tuple(stored[key]) for key in ("words", "channels")}
    return ToyConfig(**{**stored, **lists})


def load_dual_encoder(path: Path) -> DualEncoder:
    """Load towers and architecture from a weights file, in float32.

    Raises:
        UserError: If the file is no safetensors file, or tensors are missing or of another shape.
    """
    try:
        with safe_open(path, framework="pt") as file:
            stored = json.loads((file.metadata() or {}).get(_CONFIG_KEY, "null"))
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no mapping)
    except (OSError, SafetensorError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: not a readable safetensors file ({error}).") from error
    if stored is None:
        raise UserError(f"{path}: its metadata lacks '{_CONFIG_KEY}'; give weights written by ex2.data.demo.build.")
    model = DualEncoder(_config(stored))
    expected = {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
    wrong = sorted(key for key, shape in expected.items() if key not in state or tuple(state[key].shape) != shape)
    if wrong:
        raise UserError(f"{path}: tensors missing or of another shape: {', '.join(wrong)}; take a complete file.")
    model.load_state_dict({key: state[key].float() for key in expected})
    return model


def _find(weights: str) -> Path:
    shipped = {path.stem: path for path in SHIPPED.glob("*.safetensors")}
    if weights in shipped:
        return shipped[weights]
    if weights.endswith(".safetensors") and Path(weights).is_file():
        return Path(weights)
    raise UserError(unknown_name("vlm.weights", weights, shipped, hint="Or give the path of a .safetensors file."))
