"""SVG, rendered by resvg."""

from __future__ import annotations

import re

from ex2.sets.sandbox.bubblewrap import Surroundings
from ex2.sets.sandbox.languages.base import Language
from ex2.sets.sandbox.policy import svg_refusals

_PACKAGES = ("resvg-py",)


def find(text: str) -> str:
    """Return the first drawing that stands in a text; one without an end goes to the end of the text."""
    found = re.search(r"<svg\b.*?</svg\s*>", text, re.DOTALL) or re.search(r"<svg\b.*", text, re.DOTALL)
    return found[0] if found else ""


SVG = Language(
    name="svg",
    title="SVG",
    extension="svg",
    tags=("svg", "xml", "html"),
    module="svg",
    policy=svg_refusals,
    find=find,
    around=lambda: Surroundings(_PACKAGES),
    packages=_PACKAGES,
    install="run: pip install resvg-py",
)
