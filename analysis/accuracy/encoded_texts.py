"""Texts as embeddings, each distinct one encoded once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path

import torch
from tqdm import tqdm

from analysis.accuracy.text_bank import TextBank
from reward.vlm import VLM

Keep = Callable[[Sequence[str], torch.Tensor], None]


class Texts:
    """Embeddings by text: each distinct text is encoded once, or not at all if the text bank has it.

    Args:
        vlm: The encoder.
        texts: Any number of texts; they may repeat.
        banks: Folder of text banks; with `None` no embedding is kept.
        batch_size: Texts per forward.

    Raises:
        EnvironmentFault: If the text bank cannot be read or written.
    """

    def __init__(self, vlm: VLM, texts: Iterable[str], *, banks: Path | None = None, batch_size: int = 256) -> None:
        unique = list(dict.fromkeys(texts))
        self._row = {text: row for row, text in enumerate(unique)}
        self._embeddings = torch.zeros(len(unique), vlm.dim)
        if banks is None:
            self._encode(vlm, unique, range(len(unique)), batch_size, lambda texts, embeddings: None)
            return
        with closing(TextBank(vlm, banks)) as bank:
            self._encode(vlm, unique, bank.get(unique, self._embeddings), batch_size, bank.put)

    def _encode(self, vlm: VLM, unique: Sequence[str], missing: Sequence[int], batch_size: int, keep: Keep) -> None:
        with tqdm(total=len(missing), desc="encode texts", unit="text", leave=False) as bar:
            for start in range(0, len(missing), batch_size):
                rows = list(missing[start : start + batch_size])
                batch = [unique[row] for row in rows]
                encoded = vlm.encode_texts(batch).embeddings
                self._embeddings[torch.tensor(rows)] = encoded
                keep(batch, encoded)
                bar.update(len(batch))

    def __getitem__(self, texts: Sequence[str]) -> torch.Tensor:
        """Return embeddings of the given texts, shape (len(texts), D)."""
        return self._embeddings[torch.tensor([self._row[text] for text in texts], dtype=torch.long)]
