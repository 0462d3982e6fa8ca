"""`questions.json`: how questions were answered, kept in a run's folder beside the log of answers, and read back."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from analysis.images.questions.record import FORMAT, QuestionStudy
from ex2.run.sealed import check_sealed, write_sealed
from ex2.runtime import tell_once
from reward.files import read_record
from reward.records import of_format

RESULT = "questions.json"
"""Name of the file."""
AGAIN = "ask the questions again"


def write_study(folder: Path, study: QuestionStudy) -> Path:
    """Replace the stored study, and return its file.

    Raises:
        EnvironmentFault: If it cannot be written; what was there stays.
    """
    path = folder / RESULT
    write_sealed(path, study.to_json(), by="questions")
    return path


def stored_study(folder: Path) -> QuestionStudy | None:
    """Read the study in a run's folder, and tell in a line which files of questions changed since.

    Returns:
        The study; None if nothing was asked, or by another version, which a line says.

    Raises:
        UserError: If the file is damaged or was changed.
    """
    path = folder / RESULT
    if not path.exists():
        return None
    study = read_record(path, of_format(QuestionStudy, FORMAT), remedy=AGAIN)
    check_sealed(path, AGAIN)
    if study is None:
        tell_once(f"note: {path}: not of this version; {AGAIN}.")
        return None
    for one in study.files:
        file = Path(one.file)
        if not file.is_file():
            tell_once(f"note: {path}: {file} is not there any more; its numbers can be shown, and not made again.")
        elif hashlib.sha256(file.read_bytes()).hexdigest() != one.digest:
            tell_once(f"note: {path}: {file} has changed since it was asked; {AGAIN}.")
    return study


def stored_studies(folders: Iterable[Path]) -> list[QuestionStudy]:
    """Return the studies of runs; those where nothing was asked have none. Raises what `stored_study` raises."""
    return [study for folder in folders if (study := stored_study(folder)) is not None]
