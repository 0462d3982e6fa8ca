"""Reads recipes and reports every problem at once; `section.key=value` overrides the YAML, which overrides defaults."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from ex2.recipe import RL, Recipe, RecipeSection
from ex2.runtime import tell_once
from ex2.set_recipe import SetRecipe
from reward.errors import LONGEST, LONGEST_VALUE, UserError, shortened, shown, unknown_name
from reward.secrets import hold_secrets, redacted_tree, secret_problems
from reward.yaml_values import read_text, read_yaml, yaml_line

RENAMED = {f"ppo.{key}": f"rl.{key}" for key in RL.model_fields}
"""Keys of earlier versions, which stay valid → the keys of today."""
FORMER = {
    "value_trunk": "shared",
    "value_init": "default",
    "value_clip_unit": "reward",
    "value_learning_rate": "policy",
}
"""What runs of versions without these keys of `ppo` did."""
RUBRIC, FORMER_RUBRIC = "fenced", "paper"
"""Rubric of a judge behind a server whose recipe names none: today, and in runs that did not store it."""

Read = TypeVar("Read", bound=RecipeSection)

MOST_PARTS = 8
"""Most names in the key of an override; `rl.kl.target` has three."""


def read_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and check keys, types and ranges; `ex2.checks.validate` checks whether what it names exists.

    Keys of earlier versions are read as those of today, and one line on stderr says so, once for each process group.
    The `recipe.yaml` of a run is read as `read_stored_recipe` does.

    Args:
        path: YAML file.
        overrides: `section.key=value`, the value in YAML.

    Returns:
        The resolved recipe.

    Raises:
        UserError: If something is wrong; the message has one line for each problem, with file, key, what was given and
            what is allowed.
    """
    stored = _is_of_a_run(Path(path))
    if stored:
        tree, renamed = stored_tree(Path(path)), {}
    else:
        tree = _load_yaml(Path(path))
        if _is_of_sets(tree):
            raise UserError(
                f"{path}: is a recipe of image sets, which trains nothing; "
                f"it goes with draw, measure, run, report and validate, such as: ex2 draw {path}"
            )
        renamed = rename_keys(tree, str(path))
    for override in overrides:
        key, value = _parsed(override)
        given = {key: value}
        if key in {old.split(".")[0] for old in RENAMED} and isinstance(value, dict):  # ppo={batches: 20}
            given = {f"{key}.{name}": part for name, part in value.items()}
        for name, part in given.items():
            today = _today(name)
            _put(tree, today, part)
            if today != name:
                renamed[today] = name
    _respell(tree.get("reward"))
    _name_rubric(tree.get("judge"), RUBRIC)
    if renamed:
        (first, old), more = next(iter(renamed.items())), len(renamed) - 1
        others = f", and {more} more of its section likewise" * (more > 0)
        tell_once(f"note: {old} is now {first}{others}; earlier names stay valid.")
    recipe = _checked(Recipe, tree, str(path), renamed, secret_problems(tree, str(path)))
    if stored and not {"name", "output_dir"} & {override.partition("=")[0] for override in overrides}:
        _refuse_another_run(recipe, Path(path))
    return recipe


def read_set_recipe(path: str | Path, overrides: Sequence[str] = ()) -> SetRecipe:
    """Read a recipe of image sets, as `read_recipe` reads one of an alignment.

    Raises:
        UserError: If something is wrong; the message has one line for each problem, with file, key, what was given and
            what is allowed.
    """
    tree = _load_yaml(Path(path))
    if not _is_of_sets(tree):
        raise UserError(
            f"{path}: has no section `images`, which names the image sets; recipes/demo/sets.yaml shows one."
        )
    for override in overrides:
        _put(tree, *_parsed(override))
    return _checked(SetRecipe, tree, str(path), {}, secret_problems(tree, str(path)))


def read_words(model: type[Read], tree: dict[str, Any], overrides: Sequence[str] = ()) -> Read:
    """Read settings that stand on the command line alone, as a recipe's are read.

    Args:
        model: What they are to be.
        tree: Settings that other words than `section.key=value` gave.
        overrides: `section.key=value`, the value in YAML.

    Raises:
        UserError: If something is wrong; the message has one line for each problem.
    """
    for override in overrides:
        _put(tree, *_parsed(override))
    return _checked(model, tree, "command line", {}, secret_problems(tree, "command line"))


def is_of_sets(path: str | Path) -> bool:
    """Say whether a file is a recipe of image sets, by its section `images`.

    Raises:
        UserError: If it cannot be read.
    """
    return _is_of_sets(_load_yaml(Path(path)))


def _is_of_sets(tree: dict[str, Any]) -> bool:
    return "images" in tree and "policy" not in tree


def _refuse_another_run(recipe: Recipe, path: Path) -> None:
    """Raise a `UserError` if a run's recipe names another folder than that in which it lies, such as a copied run's."""
    named, here = Path(recipe.output_dir).expanduser() / recipe.name, path.parent
    if named.resolve() == here.resolve():
        return
    there = here.resolve().relative_to(Path.cwd()) if here.resolve().is_relative_to(Path.cwd()) else here.resolve()
    this, that = (
        " ".join(shlex.quote(f"{key}={yaml_line(value)}") for key, value in pair)
        for pair in (
            (("output_dir", str(there.parent)), ("name", there.name)),
            (("output_dir", recipe.output_dir), ("name", recipe.name)),
        )
    )
    raise UserError(
        f"{path}: lies in the run {here}, but names {named}; add {this} for the run in which it lies, or {that} for "
        "the one that it names."
    )


def read_stored_recipe(path: Path) -> Recipe:
    """Read the recipe in a run's folder, of any version; no message is printed on earlier keys, since EX2 wrote them.

    Raises:
        UserError: As `read_recipe`.
    """
    try:
        return _checked_as_stored(path)
    except UserError as error:
        if not path.is_file():
            raise
        raise UserError(f"{error}\n{path}: {REWRITTEN}.") from error


REWRITTEN = "if it was damaged, put it back, or delete it and run `ex2 run RECIPE`, which writes it again"
"""What to do about a run's recipe that EX2 cannot have written."""


def _checked_as_stored(path: Path) -> Recipe:
    tree = stored_tree(path)
    if secret_problems(tree, str(path)):  # earlier versions let secrets in
        tree = redacted_tree(tree)
    return _checked(Recipe, tree, str(path), {}, ())


def _is_of_a_run(path: Path) -> bool:
    return path.name == "recipe.yaml" and path.with_name("provenance.json").is_file()


def stored_tree(path: Path) -> dict[str, Any]:
    """Read the recipe that a run keeps as sections and keys of today.

    What a version did that did not have a key yet is filled in, where it is not the key's default today.

    Raises:
        UserError: If the file cannot be read.
    """
    tree = _load_yaml(path)
    rename_keys(tree, str(path))
    if tree.setdefault("ppo", {}) is None:
        tree["ppo"] = {}
    if isinstance(tree["ppo"], dict):
        tree["ppo"] = FORMER | tree["ppo"]
    _name_rubric(tree.get("judge"), FORMER_RUBRIC)
    return tree


def rename_keys(tree: dict[str, Any], where: str) -> dict[str, str]:
    """Move values from keys of earlier versions to those of today, and replace earlier spellings of values.

    Args:
        tree: A recipe as read from YAML; it is changed.
        where: Name of the file, for the error.

    Returns:
        Key of today → earlier key, for the keys that were moved.

    Raises:
        UserError: If a setting is given under both its earlier key and that of today.
    """
    renamed: dict[str, str] = {}
    twice = []
    for old, new in RENAMED.items():
        (from_, old_key), (to, new_key) = old.split("."), new.split(".")
        section = tree.get(from_)
        if not isinstance(section, dict) or old_key not in section:
            continue
        target = tree.get(to) or {}
        if not isinstance(target, dict):
            continue  # the section's own error says more
        if new_key in target:
            twice.append(f"{where}: {old} and {new} are one setting, by its earlier and its present name; keep {new}.")
            continue
        tree[to] = target | {new_key: section.pop(old_key)}
        renamed[new] = old
    if twice:
        raise UserError("\n".join(twice))
    _respell(tree.get("reward"))
    return renamed


def _respell(part: Any) -> None:
    """Replace `units: standardised` in a reward, or in the rewards that it combines, by today's spelling."""
    if isinstance(part, dict):
        if part.get("units") == "standardised":
            part["units"] = "standardized"
        for inner in part.values():
            _respell(inner)
    elif isinstance(part, list):
        for inner in part:
            _respell(inner)


def _name_rubric(judge: Any, rubric: str) -> None:
    """Write the rubric into a judge behind a server, or into those of a panel, that names none."""
    if not isinstance(judge, dict):
        return
    if judge.get("name") == "openai":
        judge.setdefault("rubric", rubric)
    for member in judge["judges"] if isinstance(judge.get("judges"), list) else ():
        _name_rubric(member, rubric)


def _checked(
    model: type[Read], tree: dict[str, Any], path: str, renamed: dict[str, str], secrets: Sequence[str]
) -> Read:
    hold_secrets(tree)
    try:
        recipe = model.model_validate(tree)
    except ValidationError as error:
        lines = [shortened(_message(model, path, problem, renamed), LONGEST // 2) for problem in error.errors()]
        raise UserError("\n".join([*secrets, *lines])) from error
    if secrets:
        raise UserError("\n".join(secrets))
    return recipe


def _today(key: str) -> str:
    """Return a key as it is called today: `ppo.kl.target` becomes `rl.kl.target`."""
    return next((new + key[len(old) :] for old, new in RENAMED.items() if f"{key}.".startswith(f"{old}.")), key)


def to_yaml(recipe: Recipe | SetRecipe) -> str:
    """Return the resolved recipe, every default spelled out, as YAML that is read back."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _load_yaml(path: Path) -> dict[str, Any]:
    try:
        tree = read_yaml(read_text(path), str(path))
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such recipe.{_near(path)}") from error
    except IsADirectoryError as error:
        raise UserError(f"{path}: is a folder; give a recipe file.{_near(path / 'x.yaml')}") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}).") from error
    if not isinstance(tree, dict):
        raise UserError(f"{path}: a recipe is a mapping of sections, this is a {type(tree).__name__}.")
    return tree


def _parsed(override: str) -> tuple[str, Any]:
    key, separator, text = override.partition("=")
    parts = key.split(".")
    if not separator or not key.isprintable() or not all(parts) or len(parts) > MOST_PARTS or len(key) > LONGEST_VALUE:
        given = shortened(override, LONGEST_VALUE)
        raise UserError(f"command line: '{given}' is no setting; write section.key=value, such as rl.batches=20.")
    return key, read_yaml(text, f"command line: {key}")


def _put(tree: dict[str, Any], key: str, value: Any) -> None:
    *sections, last = key.split(".")
    place = tree
    for section in sections:
        if not isinstance(place.get(section), dict):
            place[section] = {} if place.get(section) is None else {"name": place[section]}
        place = place[section]
    place[last] = value


def _message(model: type[RecipeSection], path: str, problem: Any, renamed: dict[str, str]) -> str:
    location = [str(part) for part in problem["loc"]]
    key = ".".join(location)
    for new, old in renamed.items():
        if f"{key}.".startswith(f"{new}."):
            key = f"{old} (now {new}){key[len(new) :]}"
    where = f"{path}: {key}" if key else path
    kind, given = problem["type"], problem.get("input")
    if kind == "extra_forbidden":
        return _unknown_key(model, f"{path}: {key.rpartition('.')[0] or 'top level'}", location)
    if kind == "missing":
        return f"{where}: missing; it has no default."
    if kind == "literal_error":
        return unknown_name(where, str(given), [part.strip("' ") for part in _expected(problem).split(",")])
    if kind == "value_error":
        return f"{path}: {problem['ctx']['error']}."
    return f"{where}: given {shown(given)}; {problem['msg'][0].lower()}{problem['msg'][1:]}."


def _unknown_key(model: type[RecipeSection], where: str, location: Sequence[str]) -> str:
    """Say which keys the section has, or name a key of another section if that is more likely what was meant."""
    *sections, given = location
    own = _section(model, sections).model_fields
    others = {
        key: f"{name}.{key}"
        for name, field in model.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, RecipeSection) and [name] != sections
        for key in field.annotation.model_fields
    }
    near = [] if get_close_matches(given, own) else get_close_matches(given, others, n=1, cutoff=0.8)
    hint = f"Or is it {others[near[0]]}?" if near else ""
    return unknown_name(where, given, own, hint=hint)


def _expected(problem: Any) -> str:
    return str(problem["ctx"]["expected"]).replace(" or ", ", ")


def _section(model: type[BaseModel], location: Sequence[str]) -> type[BaseModel]:
    """Return the section at a place; places in lists and names in mappings of sections are passed over."""
    for part in location:
        if part in model.model_fields:
            model = next(_sections_of(model.model_fields[part].annotation))
    return model


def _sections_of(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the sections that an annotation names, in it and in its arguments."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _sections_of(inner)


def _near(path: Path) -> str:
    folder = path.parent if path.parent.is_dir() else Path()
    found = sorted(str(p) for p in folder.glob("**/*.yaml") if ".venv" not in p.parts)[:8]
    return f" Recipes here: {', '.join(found)}." if found else ""
