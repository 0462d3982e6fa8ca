"""`measures.json`: what was measured on sets, kept in a run's folder beside its recipe, and read back.

runs/<name>/  recipe.yaml  provenance.json  measures.json  manifests/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from analysis.images.given import seal_of
from analysis.images.record import FORMAT, Measures
from ex2.data.datasets.image_sets import raise_first
from ex2.recipe_io import is_of_sets, read_set_recipe, to_yaml
from ex2.run.directory import RunDirectory
from ex2.run.manifest import ABSENT, flat, is_free, shown
from ex2.run.provenance import provenance
from ex2.run.sealed import read_sealed_record, write_sealed
from ex2.runtime import tell_once
from ex2.set_recipe import SetRecipe
from reward.errors import UserError
from reward.files import JSON, write_text

RESULT = "measures.json"
"""Name of the file."""
AGAIN = "run `ex2 measure` again"
_SECTIONS = ("vlm", "dataset", "images", "measure")
_ELSEWHERE = ("images.root",)
"""Keys that only say where something lies."""


def start_measuring(directory: RunDirectory, recipe: SetRecipe | None) -> None:
    """Write what measures are made with: the recipe, if there is one, and versions, commit and command.

    Args:
        directory: The run's directory.
        recipe: The resolved recipe; None for folders that were named on the command line.

    Raises:
        UserError: As `check_directory`.
        EnvironmentFault: If the directory cannot be written.
    """
    check_directory(directory, recipe)
    if recipe is not None:
        write_text(directory.recipe, to_yaml(recipe))
    write_sealed(directory.provenance, provenance(), by="run")


def check_directory(directory: RunDirectory, recipe: SetRecipe | None) -> None:
    """Refuse a directory that holds what measuring would replace by something of another kind. Nothing is written.

    Raises:
        UserError: If it is of an alignment, or its measures are those of another VLM or dataset.
    """
    other = "give another name, such as: name=NAME"
    if not directory.recipe.is_file():
        return
    if not is_of_sets(directory.recipe):
        raise UserError(f"{directory.root}: holds a run of an alignment; {other}.")
    if recipe is None:
        raise UserError(f"{directory.root}: holds the measures of a recipe, {directory.recipe}; {other}.")
    if not (directory.root / RESULT).is_file():
        return
    before = read_set_recipe(directory.recipe)
    changed = [key for key in ("vlm", "dataset") if getattr(before, key) != getattr(recipe, key)]
    if changed:
        raise UserError(
            f"{directory.root}: holds measures with another {' and '.join(changed)}; {other}. The sets are not drawn "
            "again for it."
        )


def write_measures(directory: RunDirectory, measures: Measures) -> Path:
    """Replace the stored measures, and return their file.

    Raises:
        EnvironmentFault: If it cannot be written; what was there stays.
    """
    path = directory.root / RESULT
    write_sealed(path, measures.to_json(), by="measure")
    return path


def made_of(recipe: SetRecipe) -> JSON:
    """Return the sections of a recipe that measures depend on, as they are stored with them."""
    return recipe.model_dump(mode="json", include=set(_SECTIONS))


def recipe_problems(measures: Measures, recipe: SetRecipe, where: str | Path) -> list[str]:
    """Return a line for each key of a recipe that is another one than measures were made with.

    Args:
        measures: The measures; without a recipe, nothing is compared.
        recipe: The recipe.
        where: Its file, for messages.
    """
    if not measures.recipe:
        return []
    try:  # a key that came with a later version has its default
        had = flat(made_of(SetRecipe.model_validate({**measures.recipe, "name": recipe.name})))
    except ValidationError:
        had = flat(measures.recipe)
    has = flat(made_of(recipe))
    differing = [key for key in sorted({*had, *has}) if had.get(key, ABSENT) != has.get(key, ABSENT)]
    return [
        f"{where}: {key}: now {shown(has.get(key, ABSENT))}, and measured with {shown(had.get(key, ABSENT))}; put it "
        f"back, or {AGAIN}."
        for key in differing
        if key not in _ELSEWHERE and not is_free(key)
    ]


def stored_measures(directory: Path, recipe: SetRecipe | None = None, where: str = "") -> Measures | None:
    """Read the measures in a run's folder, and tell in a line each what of the sets changed since.

    Args:
        directory: The run's folder.
        recipe: What is asked for, which must be what was measured; None for whatever was.
        where: File of the recipe, for messages.

    Returns:
        The measures; None if nothing was measured, or by another version, which a line says.

    Raises:
        UserError: If the file is damaged or was changed, or the recipe that is beside it or is asked for is another one
            than was measured with; a line for each key.
    """
    path = directory / RESULT
    if not path.exists():
        return None
    measures = read_sealed_record(path, Measures, FORMAT, AGAIN)
    if measures is None:
        return None
    kept = RunDirectory(directory).recipe
    if measures.recipe and not kept.is_file():
        raise UserError(f"{kept}: not found, and {RESULT} was made with it; {AGAIN}.")
    beside = read_set_recipe(kept) if kept.is_file() else None
    problems = [] if beside is None else recipe_problems(measures, beside, kept)
    raise_first(problems or ([] if recipe is None else recipe_problems(measures, recipe, where)))
    for line in changes(measures, None if beside is None else [*beside.images.sets]):
        tell_once(f"note: {path}: {line}")
    return measures


def measured_apart(folders: Sequence[Path]) -> tuple[list[Path], list[tuple[Path, Measures]], list[str]]:
    """Tell runs of image sets from those of alignments.

    Args:
        folders: Run directories.

    Returns:
        The directories of alignments; those of measurements, each with its measures; and a line for each measurement
        that is not there or cannot be read.
    """
    others, found, problems = [], [], []
    for folder in folders:
        recipe = RunDirectory(folder).recipe
        if not (folder / RESULT).exists() and not (recipe.is_file() and is_of_sets(recipe)):
            others.append(folder)
            continue
        try:
            measures = stored_measures(folder)
        except UserError as error:
            problems.append(str(error))
            continue
        if measures is None:
            problems.append(f"{folder}: image sets that are not measured yet; run `ex2 measure RECIPE`.")
        else:
            found.append((folder, measures))
    return others, found, problems


def changes(
    measures: Measures, recipe: Sequence[str] | None = None, folders: Mapping[str, Sequence[Path]] | None = None
) -> list[str]:
    """Say in words what of measured sets is not as it was measured; each image's own hash is not looked at.

    Args:
        measures: The measures.
        recipe: Names of the recipe's sets; None if there is no recipe.
        folders: Where the recipe's sets stand, by name, if that is known.

    Returns:
        A sentence for each set or seed that was changed, is gone, or is not the recipe's.
    """
    found = []
    measured = [one.name for one in measures.sets]
    for one in measures.sets:
        if recipe is not None and one.name not in recipe:
            found.append(f"the set '{one.name}' is not in the recipe; {AGAIN}.")
            continue
        expected = None if folders is None else [path.resolve() for path in folders.get(one.name, ())]
        for seed in one.seeds:
            folder = Path(seed.folder)
            if expected is not None and folder.resolve() not in expected:
                found.append(f"{folder} is not what the recipe's set '{one.name}' is now; {AGAIN}.")
                continue
            try:
                now = seal_of(folder)
            except UserError as error:
                found.append(str(error).splitlines()[0])
                continue
            if now is None:
                found.append(f"{folder} is not there any more; its numbers can be shown, and not made again.")
            elif now != seed.digest:
                found.append(f"{folder} has changed since it was measured; {AGAIN}.")
    lacking = [name for name in recipe or () if name not in measured]
    found += [f"the recipe's set '{name}' is not measured yet; {AGAIN}." for name in lacking]
    return found
