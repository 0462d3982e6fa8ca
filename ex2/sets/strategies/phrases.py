"""The phrases that a paper adds to all prompts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from reward.files import read_json
from reward.records import Record


@dataclass(frozen=True)
class PaperPhrases(Record):
    """Content of `phrases.json`.

    Attributes:
        source: Where they are from.
        restrictive: Phrases that ask for a better image.
        negative: Phrases for what no image is to have.
    """

    source: str
    restrictive: tuple[str, ...]
    negative: tuple[str, ...]


@cache
def paper_phrases() -> PaperPhrases:
    """Return the paper's phrases."""
    return PaperPhrases.from_json(read_json(Path(__file__).with_name("phrases.json")))
