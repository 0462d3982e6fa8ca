"""Which code of a reply is taken."""

from __future__ import annotations

import pytest

from ex2.sets.sandbox.languages.base import language_named
from ex2.sets.sandbox.replies import code_in
from reward.errors import UserError

DRAWING = '<svg xmlns="http://www.w3.org/2000/svg"><circle r="4"/></svg>'
PYTHON = "import turtle\nturtle.dot(9)\n"


def fenced(code: str, mark: str = "", fence: str = "```") -> str:
    return f"{fence}{mark}\n{code}\n{fence}\n"


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (f"Sure!\n\n{fenced(DRAWING, 'svg')}\nDone.", f"{DRAWING}\n"),
        (fenced("pip install x", "bash") + fenced("one", "XML") + fenced("two", "svg"), "one\n"),
        (fenced("", "svg") + fenced("two", "svg"), "two\n"),
        (fenced("plain") + fenced("marked", "svg"), "marked\n"),
        (fenced("plain") + fenced("other", "python"), "plain\n"),
        (fenced("tilde", "svg", "~~~"), "tilde\n"),
        (fenced("a\n```\nb", "svg", "````"), "a\n```\nb\n"),
        ("```svg\n<svg><g>", "<svg><g>"),
        ("```svg\r\n<svg/>\r\n```", "<svg/>\n"),
        (f"Here it is: {DRAWING} and {DRAWING}", DRAWING),
        ("It begins <svg width='1'><g", "<svg width='1'><g"),
        (fenced(DRAWING, "python"), ""),
        ("I cannot draw.", ""),
        ("", ""),
        ("```svg\n\ud800\n```", "?\n"),
    ],
)
def test_svg(reply: str, code: str) -> None:
    assert code_in(reply, language_named("svg")) == code


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (fenced(PYTHON, "python"), f"{PYTHON}\n"),
        (PYTHON, PYTHON),
        (f"Of course.\n\n{PYTHON}", PYTHON),
        (f"{PYTHON}\nThis draws a dot.", ""),
        ("from here on it is a circle", ""),
    ],
)
def test_python(reply: str, code: str) -> None:
    assert code_in(reply, language_named("turtle")) == code


def test_tikz() -> None:
    picture = "\\begin{tikzpicture}\n\\fill (0,0) circle (1);\n\\end{tikzpicture}"
    document = f"\\documentclass{{article}}\\begin{{document}}{picture}\\end{{document}}"
    assert code_in(f"See {picture}.", language_named("tikz")) == picture
    assert code_in(f"See {document}.", language_named("tikz")) == document
    assert code_in("\\draw (0,0);", language_named("tikz")) == ""


def test_an_unknown_language() -> None:
    with pytest.raises(UserError) as error:
        language_named("matplotlb")
    assert str(error.value) == (
        "generator.language: unknown 'matplotlb'. Did you mean 'matplotlib'? Available: matplotlib, svg, tikz, turtle."
    )
