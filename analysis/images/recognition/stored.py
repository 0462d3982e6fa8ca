"""`recognition.json`: what recognizers see on sets, kept beside `measures.json`, and read back with checks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from analysis.images.recognition.record import FORMAT, Recognition
from analysis.images.record import Measures
from ex2.run.directory import RunDirectory
from ex2.run.sealed import check_sealed, write_sealed
from ex2.runtime import tell_once
from reward.errors import UserError
from reward.files import read_record
from reward.records import of_format

RESULT = "recognition.json"
"""Name of the file."""
ASKED = ("recognizers", "synsets")
"""Keys of the recipe's section `measure` that it depends on, beside the confidence of intervals."""
AGAIN = "run `ex2 measure` again"


def write_recognition(directory: RunDirectory, recognition: Recognition) -> Path:
    """Replace what is stored, and return its file.

    Raises:
        EnvironmentFault: If it cannot be written; what was there stays.
    """
    path = directory.root / RESULT
    write_sealed(path, recognition.to_json(), by="measure")
    return path


def stored_recognition(directory: Path, measures: Measures) -> Recognition | None:
    """Read what recognizers saw on the sets of a measurement.

    Args:
        directory: The run's folder.
        measures: The measurement that is beside it.

    Returns:
        None if the measurement names no recognizers; and, with a line that says so, if they were not asked, or what is
        stored is of other sets, of other recognizers or of another version.

    Raises:
        UserError: If the file is damaged or was changed.
    """
    recognizers, synsets = (measures.settings.get(key) for key in ASKED)
    if not recognizers:
        return None
    path = directory / RESULT
    if not path.exists():
        tell_once(f"note: {path}: not found, and recognizers are asked for; {AGAIN}.")
        return None
    found = read_record(path, of_format(Recognition, FORMAT), remedy=AGAIN)
    check_sealed(path, AGAIN)
    if found is None:
        tell_once(f"note: {path}: not of this version; {AGAIN}.")
        return None
    digests = {one.name: tuple(seed.digest for seed in one.seeds) for one in measures.sets}
    of_another = [
        what
        for what, same in (
            ("sets", found.digests == digests),
            ("recognizers", found.settings == dict(zip(ASKED, (recognizers, synsets), strict=True))),
        )
        if not same
    ]
    if of_another:
        tell_once(f"note: {path}: of other {' and '.join(of_another)} than were measured; {AGAIN}.")
        return None
    return found


def recognitions_of(measured: Sequence[tuple[Path, Measures]]) -> tuple[list[Recognition], list[str]]:
    """Read what recognizers saw on the sets of several measurements.

    Args:
        measured: The folder of each measurement, and the measurement.

    Returns:
        What they saw, where they were asked; and a line for each file that cannot be read.
    """
    found, problems = [], []
    for folder, measures in measured:
        try:
            one = stored_recognition(folder, measures)
        except UserError as error:
            problems.append(str(error))
            continue
        if one is not None:
            found.append(one)
    return found, problems
