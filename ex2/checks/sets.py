"""Checks of a recipe of image sets: all that can be known before the first image is drawn, every problem at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ex2.checks.form import Part, outline_problems
from ex2.checks.machine import room_problem
from ex2.checks.validate import Depth, Findings
from ex2.data.datasets.base import DATASETS, ImageDataset
from ex2.data.synsets import read_synsets
from ex2.recipe import Component
from ex2.recipe_io import is_of_sets
from ex2.run.directory import RunDirectory
from ex2.set_recipe import Measure, SetRecipe
from ex2.sets.command import Standing, standings
from ex2.sets.draw import check_machine
from ex2.sets.generators.base import GENERATORS
from ex2.sets.plans import placed, plans_of
from ex2.sets.strategies.base import STRATEGIES
from reward.components import check_component
from reward.errors import EnvironmentFault, EX2Error, UserError
from reward.image_bank import check_classes
from reward.presets import BACKENDS, PRESETS, merged_settings, vlm_problems
from reward.recognizers.table import (
    RECOGNIZERS,
    SUPPLIED,
    load_recognizer,
    merged_recognizer_settings,
    recognizer_problems,
    weights_problems,
)
from reward.user_paths import expanded


def set_parts(recipe: SetRecipe) -> list[Part]:
    """Return the recipe's components: VLM, dataset, and each set's generator and strategy."""
    backends = {**{name: BACKENDS[preset.backend] for name, preset in PRESETS.items()}, **BACKENDS}
    parts = [
        Part("vlm", recipe.vlm.name, merged_settings(recipe.vlm.name, recipe.vlm.settings), backends),
        Part("dataset", recipe.dataset.name, recipe.dataset.settings, DATASETS),
    ]
    for name, one in recipe.images.sets.items():
        key, settings = f"images.sets.{name}", one.generator.settings
        supplied = () if "dataset" in settings else ("dataset",)
        parts.append(Part(f"{key}.generator", one.generator.name, settings, GENERATORS, supplied))
        parts.append(Part(f"{key}.strategy", one.strategy.name, one.strategy.settings, STRATEGIES, ("classes",)))
    return parts


def recognizer_parts(measure: Measure) -> list[Part]:
    """Return the recognizers that a recipe names."""
    return [
        Part(key, one.name, merged_recognizer_settings(one.name, one.settings), RECOGNIZERS, SUPPLIED)
        for key, one in _recognizers(measure)
    ]


def recognizing_problems(measure: Measure) -> list[str]:
    """List what is wrong with a recipe's recognizers, without loading one; the same one twice is."""
    problems, seen = [], list[tuple[str, dict[str, Any]]]()
    for key, one in _recognizers(measure):
        try:
            problems += recognizer_problems(one.name, one.settings, key)
        except UserError as error:
            problems += str(error).splitlines()
        if (one.name, one.settings) in seen:
            problems.append(f"{key}: '{one.name}' with the same settings stands twice; leave one out.")
        seen.append((one.name, one.settings))
    return problems


def lacking_weights(measure: Measure) -> list[str]:
    """List weights of recognizers that are not on this machine; nothing of the section may be wrong."""
    problems = []
    for key, one in _recognizers(measure):
        try:
            problems += weights_problems(one.name, one.settings, key)
        except UserError as error:
            problems += str(error).splitlines()
    return problems


def loading_problems(measure: Measure) -> list[str]:
    """Load the recognizers that `loaded_alone` names, one after another, and list what is wrong with their weights.

    Their weights must be there.
    """
    problems = []
    for key, one in loaded_alone(measure):
        try:
            load_recognizer(one.name, one.settings, key)
        except UserError as error:
            problems += [line if line.startswith(key) else f"{key}: {line}" for line in str(error).splitlines()]
    return problems


def loaded_alone(measure: Measure) -> list[tuple[str, Component]]:
    """Return the recognizers that can be loaded without a VLM and without running code of the user's own."""
    return [(key, one) for key, one in _recognizers(measure) if one.name in RECOGNIZERS and one.name != "vlm"]


def synsets_problems(measure: Measure, class_names: Sequence[str]) -> list[str]:
    """List what is wrong with a user's map of the dataset's classes."""
    if measure.synsets is not None:
        try:
            read_synsets(measure.synsets, class_names)
        except UserError as error:
            return str(error).splitlines()
    return []


def _recognizers(measure: Measure) -> list[tuple[str, Component]]:
    return [(f"measure.recognizers.{number}", one) for number, one in enumerate(measure.recognizers)]


def examine_sets(
    recipe: SetRecipe,
    path: str,
    *,
    depth: Depth = "all",
    sets: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    standing: list[Standing] | None = None,
) -> Findings:
    """Check a recipe of image sets, without loading weights of its VLM; nothing is drawn.

    Args:
        recipe: A recipe whose keys, types and ranges are valid.
        path: The recipe's file, for messages.
        depth: How far to look.
        sets: Those that are about to be drawn; default: all.
        seeds: Likewise.
        standing: Takes where the sets stand, if nothing is wrong with them.
    """
    found = Findings(checked=["keys, types and ranges", "names"])

    def collect(check: Callable[[], Sequence[str]], into: list[str]) -> bool:
        try:
            lines = check()
        except EX2Error as error:
            lines = str(error).splitlines()
        into += [line if line.startswith(f"{path}: ") else f"{path}: {line}" for line in lines]
        return not lines

    parts = set_parts(recipe)
    if depth == "form":
        for part in [*parts, *recognizer_parts(recipe.measure)]:
            collect(partial(outline_problems, part), found.wrong)
        found.unchecked.append("values of components' settings, own classes and all that lies outside the recipe")
        return found
    collect(lambda: vlm_problems(recipe.vlm.name, recipe.vlm.settings, "vlm"), found.wrong)
    for part in parts[1:]:
        collect(partial(check_component, part.name, part.settings, part.table, part.key, part.supplied), found.wrong)
    collect(lambda: recognizing_problems(recipe.measure), found.wrong)
    found.checked.append("settings of every component")
    if depth == "all":
        outside(recipe, found, collect, sets, seeds, standing)
    return found


def outside(
    recipe: SetRecipe,
    found: Findings,
    collect: Callable[[Callable[[], Sequence[str]], list[str]], bool],
    sets: Sequence[str] | None,
    seeds: Sequence[int] | None,
    standing: list[Standing] | None,
) -> None:
    """Look at what lies outside the recipe: images, runs, what stands there of the sets, room on the disk."""
    from ex2.data.selection import load_dataset

    collect(lambda: run_problems(recipe), found.lacking)
    if found.wrong:
        found.unchecked.append("images and sets: something is wrong with the recipe")
        return
    _examine_recognizers(recipe.measure, found, collect)
    opened: list[ImageDataset] = []

    def open_it() -> list[str]:
        opened.append(load_dataset(recipe.dataset.source()))
        return []

    if not collect(open_it, found.lacking):
        found.unchecked.append("sets: the dataset could not be opened")
        return
    (dataset,) = opened
    split = recipe.dataset.test_split
    if collect(lambda: testing_problems(recipe, dataset), found.lacking):
        found.checked.append(f"{len(dataset.images(split)):,} test images")
    collect(lambda: synsets_problems(recipe.measure, dataset.class_names), found.lacking)
    collect(lambda: similarity_problems(recipe), found.lacking)
    planned: list[Standing] = []
    prices = {name: one.usd_per_image for name, one in recipe.images.sets.items()}

    def plan_it() -> list[str]:
        plans = plans_of(recipe, sets=sets, seeds=seeds, dataset=dataset)
        planned.extend(standings(plans, Path(recipe.images.root), prices))
        return []

    if not collect(plan_it, found.lacking):
        return
    for plan in {id(one.plan.generator): one.plan for one in planned if one.left}.values():
        try:
            check_machine(plan.generator)
        except EX2Error as error:
            lines = [placed(line, plan.name) for line in str(error).splitlines()]
            collect(partial(list, lines), found.machine if isinstance(error, EnvironmentFault) else found.lacking)
    images = sum(len(one.plan.requests) for one in planned)
    found.checked.append(f"{images:,} images of {len(planned)} sets, {sum(one.left for one in planned):,} to draw")
    if collect(lambda: disk_problems(recipe, planned), found.machine):
        found.checked.append("room on the disk")
    if standing is not None:
        standing += planned


def _examine_recognizers(
    measure: Measure, found: Findings, collect: Callable[[Callable[[], Sequence[str]], list[str]], bool]
) -> None:
    """Load what can be loaded by itself if all weights are there; say what was and what was not."""
    alone = [one.name for _, one in loaded_alone(measure)]
    others = [one.name for _, one in _recognizers(measure) if one.name not in alone]
    there = collect(lambda: lacking_weights(measure), found.lacking)
    if there and alone and collect(lambda: loading_problems(measure), found.lacking):
        found.checked.append(f"recognizers, which were loaded: {', '.join(alone)}")
    if others:
        found.unchecked.append(f"recognizers that are loaded when sets are measured: {', '.join(others)}")


def testing_problems(recipe: SetRecipe, dataset: ImageDataset) -> list[str]:
    """List classes that have no image to test on."""
    split = recipe.dataset.test_split
    check_classes(list(dataset.images(split)), dataset.class_names, f"dataset {recipe.dataset.name}, split '{split}'")
    return []


def similarity_problems(recipe: SetRecipe) -> list[str]:
    """List what is wrong with the pool that classes are looked up in."""
    from ex2.sets.pool import read_pool
    from ex2.sets.text_encoders import find_encoder

    asked, where = recipe.measure.text_similarity, "measure.text_similarity"
    if asked is None:
        return []
    find_encoder(asked.encoder, f"{where}.encoder")
    path = expanded(asked.pool)
    read_pool(path, caption=asked.caption_column, file=None, where=f"{where}.pool", keys=where)
    return []


def run_problems(recipe: SetRecipe) -> list[str]:
    """Say that the run's folder holds a run of another kind."""
    stored = RunDirectory.of(recipe).recipe
    if not stored.is_file() or is_of_sets(stored):
        return []
    return [f"name: {stored.parent} holds the run of an alignment; give this recipe another name or output_dir."]


def disk_problems(recipe: SetRecipe, planned: Sequence[Standing]) -> list[str]:
    """Say that sets cannot be written where they are to go, or find too little room there."""
    left = sum(one.left for one in planned)
    if not left:
        return []
    needed = sum(_bytes(one) for one in planned)
    problem = room_problem(Path(recipe.images.root).expanduser(), "images.root", needed, f"{left:,} images take")
    return [] if problem is None else [problem]


def _bytes(one: Standing) -> int:
    """Return about how much room a set's images take: as told by earlier ones, else as many bytes as pixels have."""
    if one.cost.bytes is not None:
        return one.cost.bytes
    width = getattr(one.plan.generator, "size", None)
    return one.left * 3 * width * width if isinstance(width, int) else 0
