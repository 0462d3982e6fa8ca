"""Splits of datasets that have none of their own: drawn by a seed, each class apart."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from ex2.data.datasets.base import ImageFile
from reward.errors import UserError

RULE = "each class's files in the order of the SHA-256 of 'seed/class/file name', cut into the splits one after another"
"""How a split is drawn, for docs and messages."""


def drawn_splits(
    files: Sequence[Sequence[Path]], sizes: Mapping[str, Sequence[int | None]], seed: int, where: str
) -> dict[str, list[ImageFile]]:
    """Cut every class's files into splits, in the order of the SHA-256 of `seed/class/file name`.

    A file's place depends on the seed, its class and its name alone, so that the order in which a file system lists
    files makes no difference, and another class that is missing or renamed changes nothing.

    Args:
        files: The files of each class, in label order; a class is named by its files' folder.
        sizes: Split → how many files of each class it gets, in label order; None takes those that are left.
        seed: Of the drawing.
        where: The dataset's folder, for messages.

    Raises:
        UserError: If a class has fewer files than the splits ask for; one message names the first such classes.
    """
    short = []
    drawn: dict[str, list[ImageFile]] = {split: [] for split in sizes}
    for label, paths in enumerate(files):
        asked = sum(counts[label] or 0 for counts in sizes.values())
        if len(paths) < asked:
            name = paths[0].parent.name if paths else f"label {label}"
            short.append(f"{name} has {len(paths)} of at least {asked}")
        ranked = sorted(paths, key=lambda path: _rank(path, seed))
        start = 0
        for split, counts in sizes.items():
            count = counts[label]
            end = len(ranked) if count is None else start + count
            drawn[split] += [ImageFile(path, label) for path in ranked[start:end]]
            start = end
    if short:
        more = f" ({len(short)} classes in all)" if len(short) > 3 else ""
        raise UserError(
            f"{where}: too few images to draw {' and '.join(sizes)}: {'; '.join(short[:3])}{more}. Unpack the official "
            "archive again."
        )
    return drawn


def _rank(path: Path, seed: int) -> str:
    return hashlib.sha256(f"{seed}/{path.parent.name}/{path.name}".encode()).hexdigest()
