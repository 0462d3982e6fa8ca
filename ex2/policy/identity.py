"""The identity of the policy's model: which commit of the hub, or a hash of the files of a folder."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from ex2.policy.loading import resolve_model
from ex2.policy.source import ModelSource
from reward.revisions import cached_commit

WHOLE = 256 << 20
"""Size in bytes up to which a file is hashed whole. Of a larger one, whose reading would take longer than all else
before a run, `PIECES` pieces are."""
PIECES, PIECE = 64, 1 << 16


def policy_identity(source: ModelSource) -> str:
    """Return what tells a model apart from others of the same name.

    Args:
        source: Where the model comes from.

    Returns:
        `NAME@COMMIT` of a model of the hub, `NAME` if its commit is not known; else 16 hexadecimal digits, a hash of
        the names, sizes and contents of a folder's files.

    Raises:
        UserError: If the folder or package does not exist.
    """
    path = resolve_model(source.model, source.named_in)
    folder = Path(path)
    if not folder.is_dir():
        commit = cached_commit(path, source.revision)
        return path if commit is None else f"{path}@{commit}"
    state = hashlib.sha256()
    wanted = [folder / source.gguf_file] if source.gguf_file else sorted(folder.iterdir())
    for file in (file for file in wanted if file.is_file() and file.name not in UNREAD):
        state.update(f"{file.name}:{file.stat().st_size}\n".encode())
        for piece in _pieces(file):
            state.update(piece)
    return state.hexdigest()[:16]


UNREAD = {"README.md", ".gitattributes"}
"""Files of a model's folder that no loader reads."""


def _pieces(file: Path) -> Iterator[bytes]:
    size = file.stat().st_size
    with file.open("rb") as content:
        if size <= WHOLE:
            while piece := content.read(1 << 20):
                yield piece
            return
        for number in range(PIECES):
            content.seek((size - PIECE) * number // (PIECES - 1))
            yield content.read(PIECE)
