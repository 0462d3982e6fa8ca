"""Checks of a reward that draws texts: whether its generators can, and how many pictures a run asks them for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ex2.checks.form import drawing_parts
from ex2.recipe import Recipe
from ex2.sets.command import drawn_alike, duration, finished_sets
from ex2.sets.draw import ROOT
from ex2.sets.plans import strangers
from ex2.sets.texts import TextDrawer
from reward.errors import UserError, shown


def drawing_problems(recipe: Recipe, class_names: Sequence[str] | None) -> list[str]:
    """List why the generators of a recipe's reward cannot draw its texts; none is asked for a picture.

    Args:
        recipe: A recipe of valid form.
        class_names: Of the dataset; None if it could not be opened.
    """
    problems = []
    for part in drawing_parts(recipe):
        try:
            generator = TextDrawer({"name": part.name, **part.settings}, part.key).generator
        except UserError as error:
            problems += str(error).splitlines()
            continue
        if class_names is None:
            continue
        problems += [line.replace("generator.", f"{part.key}.", 1) for line in strangers(generator, class_names)]
        subjects = getattr(generator, "subjects", None)
        unknown = [] if subjects is None else [name for name in class_names if name not in subjects]
        if unknown:
            problems.append(
                f"{part.key}: '{part.name}' draws {len(subjects or ())} classes only, and {len(unknown)} of the "
                f"dataset's {len(class_names)} classes are not of them, such as {shown(unknown[0])}; choose another "
                "generator for this dataset."
            )
    return problems


def drawing_lines(recipe: Recipe) -> list[str]:
    """Return a line for each generator of a recipe's reward: how many pictures training asks it for, and their time.

    A picture's time is that of finished sets of the same generator below the usual folder of sets.
    """
    lines = []
    for part in drawing_parts(recipe):
        generator = TextDrawer({"name": part.name, **part.settings}, part.key).generator
        pictures = recipe.rl.batches * recipe.rl.batch_size
        told = drawn_alike(generator, finished_sets(Path(ROOT)))
        made = sum(record.made for record in told)
        seconds = sum(record.seconds for record in told) / made if made else None
        time = (
            f"how long is not known: no finished set below {ROOT}/ was drawn by '{part.name}'"
            if seconds is None
            else f"{duration(pictures * seconds)} at {1000 * seconds:.3g} ms each, as in {len(told)} finished sets"
        )
        lines.append(
            f"{part.key}: at most {pictures:,} pictures a seed in training ({recipe.rl.batches:,} batches of "
            f"{recipe.rl.batch_size:,}), and those of class names; {time}"
        )
    return lines
