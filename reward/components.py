"""Swappable parts: a table row or a dotted path becomes a class, and settings are checked before it is built."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterable, Mapping
from typing import Any

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


def settings_problems(factory: Any, settings: Iterable[str], where: str, supplied: Iterable[str] = ()) -> list[str]:
    """List what is wrong with the names of a component's settings.

    Args:
        factory: The class or function that takes the settings.
        settings: Names the recipe gives.
        where: File and section for messages, such as `x.yaml: vlm`.
        supplied: Parameters that the program fills in itself.

    Returns:
        One message per unknown or missing setting; empty if all is well.
    """
    own = set(supplied)
    parameters = {
        key: value
        for key, value in inspect.signature(factory).parameters.items()
        if key not in own and value.kind in (value.POSITIONAL_OR_KEYWORD, value.KEYWORD_ONLY)
    }
    takes_any = any(p.kind is p.VAR_KEYWORD for p in inspect.signature(factory).parameters.values())
    given = list(settings)
    problems = [unknown_name(where, key, parameters) for key in given if key not in parameters and not takes_any]
    problems += [
        f"{where}: '{key}' is missing; '{getattr(factory, '__name__', factory)}' cannot do without it."
        for key, value in parameters.items()
        if value.default is value.empty and key not in given
    ]
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
