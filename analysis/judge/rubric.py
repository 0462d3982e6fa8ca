"""Rubrics: the two questions as chat messages, and the strict reading of their answers.

A rubric is a JSON file: `version`, `system`, and for `informative` and `visual` the answer's `key`, the `user` template
with {class_name} and {description}, and one worked example (`one_shot_class`, `one_shot_description`,
`one_shot_answer`). An optional `fence` names a tag that encloses descriptions: what would close it is escaped in them.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from analysis.judge.base import Answer, JudgeRequest, Question, Unparsed, Verdict
from reward.errors import UserError, unknown_name

SHIPPED = {path.stem: path for path in sorted(Path(__file__).with_name("rubrics").glob("*.json"))}
"""Rubrics by name; `paper` has the paper's words, `fenced` declares the description to be data."""

_VERDICT = re.compile(r"\W*(yes|no)\b", re.IGNORECASE)
_YES = re.compile(r"\byes\b", re.IGNORECASE)
_NO = re.compile(r"\bno\b", re.IGNORECASE)
_PLACE = re.compile(r"\{(class_name|description)\}")
_PARTS = ("key", "user", "one_shot_class", "one_shot_description", "one_shot_answer")


@dataclass(frozen=True)
class Rubric:
    """Words in which a judge is asked, and how its answers are read.

    Attributes:
        version: Stored with every verdict; a change of the wording needs a new one, which asks all anew.
        content: The file.
    """

    version: str
    content: dict[str, Any]

    def key(self, question: Question) -> str:
        """Return the JSON key under which the judge gives its yes or no."""
        return str(self.content[question]["key"])

    def messages(self, request: JudgeRequest) -> list[dict[str, str]]:
        """Build the prompt: system, an example question with its answer, the question.

        Args:
            request: Class names and descriptions may hold any characters, braces included.

        Returns:
            Four chat messages with `role` and `content`.
        """
        part = self.content[request.question]
        return [
            {"role": "system", "content": self.content["system"]},
            {"role": "user", "content": self._fill(part, part["one_shot_class"], part["one_shot_description"])},
            {"role": "assistant", "content": json.dumps(part["one_shot_answer"])},
            {"role": "user", "content": self._fill(part, request.class_name, request.description)},
        ]

    def example(self, question: Question) -> JudgeRequest:
        """Return the worked example as a question: one that no server has reason to refuse."""
        part = self.content[question]
        return JudgeRequest(question, part["one_shot_class"], part["one_shot_description"])

    def schema(self, question: Question) -> dict[str, Any]:
        """Return the JSON schema of an answer: the explanation first, so that the verdict follows from it."""
        key = self.key(question)
        return {
            "type": "object",
            "properties": {"explanation": {"type": "string"}, key: {"type": "string", "enum": ["Yes", "No"]}},
            "required": ["explanation", key],
            "additionalProperties": False,
        }

    def parse(self, question: Question, raw: str) -> Answer:
        """Read a judge's answer; what is not clearly yes or no is unparsed.

        The answer must hold a JSON object with the question's key. The value is true, false, or a text that starts
        with the whole word yes or no, in any case, and does not also contain the other. Of several such objects the
        last counts: models correct themselves.

        Args:
            question: Decides the key.
            raw: What the judge said, with or without text around the JSON.

        Returns:
            The verdict, or `Unparsed` with the same text.
        """
        value: Any = None
        for found in _objects(raw):
            value = found.get(self.key(question), value)
        if isinstance(value, bool):
            return Verdict(value, raw)
        if isinstance(value, str):
            match = _VERDICT.match(value)
            if match and not (_YES.search(value) and _NO.search(value)):
                return Verdict(match[1].lower() == "yes", raw)
        return Unparsed(raw)

    def _fill(self, part: dict[str, Any], class_name: str, description: str) -> str:
        values = {"class_name": class_name, "description": escape_fence(one_line(description), self.content["fence"])}
        return _PLACE.sub(lambda place: values[place[1]], part["user"])


def one_line(text: str) -> str:
    """Collapse each run of newlines, with the blanks around it, into one space."""
    return " ".join(line for line in (part.strip() for part in text.splitlines()) if line)


def escape_fence(text: str, tag: str | None) -> str:
    """Return a text that can neither open nor close its fence: `</tag>` becomes `&lt;/tag>`.

    Args:
        text: Of any origin.
        tag: Name of the fence's tag, matched in any case and with blanks inside; None leaves the text as it is.
    """
    return text if tag is None else re.sub(rf"<(?=[\s/]*{re.escape(tag)})", "&lt;", text, flags=re.IGNORECASE)


@functools.cache
def load_rubric(name: str) -> Rubric:
    """Read a rubric.

    Args:
        name: `paper`, `fenced`, or the path of a JSON file. Of such a file the version is followed by a hash of its
            content, so that a change asks all anew even if the version was forgotten.

    Raises:
        UserError: If there is no such rubric, or the file lacks something; every problem at once.
    """
    path = SHIPPED.get(name, Path(name).expanduser())
    if name not in SHIPPED and path.suffix != ".json":
        hint = "Or give the path of a JSON file, such as my_rubric.json."
        raise UserError(unknown_name("judge.rubric", name, SHIPPED, hint=hint))
    try:
        raw = path.read_bytes()
        content = json.loads(raw)
    except OSError as error:
        raise UserError(f"judge.rubric: {path} cannot be read ({error.strerror}); correct the path.") from error
    except ValueError as error:
        raise UserError(f"judge.rubric: {path} is no JSON file ({error}).") from error
    problems = _problems(content)
    if problems:
        hint = f"; {SHIPPED['fenced']} is an example."
        raise UserError("\n".join(f"judge.rubric: {path}: {problem}{hint}" for problem in problems))
    mark = "" if name in SHIPPED else f"+{hashlib.sha256(raw).hexdigest()[:8]}"
    return Rubric(content["version"] + mark, {"fence": None, **content})


def _problems(content: Any) -> list[str]:
    if not isinstance(content, dict):
        return ["must be a JSON object"]
    problems = [f"'{key}' must be a text" for key in ("version", "system") if not isinstance(content.get(key), str)]
    fence = content.get("fence")
    if fence is not None and not (isinstance(fence, str) and re.fullmatch(r"\w+", fence)):
        problems.append(f"'fence' is {fence!r}, allowed is the name of a tag, such as text_snippet")
    for question in get_args(Question):
        part = content.get(question)
        if not isinstance(part, dict):
            problems.append(f"'{question}' must be an object with {', '.join(_PARTS)}")
            continue
        missing = [key for key in _PARTS[:-1] if not isinstance(part.get(key), str) or not part[key]]
        problems += [f"'{question}.{key}' must be a text" for key in missing]
        if not isinstance(part.get("one_shot_answer"), dict):
            problems.append(f"'{question}.one_shot_answer' must be an object")
        elif part.get("key") not in part["one_shot_answer"]:
            problems.append(f"'{question}.one_shot_answer' lacks the key '{part.get('key')}'")
        if "user" not in missing and set(_PLACE.findall(part["user"])) != {"class_name", "description"}:
            problems.append(f"'{question}.user' must hold {{class_name}} and {{description}}")
        elif "user" not in missing and isinstance(fence, str):
            enclosed = re.search(rf"<{re.escape(fence)}>\s*\{{description\}}\s*</{re.escape(fence)}>", part["user"])
            if not enclosed:
                problems.append(f"'{question}.user' must enclose {{description}} in <{fence}> and </{fence}>")
    return problems


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


PAPER = load_rubric("paper")
"""The paper's two questions word for word. Source: arXiv 2403.16442, tables 11, 12 and 14."""
