"""What a message says, whatever the line is that it names."""

from __future__ import annotations

import re


def without_line(message: object) -> str:
    """Return an error's message without the first `line N: `, which it must have."""
    told, count = re.subn(r": line [1-9]\d*: ", ": ", str(message), count=1)
    assert count == 1, message
    return told
