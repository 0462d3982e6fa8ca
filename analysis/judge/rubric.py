"""Rubrics: the two questions as chat messages, and the strict reading of their answers.

A rubric is a JSON file: `version`, `system`, and for `informative` and `visual` the answer's `key`, the `user` template
with {class_name} and {description}, and one worked example (`one_shot_class`, `one_shot_description`,
`one_shot_answer`). An optional `fence` names a tag that encloses descriptions, and `class_fence` one that encloses
class names: what would open or close either tag is escaped in both texts.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, ValidationInfo, model_validator
from pydantic_core import ErrorDetails

from analysis.judge.base import Answer, JudgeRequest, Message, Prompt, Question, Unparsed, Verdict
from analysis.judge.reading import read_reply_text
from reward.errors import UserError, unknown_name
from reward.records import JSON, Record
from reward.strict_json import JSONFault, decode

SHIPPED = {path.stem: path for path in sorted(Path(__file__).with_name("rubrics").glob("*.json"))}
"""Paths of the rubrics that EX2 ships, by name. `paper` has the paper's words, `fenced` declares class name and
description to be data."""

_EXAMPLE = Path(__file__).with_name("rubrics") / "fenced.json"
_VERDICT = re.compile(r"\W*(yes|no)\b", re.IGNORECASE)
_YES = re.compile(r"\byes\b", re.IGNORECASE)
_NO = re.compile(r"\bno\b", re.IGNORECASE)
_PLACE = re.compile(r"\{(class_name|description)\}")
_TAG = re.compile(r"\w+")
_PART = "an object with key, user, one_shot_class, one_shot_description, one_shot_answer"
_KINDS = {"informative": _PART, "visual": _PART, "one_shot_answer": "an object"}
"""What a rubric file must hold under the keys whose value is not a text."""


def _tag(value: Any) -> str | None:
    if value is None or (isinstance(value, str) and _TAG.fullmatch(value)):
        return value
    raise ValueError(f"is {value!r}, allowed is the name of a tag, such as text_snippet")


def _template(user: str, part: ValidationInfo) -> str:
    if set(_PLACE.findall(user)) != {"class_name", "description"}:
        raise ValueError("must hold {class_name} and {description}")
    for place, tag in (("description", part.data["fence"]), ("class_name", part.data["class_fence"])):
        rest = user if tag is None else re.sub(rf"<{tag}>\s*\{{{place}\}}\s*</{tag}>", "", user)
        if tag is not None and f"{{{place}}}" in rest:
            raise ValueError(f"must enclose {{{place}}} in <{tag}> and </{tag}>")
    return user


def _example_answer(answer: JSON, part: ValidationInfo) -> JSON:
    key = part.data.get("key")
    if key is not None and key not in answer:
        raise ValueError(f"lacks the key '{key}'")
    return answer


_Text = Annotated[str, Field(min_length=1)]


@dataclass(frozen=True, kw_only=True)
class RubricPart(Record):
    """The words of one of the two questions.

    Attributes:
        fence: The rubric's tag that encloses descriptions; None if there is none.
        class_fence: The rubric's tag that encloses class names; None if there is none.
        key: Key of the answer's JSON object that holds the judge's yes or no.
        one_shot_class: Class of the worked example.
        one_shot_description: Description in the worked example.
        one_shot_answer: Answer to the worked example, a JSON object with the key.
        user: The question, with {class_name} and {description}.
    """

    fence: str | None = None
    class_fence: str | None = None
    key: _Text
    one_shot_class: _Text
    one_shot_description: _Text
    one_shot_answer: Annotated[JSON, AfterValidator(_example_answer)]
    user: Annotated[_Text, AfterValidator(_template)]

    def fill(self, class_name: str, description: str) -> str:
        """Return the question about a description; the two texts may hold any characters, braces included."""
        values = {"class_name": self._escaped(class_name), "description": self._escaped(one_line(description))}
        return _PLACE.sub(lambda place: values[place[1]], self.user)

    def shown(self, request: JudgeRequest) -> tuple[str, ...]:
        """Return the texts of a question that others wrote: as they are, and as the judge sees them."""
        texts = (request.class_name, request.description)
        return (*texts, *(self._escaped(one_line(text)) for text in texts))

    def _escaped(self, text: str) -> str:
        return escape_fence(escape_fence(text, self.fence), self.class_fence)


@dataclass(frozen=True, kw_only=True)
class Rubric(Record):
    """The words in which a judge is asked, and how its answers are read.

    Attributes:
        version: Version of the wording, stored with every verdict. Whoever changes the wording must change it too; all
            descriptions are then judged again.
        system: The first message.
        fence: Name of the tag that encloses descriptions; None if there is none.
        class_fence: Name of the tag that encloses class names; None if there is none.
        informative: The first question.
        visual: The second question.
    """

    version: str
    system: str
    fence: Annotated[str | None, BeforeValidator(_tag)] = None
    class_fence: Annotated[str | None, BeforeValidator(_tag)] = None
    informative: RubricPart
    visual: RubricPart

    @model_validator(mode="before")
    @classmethod
    def _share_fence(cls, stored: Any) -> Any:
        """Copy the fences into both parts, because they decide how their templates are checked."""
        if not isinstance(stored, dict):
            return stored
        given = {name: stored.get(name) for name in ("fence", "class_fence")}
        fences = {name: tag if isinstance(tag, str) and _TAG.fullmatch(tag) else None for name, tag in given.items()}
        parts = {key: stored[key] for key in get_args(Question) if isinstance(stored.get(key), dict)}
        return stored | {key: part | fences for key, part in parts.items()}

    def part(self, question: Question) -> RubricPart:
        """Return the words of a question."""
        return self.informative if question == "informative" else self.visual

    def question(self, request: JudgeRequest) -> str:
        """Return the words in which a question is asked."""
        return self.part(request.question).fill(request.class_name, request.description)

    def prompt(self, request: JudgeRequest) -> Prompt:
        """Return what is sent to ask a question."""
        return Prompt(self.messages(request), request.question, self.schema(request.question))

    def messages(self, request: JudgeRequest) -> list[Message]:
        """Build the prompt: system, an example question with its answer, the question.

        Args:
            request: The question; class name and description may hold any characters, braces included.

        Returns:
            Four chat messages with `role` and `content`.
        """
        return [
            {"role": "system", "content": self.system},
            {"role": "user", "content": self.question(self.example(request.question))},
            {"role": "assistant", "content": self.example_answer(request.question)},
            {"role": "user", "content": self.question(request)},
        ]

    def example(self, question: Question) -> JudgeRequest:
        """Return the worked example as a question, which no server has reason to refuse."""
        part = self.part(question)
        return JudgeRequest(question, part.one_shot_class, part.one_shot_description)

    def example_of(self, request: JudgeRequest) -> JudgeRequest:
        """Return the worked example of the same question."""
        return self.example(request.question)

    def example_answer(self, question: Question) -> str:
        """Return the answer to the worked example, as a judge should give it."""
        return json.dumps(self.part(question).one_shot_answer)

    def schema(self, question: Question) -> JSON:
        """Return the JSON schema of an answer: the explanation first, so that the verdict follows from it."""
        key = self.part(question).key
        return {
            "type": "object",
            "properties": {"explanation": {"type": "string"}, key: {"type": "string", "enum": ["Yes", "No"]}},
            "required": ["explanation", key],
            "additionalProperties": False,
        }

    def parse(self, request: JudgeRequest, raw: str, *, cut: bool = False) -> Answer:
        """Read a judge's answer; what is not clearly yes or no is unparsed.

        The answer is a JSON object with the question's key, or a single yes or no. The key's value is true, false, or a
        text that starts with the whole word yes or no, in any case, and does not also contain the other word. What
        stands in a thinking block, and JSON copied from the description or the class name, is no answer. Several
        objects must agree, unless the words between them say that the later one corrects the earlier. A yes or no that
        stands alone beside them must agree with them, too.

        Args:
            request: The question that was asked.
            raw: What the judge said, with or without text around the JSON.
            cut: Whether the reply ended at its greatest length.

        Returns:
            The verdict, or `Unparsed` with the same text.
        """
        part = self.part(request.question)
        said = read_reply_text(raw, part.key, part.shown(request), cut=cut)
        read = {_yes_or_no(value) for value in said.values}
        if said.bare is not None or not read:
            read.add(said.bare)
        answer = read.pop()
        return Unparsed(raw) if answer is None or read else Verdict(answer, raw)


def _yes_or_no(value: Any) -> bool | None:
    """Return the meaning of the value under the question's key; None if it is neither yes nor no."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        match = _VERDICT.match(value)
        if match and not (_YES.search(value) and _NO.search(value)):
            return match[1].lower() == "yes"
    return None


def one_line(text: str) -> str:
    """Collapse each run of newlines, with the blanks around it, into one space."""
    return " ".join(line for line in (part.strip() for part in text.splitlines()) if line)


def escape_fence(text: str, tag: str | None) -> str:
    """Return a text that can neither open nor close its fence: `</tag>` becomes `&lt;/tag>`.

    Args:
        text: Any text.
        tag: Name of the fence's tag, matched in any case and with blanks inside; None leaves the text as it is.
    """
    return text if tag is None else re.sub(rf"<(?=[\s/]*{re.escape(tag)})", "&lt;", text, flags=re.IGNORECASE)


@functools.cache
def load_rubric(name: str) -> Rubric:
    """Read a rubric.

    Args:
        name: `paper`, `fenced`, or the path of a JSON file. For a file, a hash of its content is added to its version,
            so that all questions are asked again after a change even if its author forgot to change the version.

    Raises:
        UserError: If there is no such rubric, or if the file lacks something; the message lists every problem.
    """
    path = SHIPPED.get(name, Path(name).expanduser())
    if name not in SHIPPED and path.suffix != ".json":
        hint = "Or give the path of a JSON file, such as my_rubric.json."
        raise UserError(unknown_name("judge.rubric", name, SHIPPED, hint=hint))
    try:
        raw = path.read_bytes()
        content = decode(raw)
    except OSError as error:
        raise UserError(f"judge.rubric: {path} cannot be read ({error.strerror}); correct the path.") from error
    except JSONFault as error:
        raise UserError(f"judge.rubric: {path}: line {error.line}: {error.reason}; correct the file.") from error
    try:
        rubric = Rubric.from_json(content)
    except ValidationError as error:
        problems = "\n".join(
            f"judge.rubric: {path}: {_told(found)}; {_EXAMPLE} is an example." for found in error.errors()
        )
        raise UserError(problems) from error
    mark = "" if name in SHIPPED else f"+{hashlib.sha256(raw).hexdigest()[:8]}"
    return replace(rubric, version=rubric.version + mark)


def _told(found: ErrorDetails) -> str:
    """Say what is wrong with a rubric file."""
    place = [str(key) for key in found["loc"]]
    if not place:
        return "must be a JSON object"
    raised = found.get("ctx", {}).get("error")
    return f"'{'.'.join(place)}' " + (str(raised) if raised else f"must be {_KINDS.get(place[-1], 'a text')}")


PAPER = load_rubric("paper")
"""The paper's two questions word for word. Source: arXiv 2403.16442, tables 11, 12 and 14."""
