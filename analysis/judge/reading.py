"""How the text of a reply is read: what the model thought is left out, and so is what it copied from the question.

Only what stands outside thinking blocks is an answer. A reply that was cut off, or that gives two answers which differ,
is not guessed at.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from reward.records import JSON

READING: Final = "3"
FORMER_READINGS: Final = ("2",)
"""Version of these rules, and those before it. Verdicts in a log were read by the rules of their time; whoever changes
what the rules make of a text must give them a new version, and the texts in the logs are then read again."""

_STOP = re.compile(
    r"""
    (?P<brace>\{)
    | [<◁]\|?\s*(?P<close>/)?\s*(?:[\w-]+:)?(?:think|thinking|thoughts?|thought_process|reason|reasoning|analysis
        |reflection|scratchpad)(?:[\s|/][^<>◁▷]*)?[>▷]
    | \[\s*(?P<bracket_close>/)?\s*(?:think|thinking)\s*\]
    | <\|(?:begin|(?P<end>end))_of_(?:thoughts?|thinking|reasoning)\|>
    | <\|(?:start|(?P<cohere_end>end))_thinking\|>
    | <\|inner_(?:prefix|(?P<inner_end>suffix))\|>
    | <\|channel\|>\s*(?:analysis|commentary)\b[^<]*<\|message\|>
    | (?P<final><\|channel\|>\s*final\b[^<]*<\|message\|>)
    """,
    re.VERBOSE | re.IGNORECASE,
)
"""A brace, at which a JSON object may begin, or a tag that begins or ends a thinking block."""
_ENDS_A_BLOCK = ("close", "bracket_close", "end", "cohere_end", "inner_end")

_TAKES_BACK = (
    r"\bon (?:second|further) thoughts?\b|\bon reflection\b|\bcorrection\b|\bcorrecting myself\b|\bscratch that\b"
    r"|\bi (?:was|am) (?:wrong|mistaken)\b|\bi take (?:that|it) back\b|\bmy mistake\b|\blet me (?:correct|revise)\b"
)
_RETRACTION = re.compile(_TAKES_BACK, re.IGNORECASE)
"""Words that take an answer back wherever they stand."""
_CORRECTION = re.compile(rf"{_TAKES_BACK}|\bactually\b|\bwait\b|\bsorry\b|\brather\b|\bno[,:]", re.IGNORECASE)
"""Words that, between two answers, make the second replace the first."""

_MARKS = r"[\s.,;:!*_`'\"“”‘’()\[\]{}#>~-]*"
_BARE = re.compile(rf"{_MARKS}(yes|no){_MARKS}", re.IGNORECASE)
_ENDS = " \t\r\n`"
"""What may follow an answer in a reply that was cut off: blanks, and the end of a code block."""


class Piece(NamedTuple):
    """A part of a reply outside its thinking blocks.

    Attributes:
        text: The part as it stands in the reply.
        found: The JSON object that the part is; None for text between objects.
    """

    text: str
    found: JSON | None = None


class Said(NamedTuple):
    """What a reply says in answer.

    Attributes:
        values: The values under the question's key in the order of their objects. If one of them was corrected, only
            those after the last correction.
        bare: The answer of a single yes or no, alone or beside objects; None if there is none, or both.
    """

    values: list[Any]
    bare: bool | None


NOTHING: Final = Said([], None)


def read_reply_text(raw: str, key: str, given: Sequence[str] = (), *, cut: bool = False) -> Said:
    """Find the answer in the text of a reply.

    Args:
        raw: What the judge said.
        key: Key of the JSON object that holds the answer.
        given: Texts of the question that others wrote, such as the description; JSON objects that stand in one of
            them, or have the same content as one there, are copies and no answer.
        cut: Whether the reply ended at its greatest length. Then an answer counts only if nothing but blanks and the
            end of a code block follows it, because more words might have taken it back.

    Returns:
        The answer; `NOTHING` if there is none, if a thinking block has no end, or if the words after the last object
        take it back.
    """
    parts = pieces(raw)
    if parts is None:
        return NOTHING
    kept = [part for part in parts if part.found is None or not _is_copy(part, given)]
    last = max((place for place, part in enumerate(kept) if part.found is not None), default=None)
    rest = "".join(part.text for part in kept[0 if last is None else last + 1 :])
    if last is None:
        bare = _BARE.fullmatch(rest)
        return Said([], bare[1].lower() == "yes") if bare and not cut else NOTHING
    if (cut and rest.strip(_ENDS)) or _RETRACTION.search(rest):
        return NOTHING
    values = _uncorrected(kept, key)
    beside = {
        found[1].lower() == "yes" for part in kept if part.found is None and (found := _BARE.fullmatch(part.text))
    }
    if not values or len(beside) > 1:
        return NOTHING
    return Said(values, beside.pop() if beside else None)


def pieces(raw: str) -> list[Piece] | None:
    """Divide a reply into JSON objects and the text between them, without its thinking blocks.

    A tag within a JSON object is part of a text there. A closing tag without an opening one ends a block that began
    before the reply, as some servers send it: all before it is left out.

    Returns:
        The pieces in order; None if a block has no end.
    """
    decoder = json.JSONDecoder(object_pairs_hook=_with_both_values)
    parts: list[Piece] = []
    depth = position = start = 0
    while stop := _STOP.search(raw, position):
        position = stop.end()
        if stop["brace"]:
            found = None if depth else _decoded(decoder, raw, stop.start())
            if found:
                parts += [Piece(raw[start : stop.start()]), found]
                start = position = stop.start() + len(found.text)
        elif any(stop[name] for name in _ENDS_A_BLOCK):
            if not depth:
                parts = []
            depth = max(depth - 1, 0)
            start = position
        elif stop["final"]:  # the channel of the answer: whatever stands before it is none
            parts, depth, start = [], 0, position
        elif not stop[0].endswith("/>"):  # which would be an empty block
            if not depth:
                parts.append(Piece(raw[start : stop.start()]))
            depth += 1
    return None if depth else [*parts, Piece(raw[start:])]


def json_objects(raw: str) -> list[JSON]:
    """Return the outermost JSON objects in a text, in order, tags or not."""
    decoder = json.JSONDecoder(object_pairs_hook=_with_both_values)
    found: list[JSON] = []
    position = raw.find("{")
    while position >= 0:
        piece = _decoded(decoder, raw, position)
        if piece and piece.found is not None:
            found.append(piece.found)
        position = raw.find("{", position + (len(piece.text) if piece else 1))
    return found


def _decoded(decoder: json.JSONDecoder, raw: str, position: int) -> Piece | None:
    """Return the JSON object that begins at a brace; None if it is cut or broken."""
    try:
        value, end = decoder.raw_decode(raw, position)
    except (json.JSONDecodeError, RecursionError):
        return None
    return Piece(raw[position:end], value)


def _with_both_values(pairs: list[tuple[str, Any]]) -> JSON:
    """Return an object; under a key that it has twice with different values, a list of both, which is no answer."""
    found: JSON = {}
    for key, value in pairs:
        found[key] = value if found.get(key, value) == value else [found[key], value]
    return found


def _is_copy(part: Piece, given: Iterable[str]) -> bool:
    words = _words(part.text)
    return any(words in _words(text) or part.found in json_objects(text) for text in given)


def _words(text: str) -> str:
    return " ".join(text.split())


def _uncorrected(parts: Sequence[Piece], key: str) -> list[Any]:
    """Return the values under the key; only those after the last correction that stands between two of them."""
    values: list[Any] = []
    between = ""
    for part in parts:
        if part.found is None or key not in part.found:
            between += part.text
            continue
        if values and _CORRECTION.search(between):
            values = []
        values.append(part.found[key])
        between = ""
    return values
