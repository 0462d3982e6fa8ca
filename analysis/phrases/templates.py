"""Templates to test: made from mined phrases, or the user's own from a file."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import Field, ValidationError

from ex2.data.names_in_texts import SLOT
from reward.errors import UserError
from reward.records import Record
from reward.strict_json import JSONFault, decode

PLAIN = "A photo of a {}."
"""The plain template, which every template is compared with unless a file gives another one."""

_FORM = 'give {"templates": ["… {} …"]}, and if wanted "plain" (a template) and "source" (a text)'


@dataclass(frozen=True)
class _Given(Record):
    """Content of a user's file. Templates may be of any type here, so that all faulty ones can be reported together."""

    templates: Annotated[list[Any], Field(min_length=1)]
    plain: Any = PLAIN
    source: Any = ""


class TemplateFile(NamedTuple):
    """A user's templates.

    Attributes:
        plain: The template to compare with.
        templates: The templates, each with `{}` for the class name.
        source: Where they come from; empty if the file does not say.
    """

    plain: str
    templates: tuple[str, ...]
    source: str


def from_phrase(phrase: str, plain: str = PLAIN) -> str:
    """Turn a mined phrase into a template.

    Args:
        phrase: A phrase with `{}` for the class name, or without class name.
        plain: Template that a phrase without class name is added to.

    Returns:
        The phrase as a sentence if it has the class name; else the plain template, followed by the phrase as a
        sentence.
    """
    sentence = phrase[:1].upper() + phrase[1:] + "."
    return sentence if SLOT in phrase else f"{plain.rstrip('.')}. {sentence}"


def fill(template: str, class_name: str) -> str:
    """Put a class name into a template; the name may hold any characters."""
    return template.replace(SLOT, class_name)


def read_templates(path: Path) -> TemplateFile:
    """Read a file of templates.

    Args:
        path: JSON file with `templates`, and optionally `plain` and `source`.

    Raises:
        UserError: If the file cannot be read, or if a template has no `{}`, occurs twice or equals the plain one; the
            message lists every such template.
    """
    try:
        if path.exists() and not path.is_file():
            raise UserError(f"{path}: no file; {_FORM}.")
        data = decode(path.read_bytes())
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; {_FORM}.") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}).") from error
    except JSONFault as error:
        raise UserError(f"{path}: line {error.line}: {error.reason}; {_FORM}.") from error
    try:
        given = _Given.from_json(data)
    except ValidationError as error:
        raise UserError(f"{path}: holds no list of templates; {_FORM}.") from error
    unknown = sorted(set(data) - {field.name for field in fields(_Given)})
    problems = [f"{path}: unknown key '{key}'; {_FORM}." for key in unknown]
    for template in [given.plain, *given.templates]:
        if not isinstance(template, str):
            problems.append(f"{path}: {template!r} is no text; a template is one.")
        elif "{" in template.replace(SLOT, "") or "}" in template.replace(SLOT, "") or SLOT not in template:
            problems.append(f"{path}: '{template}' needs {{}} where the class name stands, and no other braces.")
    texts = [template for template in given.templates if isinstance(template, str)]
    problems += [
        f"{path}: '{template}' " + ("is the plain template." if template == given.plain else "stands twice.")
        for template in dict.fromkeys(texts)
        if template == given.plain or texts.count(template) > 1
    ]
    if problems:
        raise UserError("\n".join(problems))
    return TemplateFile(given.plain, tuple(given.templates), str(given.source))
