"""`recognition.json`: what recognizers see on sets, kept beside `measures.json`, and read back with checks."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from analysis.images.recognition.record import FORMAT, Belonging, Recognition
from analysis.images.record import Measures
from analysis.results.wording import listing
from ex2.run.directory import RunDirectory
from ex2.run.manifest import ABSENT
from ex2.run.sealed import read_sealed_record, tell_changed, write_sealed
from ex2.runtime import tell_once
from reward.errors import UserError

RESULT = "recognition.json"
"""Name of the file."""
ASKED = "recognizers"
"""Key of the recipe's section `measure` without which nothing is asked."""
APART = ("against", "shots", "ensemble", "probe_init", "permutations", "text_similarity")
"""Keys of that section that no number of recognition depends on."""
AGAIN = "run `ex2 measure` again"


def belonging(measures: Measures) -> Belonging:
    """Return what recognition depends on of the measures that it is made with."""
    return Belonging(
        sets={one.name: tuple(seed.digest for seed in one.seeds) for one in measures.sets},
        dataset=measures.recipe.get("dataset", measures.dataset),
        split=measures.split,
        images=measures.images,
        classes=measures.classes,
        vlm=measures.vlm,
        fingerprint=hashlib.sha256(measures.fingerprint.encode()).hexdigest(),
        text=measures.text.value,
        settings={key: value for key, value in measures.settings.items() if key not in APART},
    )


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
        stored belongs to other measures or is of another version. A line tells a user's categories that have changed.

    Raises:
        UserError: If the file is damaged or was changed.
    """
    if not measures.settings.get(ASKED):
        return None
    path = directory / RESULT
    if not path.exists():
        tell_once(f"note: {path}: not found, and recognizers are asked for; {AGAIN}.")
        return None
    found = read_sealed_record(path, Recognition, FORMAT, AGAIN)
    if found is None:
        return None
    of_another = _differing(found.belongs, belonging(measures))
    if of_another:
        tell_once(f"note: {path}: of other {listing(of_another)} than were measured; {AGAIN}.")
        return None
    if found.synsets is not None:
        since = f"predictions were judged by it; {AGAIN}"
        tell_changed(path, Path(found.synsets.file), found.synsets.digest, since)
    return found


def _differing(had: Belonging, has: Belonging) -> list[str]:
    """Return in words what is not the same."""
    kinds = {
        "sets": had.sets == has.sets,
        "test images": (had.dataset, had.split, had.images, had.classes)
        == (has.dataset, has.split, has.images, has.classes),
        "embeddings": (had.vlm, had.fingerprint, had.text) == (has.vlm, has.fingerprint, has.text),
    }
    keys = [
        f"measure.{key}"
        for key in sorted({*had.settings, *has.settings})
        if had.settings.get(key, ABSENT) != has.settings.get(key, ABSENT)
    ]
    settings = [f"settings ({', '.join(keys)})"] if keys else []
    return [*(kind for kind, same in kinds.items() if not same), *settings]


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
