"""The two kinds of failure that a user sees as one line instead of a traceback.

They live in the innermost package so that every module can raise them.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from reward.plain_text import plain
from reward.secrets import redacted


class EX2Error(Exception):
    """A failure whose message alone tells the reader what to do.

    Wherever it is shown, secrets in it are hidden, and it cannot act on a terminal.
    """

    exit_code: int = 1

    def __init__(self, message: str = "") -> None:
        super().__init__(plain(redacted(message)))


class UserError(EX2Error):
    """Something that the user gave is wrong, such as a recipe's key, a name or a file. Exit status 2."""

    exit_code = 2


class EnvironmentFault(EX2Error):
    """The input is fine but the environment fails, such as a full disk or an unreachable judge. Exit status 1."""

    exit_code = 1


def unknown_name(where: str, given: str, allowed: Iterable[str], *, hint: str = "") -> str:
    """Return the message for a name that is not in a table; it suggests the nearest valid name.

    Args:
        where: File and key, such as `recipes/x.yaml: reward.name`.
        given: What the user wrote.
        allowed: All valid names.
        hint: A further sentence, such as how to register a new name.

    Returns:
        One line: where, what was given, the nearest valid name, what is allowed.
    """
    names = sorted(allowed)
    near = difflib.get_close_matches(given, names, n=1, cutoff=0.6)
    suggestion = f" Did you mean '{near[0]}'?" if near else ""
    listing = f" Available: {', '.join(names)}." if names else ""
    return f"{where}: unknown '{given}'.{suggestion}{listing}{' ' + hint if hint else ''}"
