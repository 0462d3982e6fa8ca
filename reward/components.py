"""Swappable parts: a table row or a dotted path becomes a class, and settings are checked before it is built."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError

from reward.errors import UserError, unknown_name


def resolve(name: str, table: Mapping[str, str], where: str) -> Any:
    """Import the class or function that `name` stands for.

    Args:
        name: A key of `table`, or a dotted path such as `my_pkg.my_module.MyReward`.
        table: Name → `"module:attribute"`.
        where: File and key for messages.

    Returns:
        The imported attribute.

    Raises:
        UserError: If the name is not in the table, or the path cannot be imported.
    """
    if name in table:
        module_name, _, attribute = table[name].partition(":")
        return getattr(importlib.import_module(module_name), attribute)
    module_name, _, attribute = name.replace(":", ".").rpartition(".")
    if not module_name:
        raise UserError(unknown_name(where, name, table, hint="Or give the dotted path of your own."))
    _look_here_too()
    try:
        return getattr(importlib.import_module(module_name), attribute)
    except ModuleNotFoundError as error:
        if error.name is None or not (module_name == error.name or module_name.startswith(error.name + ".")):
            raise UserError(f"{where}: '{name}' needs the module '{error.name}', which is not installed.") from error
        raise UserError(
            f"{where}: module '{module_name}' not found. Run from the folder that holds it, or install its package; "
            f"names in the table: {', '.join(sorted(table))}."
        ) from error
    except AttributeError as error:
        raise UserError(f"{where}: module '{module_name}' has no '{attribute}'.") from error


def _look_here_too() -> None:
    """Add the current folder to the module search path, as `python -m` does and a console script does not.

    It comes last in the search, so that a file in it with a library's name does not replace the library.
    """
    with contextlib.suppress(OSError):  # the folder was deleted
        here = str(Path.cwd())
        if here not in sys.path:
            sys.path.append(here)


def settings_problems(factory: Any, settings: Mapping[str, Any], where: str, supplied: Iterable[str] = ()) -> list[str]:
    """List unknown and missing settings of a component, and values that do not fit the annotated types.

    Args:
        factory: The class or function that takes the settings. If it has a function `setting_problems(settings, where,
            supplied)`, the problems that this returns are listed too.
        settings: Keyword arguments from the recipe.
        where: File and section for messages, such as `x.yaml: vlm`.
        supplied: Parameters that the program fills in itself.

    Returns:
        One message per problem; empty if all is well.
    """
    own = set(supplied)
    everything = inspect.signature(factory).parameters
    parameters = {
        key: value
        for key, value in everything.items()
        if key not in own and value.kind in (value.POSITIONAL_OR_KEYWORD, value.KEYWORD_ONLY)
    }
    takes_any = any(p.kind is p.VAR_KEYWORD for p in everything.values())
    asks_itself = getattr(factory, "setting_problems", None)
    problems = [
        unknown_name(where, key, parameters)
        for key in settings
        if key not in parameters and (asks_itself is not None or not takes_any)
    ]
    problems += [
        f"{where}: '{key}' is missing; '{getattr(factory, '__name__', factory)}' cannot do without it."
        for key, value in parameters.items()
        if value.default is value.empty and key not in settings
    ]
    problems += _value_problems(factory, {key: settings[key] for key in settings if key in parameters}, where)
    if asks_itself is not None and not problems:
        problems += asks_itself(settings, where, own)
    return problems


def check_component(
    name: str, settings: Mapping[str, Any], table: Mapping[str, str], where: str, supplied: Iterable[str] = ()
) -> list[str]:
    """Resolve a component's name and list what is wrong with its settings.

    The arguments are those of `build`; `supplied` has only the names of what the program fills in.

    Raises:
        UserError: For an unknown name.
    """
    return settings_problems(resolve(name, table, f"{where}.name"), settings, where, supplied)


def _value_problems(factory: Any, settings: Mapping[str, Any], where: str) -> list[str]:
    try:
        hints = get_type_hints(factory.__init__ if inspect.isclass(factory) else factory)
    except (NameError, TypeError):  # annotations that only a type checker can read
        return []
    problems = []
    for key, value in settings.items():
        hint = hints.get(key, Any)
        if get_origin(hint) is Literal and isinstance(value, str):
            if value not in get_args(hint):
                problems.append(unknown_name(f"{where}.{key}", value, map(str, get_args(hint))))
            continue
        try:
            TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True)).validate_python(value)
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
            problems.append(f"{where}.{key}: given {value!r}; {reason[0].lower()}{reason[1:]}.")
        except PydanticUserError:
            continue  # a type of the user's own, which pydantic cannot read
    return problems


def build(name: str, settings: Mapping[str, Any], table: Mapping[str, str], where: str, **supplied: Any) -> Any:
    """Build a component from its name and settings.

    Args:
        name: Table row or dotted path.
        settings: Keyword arguments from the recipe.
        table: Name → `"module:attribute"`.
        where: File and section for messages.
        **supplied: Keyword arguments from the program; given only if the component takes them.

    Returns:
        The built component.

    Raises:
        UserError: For an unknown name or setting; every problem at once.
    """
    factory = resolve(name, table, where)
    problems = settings_problems(factory, settings, where, supplied)
    if problems:
        raise UserError("\n".join(problems))
    parameters = inspect.signature(factory).parameters
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    taken = {key: value for key, value in supplied.items() if takes_any or key in parameters}
    return factory(**settings, **taken)
