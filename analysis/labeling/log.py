"""What people answered: one log per rater, `labels/<rater>.jsonl`, appended after each answer.

Nothing is overwritten: taking an answer back appends a row `withdrawn`, and the last row on a question counts.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, PlainSerializer

from analysis.judge.base import Question
from reward.errors import UserError
from reward.files import append_jsonl, read_rows
from reward.records import Flat, Record

Given = Literal["yes", "no", "skip"]
"""A rater's answer; `skip` means that the rater cannot tell, or does not want to answer now."""

WITHDRAWN = "withdrawn"
"""Stored as the answer of a row that takes the answer before it back."""

RATER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
"""Allowed names of raters; files are named after them."""


@dataclass(frozen=True)
class Asked(Record):
    """One question about one description."""

    question: Question
    class_name: Annotated[str, Field(alias="class")]
    text: Annotated[str, Field(alias="description")]


def _read_answer(stored: Any) -> Any:
    if stored not in (*get_args(Given), WITHDRAWN):
        raise ValueError(f"allowed: {', '.join(get_args(Given))}, {WITHDRAWN}")
    return None if stored == WITHDRAWN else stored


def _write_answer(answer: Given | None) -> str:
    return answer or WITHDRAWN


@dataclass(frozen=True)
class Label(Record):
    """A row of a log.

    Attributes:
        asked: The question.
        answer: The rater's answer; `None` takes the answer before it back.
        rubric: Version of the question's wording.
        time: Time of the answer, ISO 8601 in UTC with microseconds, so that times sort as text.
    """

    asked: Annotated[Asked, Flat()]
    answer: Annotated[Given | None, BeforeValidator(_read_answer), PlainSerializer(_write_answer)]
    rubric: str
    time: str


def label_path(run: Path, rater: str) -> Path:
    """Return the log of one rater in a run.

    Raises:
        UserError: If the rater's name is not allowed.
    """
    if not RATER.fullmatch(rater) or rater == "sample":
        raise UserError(
            f"--rater: {rater!r} is no name of a rater: it takes up to 40 letters, digits, dots, dashes and "
            "underscores, begins with a letter or digit, and is not 'sample'; example: --rater anna."
        )
    return run / "labels" / f"{rater}.jsonl"


def raters_of(run: Path) -> list[str]:
    """Return the names of the raters who have labelled in a run, in alphabetical order."""
    return sorted(path.stem for path in (run / "labels").glob("*.jsonl"))


def now() -> str:
    """Return the present time in the form that labels have."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def append_label(path: Path, rater: str, label: Label) -> None:
    """Append a row to a log; it is on the disk when this returns.

    Raises:
        EnvironmentFault: If the row cannot be written.
    """
    append_jsonl(path, [label.to_json() | {"rater": rater}])


def read_labels(path: Path) -> list[Label]:
    """Read a log. An incomplete last line is dropped, and a missing file has no labels.

    Raises:
        UserError: If a line is no label.
    """
    remedy = "delete the line, or move the file away and label again"
    return read_rows(path, Label.from_json, what="label", remedy=remedy)


def merged(logs: Iterable[Sequence[Label]]) -> list[Label]:
    """Return the rows of a rater's logs of several runs in one order.

    Each log's rows keep their order; only between logs do times decide, where a row is as late as the latest of those
    before it. A row that another log has too is the same answer, and stands where it is met first.
    """
    dated: list[tuple[str, int, Label]] = []
    for number, log in enumerate(logs):
        times = itertools.accumulate((label.time for label in log), max)
        dated += [(time, number, label) for time, label in zip(times, log, strict=True)]
    home: dict[Label, int] = {}
    ordered = sorted(dated, key=lambda row: row[0])
    return [label for _, number, label in ordered if home.setdefault(label, number) == number]


def standing(labels: Iterable[Label]) -> dict[Asked, Label]:
    """Return the answers that stand, in the order of the log: the last on each question, unless it was withdrawn.

    The rows' times say nothing of their order, because a clock may be set back.
    """
    result: dict[Asked, Label] = {}
    for label in labels:
        result.pop(label.asked, None)
        if label.answer is not None:
            result[label.asked] = label
    return result
