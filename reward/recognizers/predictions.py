"""The classes that a recognizer finds likeliest on each image, kept by its fingerprint and the image's content."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from tqdm import tqdm

from reward.errors import UserError
from reward.files import append_jsonl, read_rows
from reward.images import LabeledImage
from reward.recognizers.base import Recognizer
from reward.records import Record

TOP = 5
"""Predictions that are kept of an image."""
KEPT_AT_ONCE = 256
"""Images whose predictions are written together, so that a measurement that was killed loses no more than these."""
NAMED_PROBLEMS = 10
"""Most unreadable images that one message names."""


@dataclass(frozen=True)
class Prediction(Record):
    """What a recognizer found on one image.

    Attributes:
        image: Hash of the image's content.
        top: Numbers of the likeliest classes, the likeliest first.
    """

    image: str
    top: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1, max_length=TOP)]


def top_classes(scores: torch.Tensor) -> NDArray[np.int64]:
    """Return the numbers of the likeliest classes, the first of equal ones first, shape (N, at most `TOP`).

    Args:
        scores: Score of each class, shape (N, C).

    Raises:
        ValueError: If scores are not finite.
    """
    values = scores.double().numpy()
    if not np.isfinite(values).all():
        raise ValueError("scores are not finite")
    return np.argsort(-values, axis=1, kind="stable")[:, :TOP].astype(np.int64)


def cached_top_classes(
    recognizer: Recognizer,
    images: Sequence[LabeledImage],
    digests: Sequence[str],
    *,
    cache: Path,
    progress: bool = False,
) -> NDArray[np.int64]:
    """Return the likeliest classes of each image; what is known of an image of the same content is not computed again.

    Args:
        recognizer: The recognizer.
        images: N images.
        digests: Their content hashes.
        cache: Folder of predictions, a file for each fingerprint.
        progress: Whether to show a bar.

    Returns:
        Numbers of classes, the likeliest first, shape (N, at most `TOP`).

    Raises:
        UserError: If images cannot be read or scores are not finite; what was found of others before is kept.
        EnvironmentFault: If the cache cannot be written.
    """
    path = cache / f"{hashlib.sha256(recognizer.fingerprint().encode()).hexdigest()[:32]}.jsonl"
    rows = read_rows(path, Prediction.from_json, what="prediction", remedy="delete the file, which is made anew")
    known = {row.image: row.top for row in rows}
    width, classes = min(TOP, len(recognizer.labels)), len(recognizer.labels)
    faulty = [row for row in rows if len(row.top) != width or max(row.top) >= classes]
    if faulty:
        raise UserError(f"{path}: predictions of no such recognizer as '{recognizer.name}'; delete the file.")
    first: dict[str, int] = {}
    for at, digest in enumerate(digests):
        if digest not in known:
            first.setdefault(digest, at)
    left = [*first.values()]
    problems: list[str] = []
    with tqdm(total=len(left), desc=recognizer.name, unit="img", disable=not progress or not left) as bar:
        for start in range(0, len(left), KEPT_AT_ONCE):
            part = left[start : start + KEPT_AT_ONCE]
            found = _predicted(recognizer, [images[at] for at in part], [digests[at] for at in part], problems)
            append_jsonl(path, [row.to_json() for row in found])
            known |= {row.image: row.top for row in found}
            bar.update(len(part))
    if problems:
        rest = len(problems) - NAMED_PROBLEMS
        more = [f"… and {rest} more images that cannot be recognized."] if rest > 0 else []
        raise UserError("\n".join([*problems[:NAMED_PROBLEMS], *more]))
    return np.array([known[digest] for digest in digests], dtype=np.int64).reshape(len(digests), width)


def _predicted(
    recognizer: Recognizer, images: Sequence[LabeledImage], digests: Sequence[str], problems: list[str]
) -> list[Prediction]:
    """Recognize images, a batch in memory at a time; add a line for each that cannot be."""
    made = []
    for start in range(0, len(images), recognizer.batch_size):
        opened, kept = [], []
        for image, digest in zip(
            images[start : start + recognizer.batch_size], digests[start : start + recognizer.batch_size], strict=True
        ):
            try:
                opened.append(image.open())
                kept.append((image.name, digest))
            except UserError as error:
                problems += str(error).splitlines()
        if not opened:
            continue
        scores = recognizer.scores(opened)
        finite = torch.isfinite(scores).all(1)
        problems += [
            f"{name}: the scores of '{recognizer.name}' are not finite; look at the image and the weights."
            for (name, _), good in zip(kept, finite.tolist(), strict=True)
            if not good
        ]
        good = [digest for (_, digest), is_finite in zip(kept, finite.tolist(), strict=True) if is_finite]
        tops = top_classes(scores[finite])
        made += [Prediction(digest, tuple(top)) for digest, top in zip(good, tops.tolist(), strict=True)]
    return made
