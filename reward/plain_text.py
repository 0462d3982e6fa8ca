"""Texts of others, made harmless where they are shown: terminals, spreadsheets and Markdown act on some characters.

Class names, descriptions, a judge's words and file names may be anyone's.
"""

from __future__ import annotations

import re
import unicodedata

_ACTIVE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # colors and movements of the cursor, as a whole
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"  # titles of windows, links, the clipboard
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
    r"|[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"  # the direction of what follows, which reorders a line
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""How cells begin that spreadsheets take for formulas; the last four are the wide forms of the first."""


def plain(text: str) -> str:
    """Return a text without what a terminal would act on: escape sequences and control characters.

    Line breaks and tabs stay. Characters that reorder a line are removed too.
    """
    return _ACTIVE.sub("", text)


def written_out(text: str) -> str:
    """Return a text whose control characters, but for line breaks, are written out: a file's name may hold any."""
    if text.isprintable():
        return text
    return "".join(c if c == "\n" or not _acts(c) else c.encode("unicode_escape").decode() for c in text)


def _acts(character: str) -> bool:
    """Say whether a character is a control, a mark of direction, half of a pair or a separator of lines."""
    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")


def csv_cell(value: object) -> object:
    """Return a cell that no spreadsheet takes for a formula: a text that looks like one gets an apostrophe in front.

    Numbers, and texts that are numbers, are as they were.
    """
    if not isinstance(value, str) or not value.lstrip(" ").startswith(_FORMULA):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


def markdown_code(text: str) -> str:
    """Return a text as Markdown code in a line, whatever backquotes it holds."""
    line = " ".join(plain(text).split())
    longest = max((len(run) for run in re.findall("`+", line)), default=0)
    marks = "`" * (longest + 1)
    pad = " " if line.startswith("`") or line.endswith("`") or not line else ""
    return f"{marks}{pad}{line}{pad}{marks}"


def markdown_block(text: str, language: str) -> str:
    """Return lines of code as a Markdown block, whatever fences they hold."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.strip()}\n{fence}"
