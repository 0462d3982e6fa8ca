"""The texts of every arm of an analysis, stored for whoever draws or reads them.

An arm whose accuracy is averaged over several assignments of texts to classes is stored with the first.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from ex2.run.descriptions import Index, LabeledText
from ex2.run.directory import SeedDirectory
from reward.errors import EX2Error
from reward.files import read_jsonl, read_rows, write_jsonl
from reward.records import Record


@dataclass(frozen=True, kw_only=True)
class ArmText(Record):
    """A row of `arm_texts.jsonl`.

    Attributes:
        arm: The arm, as in `accuracy.json`.
        class_name: Class that the text stands for.
        label: Index of that class in the dataset.
        text: The text.
    """

    arm: str
    class_name: Annotated[str, Field(alias="class")]
    label: Index
    text: str


def write_arm_texts(
    where: SeedDirectory, arms: Mapping[str, Sequence[LabeledText]], class_names: Sequence[str]
) -> None:
    """Replace a seed's stored texts, unless they are these already.

    Raises:
        EnvironmentFault: If they cannot be written.
    """
    rows = [
        ArmText(arm=arm, class_name=class_names[one.label], label=one.label, text=one.text).to_json()
        for arm, texts in arms.items()
        for one in texts
    ]
    with contextlib.suppress(OSError, EX2Error):
        if read_jsonl(where.arm_texts) == rows:
            return
    write_jsonl(where.arm_texts, rows)


def read_arm_texts(where: SeedDirectory) -> list[ArmText]:
    """Read a seed's stored texts; none if the file is missing.

    Raises:
        UserError: If a row is no such text.
    """
    remedy = "run `ex2 analyze RECIPE` again"
    return read_rows(where.arm_texts, ArmText.from_json, what="text", remedy=remedy, finished=True)
