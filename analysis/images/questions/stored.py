"""`questions.json`: how questions were answered, kept in a run's folder beside the log of answers, and read back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from analysis.images.questions.record import FORMAT, QuestionStudy
from analysis.images.record import Measures
from analysis.images.wording import confidence_of
from ex2.run.sealed import read_sealed_record, tell_changed, write_sealed
from ex2.runtime import tell_once
from ex2.set_recipe import Measure
from reward.errors import UserError

RESULT = "questions.json"
"""Name of the file."""
AGAIN = "ask the questions again"
_ASKED: dict[str, object] = {"questions": {}, "answerers": []}
"""Keys of the section `measure` → what they are where nothing is asked, as in measurements of before they were."""


def write_study(folder: Path, study: QuestionStudy) -> Path:
    """Replace the stored study, and return its file.

    Raises:
        EnvironmentFault: If it cannot be written; what was there stays.
    """
    path = folder / RESULT
    write_sealed(path, study.to_json(), by="questions")
    return path


def stored_study(folder: Path, measures: Measures | None = None) -> QuestionStudy | None:
    """Read the study in a run's folder, and tell in a line which files of questions changed since.

    Args:
        folder: The folder.
        measures: The measurement that is beside it, with which the questions were asked; None for a study of its own.

    Returns:
        The study; None if nothing was asked, or if it is of another version, or of other questions, answerers or
        intervals than the measurement, which a line says.

    Raises:
        UserError: If the file is damaged or was changed.
    """
    path = folder / RESULT
    if not path.exists():
        return None
    study = read_sealed_record(path, QuestionStudy, FORMAT, AGAIN)
    if study is None:
        return None
    of_another = [] if measures is None else _of_another(study, measures)
    if of_another:
        tell_once(f"note: {path}: of other {' and '.join(of_another)} than the measurement's; {AGAIN}.")
        return None
    for one in study.files:
        tell_changed(path, Path(one.file), one.digest, f"it was asked; {AGAIN}")
    return study


def studies_of(measured: Sequence[tuple[Path, Measures]]) -> tuple[list[QuestionStudy], list[str]]:
    """Read how questions were answered beside several measurements.

    Args:
        measured: The folder of each measurement, and the measurement.

    Returns:
        The studies, where questions were asked; and a line for each file that cannot be read.
    """
    found, problems = [], []
    for folder, measures in measured:
        try:
            study = stored_study(folder, measures)
        except UserError as error:
            problems += str(error).splitlines()
            continue
        if study is not None:
            found.append(study)
    return found, problems


def _of_another(study: QuestionStudy, measures: Measures) -> list[str]:
    """Say what of a study is not as the measurement's settings have it."""
    asked = Measure.model_validate({key: measures.settings.get(key) or empty for key, empty in _ASKED.items()})
    files = {name: str(Path(path).expanduser()) for name, path in asked.questions.items()}
    answerers = [(one.name, one.settings) for one in asked.answerers]
    same = {
        "questions": files == {one.name: one.file for one in study.files},
        "answerers": answerers == [(one.kind, one.settings) for one in study.answerers],
        "intervals": confidence_of(measures) == study.confidence,
    }
    return [what for what, is_same in same.items() if not is_same]
