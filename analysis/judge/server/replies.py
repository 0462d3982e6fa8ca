"""What is sent to a chat server and what comes back; only those parts of a reply are read that all servers have."""

from __future__ import annotations

import email.utils
import json
import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, NamedTuple

import openai
from pydantic import (
    BeforeValidator,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from analysis.judge.base import Message, Usage
from reward.records import Record


@dataclass(frozen=True)
class Chat:
    """One conversation that wants an answer.

    Attributes:
        messages: The messages, without what is attached to them.
        schema_name: Name of the answer's JSON schema.
        schema: The answer's JSON schema.
        about: Whatever the caller recognises the conversation by, such as the question.
        again: Whether an earlier answer could not be used.
        sampling: Settings that replace the server's, `extra_body` included, for this conversation.
        spent: Requests and tokens that the conversation has taken so far.
        attach: As of `analysis.judge.base.Prompt`.
        attached_tokens: Likewise.
    """

    messages: list[Message]
    schema_name: str
    schema: dict[str, Any]
    about: Any = None
    again: bool = False
    sampling: Mapping[str, Any] = field(default_factory=dict)
    spent: Usage = field(default_factory=Usage)
    attach: Callable[[list[Message]], list[Message]] | None = None
    attached_tokens: int = 0

    def sent(self) -> list[Message]:
        """Return the messages with what is attached to them."""
        return self.messages if self.attach is None else self.attach(self.messages)


class Reply(NamedTuple):
    """What the model said.

    Attributes:
        text: The reply without what the server itself sets apart as thoughts.
        refused: Whether the model, a filter or the server declined; `text` says why.
        spent: Requests and tokens that the reply took.
        cut: Whether the reply ended at its greatest length.
    """

    text: str
    refused: bool
    spent: Usage
    cut: bool = False


_CUT = ("length", "max_tokens", "model_length")
"""Values of `finish_reason` by which servers say that a reply ended at its greatest length."""


def _otherwise(default: Any) -> WrapValidator:
    """Return a validator that gives a default for values of another form."""

    def read(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        try:
            return handler(value)
        except ValidationError:
            return default

    return WrapValidator(read)


def _first(choices: Any) -> Any:
    return choices[:1] if isinstance(choices, list) else choices


_Count = Annotated[int, Field(strict=True, ge=0), _otherwise(0)]


@dataclass(frozen=True)
class _Counts(Record):
    prompt_tokens: _Count = 0
    completion_tokens: _Count = 0


@dataclass(frozen=True)
class _Message(Record):
    content: Any = None
    refusal: Any = None


@dataclass(frozen=True)
class _Part(Record):
    """One part of a message's content; parts of other kinds, such as images, have neither text nor refusal."""

    type: str = "text"
    text: str | None = None
    refusal: str | None = None


_THOUGHTS = re.compile("think|thought|reason", re.IGNORECASE)
"""Found in the `type` of parts that are thoughts."""


@dataclass(frozen=True)
class _Choice(Record):
    message: _Message
    finish_reason: Any = None


@dataclass(frozen=True)
class _Completion(Record):
    """A chat completion, checked here because the client's class accepts any types; only the first choice is read."""

    choices: Annotated[list[_Choice], Field(min_length=1), BeforeValidator(_first)]
    usage: Annotated[_Counts, _otherwise(_Counts())] = field(default_factory=_Counts)


@dataclass(frozen=True)
class _Complaint(Record):
    """A server's error body: one of these keys says what went wrong."""

    error: Any = None
    detail: Any = None
    message: Any = None


def read_reply(body: str | Mapping[str, Any]) -> Reply | None:
    """Return the first choice of a chat completion as a reply; `None` if the body is not a chat completion.

    A message without content gives an empty text; reasoning models that are cut short while thinking send such
    messages. Of content that is a list of parts, the texts are joined; parts that are thoughts are left out.
    """
    try:
        completion = _Completion.from_json(json.loads(body) if isinstance(body, str) else body)
    except (ValueError, RecursionError):
        return None
    choice = completion.choices[0]
    said = _joined(choice.message.content)
    if said is None:
        return None
    refusal = choice.message.refusal or said.refusal
    spent = Usage(0, completion.usage.prompt_tokens, completion.usage.completion_tokens)
    if isinstance(refusal, str) and refusal:
        return Reply(refusal, refused=True, spent=spent)
    if choice.finish_reason == "content_filter":
        return Reply(said.text or "content filter", refused=True, spent=spent)
    return Reply(said.text, refused=False, spent=spent, cut=str(choice.finish_reason).lower() in _CUT)


class _Content(NamedTuple):
    text: str
    refusal: str = ""


def _joined(content: Any) -> _Content | None:
    """Join the texts and refusals of a message's content; None if the content has no form that servers send."""
    if content is None or isinstance(content, str):
        return _Content(content or "")
    if not isinstance(content, list):
        return None
    text, refusal = "", ""
    for given in content:
        try:
            part = _Part(text=given) if isinstance(given, str) else _Part.from_json(given)
        except ValueError:
            return None
        if not _THOUGHTS.search(part.type):
            text += part.text or ""
            refusal += part.refusal or ""
    return _Content(text, refusal)


def server_words(error: openai.APIError) -> str:
    """Return what the server itself said about an error: OpenAI's `error.message`, FastAPI's `detail`, or the body."""
    if not isinstance(error, openai.APIStatusError):
        return error.message
    text = error.response.text
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return text or error.message
    if not isinstance(content, dict):
        return text
    said = _Complaint.from_json(content)
    inner = _Complaint.from_json(said.error).message if isinstance(said.error, dict) else said.error
    for words in (inner, said.detail, said.message):
        if words:
            return words if isinstance(words, str) else json.dumps(words, ensure_ascii=False)
    return text


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the pause in seconds that a server asks for: `Retry-After-Ms`, or `Retry-After` as seconds or date."""
    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) * unit
            if math.isfinite(seconds):
                return max(0.0, seconds)
        except (KeyError, ValueError):
            continue
    try:
        return max(0.0, email.utils.parsedate_to_datetime(headers["retry-after"]).timestamp() - time.time())
    except (KeyError, ValueError, OverflowError):
        return None


def short(text: str) -> str:
    """Return the beginning of a text in one line."""
    line = " ".join(text.split())
    return line if len(line) <= 160 else line[:159] + "…"
