"""The paper's two questions as chat messages, and the strict reading of their answers."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from analysis.judge.base import Answer, JudgeRequest, Question, Unparsed, Verdict

_PROMPTS: dict[str, Any] = json.loads(Path(__file__).with_name("prompts.json").read_text(encoding="utf-8"))

RUBRIC_VERSION: str = _PROMPTS["version"]
"""Stored with every verdict; a change of the wording needs a new one, which asks all anew."""

_VERDICT = re.compile(r"\W*(yes|no)\b", re.IGNORECASE)
_YES = re.compile(r"\byes\b", re.IGNORECASE)
_NO = re.compile(r"\bno\b", re.IGNORECASE)


def verdict_key(question: Question) -> str:
    """Return the JSON key under which the judge gives its yes or no."""
    return str(_PROMPTS[question]["key"])


def one_line(text: str) -> str:
    """Collapse each run of newlines, with the blanks around it, into one space."""
    return " ".join(line for line in (part.strip() for part in text.splitlines()) if line)


def messages(request: JudgeRequest) -> list[dict[str, str]]:
    """Build the paper's prompt: system, an example question with its answer, the question.

    Args:
        request: Class names and descriptions may hold any characters, braces included.

    Returns:
        Four chat messages with `role` and `content`.

    Source: arXiv 2403.16442, tables 11, 12 and 14.
    """
    prompt = _PROMPTS[request.question]
    template: str = prompt["user"]
    example = template.format(class_name=prompt["one_shot_class"], description=prompt["one_shot_description"])
    return [
        {"role": "system", "content": _PROMPTS["system"]},
        {"role": "user", "content": example},
        {"role": "assistant", "content": json.dumps(prompt["one_shot_answer"])},
        {
            "role": "user",
            "content": template.format(class_name=request.class_name, description=one_line(request.description)),
        },
    ]


def schema(question: Question) -> dict[str, Any]:
    """Return the JSON schema of an answer: the explanation first, so that the verdict follows from it."""
    key = verdict_key(question)
    return {
        "type": "object",
        "properties": {"explanation": {"type": "string"}, key: {"type": "string", "enum": ["Yes", "No"]}},
        "required": ["explanation", key],
        "additionalProperties": False,
    }


def parse(question: Question, raw: str) -> Answer:
    """Read a judge's answer; what is not clearly yes or no is unparsed.

    The answer must hold a JSON object with the question's key. The value is true, false, or a text that starts with
    the whole word yes or no, in any case, and does not also contain the other. Of several such objects the last
    counts: models correct themselves.

    Args:
        question: Decides the key.
        raw: What the judge said, with or without text around the JSON.

    Returns:
        The verdict, or `Unparsed` with the same text.
    """
    value: Any = None
    for found in _objects(raw):
        value = found.get(verdict_key(question), value)
    if isinstance(value, bool):
        return Verdict(value, raw)
    if isinstance(value, str):
        match = _VERDICT.match(value)
        if match and not (_YES.search(value) and _NO.search(value)):
            return Verdict(match[1].lower() == "yes", raw)
    return Unparsed(raw)


def _objects(raw: str) -> list[dict[str, Any]]:
    """Return the outermost JSON objects in a text, in order."""
    decoder = json.JSONDecoder()
    found: list[dict[str, Any]] = []
    position = raw.find("{")
    while position >= 0:
        try:
            value, end = decoder.raw_decode(raw, position)
        except (json.JSONDecodeError, RecursionError):  # cut or broken here: try the next brace
            end = position + 1
        else:
            found.append(value)
        position = raw.find("{", end)
    return found
