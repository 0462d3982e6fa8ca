"""TikZ, typeset by pdflatex. Each picture has a worker of its own, so that no file of one is there for the next."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from ex2.sets.sandbox.bubblewrap import Surroundings, View
from ex2.sets.sandbox.languages.base import Language
from ex2.sets.sandbox.policy import tex_refusals

_PROGRAMS = ("pdflatex", "pdftoppm")
_FOLDERS = ("/usr/share/texlive", "/usr/share/texmf", "/usr/share/texmf-dist", "/var/lib/texmf", "/etc/texmf")
"""Where distributions keep TeX's files."""
_PACKAGES = ("pillow",)


def find(text: str) -> str:
    """Return the first picture that stands in a text, or a whole document."""
    for name in ("document", "tikzpicture"):
        start = r"\\documentclass.*?" if name == "document" else r"\\begin\{tikzpicture\}.*?"
        found = re.search(start + rf"\\end\{{{name}\}}", text, re.DOTALL)
        if found:
            return found[0]
    return ""


def _around() -> Surroundings:
    programs = {name: shutil.which(name) for name in _PROGRAMS}
    views = [View(Path(path).resolve(), f"/usr/bin/{name}") for name, path in programs.items() if path]
    views += [View(Path(folder), folder) for folder in _FOLDERS if Path(folder).is_dir()]
    return Surroundings(_PACKAGES, tuple(views), scratch=64 << 20)


TIKZ = Language(
    name="tikz",
    title="TikZ",
    extension="tex",
    tags=("latex", "tex", "tikz"),
    module="tikz",
    policy=tex_refusals,
    find=find,
    around=_around,
    packages=_PACKAGES,
    install="on Debian: apt-get install texlive-latex-base texlive-pictures poppler-utils",
    programs=lambda: [name for name in _PROGRAMS if shutil.which(name) is None],
    warm=False,
    writes=True,
)
