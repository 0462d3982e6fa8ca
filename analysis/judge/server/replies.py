"""What goes to a chat server and what comes back, read by hand: servers differ in all fields but a few."""

from __future__ import annotations

import email.utils
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import openai

from analysis.judge.base import Usage


@dataclass(frozen=True)
class Chat:
    """One conversation that wants an answer.

    Attributes:
        messages: With `role` and `content`.
        schema_name: Of the answer's JSON schema.
        schema: The answer's JSON schema.
        about: Whatever the caller knows it by.
        again: An earlier answer could not be used.
        sampling: Settings that replace the server's, `extra_body` included, for this conversation.
        spent: On it so far.
    """

    messages: list[dict[str, str]]
    schema_name: str
    schema: dict[str, Any]
    about: Any = None
    again: bool = False
    sampling: Mapping[str, Any] = field(default_factory=dict)
    spent: Usage = field(default_factory=Usage)


class Reply(NamedTuple):
    """What the model said, or (`refused`) that it, a filter or the server declined to say anything."""

    text: str
    refused: bool
    spent: Usage


def read_reply(body: str | Mapping[str, Any]) -> Reply | None:
    """Take the first choice's text out of a chat completion; `None` if the body is none.

    A message without content has an empty text: a reasoning model that is cut short while it thinks sends one. Read by
    hand because the client's models accept any types, and servers differ in all fields but these.
    """
    try:
        content = json.loads(body) if isinstance(body, str) else body
        choice = content["choices"][0]
        message = choice["message"]
        text, refusal = message.get("content"), message.get("refusal")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        return None
    usage = content.get("usage")
    counted = usage if isinstance(usage, dict) else {}
    tokens = [counted.get(key) for key in ("prompt_tokens", "completion_tokens")]
    spent = Usage(0, *(number if isinstance(number, int) and number >= 0 else 0 for number in tokens))
    if isinstance(refusal, str) and refusal:
        return Reply(refusal, refused=True, spent=spent)
    if choice.get("finish_reason") == "content_filter":
        return Reply(str(text or "content filter"), refused=True, spent=spent)
    return Reply(text or "", refused=False, spent=spent) if text is None or isinstance(text, str) else None


def server_words(error: openai.APIError) -> str:
    """Return what the server itself said about an error: OpenAI's `error.message`, FastAPI's `detail`, or the body."""
    if not isinstance(error, openai.APIStatusError):
        return error.message
    text = error.response.text
    try:
        content = json.loads(text)
    except ValueError:
        return text or error.message
    if not isinstance(content, dict):
        return text
    inner = content.get("error")
    for words in (
        inner.get("message") if isinstance(inner, dict) else inner,
        content.get("detail"),
        content.get("message"),
    ):
        if words:
            return words if isinstance(words, str) else json.dumps(words, ensure_ascii=False)
    return text


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the pause in seconds that a server asks for: `Retry-After-Ms`, or `Retry-After` as seconds or date."""
    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        try:
            return max(0.0, float(headers[name]) * unit)
        except (KeyError, ValueError):
            continue
    try:
        return max(0.0, email.utils.parsedate_to_datetime(headers["retry-after"]).timestamp() - time.time())
    except (KeyError, ValueError):
        return None


def short(text: str) -> str:
    """Return the beginning of a text in one line."""
    line = " ".join(text.split())
    return line if len(line) <= 160 else line[:159] + "…"
