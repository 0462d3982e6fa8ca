"""Python with matplotlib."""

from __future__ import annotations

from ex2.sets.sandbox.bubblewrap import Surroundings
from ex2.sets.sandbox.languages.base import Language
from ex2.sets.sandbox.languages.python_code import find
from ex2.sets.sandbox.policy import python_refusals

_PACKAGES = ("matplotlib",)
_MODULES = ("matplotlib", "mpl_toolkits", "numpy", "math", "random", "colorsys", "itertools")

MATPLOTLIB = Language(
    name="matplotlib",
    title="python-matplotlib",
    extension="py",
    tags=("python", "py", "python3", "matplotlib"),
    module="pyplot",
    policy=lambda code: python_refusals(code, _MODULES),
    find=find,
    around=lambda: Surroundings(_PACKAGES),
    packages=_PACKAGES,
    install="run: pip install 'ex2[draw]'",
)
