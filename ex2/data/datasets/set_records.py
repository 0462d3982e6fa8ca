"""What a set of images says of itself: its record, a row for each image and each failure, and its files' names."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

from pydantic import Field

from reward.errors import UserError
from reward.file_digests import FileDigest
from reward.records import Record

SET, ROWS, FAILURES, IMAGES, CODE = "set.json", "metadata.jsonl", "failures.jsonl", "images", "code"
"""Files of a set and the folders of its images and of the code that drew them."""

FailureStatus = Literal[
    "no_code", "refused", "syntax", "error", "timeout", "memory", "no_image", "blank", "unsafe_output"
]
"""Why a request got no image. The first is of generators that write code, the last of code that wrote what it must not;
`blank` is an image of one color."""


@dataclass(frozen=True, kw_only=True)
class ImageRow(Record):
    """How one image came to be: a line of `metadata.jsonl`.

    Attributes:
        file_name: Path from the set's folder, with slashes; `imagefolder` finds the image by it.
        class_name: Class of the image.
        label: Index of the class.
        index: Number of the image within its class.
        prompt: What was to be drawn.
        negative_prompt: What was not to be seen.
        strategy: Name of what made the prompt.
        generator: Name of what drew the image.
        seed: Of this image.
        parent: SHA-256 of the file of the image that this one improves, or None.
        round: Number of improvements up to this one.
        feedback: What was wrong with the parent.
        code: SHA-256 of the code that drew it; empty if none did.
        source: SHA-256 of the file that it is a copy of or was started from; empty if there is none.
        sha256: Of its file.
        pixels: SHA-256 of its pixels in RGB, row by row.
        width: In pixels.
        height: In pixels.
        bytes: Size of its file.
        seconds: Time that drawing took.
        truncated: Whether the generator read only a part of the prompt.
    """

    file_name: str
    class_name: Annotated[str, Field(alias="class")]
    label: int
    index: int
    prompt: str
    negative_prompt: str
    strategy: str
    generator: str
    seed: int
    parent: str | None = None
    round: int = 0
    feedback: str = ""
    code: str = ""
    source: str = ""
    sha256: str
    pixels: str
    width: int
    height: int
    bytes: int
    seconds: float
    truncated: bool = False


@dataclass(frozen=True, kw_only=True)
class FailureRow(Record):
    """A request that got no image: a line of `failures.jsonl`, with the attributes of `ImageRow` and those below.

    Attributes:
        status: Why there is no image.
        message: What happened, in one line.
    """

    class_name: Annotated[str, Field(alias="class")]
    label: int
    index: int
    prompt: str
    negative_prompt: str
    strategy: str
    generator: str
    seed: int
    parent: str | None = None
    round: int = 0
    feedback: str = ""
    code: str = ""
    status: FailureStatus
    message: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class SetRecord(Record):
    """What a set is and how it was made: `set.json`.

    Attributes:
        format: Version of this record.
        name: Of the set.
        digest: SHA-256 of all that decides the images besides the seed, whose first 8 digits the folder's name has.
        seed: Of the set.
        generator: Name of what draws.
        generator_settings: Its settings.
        fingerprint: Hash of what draws.
        strategy: Name of what makes the prompts.
        strategy_settings: Its settings.
        class_names: In label order.
        per_class: Most images that a class was to have.
        requests: SHA-256 of the requests.
        asked: Number of requests.
        made: Number of images; of an unfinished set, 0.
        failed: Status of failures → their number.
        seconds: Time that all requests took.
        bytes: Size of all images.
        usd_per_hour: Price of the machine that draws; None if it is not known.
        license: Of the images; empty if it is not known.
        sandbox: How code that draws is kept apart; empty where none is run.
        versions: Package → version.
        complete: Whether all requests have been answered.
        files: The logs of a finished set → size and hash.
        seal: Hash of all the rest.
    """

    format: int = 1
    name: str
    digest: str
    seed: int
    generator: str
    generator_settings: Mapping[str, Any]
    fingerprint: str
    strategy: str
    strategy_settings: Mapping[str, Any]
    class_names: tuple[str, ...]
    per_class: int
    requests: str
    asked: int
    made: int = 0
    failed: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    bytes: int = 0
    usd_per_hour: float | None = None
    license: str = ""
    sandbox: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    complete: bool = False
    files: Mapping[str, FileDigest] = field(default_factory=dict)
    seal: str = ""

    @property
    def folder_name(self) -> str:
        """Name of the folder that holds the seeds of the set."""
        return f"{self.name}-{self.digest[:8]}"

    def sealed(self) -> SetRecord:
        """Return the record with its seal."""
        bare = json.dumps(replace(self, seal="").to_json(), sort_keys=True)
        return replace(self, seal=hashlib.sha256(bare.encode()).hexdigest())


def folder_names(class_names: Sequence[str]) -> tuple[str, ...]:
    """Return a folder's name for each class: unlike each other in any case, and safe in every file system.

    A name of letters, digits, blanks and hyphens keeps them, with underscores for the blanks. Any other one has what is
    left of it, and 8 hexadecimal digits of its hash. So has one with a word that `imagefolder` takes for a split.

    Raises:
        UserError: If two classes would have one folder.
    """
    names = tuple(map(_folder_name, class_names))
    twice = [name for name, count in Counter(name.casefold() for name in names).items() if count > 1]
    if twice:
        raise UserError(f"classes: two of them have the folder '{twice[0]}'; give every class a name of its own.")
    return names


_SPLITS = frozenset(["train", "training", "validation", "valid", "dev", "val", "test", "testing", "eval", "evaluation"])
_RESERVED = re.compile(r"con|prn|aux|nul|com\d|lpt\d", re.IGNORECASE)
_HASHED = re.compile(r".*-[0-9a-f]{8}")
_LONGEST = 100
"""Most bytes of what is left of a class's name; file systems allow 255."""


def _folder_name(class_name: str) -> str:
    whole = unicodedata.normalize("NFC", class_name).replace(" ", "_")
    kept = re.sub(r"[^\w-]+", "_", whole).strip("_-")
    kept = kept.encode()[:_LONGEST].decode(errors="ignore")
    words = [f"{word}x" if word.lower() in _SPLITS else word for word in re.split(r"([-_0-9])", kept)]
    name = "".join(words)
    if name == whole and not _RESERVED.fullmatch(name) and not _HASHED.fullmatch(name):
        return name
    return f"{name or 'class'}-{hashlib.sha256(class_name.encode()).hexdigest()[:8]}"


def file_name(folder: str, index: int) -> str:
    """Return an image's path from the set's folder."""
    return f"{IMAGES}/{folder}/{index:05d}.png"
