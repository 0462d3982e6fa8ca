"""Prompts for the policy: every class name filled into every question."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from reward.errors import UserError

Style = Literal["plain", "chat"]
QUESTIONS: tuple[str, ...] = tuple(json.loads((Path(__file__).parent / "questions.json").read_text())["questions"])
"""The paper's 25 question templates, with `{}` for the class name."""


@cache
def generic_templates() -> tuple[str, ...]:
    """Return the 80 generic templates, each with one `{}` for the class name."""
    data = json.loads((Path(__file__).parent / "generic.json").read_text(encoding="utf-8"))
    return tuple(data["templates"])


@dataclass(frozen=True)
class Prompt:
    """One question about one class.

    Attributes:
        label: Index of the class.
        class_name: Name of the class.
        question_id: Index into `QUESTIONS`.
        question: The question with the class name filled in.
    """

    label: int
    class_name: str
    question_id: int
    question: str

    def render(self, style: Style) -> str | list[dict[str, str]]:
        """Return what the policy is given: for `plain` the question and two newlines, for `chat` one user message."""
        if style == "chat":
            return [{"role": "user", "content": self.question}]
        return f"{self.question}\n\n"

    def row(self, style: Style) -> dict[str, Any]:
        """Return a row of the training dataset; its columns reach every reward function."""
        return {
            "prompt": self.render(style),
            "class_name": self.class_name,
            "label": self.label,
            "question_id": self.question_id,
        }


def question_ids(selection: Sequence[int] | Literal["all"]) -> list[int]:
    """Return the indices of the chosen questions in `QUESTIONS`.

    Raises:
        UserError: For an index that does not exist, or an empty or repeating choice.
    """
    if selection == "all":
        return list(range(len(QUESTIONS)))
    outside = [index for index in selection if not 0 <= index < len(QUESTIONS)]
    if outside or not selection or len(set(selection)) != len(selection):
        raise UserError(
            f"prompts.questions: {list(selection)} is not a choice of different questions; "
            f"allowed: all, or indices from 0 to {len(QUESTIONS) - 1}."
        )
    return list(selection)


def make_prompts(class_names: Sequence[str], selection: Sequence[int] | Literal["all"]) -> list[Prompt]:
    """Return a prompt for every class and every chosen question, ordered by class, then by question."""
    return [
        Prompt(label, name, index, QUESTIONS[index].format(name))
        for label, name in enumerate(class_names)
        for index in question_ids(selection)
    ]


def too_few_prompts(prompts: int, batch_size: int) -> str:
    """Return the message for a dataset with fewer prompts than a batch, with which TRL would train 0 steps silently."""
    return (
        f"rl.batch_size: {batch_size} is more than the {prompts} prompts (classes × questions) there are; "
        f"lower it to at most {prompts} or use more questions."
    )
