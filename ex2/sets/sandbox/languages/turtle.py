"""Python with turtle: a turtle of this project's, without a window, stands for the library's."""

from __future__ import annotations

from ex2.sets.sandbox.bubblewrap import Surroundings
from ex2.sets.sandbox.languages.base import Language
from ex2.sets.sandbox.languages.python_code import find
from ex2.sets.sandbox.policy import python_refusals

_PACKAGES = ("pillow",)
_MODULES = ("turtle", "math", "random", "colorsys", "itertools", "time")

TURTLE = Language(
    name="turtle",
    title="python-turtle",
    extension="py",
    tags=("python", "py", "python3", "turtle"),
    module="turtle_program",
    policy=lambda code: python_refusals(code, _MODULES),
    find=find,
    around=lambda: Surroundings(_PACKAGES),
    packages=_PACKAGES,
    install="run: pip install pillow",
)
