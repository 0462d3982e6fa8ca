"""The two kinds of failure that a user sees as one line instead of a traceback, and the exit statuses.

They live in the innermost package so that every module can raise them.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator

from reward.plain_text import written_out
from reward.secrets import redacted

EXIT_DONE, EXIT_ENVIRONMENT, EXIT_USER, EXIT_BUG, EXIT_LATER = 0, 1, 2, 70, 75
EXIT_INTERRUPTED, EXIT_TERMINATED = 130, 143
EXIT_STATUSES = (
    "exit status: 0 done, 1 a fault of the environment, 2 of what was given, 70 of EX2 itself, 75 a judge's answers "
    "come later, 130 interrupted, 143 terminated"
)
"""What each status of a command means; `ex2 --help` ends with it."""

LONGEST = 2000
"""Most characters of what is printed about one failure."""
LONGEST_VALUE = 200
"""Most characters of a value of the user's in a message."""


class EX2Error(Exception):
    """A failure whose message alone tells the reader what to do.

    Wherever it is shown, secrets in it are hidden, and it cannot act on a terminal.
    """

    exit_code: int = EXIT_ENVIRONMENT

    def __init__(self, message: str = "") -> None:
        super().__init__(written_out(redacted(message)))


class UserError(EX2Error):
    """Something that the user gave is wrong, such as a recipe's key, a name or a file. Exit status 2."""

    exit_code = EXIT_USER


class EnvironmentFault(EX2Error):
    """The input is fine but the environment fails, such as a full disk or an unreachable judge. Exit status 1."""

    exit_code = EXIT_ENVIRONMENT


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
    names, given = sorted(allowed), shortened(given, LONGEST_VALUE)
    near = difflib.get_close_matches(given, names, n=1, cutoff=0.6)
    suggestion = f" Did you mean '{near[0]}'?" if near else ""
    listing = f" Available: {', '.join(names)}." if names else ""
    return f"{where}: unknown '{given}'.{suggestion}{listing}{' ' + hint if hint else ''}"


def shortened(text: str, most: int = LONGEST) -> str:
    """Return a text of at most `most` characters: of a longer one the head and the tail, with what is left out counted.

    Args:
        text: Any text.
        most: At least 100 characters.
    """
    if len(text) <= most:
        return text
    kept = most - len(f" … ({len(text)} characters left out) … ")
    tail = kept // 3
    left_out = len(text) - kept
    return f"{text[: kept - tail]} … ({left_out} characters left out) … {text[-tail:]}"


def shown(value: object) -> str:
    """Return a value of the user's as a message shows it: as Python writes it, and not longer than `LONGEST_VALUE`."""
    try:
        return shortened(repr(value), LONGEST_VALUE)
    except Exception:  # noqa: BLE001 - a class of the user's own, or an integer of more digits than Python prints
        return f"a {type(value).__name__}"


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what led to it, latest first."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def one_line(error: BaseException) -> str:
    """Return an error's message on one line, or the name of its class if it has none."""
    return " ".join(str(error).split()) or type(error).__name__
