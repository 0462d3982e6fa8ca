"""How the text of an answer is read: yes, no, or neither, which is never guessed.

Thinking blocks, JSON and answers that were cut off are read by the rules of `analysis.judge.reading`. Beyond these a
sentence counts that begins with the answer, such as "Yes, there is."
"""

from __future__ import annotations

import re

from analysis.judge.base import Answer, Unparsed, Verdict
from analysis.judge.reading import READING, pieces, read_reply_text

KEY = "answer"
"""Key of the JSON object that an answer may be."""
VERSION = f"vqa-1, reading {READING}"

_FIRST = re.compile(
    r"""[\s*_`'"“‘([>-]*(?P<word>yes|no)\b[*_`'"”’)\]]*\s*
    (?:$ | [,.;:!–—-] | \s*(?:there|it|they|he|she|this|that|these|those|the|an?|one|i|we|you|all|none|nobody|only|
        not|his|her|its|their|both|neither|each|every|some|in|on)\b)""",
    re.IGNORECASE | re.VERBOSE,
)
"""A sentence that begins with the answer. After the bare word only what goes on with a statement may follow, since "No
idea" and "No way to tell" are no answers."""
_OTHER = {True: re.compile(r"\bno\b", re.IGNORECASE), False: re.compile(r"\byes\b", re.IGNORECASE)}
_DOUBT = re.compile(
    r"\bmaybe\b|\bperhaps\b|\bpossibly\b|\bprobably not\b|\bunclear\b|\bunsure\b|\buncertain\b|\bnot (?:sure|certain)\b"
    r"|(?:\bcannot|\bcan't|\bcan’t|\bcan not|\bcould not|\bcouldn't|\bcouldn’t|\bunable to|\bimpossible to|\bhard to"
    r"|\bdifficult to|\bnot possible to|\bno way to) (?:tell|say|determine|know|answer|judge|be sure)\b"
    r"|\bon (?:second|further) thoughts?\b|\bscratch that\b|\bi (?:was|am) (?:wrong|mistaken)\b|\bmy mistake\b",
    re.IGNORECASE,
)
"""Words that take an answer back or leave it open."""


def read_answer(raw: str, question: str = "", *, cut: bool = False) -> Answer:
    """Read an answer.

    Args:
        raw: What the answerer said.
        question: The question; JSON that was copied from it is no answer.
        cut: Whether the answer ended at its greatest length: then a sentence is no answer, since more words might have
            taken it back.

    Returns:
        A verdict if the text is a JSON object with the key `answer`, a single yes or no, or a sentence that begins with
        one and does not say the other too; else `Unparsed`.
    """
    parts = pieces(raw)
    if parts is None:
        return Unparsed(raw)
    said = read_reply_text(raw, KEY, (question,), cut=cut)
    if said.values or said.bare is not None:
        read = {value if isinstance(value, bool) else _sentence(str(value)) for value in said.values}
        if said.bare is not None:
            read.add(said.bare)
        meaning = read.pop()
        return Unparsed(raw) if meaning is None or read else Verdict(meaning, raw)
    if cut or any(part.found is not None for part in parts):
        return Unparsed(raw)
    meaning = _sentence("".join(part.text for part in parts))
    return Unparsed(raw) if meaning is None else Verdict(meaning, raw)


def _sentence(text: str) -> bool | None:
    found = _FIRST.match(text.strip())
    if not found or _DOUBT.search(text):
        return None
    yes = found.group("word").lower() == "yes"
    return None if _OTHER[yes].search(text) else yes
