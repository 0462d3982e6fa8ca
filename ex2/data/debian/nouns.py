"""The rules of `debian_photos.json`: which pictures are used, and under which noun as their class."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

CURATION = Path(__file__).with_name("photos.json")

_LEADING = re.compile(r"^(?:(?:an?|the|two|some|our|another) )?(?:(?:pair|bunch|head|cluster|string|quarter) of )?")
_MOST_WORDS = 3
"""Most words of a caption that is taken for a noun. A longer one is a sentence, used only if the curation names it."""


@dataclass(frozen=True)
class Picture:
    """A photograph as a package ships it.

    Attributes:
        source: `package-folder:path`, such as `tuxpaint:animals/birds/owl.png`; patterns match it.
        caption: What the package calls it.
        content: The encoded image.
    """

    source: str
    caption: str
    content: bytes


@dataclass(frozen=True)
class Curation:
    """Content of `debian_photos.json`.

    Attributes:
        folders: Folders with photographs, as patterns of `Picture.source`.
        nouns: Caption after cleaning → class.
        excluded: Pattern of `Picture.source` → reason.
        digest: Hash of the file; if it changes, the image folder is made anew.
    """

    folders: tuple[str, ...]
    nouns: dict[str, str]
    excluded: dict[str, str]
    digest: str

    @classmethod
    def read(cls, path: Path = CURATION) -> Curation:
        """Read the list that the project ships."""
        raw = path.read_bytes()
        data = json.loads(raw)
        excluded = {pattern: row["reason"] for row in data["excluded"] for pattern in row["patterns"]}
        nouns = {caption: noun for noun, captions in data["nouns"].items() for caption in captions}
        return cls(tuple(data["folders"]), nouns, excluded, hashlib.sha256(raw).hexdigest())

    def noun(self, picture: Picture) -> str | None:
        """Return the class of a picture, or None if it is left out."""

        def among(patterns: Iterable[str]) -> str | None:
            return next((pattern for pattern in patterns if fnmatch.fnmatchcase(picture.source, pattern)), None)

        if among(self.folders) is None or among(self.excluded) is not None:
            return None
        caption = clean_caption(picture.caption)
        named = self.nouns.get(among(self.nouns) or caption)
        return named or (caption if 0 < len(caption.split()) <= _MOST_WORDS else None)


def clean_caption(caption: str) -> str:
    """Return a caption or file name in lower case, without article, digits, remarks and names in quotes.

    >>> clean_caption('A “Granny Smith” apple.'), clean_caption("measuringTape4"), clean_caption("A pair of pliers.")
    ('apple', 'measuring tape', 'pliers')
    """
    text = re.sub(r"\(.*?\)|[“\"].*?[”\"]", " ", caption)
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text).lower().replace("’", "'")  # camel case
    return _LEADING.sub("", " ".join(re.sub(r"[^a-z']+", " ", text).split()))
