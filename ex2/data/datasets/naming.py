"""What classes are called: from the names of folders and labels, or as the recipe gives them, and what is refused.

A class name goes into every prompt and template, so that a name which says nothing ("a photo of a 10"), two names that
are one text to a VLM, or names that go to other classes would make all results void without an error.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from reward.errors import UserError, unknown_name

ClassNames = Sequence[str] | Mapping[str | int, Any]
"""A recipe's `class_names`: names in label order, or folder (or label) → name."""

LONGEST = 200
"""Most characters of a class name: CLIP reads about 300 characters of a whole text."""

SHOWN = 5
"""Most names that a message spells out; the others are only counted."""

_NUMBER = re.compile(r"[+-]?(?:\d+(?:[.,_ ]\d+)*[.,]?|[.,]\d+)(?:e[+-]?\d+)?", re.IGNORECASE)
_WHOLE = re.compile(r"([+-]?\d+)\.0*")
_TRUTH = {"true": "True", "false": "False"}
_NO_NAMES = {*_TRUTH, "yes", "no", "nan"}
_JOINT = re.compile(r"[\s_-]+")
_JOINERS = "\u200c\u200d"
"""Characters of format that Persian, Indic scripts and emoji need."""


def is_number(label: str) -> bool:
    """Say whether a label is a number or a truth value, which is no name: "10", "0.0", "-1", "True", "nan"."""
    return bool(_NUMBER.fullmatch(label.strip())) or label.strip().casefold() in _NO_NAMES


def plain_label(value: object) -> str:
    """Return a label of a table as it is compared: "0.0" as "0", since tables with gaps store integers so, and "true"
    as "True"."""
    text = "" if value is None else str(value).strip()
    whole = _WHOLE.fullmatch(text)
    return whole[1] if whole else _TRUTH.get(text.casefold(), text)


def shown_name(label: str) -> str:
    """Return the class name that a folder or label stands for: with blanks for underscores, and accents composed."""
    return unicodedata.normalize("NFC", " ".join(part for part in label.replace("_", " ").split(" ") if part))


def likeness(name: str) -> str:
    """Return what two names share that differ only in case, in blanks, hyphens and underscores, or in how accents are
    stored: to a tokenizer or to a file of descriptions they are one class."""
    bare = "".join(letter for letter in name if letter not in _JOINERS)
    return _JOINT.sub(" ", unicodedata.normalize("NFC", unicodedata.normalize("NFC", bare).casefold())).strip()


def name_classes(found: Sequence[str], given: ClassNames | None, where: str, *, sorted_by_us: bool) -> tuple[str, ...]:
    """Return the class names of a dataset whose classes have names of their own.

    Args:
        found: Names of its folders or labels, in label order.
        given: The recipe's `class_names`, if any. A mapping names each of `found`. A list follows their order.
        where: What has the classes, for messages, such as "class folders in 'photos'".
        sorted_by_us: Whether the label order is the one of sorted names. A user may sort otherwise than Python does, so
            that a list is refused where that would make a difference.

    Raises:
        UserError: If the names say nothing or are alike and no others are given, or if those given do not fit.
    """
    if given is None:
        numbers = _numbers(found, where, "a prompt would ask about 'a photo of a {}'")
        _raise([numbers] if numbers else alike(found, f"dataset: {where}"))
        return tuple(map(shown_name, found))
    if isinstance(given, Mapping):
        names = given_by_label(found, given, where)
        return tuple(names[label] for label in found)
    if len(given) != len(found):
        raise UserError(f"dataset.class_names: {len(given)} names for {len(found)} {where}.")
    counted = not sorted_by_us and all(label == str(number) for number, label in enumerate(found))
    numbers = "" if counted else _numbers(found, where, "a list cannot tell which of them a name is for")
    problems = [numbers, *_exchanged(found, given, where)]
    if sorted_by_us and not numbers and sorted(found, key=_as_people_sort) != [*found]:
        problems.append(
            f"dataset.class_names: a list follows the order {_listed(found)} of the {where}, which is not the one "
            f"that people or file managers sort them in. {_remedy(found)}"
        )
    _raise(problems)
    return tuple(unicodedata.normalize("NFC", name) for name in given)


def given_by_label(found: Iterable[str], given: Mapping[str | int, Any], where: str) -> dict[str, str]:
    """Return label → name from a recipe's mapping.

    Raises:
        UserError: If it names labels that there are not, lacks some, or has names that are no texts.
    """
    others = [f"{key!r:.60}: {name!r:.60}" for key, name in given.items() if not isinstance(name, str)]
    if others:
        raise UserError(f"dataset.class_names: {_some(others)}: a name is a text; put it into quotation marks.")
    names = {str(key): unicodedata.normalize("NFC", name) for key, name in given.items()}
    labels = [*found]
    known = set(labels)
    unknown = [key for key in names if key not in known]
    missing = [label for label in labels if label not in names]
    problems = [
        unknown_name("dataset.class_names", _cut(key), map(_cut, missing[:SHOWN]), hint=f"It names the {where}.")
        for key in unknown[:SHOWN]
    ]
    if len(unknown) > SHOWN:
        problems.append(f"dataset.class_names: {len(unknown) - SHOWN} more names are not of the {where}.")
    if missing:
        problems.append(f"dataset.class_names: no name for {_listed(missing)} of the {where}. {_remedy(missing)}")
    if len(names) != len(given):
        problems.append("dataset.class_names: two of its keys are one label, such as 1 and '1'; give each label once.")
    _raise(problems)
    return names


def by_plain_label(given: Mapping[str | int, Any]) -> dict[str | int, Any]:
    """Return a recipe's mapping with its keys as `plain_label` gives them: YAML reads 1, 1.0 and true as no text.

    Raises:
        UserError: If two of its keys are one label.
    """
    found: dict[str | int, Any] = {plain_label(key): name for key, name in given.items()}
    if len(found) < len(given):
        raise UserError(
            "dataset.class_names: two of its keys are one label, such as 1 and '1.0'; give each label once."
        )
    return found


def alike(labels: Sequence[str], where: str) -> list[str]:
    """Return a message if labels would become the same class name, or names that only people can tell apart."""
    groups: dict[str, list[str]] = {}
    for label in labels:
        groups.setdefault(likeness(label), []).append(label)
    twins = [" and ".join(map(quoted, group)) for group in groups.values() if len(group) > 1]
    if not twins:
        return []
    return [
        f"{where}: {_some(twins)} differ only in case, in blanks, hyphens and underscores, or in how accents are "
        "stored; join what is one class, and rename what is not (or name both in dataset.class_names: {folder: name})."
    ]


def class_name_problems(names: Sequence[str], where: str) -> list[str]:
    """List class names that no prompt should hold.

    Args:
        names: Class names in label order.
        where: Dataset, for messages.

    Returns:
        One message per kind of problem: names that are empty, equal, alike, numbers, too long, or with characters that
        cannot be seen or break a line. Empty if all is well.
    """
    others = [name for name in names if not isinstance(name, str)]
    if others or not names:
        found = f"{others[0]!r:.60} is no text" if others else "there are none"
        return [f"{where}: class names: {found}; every class needs a name."]
    labels: dict[str, list[int]] = {}
    for label, name in enumerate(names):
        labels.setdefault(name.strip(), []).append(label)
    problems = []
    if "" in labels:
        problems.append(f"{where}: empty class name for label {_numbered(labels.pop(''))}; every class needs a name.")
    twice = [f"{quoted(name)} (labels {_numbered(found)})" for name, found in labels.items() if len(found) > 1]
    if twice:
        problems.append(f"{where}: duplicate class names: {_some(twice)}; every class needs its own.")
    problems += alike([*labels], f"{where}: class names")
    numbers = [name for name in labels if is_number(name)]
    if numbers:
        problems.append(
            f"{where}: class names {_listed(numbers)} are numbers or truth values, which say nothing in a prompt; give "
            "names that a caption could hold."
        )
    hidden = [name for name in names if is_unreadable(name) or (name != name.strip() and name.strip())]
    if hidden:
        problems.append(
            f"{where}: class names {', '.join(ascii(_cut(name)) for name in hidden[:SHOWN])}{_more(hidden)} hold line "
            "breaks, tabs, characters that cannot be seen, or blanks at an end; rename them or give class_names."
        )
    long = [name for name in labels if len(name) > LONGEST]
    if long:
        problems.append(
            f"{where}: class names of more than {LONGEST} characters: {_listed(long)}; a VLM would not read them to "
            "the end: give shorter ones."
        )
    return problems


def is_unreadable(text: str) -> bool:
    """Say whether a text holds line breaks, control characters, or others that cannot be seen."""
    return not text.isprintable() and any(map(_is_hidden, text))


def quoted(name: str) -> str:
    """Return a name in quotation marks, with escapes where two that look alike could not be told apart."""
    clear = name == unicodedata.normalize("NFC", name) and not is_unreadable(name)
    return f"'{_cut(name)}'" if clear else ascii(_cut(name))


def _is_hidden(letter: str) -> bool:
    """Say whether a character breaks a line, cannot be seen, or turns the direction of text."""
    kind = unicodedata.category(letter)
    return kind in ("Cc", "Cs", "Zl", "Zp") or (kind == "Cf" and letter not in _JOINERS)


def _numbers(labels: Sequence[str], where: str, consequence: str) -> str:
    numbers = [label for label in labels if is_number(label)]
    if not numbers:
        return ""
    return (
        f"dataset: {where}: {_listed(numbers)} are numbers or truth values: {consequence.format(_cut(numbers[-1]))}. "
        f"{_remedy(numbers)}"
    )


def _exchanged(found: Sequence[str], given: Sequence[str], where: str) -> list[str]:
    """Return a message if a list gives one class the name that another one has of itself."""
    place = {likeness(label): number for number, label in enumerate(found)}
    odd = [
        f"'{_cut(name)}' would be {quoted(found[number])}"
        for number, name in enumerate(given)
        if place.get(likeness(name), number) != number
    ]
    if not odd:
        return []
    return [f"dataset.class_names: not in the order of the {where}: {_some(odd)}. {_remedy(found)}"]


def _as_people_sort(label: str) -> list[tuple[bool, int, str]]:
    """Return a key that sorts "2" before "10", and "ant" before "Zebra"."""
    parts = re.split(r"([0-9]+)", label.casefold())
    return [(not part.isdecimal(), int(part[:18]) if part.isdecimal() else 0, part) for part in parts if part]


def _remedy(labels: Sequence[str]) -> str:
    example = ", ".join(f"{quoted(label)}: name" for label in labels[:2])
    return f"Give each its name: dataset.class_names: {{{example}{', …' if len(labels) > 2 else ''}}}."


def _listed(names: Sequence[str]) -> str:
    return _some([quoted(name) for name in names])


def _some(items: Sequence[str]) -> str:
    return ", ".join(items[:SHOWN]) + _more(items)


def _more(items: Sequence[str]) -> str:
    return f" ({len(items)} in all)" if len(items) > SHOWN else ""


def _cut(name: str) -> str:
    return name if len(name) <= 60 else f"{name[:60]}…"


def _numbered(labels: Sequence[int]) -> str:
    return ", ".join(map(str, labels[:SHOWN])) + _more([*map(str, labels)])


def _raise(problems: Iterable[str]) -> None:
    found = [problem for problem in problems if problem]
    if found:
        raise UserError("\n".join(found))
