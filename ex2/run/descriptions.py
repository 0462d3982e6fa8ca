"""The descriptions of a seed: the record of one, and how `descriptions.jsonl` is written and read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ex2.run.directory import SeedDirectory
from reward.errors import UserError
from reward.files import JSON, append_jsonl, read_jsonl

ALWAYS = ("class", "label", "policy", "text")
"""Keys that every row of `descriptions.jsonl` must have."""
MEASURED = ("class", "label", "question_id", "sample", "policy", "text", "reward")
"""Keys that a row must have for the analysis, which uses them to pair the rewards of the two policies."""

Key = tuple[str, int, str, int | None, int | None]
"""Identity of a description among those of a seed: policy, label, class, number of question, number of sample."""


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
class Description:
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

    policy: str
    class_name: str
    label: int
    text: str
    question_id: int | None = None
    question: str = ""
    sample: int | None = None
    seed: int | None = None
    tokens: int | None = None
    cut: bool = False
    reward: float | None = None
    vlm_cut: bool | None = None

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

    def to_json(self) -> JSON:
        """Return the row as it stands in the file."""
        return {
            "class": self.class_name,
            "label": self.label,
            "question_id": self.question_id,
            "question": self.question,
            "policy": self.policy,
            "seed": self.seed,
            "sample": self.sample,
            "text": self.text,
            "tokens": self.tokens,
            "cut": self.cut,
            "reward": self.reward,
            "vlm_cut": self.vlm_cut,
        }

    @classmethod
    def from_json(cls, row: JSON) -> Description:
        """Make a description of a row of the file; unknown keys are ignored.

        Raises:
            KeyError: If a key without a default is missing.
        """
        return cls(
            policy=row["policy"],
            class_name=row["class"],
            label=row["label"],
            text=row["text"],
            question_id=row.get("question_id"),
            question=row.get("question", ""),
            sample=row.get("sample"),
            seed=row.get("seed"),
            tokens=row.get("tokens"),
            cut=row.get("cut", False),
            reward=row.get("reward"),
            vlm_cut=row.get("vlm_cut"),
        )


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
        UserError: If there are none, or if a row is no description or lacks a key that the analysis needs.
    """
    descriptions = _read(where, MEASURED, ("base", "aligned"))
    if not descriptions:
        raise UserError(f"{where.descriptions}: no descriptions; run `ex2 describe RECIPE` first (ex2 run does all).")
    return descriptions


def stored_descriptions(where: SeedDirectory) -> list[Description]:
    """Return a seed's descriptions, also if an earlier version wrote them; empty if the file is missing.

    Raises:
        UserError: If a row is no description.
    """
    return _read(where, ALWAYS)


def _read(where: SeedDirectory, needed: Sequence[str], policies: Sequence[str] = ()) -> list[Description]:
    descriptions = []
    for number, row in enumerate(read_jsonl(where.descriptions), start=1):
        missing = [key for key in needed if not isinstance(row, dict) or key not in row]
        if missing or (policies and row["policy"] not in policies):
            wrong = f"lacks {', '.join(missing)}" if missing else f"policy is '{row['policy']}', not base or aligned"
            raise UserError(f"{where.descriptions}: line {number}: {wrong}; delete the file and describe again.")
        descriptions.append(Description.from_json(row))
    return descriptions


def _check_labels(descriptions: Sequence[Description], class_names: Sequence[str], where: SeedDirectory) -> None:
    for one in descriptions:
        if not 0 <= one.label < len(class_names) or class_names[one.label] != one.class_name:
            raise UserError(
                f"{where.descriptions}: class '{one.class_name}' with label {one.label} is not in the dataset, whose "
                f"classes are {', '.join(class_names[:5])}, …: the dataset changed since; delete the file and "
                "describe again."
            )
