"""What the report and the index share: the environment of their templates, and their scripts."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from analysis import figures

HERE = Path(__file__).parent / "templates"
DRAWINGS = Path(figures.__file__).parent
"""Folder of the drawings' colours and CSS rules, which a page includes."""


def page_environment() -> Environment:
    """Return the environment of the pages' templates: everything is escaped, and a missing variable is an error."""
    return Environment(
        loader=FileSystemLoader([HERE, DRAWINGS]),
        autoescape=True,  # for every template, whatever its name: model text is on the page
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def page_script(names: Sequence[str]) -> tuple[Markup, str]:
    """Read the scripts of a page.

    Args:
        names: Files beside this one, in the order in which they run.

    Returns:
        The scripts' text, which is put into one `script` element unchanged, and the source expression (`'sha256-…'`) by
        which a Content-Security-Policy allows this text and no other.
    """
    text = "\n".join((HERE / name).read_text(encoding="utf-8") for name in names)
    assert "</script" not in text.lower(), "it would end the element"
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
    return Markup(text), f"'sha256-{digest}'"
