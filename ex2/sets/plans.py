"""From a recipe of image sets to the sets that are to be there: what draws each, from which prompts, where it stands.

Nothing is drawn here. Whatever the recipe asks for that cannot be drawn is found before the first image is, and all of
it at once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ex2.data.datasets.base import ImageDataset
from ex2.data.datasets.own_templates import own_templates
from ex2.data.selection import load_dataset
from ex2.set_recipe import ImageSet, SetRecipe
from ex2.sets.draw import SetPlan, requests_for, set_folder
from ex2.sets.generators.base import Generator, build_generator
from ex2.sets.strategies.base import Classes, Prompts, build_strategy, generator_problems
from reward.errors import UserError, unknown_name

REWARD = "reward"
"""As the split of the generator `original`: the recipe's `dataset.reward_split`, whatever it is called."""


def plans_of(
    recipe: SetRecipe,
    *,
    sets: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    dataset: ImageDataset | None = None,
) -> list[SetPlan]:
    """Return the sets of a recipe: set by set in the recipe's order, and each of them seed by seed.

    Args:
        recipe: The recipe.
        sets: Some of its sets; default: all.
        seeds: Some of its seeds; default: all.
        dataset: Its dataset, where it is open already.

    Raises:
        UserError: If a set cannot be drawn: an unknown generator, strategy or setting, a run or folder that is not
            there, a class that the generator does not have; a line for each problem of any set.
    """
    problems = _unlisted(recipe, sets, seeds)
    if problems:
        raise UserError("\n".join(problems))
    opened = load_dataset(recipe.dataset.source()) if dataset is None else dataset
    plans: list[SetPlan] = []
    for name in recipe.images.sets:
        if sets is None or name in sets:
            try:
                plans += _plans_of_one(recipe, name, recipe.images.seeds if seeds is None else seeds, opened)
            except UserError as error:
                problems += [placed(line, name) for line in str(error).splitlines()]
    if problems:
        raise UserError("\n".join(dict.fromkeys(problems)))
    return plans


def set_folders(recipe: SetRecipe, *, dataset: ImageDataset | None = None) -> dict[str, list[Path]]:
    """Return where the sets of a recipe stand, or will stand: name → the folder of each seed, in the recipe's order.

    Raises:
        UserError: As `plans_of`.
    """
    folders: dict[str, list[Path]] = {name: [] for name in recipe.images.sets}
    for plan in plans_of(recipe, dataset=dataset):
        folders[plan.name].append(set_folder(plan, recipe.images.root))
    return folders


def _unlisted(recipe: SetRecipe, sets: Sequence[str] | None, seeds: Sequence[int] | None) -> list[str]:
    known = recipe.images
    problems = [unknown_name("--sets", name, known.sets) for name in sets or () if name not in known.sets]
    strangers = [seed for seed in seeds or () if seed not in known.seeds]
    if strangers:
        listed = ", ".join(map(str, known.seeds))
        problems.append(f"--seeds: {', '.join(map(str, strangers))} not among images.seeds ({listed}).")
    return problems


def _plans_of_one(recipe: SetRecipe, name: str, seeds: Sequence[int], dataset: ImageDataset) -> list[SetPlan]:
    """Return a set's plans, one a seed; its generator is one for all of them."""
    asked = recipe.images.sets[name]
    problems: list[str] = []
    generator = None
    try:
        generator = _generator(recipe, asked)
    except UserError as error:
        problems += str(error).splitlines()
    prompts: dict[int, Prompts | None] = {}
    for seed in seeds:
        try:
            prompts[seed] = _prompts(asked, seed, dataset, recipe.dataset.name, generator)
        except UserError as error:
            problems += str(error).splitlines()
            break  # another seed has the same problems
    if generator is not None:
        problems += strangers(generator, dataset.class_names)
    if problems or generator is None:
        raise UserError("\n".join(problems))
    plans = [_plan(recipe, name, generator, made, seed, dataset.class_names) for seed, made in prompts.items()]
    ask = getattr(generator, "request_problems", None)
    # Another seed has other prompts, and mostly the same problems: the first that has some tells them.
    problems += next(filter(None, (ask(plan.requests) for plan in plans)), []) if ask else []
    problems += plans[0].problems() if plans else []
    if problems:
        raise UserError("\n".join(problems))
    return plans


def _plan(
    recipe: SetRecipe, name: str, generator: Generator, prompts: Prompts | None, seed: int, class_names: Sequence[str]
) -> SetPlan:
    asked = recipe.images.sets[name]
    return SetPlan(
        name=name,
        generator=generator,
        class_names=tuple(class_names),
        requests=requests_for(class_names, recipe.per_class(name), seed, prompts),
        seed=seed,
        strategy="" if prompts is None else prompts.name,
        strategy_settings={} if prompts is None else prompts.settings,
        usd_per_hour=asked.usd_per_hour,
        license=asked.licence,
    )


def _generator(recipe: SetRecipe, asked: ImageSet) -> Generator:
    """Build a set's generator; `original` without a dataset of its own takes the recipe's.

    Raises:
        UserError: As `build_generator`, or if images are to be copied from the split that is tested on.
    """
    settings = asked.generator.settings
    if asked.generator.name == "original" and "dataset" not in settings:
        settings = _of_dataset(recipe, settings, "generator")
    if asked.generator.name == "diffusers":
        settings = _with_images(recipe, settings)
    return build_generator(asked.generator.name, settings)


def _with_images(recipe: SetRecipe, settings: dict[str, Any]) -> dict[str, Any]:
    """Return a pipeline's settings; images to start or learn from are the recipe's unless they say whose."""
    start, inversion = settings.get("start"), settings.get("inversion")
    if isinstance(start, dict) and not {"dataset", "folder"} & {*start}:
        settings = {**settings, "start": _of_dataset(recipe, start, "generator.start")}
    images = inversion.get("images") if isinstance(inversion, dict) else None
    if isinstance(inversion, dict) and isinstance(images, dict) and not {"dataset", "folder", "pool"} & {*images}:
        own = _of_dataset(recipe, images, "generator.inversion.images")
        settings = {**settings, "inversion": {"label": recipe.dataset.name, **inversion, "images": own}}
    return settings


def _of_dataset(recipe: SetRecipe, settings: dict[str, Any], where: str) -> dict[str, Any]:
    """Return settings that ask for images of the recipe's dataset.

    Raises:
        UserError: If the images are of the split that is tested on.
    """
    data = recipe.dataset
    found = {**settings, "dataset": {"name": data.name, **data.settings}}
    if found.get("split") == REWARD:
        found["split"] = data.reward_split
    elif found.get("split") == data.test_split:
        raise UserError(
            f"{where}.split: '{data.test_split}' is what the sets are tested on; images of it would be found "
            f"again there: give {REWARD}, for dataset.reward_split '{data.reward_split}'."
        )
    return found


def _prompts(
    asked: ImageSet, seed: int, dataset: ImageDataset, data_name: str, generator: Generator | None
) -> Prompts | None:
    """Return the prompts of one seed, or None for a generator that reads none.

    Raises:
        UserError: As `build_strategy`, if the generator cannot draw from such prompts, or if it reads none and a
            strategy is given.
    """
    if not getattr(generator, "reads_prompts", True):
        if "strategy" in asked.model_fields_set:
            raise UserError(
                f"strategy: '{asked.strategy.name}' makes prompts, and the generator '{asked.generator.name}' copies "
                "images and reads none; leave the strategy out."
            )
        return None
    given: dict[str, Any] = {}
    for key in ("count_tokens", "context"):
        if getattr(generator, key, None) is not None:
            given[key] = getattr(generator, key)
    own = own_templates(data_name, dataset)
    if own:
        given |= {"templates": own.templates, "in_templates": own.names}
    classes = Classes(tuple(dataset.class_names), seed, **given)
    made = build_strategy(asked.strategy.name, asked.strategy.settings, classes)
    problems = [] if generator is None else generator_problems(made, generator, "strategy")
    if problems:
        raise UserError("\n".join(problems))
    return made


def strangers(generator: Generator, class_names: Sequence[str]) -> list[str]:
    """Return a line for each class that a generator is said to know and the dataset does not have."""
    known = sorted(getattr(generator, "knows", ()))
    return [unknown_name("generator.knows", name, class_names) for name in known if name not in class_names]


def placed(line: str, name: str) -> str:
    """Return a problem of a set's part with the recipe's key before it."""
    return re.sub(r"^(generator|strategy)\b", rf"images.sets.{name}.\1", line)
