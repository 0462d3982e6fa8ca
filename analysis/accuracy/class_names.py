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
    """Put one class's name in another's place; plural endings stay, articles are not adapted."""
    return name_pattern(old).sub(lambda found: new + (found[1] or ""), text)


@cache
def _masked(name: str) -> tuple[re.Pattern[str], ...]:
    """Return patterns of a name and of its parts, the longest first: of "golden retriever dog" also "retriever dog",
    "golden retriever" and "dog"; of single words only the last, the noun.
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
    """Put `mask` in place of a class's name, its plural, and its parts of two words or more or its last word."""
    for pattern in _masked(name):
        text = pattern.sub(mask, text)
    return text


def plain_name(name: str) -> str:
    """Return a name as it is compared: lower case, single blanks for blanks, hyphens and underscores."""
    return " ".join(re.split(r"[\s_-]+", name.strip().lower()))
