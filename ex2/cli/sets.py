"""What the verbs do with image sets: `ex2 draw`, and `validate`, `run` and `report` for recipes of sets."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ex2.checks.sets import examine_sets
from ex2.checks.validate import Depth
from ex2.cli.stages import MEASURE, MEASURES_PAGE, QUESTIONS_CHECK, STORED_MEASURES, call, print_findings
from ex2.recipe_io import read_set_recipe, to_yaml
from ex2.run.directory import RunDirectory
from ex2.runtime import set_threads
from ex2.set_recipe import SetRecipe
from ex2.sets.command import Standing, draw_all, draw_folder, print_plan, print_sets
from ex2.sets.exports import EXPORTS, export_sets
from reward.errors import UserError


def draw(options: argparse.Namespace) -> int:
    """Draw the sets of a recipe, or make one of a folder.

    Args:
        options: `recipe`, `overrides`, `sets`, `seeds`, `root` and `dry_run` of the command line.

    Raises:
        UserError: If there are problems; the message has all, and nothing has been drawn.
        EnvironmentFault: If the machine fails. What has been drawn stays.
    """
    given = Path(options.recipe)
    if given.is_dir() or given.suffix == ".txt":
        refuse_words(options)
        sets = draw_folder(given, Path(options.root), dry_run=options.dry_run)
        print_sets(sets)
        return 0
    recipe = read_set_recipe(options.recipe, options.overrides)
    draw_recipe(recipe, options.recipe, sets=options.sets, seeds=options.seeds, dry_run=options.dry_run)
    return 0


def draw_recipe(
    recipe: SetRecipe,
    path: str,
    *,
    sets: list[str] | None = None,
    seeds: list[int] | None = None,
    dry_run: bool = False,
) -> None:
    """Check a recipe, then draw what is left of its sets. Raises what `draw` raises."""
    standing: list[Standing] = []
    found = examine_sets(recipe, path, sets=sets, seeds=seeds, standing=standing)
    if dry_run and standing:
        print_plan(standing, Path(recipe.images.root))
    found.refuse()
    if dry_run:
        return
    set_threads(recipe.threads)
    print_sets(draw_all(standing, Path(recipe.images.root)))


def refuse_words(options: argparse.Namespace) -> None:
    """Refuse words that only a recipe takes.

    Raises:
        UserError: If there are any.
    """
    words = [word for word, value in (("--sets", options.sets), ("--seeds", options.seeds)) if value is not None]
    words += options.overrides
    if words:
        raise UserError(
            f"ex2 draw: {', '.join(words)}: goes with a recipe, and {options.recipe} is none; leave it out."
        )


def export(options: argparse.Namespace) -> int:
    """Write a set in the layout of others.

    Args:
        options: `recipe`, here a folder, `layout`, `out`, and the words that only a recipe takes.

    Raises:
        UserError: If it is no set, or the new folder is there already.
        EnvironmentFault: If it cannot be written.
    """
    words = [word for word, value in (("--merge", options.merge), ("--seeds", options.seeds)) if value]
    words += options.overrides
    if words:
        raise UserError(
            f"ex2 export: {', '.join(words)}: goes with a recipe, and {options.recipe} is none; leave it out."
        )
    for folder in export_sets(options.recipe, options.layout or next(iter(EXPORTS)), Path(options.out).expanduser()):
        print(f"exported: {folder}")
    return 0


def validate(options: argparse.Namespace) -> int:
    """Check a recipe of sets and print it with all defaults, as `ex2 validate` does.

    Raises:
        UserError: If there are problems; the message has all.
    """
    recipe = read_set_recipe(options.recipe, options.overrides)
    depth: Depth = "form" if options.recipe_only else "all"
    found = examine_sets(recipe, options.recipe, depth=depth)
    if recipe.measure.questions and not options.recipe_only:
        found.lacking += call(QUESTIONS_CHECK, recipe, options.recipe)
        found.checked.append("files of questions, and settings of answerers")
    found.refuse()
    print(to_yaml(recipe), end="")
    print(f"# {options.recipe}: valid" + (" (recipe only)" if options.recipe_only else ""))
    print_findings(found)
    return 0


def run(options: argparse.Namespace) -> int:
    """Draw the sets that are not there, measure all of them, and write the page.

    Raises:
        UserError: If there are problems; the message has all, and nothing has been drawn.
        EnvironmentFault: If the machine fails. What has been done stays.
    """
    refused = [
        f"{word}: a recipe of image sets is drawn by one process and measured with all of its seeds; leave it out."
        for word, value in (("--seeds", options.seeds), ("--accelerate-config", options.accelerate_config))
        if value
    ]
    if refused:
        raise UserError("\n".join(refused))
    recipe = read_set_recipe(options.recipe, options.overrides)
    draw_recipe(recipe, options.recipe)
    status = int(call(MEASURE, argparse.Namespace(sets=[options.recipe], overrides=options.overrides, page=False)))
    return status if status or options.no_report else report(options)


def report(options: argparse.Namespace) -> int:
    """Write the page of a recipe's sets from what was measured.

    Raises:
        UserError: If nothing was measured yet, or with another recipe.
    """
    recipe = read_set_recipe(options.recipe, options.overrides)
    directory = RunDirectory.of(recipe).root
    measures: Any = call(STORED_MEASURES, directory, recipe, options.recipe)
    if measures is None:
        raise UserError(f"{directory}: nothing has been measured yet; run: ex2 measure {options.recipe}")
    print(f"report: {call(MEASURES_PAGE, measures, directory)}")
    return 0
