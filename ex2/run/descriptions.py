"""The descriptions of a seed: the record of one, and how `descriptions.jsonl` is written and read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, NamedTuple

from pydantic import Field

from ex2.run.directory import SeedDirectory
from reward.errors import UserError
from reward.files import JSON, append_jsonl, read_rows
from reward.records import Record

ALWAYS = ("class", "label", "policy", "text")
"""Keys that every row of `descriptions.jsonl` must have."""
MEASURED = ("class", "label", "question_id", "sample", "policy", "text", "reward")
"""Keys that a row must have for the analysis, which uses them to pair the rewards of the two policies."""

Key = tuple[str, int, str, int | None, int | None]
"""Identity of a description among those of a seed: policy, label, class, number of question, number of sample."""


Index = Annotated[int, Field(strict=True, ge=0)]
"""A place in a list, from 0."""

AGAIN = "delete the file and describe again"
"""What to do about a faulty row."""


class LabeledText(NamedTuple):
    """A text with the index of its class, as classifiers need it."""

    label: int
    text: str


class DescribedClass(NamedTuple):
    """A text with the name of its class, as judges, people and the search for phrases need it."""

    class_name: str
    text: str

    @property
    def is_empty(self) -> bool:
        """Whether the text holds nothing but blanks."""
        return is_empty(self.text)


@dataclass(frozen=True, kw_only=True)
class Description(Record):
    """One description of one class: a row of `descriptions.jsonl`.

    Fields with a default may be absent from files of earlier versions.

    Attributes:
        policy: `base` or `aligned`.
        class_name: Name of the class that is described.
        label: Index of that class in the dataset.
        question_id: Which of the recipe's questions was asked.
        question: That question with the class's name in it.
        sample: Number of the description among those for the same question, from 0.
        seed: Seed of the run.
        text: The description as people, judges and VLMs see it: cut after its last whole sentence, if the recipe says
            so.
        tokens: Number of tokens generated for it.
        cut: Whether the token limit was reached before the policy ended the description.
        reward: Its score by the recipe's reward; `None` if it has none.
        vlm_cut: Whether the VLM's context was too short for the text.
    """

    class_name: Annotated[str, Field(alias="class")]
    label: Index
    question_id: Index | None = None
    question: str = ""
    policy: str
    seed: Annotated[int, Field(strict=True)] | None = None
    sample: Index | None = None
    text: str
    tokens: Index | None = None
    cut: Annotated[bool, Field(strict=True)] = False
    reward: Annotated[float, Field(strict=True)] | None = None
    vlm_cut: Annotated[bool, Field(strict=True)] | None = None

    @property
    def key(self) -> Key:
        """Identity of the description within its seed."""
        return self.policy, self.label, self.class_name, self.question_id, self.sample

    @property
    def is_empty(self) -> bool:
        """Whether the text holds nothing but blanks."""
        return is_empty(self.text)

    @property
    def of_class(self) -> DescribedClass:
        """The text with the name of its class."""
        return DescribedClass(self.class_name, self.text)

    @property
    def of_label(self) -> LabeledText:
        """The text with the index of its class."""
        return LabeledText(self.label, self.text)


def digest_of(content: object) -> str:
    """Return a hash of descriptions, 16 hexadecimal digits: results that store it are known to be of these.

    Args:
        content: Lists, tuples, texts and numbers that name the descriptions in order.
    """
    return hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).hexdigest()[:16]


def is_empty(text: str) -> bool:
    """Say whether a description holds nothing but blanks."""
    return not text.strip()


def append_descriptions(where: SeedDirectory, descriptions: Iterable[Description]) -> None:
    """Append descriptions to a seed's file; they are on the disk when this returns.

    Raises:
        EnvironmentFault: If they cannot be written.
    """
    append_jsonl(where.descriptions, (description.to_json() for description in descriptions))


def read_descriptions(where: SeedDirectory) -> list[Description]:
    """Read a seed's descriptions for the analysis.

    Raises:
        UserError: If there are none, if a row is no description or lacks a key that the analysis needs, or if one
            stands there twice.
    """
    descriptions = _read(where, MEASURED, ("base", "aligned"))
    if not descriptions:
        raise UserError(f"{where.descriptions}: no descriptions; run `ex2 describe RECIPE` first (ex2 run does all).")
    return descriptions


def stored_descriptions(where: SeedDirectory, *, finished: bool = False) -> list[Description]:
    """Return a seed's descriptions, also if an earlier version wrote them; empty if the file is missing.

    Args:
        where: The seed's directory.
        finished: Whether the descriptions are to be used as they are: then the file must not be empty or end in a torn
            line.

    Raises:
        UserError: If a row is no description, or if one stands there twice.
    """
    descriptions = _read(where, ALWAYS, finished=finished)
    if finished and not descriptions:
        what = "is empty" if where.descriptions.exists() else "not found"
        raise UserError(f"{where.descriptions}: {what}; put the file back, or run `ex2 run RECIPE`.")
    return descriptions


def _read(
    where: SeedDirectory, needed: Sequence[str], policies: Sequence[str] = (), *, finished: bool = False
) -> list[Description]:
    def parse(row: JSON) -> Description:
        missing = [key for key in needed if key not in row]
        if missing:
            raise ValueError(f"lacks {', '.join(missing)}")
        one = Description.from_json(row)
        if policies and one.policy not in policies:
            raise ValueError(f"policy is '{one.policy[:60]}', not base or aligned")
        return one

    return read_rows(where.descriptions, parse, what="description", remedy=AGAIN, key=_identity, finished=finished)


def _identity(one: Description) -> Key | None:
    """Return what no other description of the seed has; None in files of earlier versions, where it is not known."""
    return None if one.question_id is None or one.sample is None else one.key


def _check_labels(descriptions: Sequence[Description], class_names: Sequence[str], where: SeedDirectory) -> None:
    for one in descriptions:
        if not 0 <= one.label < len(class_names) or class_names[one.label] != one.class_name:
            raise UserError(
                f"{where.descriptions}: class '{one.class_name}' with label {one.label} is not in the dataset, whose "
                f"classes are {', '.join(class_names[:5])}, …: the dataset changed since; delete the file and "
                "describe again."
            )
