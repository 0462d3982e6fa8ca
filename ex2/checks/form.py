"""What a recipe's own text tells without a library: names in tables, settings by their sources, loggers, sizes.

Nothing here imports torch, transformers or datasets, so that `ex2 validate --recipe-only` answers at once.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from ex2.checks.launch import full_training_problems
from ex2.data.datasets.base import DATASETS
from ex2.data.prompts import question_ids
from ex2.recipe import Component, Recipe
from ex2.sets.generators.base import GENERATORS
from ex2.trainers.kl_controller import horizon_problem
from reward.components import settings_problems
from reward.errors import UserError, unknown_name
from reward.presets import BACKENDS, PRESETS, merged_settings
from reward.table import REWARDS, SUPPLIED

LOGGERS = {
    "azure_ml": ("azureml", "azureml-sdk"),
    "clearml": ("clearml", "clearml"),
    "codecarbon": ("codecarbon", "codecarbon"),
    "comet_ml": ("comet_ml", "comet-ml"),
    "dagshub": ("dagshub", "dagshub"),
    "dvclive": ("dvclive", "dvclive"),
    "flyte": ("flytekit", "flytekit"),
    "kubeflow": ("kubeflow", "kubeflow"),
    "mlflow": ("mlflow", "mlflow"),
    "neptune": ("neptune", "neptune"),
    "swanlab": ("swanlab", "swanlab"),
    "tensorboard": ("tensorboard", "tensorboard"),
    "trackio": ("trackio", "trackio"),
    "wandb": ("wandb", "wandb"),
}
"""Logger that transformers knows → the module that it needs, and the package that brings it."""
ALONE = ("all", "none")
"""What `training.report_to` may also hold, as its only entry: every logger that is installed, or none."""

JUDGE_SUPPLIED = ("name", "folder")
"""Parameters of a judge's constructor that no recipe sets."""


class Part(NamedTuple):
    """A component of the recipe.

    Attributes:
        key: Section of the recipe.
        name: The name that the recipe gives.
        settings: Its settings; those of a preset included.
        table: Name → `"module:class"`.
        supplied: Parameters that the program fills in.
    """

    key: str
    name: str
    settings: Mapping[str, Any]
    table: Mapping[str, str]
    supplied: Sequence[str] = ()


def parts(recipe: Recipe, judges: Mapping[str, str]) -> list[Part]:
    """Return the recipe's components."""

    def part(key: str, component: Component, table: Mapping[str, str], supplied: Sequence[str] = ()) -> Part:
        return Part(key, component.name, component.settings, table, supplied)

    backends = {**{name: BACKENDS[preset.backend] for name, preset in PRESETS.items()}, **BACKENDS}
    vlm = Part("vlm", recipe.vlm.name, merged_settings(recipe.vlm.name, recipe.vlm.settings), backends)
    return [
        vlm,
        part("reward", recipe.reward, REWARDS, SUPPLIED),
        part("dataset", recipe.dataset, DATASETS),
        part("judge", recipe.judge, judges, JUDGE_SUPPLIED),
        *drawing_parts(recipe),
    ]


def form_problems(recipe: Recipe, judges: Mapping[str, str]) -> list[str]:
    """List what is wrong with a recipe by itself.

    Args:
        recipe: A recipe whose keys, types and ranges are valid.
        judges: Judges that a recipe can name: name → `"module:class"`.
    """
    found = [line for part in parts(recipe, judges) for line in outline_problems(part)]
    return found + setting_problems(recipe)


def drawing_parts(recipe: Recipe) -> list[Part]:
    """Return the generators of a recipe's reward; what is no mapping is left out."""
    return _drawing_parts("reward", recipe.reward.name, recipe.reward.settings)


def _drawing_parts(key: str, name: str, settings: Mapping[str, Any]) -> list[Part]:
    """Return the generators of a reward that draws texts, and of the terms of a sum."""
    if name == "sum":
        terms = settings.get("terms")
        named = [
            (place, term)
            for place, term in enumerate(terms if isinstance(terms, list) else [])
            if isinstance(term, dict) and isinstance(term.get("name"), str)
        ]
        return [part for place, term in named for part in _drawing_parts(f"{key}.terms[{place}]", term["name"], term)]
    generator = settings.get("generator")
    if name != "drawn_cler" or not isinstance(generator, Mapping) or not isinstance(generator.get("name"), str):
        return []
    own = {key: value for key, value in generator.items() if key != "name"}
    return [Part(f"{key}.generator", generator["name"], own, GENERATORS)]


def setting_problems(recipe: Recipe) -> list[str]:
    """List what is wrong with settings that are no component's: questions, loggers, sizes that do not fit."""
    try:
        question_ids(recipe.prompts.questions)
        found = []
    except UserError as error:
        found = str(error).splitlines()
    return found + size_problems(recipe) + logger_problems(recipe.training.report_to)


def outline_problems(part: Part) -> list[str]:
    """List an unknown name, and unknown and missing settings as the class's source has them; nothing is imported."""
    if part.name not in part.table:
        if "." in part.name.replace(":", "."):
            return []
        return [unknown_name(f"{part.key}.name", part.name, part.table, hint="Or give the dotted path of your own.")]
    shape = outline(part.table[part.name])
    return [] if shape is None else settings_problems(shape, part.settings, part.key, part.supplied)


@cache
def outline(target: str) -> Callable[..., None] | None:
    """Return a function with the name and the parameters of a class's constructor, read from the source.

    Args:
        target: `"module:class"`.

    Returns:
        The function; it has no annotations, so that values are not checked. None if the class inherits its constructor.
    """
    module, _, name = target.partition(":")
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        return None
    body = ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body
    shape = next((node for node in body if isinstance(node, ast.ClassDef) and node.name == name), None)
    if shape is None:
        return None
    made = next((node for node in shape.body if isinstance(node, ast.FunctionDef) and node.name == "__init__"), None)
    if made is None and shape.bases:
        return None

    def stands_for(*given: Any, **named: Any) -> None:
        raise NotImplementedError

    stands_for.__name__ = name
    stands_for.__annotations__ = {}
    stands_for.__signature__ = inspect.Signature(_parameters(made.args) if made else [])  # type: ignore[attr-defined]
    return stands_for


def _parameters(given: ast.arguments) -> list[inspect.Parameter]:
    plain = [*given.posonlyargs, *given.args][1:]  # without self
    required = len(plain) - len(given.defaults)
    either, keyword = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
    found = [_parameter(one.arg, either, place >= required) for place, one in enumerate(plain)]
    if given.vararg:
        found.append(inspect.Parameter(given.vararg.arg, inspect.Parameter.VAR_POSITIONAL))
    found += [
        _parameter(a.arg, keyword, d is not None) for a, d in zip(given.kwonlyargs, given.kw_defaults, strict=True)
    ]
    if given.kwarg:
        found.append(inspect.Parameter(given.kwarg.arg, inspect.Parameter.VAR_KEYWORD))
    return found


def _parameter(name: str, kind: Any, has_default: bool) -> inspect.Parameter:
    return inspect.Parameter(name, kind, default=None if has_default else inspect.Parameter.empty)


def size_problems(recipe: Recipe) -> list[str]:
    """List sizes that do not fit together."""
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


def logger_problems(names: Sequence[str]) -> list[str]:
    """List loggers that transformers does not know."""
    if len(names) == 1 and names[0] in ALONE:
        return []
    where = "training.report_to"
    return [
        f"{where}: '{name}' stands beside others; give it alone, or leave it out."
        if name in ALONE
        else unknown_name(where, name, LOGGERS, hint="Or [] for none.")
        for name in names
        if name not in LOGGERS
    ]


def missing_loggers(names: Sequence[str]) -> list[str]:
    """List known loggers whose package is not installed."""
    return [
        f"training.report_to: '{name}' needs a package that is not here; run: pip install {LOGGERS[name][1]}"
        for name in names
        if name in LOGGERS and not is_installed(LOGGERS[name][0])
    ]


def is_installed(module: str) -> bool:
    """Say whether a module could be imported, without importing it."""
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):  # a parent that is missing, a stand-in that a test has put there
        return False
