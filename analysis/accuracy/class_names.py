"""Class names inside descriptions: found as whole words, in any case, singular or plural."""

from __future__ import annotations

import re
from functools import cache

SLOT = "{}"
"""Stands for the class name in a template or phrase."""

_PLURAL = r"(s|es)?"


@cache
def name_pattern(name: str) -> re.Pattern[str]:
    """Return a pattern for a class name; its words may be joined by blanks, hyphens or underscores.

    Group 1 is the plural ending, if there is one.
    """
    words = r"[\s_-]+".join(map(re.escape, re.split(r"[\s_-]+", name.strip())))
    return re.compile(rf"(?<!\w){words}{_PLURAL}(?!\w)", re.IGNORECASE)


def replace_name(text: str, old: str, new: str) -> str:
    """Replace the class name `old` by `new`; plural endings stay, and articles are not adapted."""
    return name_pattern(old).sub(lambda found: new + (found[1] or ""), text)


@cache
def _masked(name: str) -> tuple[re.Pattern[str], ...]:
    """Return patterns of a name and of its parts, the longest first.

    Parts are all runs of two words or more, and the last word (the noun): for "golden retriever dog" these are
    "retriever dog", "golden retriever" and "dog".
    """
    words = re.split(r"[\s_-]+", name.strip())
    parts = [
        " ".join(words[start : start + length])
        for length in range(len(words), 0, -1)
        for start in range(len(words) - length, -1, -1)
        if length > 1 or start == len(words) - 1
    ]
    return tuple(name_pattern(part) for part in parts)


def mask_name(text: str, name: str, mask: str = SLOT) -> str:
    """Replace a class's name and its parts (runs of two words or more, the last word) by `mask`, plurals included."""
    for pattern in _masked(name):
        text = pattern.sub(mask, text)
    return text


def plain_name(name: str) -> str:
    """Return a name as it is compared: in lower case, with each run of blanks, hyphens and underscores as one blank."""
    return " ".join(re.split(r"[\s_-]+", name.strip().lower()))
