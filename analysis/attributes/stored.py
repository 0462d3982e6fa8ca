"""The stored result of `ex2 attributes`, read back from a run's folder."""

from __future__ import annotations

from analysis.attributes.answers import judged_digest
from analysis.attributes.record import FORMAT, Attributes
from ex2.run.directory import RunDirectory
from ex2.run.sealed import check_sealed
from reward.errors import UserError
from reward.files import read_record

RESULT = "attributes.json"
"""Name of the file in a run's folder that holds the run's part of the last `ex2 attributes` it took part in."""

AGAIN = "run `ex2 attributes` again"


def stored_attributes(directory: RunDirectory) -> tuple[Attributes | None, str]:
    """Read the result that `ex2 attributes` stored in a run's folder.

    Args:
        directory: The run's directory.

    Returns:
        The run's part of `attributes.json`, or None if it cannot be used; and the reason in words, "" if nothing is
        stored or nothing is wrong.

    Raises:
        UserError: If the file is not JSON, or lacks what every version of its format holds.
    """
    path = directory.root / RESULT
    if not path.exists():
        return None, ""
    content = read_record(path, _of_this_version)
    check_sealed(path, AGAIN)
    if content is None:
        return None, f"{path}: not of this version; {AGAIN}."
    (group,) = content.groups
    try:
        now = judged_digest(directory, group.seeds)
    except UserError:
        now = ""
    if now != group.texts:
        return None, f"{path}: the descriptions or their judge changed since; {AGAIN}."
    return content, ""


def _of_this_version(stored: object) -> Attributes | None:
    """Read one run's part; None if the stored result has another format or is of several runs."""
    if not isinstance(stored, dict):
        raise TypeError("no object")
    if stored.get("format") != FORMAT or len(stored.get("groups", [])) != 1:
        return None
    return Attributes.from_json(stored)
