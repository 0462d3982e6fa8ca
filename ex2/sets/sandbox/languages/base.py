"""What EX2 knows of a language that drawings are written in, and the table of those that a recipe can name."""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ex2.sets.sandbox.bubblewrap import Surroundings, missing
from reward.errors import UserError, unknown_name

LANGUAGES = {
    "matplotlib": "ex2.sets.sandbox.languages.matplotlib:MATPLOTLIB",
    "svg": "ex2.sets.sandbox.languages.svg:SVG",
    "tikz": "ex2.sets.sandbox.languages.tikz:TIKZ",
    "turtle": "ex2.sets.sandbox.languages.turtle:TURTLE",
}
"""Name → `"module:attribute"`, imported on use."""


@dataclass(frozen=True)
class Language:
    """A language.

    Attributes:
        name: As recipes name it.
        title: As the prompt names it.
        extension: Of the files that keep its code, without a dot.
        tags: What a fenced block of it may be marked with.
        module: Of the folder `inside`, which renders it.
        policy: Returns why code is refused before it is run, one reason each; none if it is not.
        find: Returns the code in a text without a fenced block; empty if there is none.
        around: Returns what its worker has around it.
        packages: Distributions that its renderer needs.
        programs: Returns the programs of the system that its renderer needs and this machine lacks.
        install: What to do if one of them is missing.
        warm: Whether a worker takes one job after the other.
        writes: Whether its renderer writes files and starts programs.
    """

    name: str
    title: str
    extension: str
    tags: tuple[str, ...]
    module: str
    policy: Callable[[str], list[str]]
    find: Callable[[str], str]
    around: Callable[[], Surroundings]
    packages: tuple[str, ...]
    install: str
    programs: Callable[[], Sequence[str]] = tuple
    warm: bool = True
    writes: bool = False

    def problems(self) -> list[str]:
        """Return a line for each part of its renderer that is not installed."""
        return [self.missing_line(name) for name in (*missing(self.packages), *self.programs())]

    def versions(self) -> dict[str, str]:
        """Return the versions of the packages that draw; of those that are installed."""
        lacking = missing(self.packages)
        return {name: importlib.metadata.version(name) for name in self.packages if name not in lacking}

    def missing_line(self, name: str) -> str:
        """Return the line that says that a part of its renderer is not installed."""
        return f"generator.language: '{self.name}' needs {name}, which is not installed; {self.install}"


def language_named(name: str, where: str = "generator.language") -> Language:
    """Return a language.

    Raises:
        UserError: If there is none of that name.
    """
    if name not in LANGUAGES:
        raise UserError(unknown_name(where, name, LANGUAGES))
    module, _, attribute = LANGUAGES[name].partition(":")
    found: Any = getattr(importlib.import_module(module), attribute)
    assert isinstance(found, Language)
    return found
