"""TikZ, typeset by pdflatex and painted by pdftoppm, each under the filter of system calls."""

from __future__ import annotations

import io
import os
import re
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from . import seccomp
from .jobs import ERROR, MEMORY, MOST_BYTES, NO_IMAGE, SYNTAX, UNSAFE, Failed, Job, Setup

_BEFORE = r"""\documentclass{article}
\usepackage{tikz}
\usetikzlibrary{arrows,arrows.meta,backgrounds,calc,decorations.pathmorphing,intersections,patterns,positioning,shadings,
shapes,shapes.geometric}
\pagestyle{empty}
\newbox\drawing
\begin{document}
\setbox\drawing\hbox{%
"""
_AFTER = r"""
}%
\pdfhorigin=4pt \pdfvorigin=4pt
\pdfpagewidth=\dimexpr\wd\drawing+8pt\relax
\pdfpageheight=\dimexpr\ht\drawing+\dp\drawing+8pt\relax
\ifdim\wd\drawing>0pt \shipout\box\drawing\fi
\end{document}
"""
"""A page as large as the picture. The class `standalone` would do the same; Debian's small TeX does not have it."""
_MARGIN = 16
"""What is drawn has a margin of this part of the image: a picture in TikZ ends where its paint does."""
_SYNTAX = re.compile(r"Missing|Extra|Undefined control|Runaway|Paragraph ended|File ended|Misplaced|Illegal|Giving up")
_ENVIRONMENT = {"openin_any": "p", "openout_any": "p", "PATH": "/usr/bin", "SOURCE_DATE_EPOCH": "0"}
"""p: TeX opens no file by an absolute path, or by one that leads upward."""


def warm() -> dict[str, str]:
    """Find both programs."""
    first = subprocess.run(["/usr/bin/pdflatex", "--version"], capture_output=True, check=True).stdout.decode()
    return {"pdflatex": first.splitlines()[0].replace(" ", "_")}


def render(job: Job, setup: Setup) -> bytes:
    """Return what is drawn on the first page, with a margin."""
    from PIL import Image, ImageChops

    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    code = job.code if r"\documentclass" in job.code else f"{_BEFORE}{job.code}{_AFTER}"
    (folder / "drawing.tex").write_text(code, encoding="utf-8", errors="replace")

    def ready() -> None:
        if setup.filtered:
            seccomp.apply(writes=True)

    words = ["/usr/bin/pdflatex", "-no-shell-escape", "-interaction=nonstopmode", "-halt-on-error", "drawing.tex"]
    _typeset(_said(words, folder, ready), folder)
    if not (folder / "drawing.pdf").is_file():
        raise Failed(NO_IMAGE, "TeX made no page")
    words = ["/usr/bin/pdftoppm", "-png", "-singlefile", "-scale-to", str(2 * job.size), "drawing.pdf", "page"]
    status, said = _said(words, folder, ready)
    if status != 0:
        raise Failed(ERROR, f"pdftoppm: {said.strip()[-300:]}")
    page = Image.open(io.BytesIO(_content(folder / "page.png")), formats=["PNG"]).convert("RGB")
    page = page.crop(ImageChops.difference(page, Image.new("RGB", page.size, "white")).getbbox())
    inner = job.size - 2 * (job.size // _MARGIN)
    scale = inner / max(page.size)
    width, height = (max(1, round(side * scale)) for side in page.size)
    page = page.resize((width, height), Image.Resampling.LANCZOS)
    framed = Image.new("RGB", (job.size, job.size), "white")
    framed.paste(page, ((job.size - page.width) // 2, (job.size - page.height) // 2))
    buffer = io.BytesIO()
    framed.save(buffer, "PNG")
    return buffer.getvalue()


def _said(words: list[str], folder: Path, ready: Callable[[], None]) -> tuple[int, str]:
    """Run a program and return its status and what it said, the end of it where it is long."""
    log = folder / "said.txt"
    with log.open("wb") as output:
        environment = {**_ENVIRONMENT, "HOME": str(folder)}
        done = subprocess.run(
            words, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output, preexec_fn=ready, env=environment
        )
    content = log.read_bytes()
    return done.returncode, content[-(1 << 16) :].decode("utf-8", "replace")


def _typeset(answer: tuple[int, str], folder: Path) -> None:
    """Raise `Failed` if TeX did not succeed."""
    status, said = answer
    errors = [line for line in said.splitlines() if line.startswith("!")]
    if "TeX capacity exceeded" in said:
        raise Failed(MEMORY, errors[0] if errors else "TeX capacity exceeded")
    if status < 0:
        raise Failed(ERROR, f"pdflatex was ended by signal {-status}")
    if status != 0:
        first = errors[0] if errors else said.strip()[-200:]
        raise Failed(SYNTAX if _SYNTAX.search(first) else ERROR, first)


def _content(path: Path) -> bytes:
    """Return what a file has that a program has made, if it is a plain one and not too large."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with open(descriptor, "rb") as file:
        content = file.read(4 * MOST_BYTES + 1)
    if len(content) > 4 * MOST_BYTES:
        raise Failed(UNSAFE, "a page of too many bytes")
    return content
