"""JSON as the stages write it: what they never write is refused, with the line where it stands.

Python's decoder lets NaN, numbers like 1e999 and a key that occurs twice pass, and ends in other errors than its own on
very deep nesting, on bytes that are not UTF-8, and on integers of thousands of digits.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

LARGEST = 1e100
"""Least size of a number that is refused, since sums of its squares would be infinite; no stage writes such numbers."""

DEEPEST = 100
"""Levels of nesting that are told apart when a place is looked for."""

MOST_SHOWN = 60
"""Characters of a key or number that a message shows."""

_SURROGATE = re.compile("[\ud800-\udfff]")
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')


class JSONFault(ValueError):
    """A text is no JSON that a stage writes.

    Args:
        reason: What is wrong.
        line: Number of the line, from 1.
    """

    def __init__(self, reason: str, line: int) -> None:
        super().__init__(reason)
        self.reason, self.line = reason, line


class _RefusedError(ValueError):
    """The decoder met something that is refused; where it stands is looked for afterwards."""


def decode(content: bytes | str) -> Any:
    """Read JSON; a byte order mark before it is skipped.

    Args:
        content: The text, or its bytes in UTF-8.

    Raises:
        JSONFault: If it is no JSON or not UTF-8, or holds NaN, an infinite or huge number, a key twice in an object, a
            lone surrogate, or too many levels of nesting.
    """
    text = (_text(content) if isinstance(content, bytes) else content).removeprefix("\ufeff")
    try:
        value = _DECODER.decode(text)
        if "\\ud" in text or "\\uD" in text:
            _refuse_surrogates(value)
    except json.JSONDecodeError as error:
        what = f"not JSON ({error.msg})" if text.strip() else "empty"
        raise JSONFault(what, error.lineno) from error
    except (_RefusedError, RecursionError) as error:
        raise _located(text) from error
    return value


def _text(content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise JSONFault("not UTF-8", content.count(b"\n", 0, error.start) + 1) from error


def line_of(content: bytes | str, path: Sequence[str | int]) -> int:
    """Return the line on which a value stands in valid JSON, from 1.

    Args:
        content: The text, or its bytes in UTF-8.
        path: Keys and places that lead to the value. Parts that the text does not have are passed over: for a key that
            is missing, the object that should have it is meant.
    """
    text = content.decode("utf-8") if isinstance(content, bytes) else content
    best, offset = 0, 0
    for token in _tokens(text):
        matched = _common(token.path, path)
        if matched == len(token.path) and matched > best:
            best, offset = matched, token.offset
    if not best:
        offset = len(text) - len(text.lstrip())
    return text.count("\n", 0, offset) + 1


class _Token(NamedTuple):
    """A token of JSON.

    Attributes:
        text: The token as it stands in the text.
        offset: Its place in the text.
        path: Keys and places that lead to the value that it is, or begins; for a key, those that lead to its value.
        twice: Whether it is a key that its object has already had.
        depth: Levels of nesting around it.
    """

    text: str
    offset: int
    path: tuple[str | int, ...]
    twice: bool
    depth: int


class _Level:
    """An object or list around a token."""

    def __init__(self, is_object: bool) -> None:
        self.keys: set[str] | None = set() if is_object else None
        self.place: str | int = "" if is_object else 0
        self.expects_key = is_object


def _tokens(text: str) -> Iterator[_Token]:
    levels: list[_Level] = []
    for match in _TOKEN.finditer(text):
        token, level = match.group(), levels[-1] if levels else None
        if token in "}]":
            del levels[-1:]
        elif token == "," and level is not None:
            level.expects_key = level.keys is not None
            level.place = level.place + 1 if isinstance(level.place, int) else level.place
        elif token not in ",:":
            twice = False
            if level is not None and level.keys is not None and level.expects_key:
                key = _unquoted(token)
                twice = key in level.keys
                level.keys.add(key)
                level.place, level.expects_key = key, False
            yield _Token(token, match.start(), tuple(one.place for one in levels), twice, len(levels))
            if token in "{[":
                levels.append(_Level(token == "{"))
        if len(levels) > DEEPEST:
            yield _Token(token, match.start(), (), False, len(levels))
            return


def _located(text: str) -> JSONFault:
    """Return the first thing in a text that is refused, with its line."""
    for token in _tokens(text):
        reason = _reason(token)
        if reason:
            return JSONFault(reason, text.count("\n", 0, token.offset) + 1)
    return JSONFault("not JSON that a stage writes", 1)


def _reason(token: _Token) -> str:
    if token.depth > DEEPEST:
        return f"more than {DEEPEST} levels of nesting"
    shown = token.text if len(token.text) <= MOST_SHOWN else f"{token.text[:MOST_SHOWN]}…"
    if token.twice:
        return f"the key {shown} occurs twice in an object"
    if token.text.startswith('"'):
        try:
            _unquoted(token.text).encode()
        except UnicodeEncodeError:
            return f"half of a surrogate pair in {shown}"
        return ""
    try:
        _DECODER.decode(token.text)
    except _RefusedError as error:
        return str(error)
    except ValueError:
        return ""  # a bracket
    return ""


def _unquoted(token: str) -> str:
    try:
        return str(json.loads(token))
    except ValueError:
        return token


def _common(one: Sequence[str | int], other: Sequence[str | int]) -> int:
    matched = 0
    for part in other:
        if matched < len(one) and one[matched] == part:
            matched += 1
    return matched


def encodable(text: str) -> str:
    """Return a text with U+FFFD for each half of a surrogate pair, which UTF-8 does not have."""
    return _SURROGATE.sub("\ufffd", text)


def _refuse_surrogates(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise _RefusedError("half of a surrogate pair") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _RefusedError("a key occurs twice")
    return found


def _float(digits: str) -> float:
    value = float(digits)
    if not -LARGEST < value < LARGEST:
        raise _RefusedError(f"{digits[:MOST_SHOWN]} is too large a number")
    return value


def _int(digits: str) -> int:
    if len(digits) > MOST_SHOWN:
        raise _RefusedError(f"an integer of {len(digits.lstrip('-'))} digits is too large a number")
    return int(digits)


def _constant(name: str) -> float:
    raise _RefusedError(f"{name} is no number")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_float=_float, parse_int=_int, parse_constant=_constant)
