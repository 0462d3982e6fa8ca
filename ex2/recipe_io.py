"""Read a recipe: defaults < YAML < `section.key=value`; report every problem at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from ex2.recipe import Recipe
from reward.errors import UserError, unknown_name


def read_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read and check a recipe's form: keys, types, ranges. What it names is checked in `ex2.checks.validate`.

    Args:
        path: YAML file.
        overrides: `section.key=value`, the value in YAML.

    Returns:
        The resolved recipe.

    Raises:
        UserError: Every problem, one per line, each with file, key, what was given and what is allowed.
    """
    tree = _load_yaml(Path(path))
    for override in overrides:
        _apply(tree, override)
    try:
        return Recipe.model_validate(tree)
    except ValidationError as error:
        raise UserError("\n".join(_message(str(path), problem, tree) for problem in error.errors())) from error


def to_yaml(recipe: Recipe) -> str:
    """Return the resolved recipe, every default spelled out, as YAML that `read_recipe` reads back."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _load_yaml(path: Path) -> dict[str, Any]:
    try:
        tree = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeyLoader)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such recipe.{_near(path)}") from error
    except IsADirectoryError as error:
        raise UserError(f"{path}: is a folder; give a recipe file.{_near(path / 'x.yaml')}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error}).") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        raise UserError(f"{path}: {line}not valid YAML: {getattr(error, 'problem', error)}.") from error
    if not isinstance(tree, dict):
        raise UserError(f"{path}: a recipe is a mapping of sections, this is a {type(tree).__name__}.")
    return tree


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML keeps the last of two equal keys silently; here that is an error. 1e-3 is a number, as in YAML 1.2."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for index, key in enumerate(keys):
            if key in keys[:index]:
                raise yaml.MarkedYAMLError(
                    problem=f"key '{key}' stands twice", problem_mark=node.value[index][0].start_mark
                )
        return super().construct_mapping(node, deep=deep)


def _apply(tree: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not key or not all(key.split(".")):
        raise UserError(f"command line: '{override}' is no setting; write section.key=value, such as ppo.batches=20.")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f"command line: {key}: '{text}' is not a YAML value.") from error
    *sections, last = key.split(".")
    place = tree
    for section in sections:
        if not isinstance(place.get(section), dict):
            place[section] = {} if place.get(section) is None else {"name": place[section]}
        place = place[section]
    place[last] = value


def _message(path: str, problem: Any, tree: dict[str, Any]) -> str:
    location = [str(part) for part in problem["loc"]]
    key = ".".join(location)
    where = f"{path}: {key}" if key else path
    kind, given = problem["type"], problem.get("input")
    if kind == "extra_forbidden":
        section = _section(location[:-1])
        return unknown_name(f"{path}: {'.'.join(location[:-1]) or 'top level'}", location[-1], section.model_fields)
    if kind == "missing":
        return f"{where}: missing; it has no default."
    if kind == "literal_error":
        return unknown_name(where, str(given), [part.strip("' ") for part in _expected(problem).split(",")])
    if kind == "value_error":
        return f"{path}: {problem['ctx']['error']}."
    return f"{where}: given {given!r}; {problem['msg'][0].lower()}{problem['msg'][1:]}."


def _expected(problem: Any) -> str:
    return str(problem["ctx"]["expected"]).replace(" or ", ", ")


def _section(location: Sequence[str]) -> type[BaseModel]:
    model: type[BaseModel] = Recipe
    for part in location:
        if part.isdigit():  # place in a list of sections
            continue
        annotation = model.model_fields[part].annotation
        options = [annotation, *get_args(annotation)]
        model = next(o for o in options if isinstance(o, type) and issubclass(o, BaseModel))
    return model


def _near(path: Path) -> str:
    folder = path.parent if path.parent.is_dir() else Path()
    found = sorted(str(p) for p in folder.glob("**/*.yaml") if ".venv" not in p.parts)[:8]
    return f" Recipes here: {', '.join(found)}." if found else ""
