"""What is refused before it runs, and that what models write to draw is not."""

from __future__ import annotations

import pytest

from ex2.sets.sandbox.languages.base import language_named
from ex2.sets.sandbox.policy import MOST_CHARACTERS, MOST_DEPTH, MOST_ELEMENTS, svg_refusals

HEAD = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'


def svg(content: str) -> list[str]:
    return svg_refusals(f"{HEAD}{content}</svg>")


DRAWINGS = [
    '<defs><linearGradient id="g"><stop offset="0"/></linearGradient></defs><rect fill="url(#g)"/>',
    '<g id="a"><rect/></g><use href="#a"/><use xlink:href="#a"/>',
    "<style>circle { fill: url( '#g' ); }</style><circle/>",
    '<rect style="fill:red"/><text>on@import</text>',
    '<rect><animate attributeName="x" to="9"/></rect>',
    "<rect",
]


@pytest.mark.parametrize("content", DRAWINGS)
def test_drawings_pass(content: str) -> None:
    assert svg(content) == []


@pytest.mark.parametrize(
    ("content", "reasons"),
    [
        ('<IMAGE href="#a"/>', ["element image"]),
        ('<image href="/x.png"/>', ["element image", "reference of image to what is outside"]),
        ('<use href=" file.svg#a"/>', ["reference of use to what is outside"]),
        ('<rect style="fill: url(&quot;http://x/y&quot;)"/>', ["url() of what is outside"]),
        ("<style>a { fill: URL(x) }</style>", ["url() of what is outside"]),
        ("<style>@IMPORT 'x';</style>", ["@import"]),
        ('<rect onClick="x"/>', ["handler onclick"]),
        ("<?xml-stylesheet href='x'?>", ["instruction xml-stylesheet"]),
        ('<g id="a"><use href="#a"/></g>', ["use within itself, or too deep"]),
    ],
)
def test_what_is_refused_in_svg(content: str, reasons: list[str]) -> None:
    assert svg(content) == reasons


def test_a_document_type_ends_the_reading() -> None:
    assert svg_refusals(f"<!DOCTYPE svg [<!ENTITY a 'b'>]>{HEAD}&a;</svg>") == ["DOCTYPE"]


def test_limits_of_elements_and_depth() -> None:
    assert svg("<g/>" * (MOST_ELEMENTS - 1)) == []
    assert svg("<g/>" * MOST_ELEMENTS) == ["more than 10,000 elements"]
    assert svg("<g>" * (MOST_DEPTH - 1) + "</g>" * (MOST_DEPTH - 1)) == []
    assert svg("<g>" * MOST_DEPTH + "</g>" * MOST_DEPTH) == ["elements more than 100 deep"]
    assert svg(f"<!--{'x' * MOST_CHARACTERS}-->") == ["more than 200,000 characters"]


def test_uses_count_as_often_as_they_draw() -> None:
    """The drawing is 1, a group of 99 is 100, and each use of it 101."""
    group = f'<g id="a">{"<g/>" * 99}</g>'
    most = (MOST_ELEMENTS - 101) // 101
    assert svg(group + '<use href="#a"/>' * most) == []
    assert svg(group + '<use href="#a"/>' * (most + 1)) == ["more than 10,000 elements by use"]


PROGRAMS = [
    "import matplotlib.pyplot as plt\nimport numpy as np\nfig, ax = plt.subplots()\nax.plot(np.arange(3))\nplt.show()",
    "import matplotlib.pyplot as plt\nplt.plot([1])\nplt.savefig('my circle.png', dpi=100)\nplt.close()",
    "from mpl_toolkits.mplot3d import Axes3D\nfrom math import pi",
    "class Shape:\n    def draw(self):\n        print(f'{self!r}')\nif __name__ == '__main__':\n    Shape().draw()",
    "try:\n    x = [i for i in range(9) if i]\nexcept ValueError as error:\n    raise RuntimeError from error",
    "def open(x):\n    return x\nopen(1)",
    "this is no program",
]


@pytest.mark.parametrize("code", PROGRAMS)
def test_programs_that_draw_pass(code: str) -> None:
    assert language_named("matplotlib").policy(code) == []


@pytest.mark.parametrize(
    ("code", "reasons"),
    [
        ("import os.path, sys", ["import of os.path", "import of sys"]),
        ("from . import x", ["import of ."]),
        ("from numpy import ctypeslib", ["import of ctypeslib"]),
        ("import numpy.f2py", ["import of numpy.f2py"]),
        ("eval('1')", ["call of eval"]),
        ("f = open", ["call of open"]),
        ("getattr(1, 'x')", ["call of getattr"]),
        ("().__class__", ["attribute __class__"]),
        ("__builtins__", ["name __builtins__"]),
        ("import matplotlib as m\nm.pyplot.imread('x')", ["attribute imread"]),
        ("import matplotlib.pyplot as p\np.savefig('/tmp/x.png')", ["savefig to a path"]),
        ("import matplotlib.pyplot as p\np.savefig('../x.png')", ["savefig to a path"]),
        ("import matplotlib.pyplot as p\np.text(0, 0, 'x', usetex=True)", ["setting usetex"]),
        ("async def f(): pass", ["AsyncFunctionDef is not allowed"]),
        ("import turtle", ["import of turtle"]),
        ("x = 1 #" + "x" * MOST_CHARACTERS, ["more than 200,000 characters"]),
    ],
)
def test_what_is_refused_in_python(code: str, reasons: list[str]) -> None:
    assert language_named("matplotlib").policy(code) == reasons


@pytest.mark.parametrize(
    ("code", "reasons"),
    [
        (r"\begin{tikzpicture}\node {\includes};\end{tikzpicture}", []),
        (r"\usepackage{tikz}\usepackage[dvipsnames]{xcolor}\draw plot coordinates {(0,0)};", []),
        (r"\input{x}\write18{y}\input z", [r"command \input", r"command \write"]),
        (r"\usepackage{shellesc}", [r"command \usepackage"]),
        ("\\^^69nput", ["command ^^"]),
        (r"\draw plot[smooth] file {x};", ["plot from a file or program"]),
    ],
)
def test_what_is_refused_in_tikz(code: str, reasons: list[str]) -> None:
    assert language_named("tikz").policy(code) == reasons
