"""Completions as TRL passes them to a reward: plain strings, or chat messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Completion = str | list[dict[str, Any]]


def texts_of(completions: Sequence[Completion]) -> list[str]:
    """Return each completion's text, whether plain or a list with one assistant message."""
    return [c if isinstance(c, str) else "".join(str(message["content"]) for message in c) for c in completions]
