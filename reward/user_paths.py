"""Paths that a user gives in a recipe."""

from __future__ import annotations

import os
from pathlib import Path

from reward.errors import UserError, shown


def user_path(given: str | Path, where: str) -> Path:
    """Return a path with a leading `~` or `~name` expanded; it need not exist.

    Args:
        given: As the recipe has it.
        where: Key of the recipe, for messages.

    Raises:
        UserError: If there is no such user, or the system allows no such path.
    """
    try:
        path = Path(given).expanduser()
        path.is_file()
    except (RuntimeError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no such user's folder"
        raise UserError(f"{where}: given {shown(str(given))}: {reason}; give the path of a file.") from error
    return path


def expanded(given: str | Path) -> Path:
    """Return a path with `~` written out; as it is given where there is no such user, so that it is told as missing."""
    return Path(os.path.expanduser(given))
