"""Reading the user's own files of lines: a last line needs no line break, and empty lines are none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from reward.errors import UserError
from reward.records import Record, problems
from reward.strict_json import JSONFault, decode

R = TypeVar("R", bound=Record)


def given_rows(path: Path, kind: type[R], key: Callable[[R], str], what: str) -> list[R]:
    """Return a file's lines as records.

    Args:
        path: A file that is there.
        kind: The record of a line.
        key: What two lines must not have in common.
        what: What a line is, for messages.

    Raises:
        UserError: If it cannot be read, a line is no such record, or two have the same key; a line for each.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}).") from error
    found: dict[str, R] = {}
    wrong = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = kind.from_json(decode(line))
        except JSONFault as fault:
            wrong.append(f"{path}: line {number}: {fault.reason}; correct it.")
        except ValidationError as error:
            wrong.append(f"{path}: line {number}: no {what} ({'; '.join(problems(error))}); correct it.")
        else:
            if key(row) in found:
                wrong.append(f"{path}: line {number}: a second {what} for '{key(row)}'; delete one.")
            found[key(row)] = row
    if wrong:
        raise UserError("\n".join(wrong))
    return list(found.values())
