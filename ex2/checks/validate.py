"""Checks of a recipe beyond its form: names, settings, folders and sizes. They report every problem at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ex2.checks.launch import full_training_problems
from ex2.data.datasets.base import DATASETS
from ex2.data.prompts import question_ids, too_few_prompts
from ex2.policy.loading import resolve_model
from ex2.recipe import Recipe
from ex2.trainers.kl_controller import horizon_problem
from reward.components import check_component
from reward.errors import EX2Error, UserError
from reward.presets import vlm_problems
from reward.table import REWARDS, SUPPLIED


def recipe_problems(recipe: Recipe, path: str, *, judges: Mapping[str, str], check_inputs: bool = True) -> list[str]:
    """List everything that is wrong with a recipe, without loading weights.

    Args:
        recipe: A recipe of valid form.
        path: The recipe's file, for messages.
        judges: Judges that a recipe can name: name → `"module:class"`. The table is part of `analysis`, which `ex2`
            does not import.
        check_inputs: Also look at what lies outside the recipe: the dataset's folder, its classes and overlap, a
            local model's folder.

    Returns:
        One message per problem; empty if all is well.
    """
    problems: list[str] = []

    def collect(check: Callable[[], list[str]], prefix: str = f"{path}: ") -> None:
        try:
            found = check()
        except EX2Error as error:
            found = str(error).splitlines()
        problems.extend(line if line.startswith(prefix) else prefix + line for line in found)

    collect(lambda: vlm_problems(recipe.vlm.name, recipe.vlm.settings, "vlm"))
    collect(lambda: check_component(recipe.reward.name, recipe.reward.settings, REWARDS, "reward", SUPPLIED))
    collect(lambda: check_component(recipe.dataset.name, recipe.dataset.settings, DATASETS, "dataset"))
    collect(lambda: check_component(recipe.judge.name, recipe.judge.settings, judges, "judge", ("name", "folder")))
    collect(lambda: _raises_only(question_ids, recipe.prompts.questions))
    collect(lambda: _sizes(recipe))
    if check_inputs:
        collect(lambda: _raises_only(resolve_model, recipe.policy.model))
        if not any(problem.startswith(f"{path}: dataset") for problem in problems):
            collect(lambda: _images(recipe))
    return problems


def _sizes(recipe: Recipe) -> list[str]:
    rl = recipe.rl
    problems = full_training_problems(recipe)
    too_short = horizon_problem(rl.kl.at_start(), rl.batch_size)
    if too_short:
        problems.append(too_short)
    if rl.micro_batch_size and rl.minibatch_size % rl.micro_batch_size:
        problems.append(
            f"rl.micro_batch_size: {rl.micro_batch_size} does not divide rl.minibatch_size {rl.minibatch_size}; "
            f"allowed: {', '.join(str(n) for n in range(1, rl.minibatch_size + 1) if rl.minibatch_size % n == 0)}."
        )
    return problems


def _images(recipe: Recipe) -> list[str]:
    from ex2.data.selection import check_overlap, load_dataset, passed_over, reward_images
    from ex2.runtime import tell_once
    from reward.image_bank import check_classes

    source = recipe.dataset.source()
    dataset = load_dataset(source)
    note = passed_over(source, dataset)
    if note:
        tell_once(f"note: {note}")
    rewarded = reward_images(source, dataset)
    test = list(dataset.images(source.test_split))
    problems: list[str] = []
    for split, images in ((source.reward_split, rewarded), (source.test_split, test)):
        try:
            check_classes(images, dataset.class_names, f"dataset {source.name}, split '{split}'")
        except UserError as error:
            problems += str(error).splitlines()
    prompts = len(dataset.class_names) * len(question_ids(recipe.prompts.questions))
    if prompts < recipe.prompts_per_batch:
        problems.append(too_few_prompts(prompts, recipe.prompts_per_batch))
    check_overlap(rewarded, test, source)
    return problems


def _raises_only(check: Callable[[Any], object], value: Any) -> list[str]:
    check(value)
    return []


def report_problems(problems: list[str]) -> None:
    """Raise all problems as one `UserError`, or do nothing if there are none."""
    if problems:
        raise UserError("\n".join(problems))
