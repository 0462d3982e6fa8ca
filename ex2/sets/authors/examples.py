"""Worked examples that an author reads before a question: EX2's own, or those of a file."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from importlib import resources

from ex2.sets.authors.given import given_rows
from reward.errors import UserError
from reward.records import Record
from reward.user_paths import expanded


@dataclass(frozen=True, kw_only=True)
class Example(Record):
    """A program that draws something.

    Attributes:
        concept: What it draws.
        code: The program.
    """

    concept: str
    code: str


def shipped_examples(language: str) -> list[Example]:
    """Return EX2's own examples in a language; none for a language that has none."""
    text = resources.files("ex2.sets.authors").joinpath("examples.json").read_text(encoding="utf-8")
    return [Example.from_json(row) for row in json.loads(text).get(language, [])]


def read_examples(file: str) -> list[Example]:
    """Return the examples of a file.

    Raises:
        UserError: If there is no such file, a line is no example, or two are of one concept.
    """
    path = expanded(file)
    if not os.path.isfile(path):
        raise UserError(f"generator.examples: no file '{file}'. Give one of lines with a concept and its code.")
    return given_rows(path, Example, lambda row: row.concept.casefold(), "example")
