"""What tests of the sandbox need of a machine."""

from __future__ import annotations

from needs import absent

from ex2.sets.sandbox.bubblewrap import check
from ex2.sets.sandbox.languages.base import language_named
from reward.errors import EnvironmentFault


def needs_sandbox() -> None:
    """Skip or fail the test unless bubblewrap works here."""
    try:
        check()
    except EnvironmentFault:
        absent("sandbox", "bubblewrap does not work on this machine")


def needs_tikz() -> None:
    """Skip or fail the test unless TikZ can be typeset here."""
    if language_named("tikz").problems():
        absent("tikz", "there is no pdflatex or pdftoppm on this machine")
