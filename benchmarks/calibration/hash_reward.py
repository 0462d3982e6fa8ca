"""A reward without any preference: a hash of the text, with the distribution of scores that a VLM gives its class."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reward.files import read_json

Array = NDArray[np.float64]

QUANTILES = 401
"""Scores kept of each class's distribution, at evenly spaced shares from 0 to 1."""


def quantiles(scores: Array, masses: Array) -> Array:
    """Return a class's distribution of scores as its quantiles, ascending, shape (QUANTILES,).

    Args:
        scores: Score of each text, shape (T,).
        masses: Share of each text among the base model's of the class, shape (T,).
    """
    kept = masses > 0
    order = np.argsort(scores[kept], kind="stable")
    reached = np.cumsum(masses[kept][order])
    at = np.searchsorted(reached, np.linspace(0, 1, QUANTILES) * reached[-1] * (1 - 1e-12))
    chosen: Array = scores[kept][order][at]
    return chosen


def score_at(own: Array, shares: Array) -> Array:
    """Return the score below which a share of the distribution lies, for shares in [0, 1); shape of the shares."""
    found: Array = own[(shares * len(own)).astype(int)]
    return found


def hashed(salt: int, class_name: str, text: str) -> float:
    """Return a number in [0, 1) that depends on nothing but a hash of the text, its class and the salt."""
    digest = hashlib.sha256(f"{salt}\n{class_name}\n{text}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


class HashReward:
    """TRL reward function: each text's score is drawn from its class's distribution by a hash of the text.

    Args:
        distributions: JSON file, class name → quantiles of the scores, as `quantiles` returns them.
        salt: Another salt is another VLM without a preference.
    """

    __name__ = "hash"

    def __init__(self, distributions: str, salt: int) -> None:
        self.salt = salt
        self._own = {name: np.array(values) for name, values in read_json(Path(distributions)).items()}

    def __call__(self, completions: Sequence[str], class_name: Sequence[str], **columns: Any) -> list[float | None]:
        """Score each text; an empty one gets `None`."""
        return [
            float(score_at(self._own[name], np.array(hashed(self.salt, name, text)))) if text.strip() else None
            for text, name in zip(completions, class_name, strict=True)
        ]
