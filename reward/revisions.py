"""The record of which commit of each hub repository was loaded first, so that every later load uses the same one.

No commit of another's repository is written in the source. The first load of a repository records the commit that it
got, in one JSON file beside the image banks. Later loads ask for that commit, and any other one is an error.
"""

from __future__ import annotations

import itertools
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from reward.cache import cache_dir
from reward.errors import EnvironmentFault, UserError
from reward.files import replacing

_COMMIT = re.compile(r"[0-9a-f]{40}")


class Recorded(NamedTuple):
    """What was recorded at the first load of a repository.

    Attributes:
        commit: Full hash of the commit.
        date: Day of the first load, ISO 8601, UTC.
        scale: Logit scale of the weights; `None` for a repository that only brought a tokenizer.
        bias: Logit bias of the weights.
    """

    commit: str
    date: str
    scale: float | None = None
    bias: float | None = None


def record_file() -> Path:
    """Return the file of recorded revisions; it may not exist yet."""
    return cache_dir() / "revisions.json"


def recorded(repository: str, revision: str | None = None) -> Recorded | None:
    """Return what is recorded of a repository (or of a branch or tag of it), `None` if nothing is.

    Raises:
        UserError: If the file of records is damaged.
    """
    entry = _read().get(_key(repository, revision))
    return None if entry is None else Recorded(**entry)


def revision_to_load(repository: str, revision: str | None) -> str | None:
    """Return the commit to ask the hub for: the one given, else the one recorded, else the branch or tag given.

    Args:
        repository: `ORG/NAME`.
        revision: What the recipe or preset gives: a commit, a branch or tag, or nothing.
    """
    if revision is not None and _COMMIT.fullmatch(revision):
        return revision
    known = recorded(repository, revision)
    return revision if known is None else known.commit


def confirm(
    where: str,
    repository: str,
    revision: str | None,
    commit: str | None,
    *,
    scale: float | None = None,
    bias: float | None = None,
) -> None:
    """Compare a loaded commit with the given or recorded one; record it if it is the repository's first.

    Args:
        where: Key for messages, such as `vlm.model`.
        repository: `ORG/NAME`.
        revision: Commit, branch or tag that the recipe or preset gives, if any.
        commit: The commit that was loaded; `None` if the library did not tell.
        scale: Logit scale of the loaded weights, recorded with the commit.
        bias: Logit bias of the loaded weights.

    Raises:
        UserError: If the loaded commit is not the given or recorded one, or is not known.
        EnvironmentFault: If the record cannot be written.
    """
    if commit is None:
        raise UserError(
            f"{where}: cannot tell which revision of '{repository}' was loaded; give a local copy of the checkpoint."
        )
    if revision is not None and _COMMIT.fullmatch(revision):
        if commit != revision:
            raise UserError(f"{where}: '{repository}' was loaded at {commit}, but revision {revision} is given.")
    else:
        known = recorded(repository, revision)
        if known is not None and commit != known.commit:
            raise UserError(_changed(where, repository, known, commit))
        if known is not None and (known.scale is not None or scale is None):
            return
        _record(_key(repository, revision), Recorded(commit, datetime.now(UTC).date().isoformat(), scale, bias))


def explain_failure(where: str, repository: str, revision: str | None) -> UserError | None:
    """Return the error to raise for a load that failed because the cache holds another commit than the recorded one.

    Returns:
        The error; None if the load failed for another reason.
    """
    known = recorded(repository, revision)
    held = cached_commit(repository, revision)
    if known is None or held is None or held == known.commit:
        return None
    return UserError(_changed(where, repository, known, held))


def cached_commit(repository: str, revision: str | None = None) -> str | None:
    """Return the commit that the local hub cache holds for a branch, tag or commit (default: main); `None` if none."""
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}"
    if revision is not None and _COMMIT.fullmatch(revision):
        return revision if (folder / "snapshots" / revision).is_dir() else None
    reference = folder / "refs" / (revision or "main")
    return reference.read_text().strip() if reference.is_file() else None


def commit_of(path: str | Path) -> str | None:
    """Return the commit of a file in the hub cache (`…/snapshots/<commit>/…`), `None` for any other file."""
    parts = Path(path).parts
    for folder, commit in itertools.pairwise(parts):
        if folder == "snapshots" and _COMMIT.fullmatch(commit):
            return commit
    return None


def _key(repository: str, revision: str | None) -> str:
    return repository if revision is None else f"{repository}@{revision}"


def _changed(where: str, repository: str, known: Recorded, commit: str) -> str:
    return (
        f"{where}: '{repository}' is at {commit}, but {known.commit} was recorded on {known.date} "
        f"({record_file()}). Fetch the recorded revision, or accept the other with 'revision: {commit}'."
    )


def _read() -> dict[str, dict[str, Any]]:
    path = record_file()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        for entry in content.values():
            if not _COMMIT.fullmatch(Recorded(**entry).commit):
                raise ValueError(f"'{entry['commit']}' is no commit")
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{path}: not a file of revisions ({error}); remove it to record them anew.") from error
    return dict(content)


def _record(key: str, entry: Recorded) -> None:
    path = record_file()
    try:
        content = {**_read(), key: entry._asdict()}
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    except OSError as error:
        raise EnvironmentFault(
            f"{path}: the revision of '{key}' cannot be recorded ({error}); free some space or set EX2_CACHE."
        ) from error
