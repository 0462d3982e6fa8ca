"""Finding the code in what a model has answered."""

from __future__ import annotations

import re

from ex2.sets.sandbox.languages.base import Language

_BLOCK = re.compile(
    r"^[ \t]*(`{3,}|~{3,})[ \t]*([\w+#.-]*)[^\n]*\n(.*?)(?:^[ \t]*\1[ \t]*$|\Z)", re.DOTALL | re.MULTILINE
)


def code_in(reply: str, language: Language) -> str:
    """Return the code in a reply; empty if it has none.

    1. Of the fenced blocks that are marked with a name of the language, the first that is not empty.
    2. Else the first fenced block without a mark.
    3. Else, outside of blocks, what begins and ends as code of the language does.

    A block that does not end goes to the end of the reply. Blocks are not joined, and one marked with another language
    is not taken.

    Args:
        reply: The whole reply.
        language: What the code is to be written in.
    """
    text = reply.encode("utf-8", "replace").decode().replace("\r\n", "\n")
    blocks = [(match[2].lower(), match[3]) for match in _BLOCK.finditer(text)]
    marked = [code for mark, code in blocks if mark in language.tags and code.strip()]
    plain = [code for mark, code in blocks if not mark and code.strip()]
    for found in (*marked, *plain):
        return found
    return "" if blocks else language.find(text)
