"""The adapter's folder: what training says about it, and whether its files are still what training wrote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ex2.run.card import MODEL_CARD, TrainingSummary
from ex2.run.directory import ADAPTER_DONE
from reward.errors import UserError
from reward.file_digests import FileDigest, digests_of, fault_of
from reward.files import JSON, read_record

FILES = "files"
"""Key of `training.json` that holds size and hash of each of the adapter's files."""

REMEDY = "put it back, or move the folder away and run `ex2 train RECIPE`, which goes on from the last checkpoint"


@dataclass(frozen=True)
class _Training(TrainingSummary):
    """`training.json` with the files' hashes, which earlier versions did not write."""

    files: Mapping[str, FileDigest] | None = None


def adapter_digests(folder: Path) -> JSON:
    """Return size and hash of each of an adapter's files, as `training.json` keeps them.

    The model card is left out, because it is written again when more is known, and `training.json` itself.
    """
    found = digests_of(folder, without=(MODEL_CARD, ADAPTER_DONE))
    return {name: one.to_json() for name, one in found.items()}


def verify_adapter(folder: Path) -> bool:
    """Check that an adapter's files are what training wrote.

    Args:
        folder: The adapter's folder, in which `training.json` lies.

    Returns:
        Whether they could be checked; an adapter of an earlier version cannot.

    Raises:
        UserError: If a file is missing or has other content.
    """
    files = read_record(folder / ADAPTER_DONE, _Training.from_json, remedy=REMEDY).files
    fault = "" if files is None else fault_of(folder, files)
    if fault:
        raise UserError(f"{folder}/{fault}; {REMEDY}.")
    return files is not None
