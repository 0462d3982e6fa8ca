"""What the languages have in common that are Python with a library."""

from __future__ import annotations

import ast
import re

_STATEMENT = re.compile(r"^\s*(import|from) \w", re.MULTILINE)


def find(text: str) -> str:
    """Return a text from its first import on, if all that follows can be read as a program; else nothing."""
    start = _STATEMENT.search(text)
    if start is None:
        return ""
    code = text[start.start() :].lstrip("\n")
    try:
        ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ""
    return code
