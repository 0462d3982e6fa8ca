"""Swappable parts: a table row or a dotted path becomes a class, and settings are checked before it is built."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import sys
import traceback
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError

from reward.errors import UserError, one_line, shortened, shown, unknown_name
from reward.exits import announce_import


class Parts(dict[str, str]):
    """Table of one kind of component: name → `"module:attribute"`.

    Attributes:
        kind: What a component is called in messages, such as `reward`.
        methods: What a component of the user's own must be able to do: names of its methods.
    """

    def __init__(self, rows: Mapping[str, str], kind: str, methods: Sequence[str]) -> None:
        super().__init__(rows)
        self.kind, self.methods = kind, tuple(methods)


def resolve(name: str, table: Mapping[str, str], where: str) -> Any:
    """Import the class or function that `name` stands for.

    A module of the user's own is named on stderr before it is imported.

    Args:
        name: A key of `table`, or a dotted path such as `my_pkg.my_module.MyReward`.
        table: Name → `"module:attribute"`.
        where: File and key for messages.

    Returns:
        The imported attribute.

    Raises:
        UserError: If the name is not in the table, the path cannot be imported, or what it leads to is no component of
            the table's kind.
    """
    if name in table:
        module_name, _, attribute = table[name].partition(":")
        return getattr(importlib.import_module(module_name), attribute)
    module_name, _, attribute = name.replace(":", ".").rpartition(".")
    if not module_name:
        raise UserError(unknown_name(where, name, table, hint="Or give the dotted path of your own."))
    if not all(part.isidentifier() for part in (*module_name.split("."), attribute)):
        raise UserError(f"{where}: given {shown(name)}; a dotted path has names between its dots, as my_pkg.MyClass.")
    if module_name.partition(".")[0] in sys.stdlib_module_names:
        kind = getattr(table, "kind", "component")
        raise UserError(f"{where}: '{name}' is of Python's own library, which has no {kind}; name your own class.")
    if module_name.partition(".")[0] not in _EX2:
        announce_import(module_name)
    _look_here_too()
    found = _imported(name, module_name, attribute, table, where)
    problem = _misfit(found, table)
    if problem:
        raise UserError(f"{where}: '{name}' {problem}.")
    return found


_EX2 = ("reward", "ex2", "analysis")


def _imported(name: str, module_name: str, attribute: str, table: Mapping[str, str], where: str) -> Any:
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
        if error.name == attribute and getattr(error.obj, "__name__", None) == module_name:
            raise UserError(f"{where}: module '{module_name}' has no '{attribute}'.") from error
        raise _broken(module_name, error, where) from error
    except (Exception, SystemExit) as error:
        raise _broken(module_name, error, where) from error


def _broken(module_name: str, error: BaseException, where: str) -> UserError:
    """Return the error for a module that cannot be imported, with the place in it."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<frozen")]
    place = f" at {frames[-1].filename}, line {frames[-1].lineno}," if frames[2:] else ""
    if isinstance(error, SyntaxError) and error.filename:
        place = f" at {error.filename}, line {error.lineno},"
    what = f"ended the program ({error})" if isinstance(error, SystemExit) else f"failed ({_named(error)})"
    return UserError(f"{where}: importing '{module_name}'{place} {what}; a module must be importable without effects.")


def _named(error: BaseException) -> str:
    text = error.msg if isinstance(error, SyntaxError) else shortened(one_line(error), 400)
    return text if text == type(error).__name__ else f"{type(error).__name__}: {text}"


def _misfit(found: Any, table: Mapping[str, str]) -> str:
    """Return why something that a dotted path leads to cannot be a component, or an empty text if it can."""
    kind, methods = getattr(table, "kind", "component"), getattr(table, "methods", ())
    if not inspect.isclass(found):
        if inspect.isfunction(found):  # makes one; what it returns is seen when it is built
            return ""
        return f"is {_article(type(found).__name__)}; a {kind} is named by its class, or by a function that makes it"
    lacking = [method for method in methods if not callable(_of_class(found, method))]
    return f"is no {kind}: it lacks {', '.join(lacking)}" if lacking else ""


def _of_class(found: type, name: str) -> Any:
    """Return an attribute that instances of a class will have; `__call__` of the class itself does not count."""
    return next((vars(base)[name] for base in found.__mro__ if name in vars(base)), None)


def _article(noun: str) -> str:
    return f"{'an' if noun[0].lower() in 'aeiou' else 'a'} {noun}"


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
    try:
        everything = inspect.signature(factory).parameters
    except (TypeError, ValueError):
        return [f"{where}: '{getattr(factory, '__name__', factory)}' does not tell which settings it takes."]
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
        hints = get_type_hints(factory.__init__ if inspect.isclass(factory) else factory, include_extras=True)
    except Exception:  # noqa: BLE001 - annotations are the user's code, and some only a type checker can read
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
            problems.append(f"{where}.{key}: given {shown(value)}; {reason[0].lower()}{reason[1:]}.")
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
    made = factory(**settings, **taken)
    lacking = [method for method in getattr(table, "methods", ()) if not callable(getattr(made, method, None))]
    if lacking:
        kind = getattr(table, "kind", "component")
        raise UserError(
            f"{where}: '{name}' makes no {kind}: {_article(type(made).__name__)} lacks {', '.join(lacking)}."
        )
    return made
