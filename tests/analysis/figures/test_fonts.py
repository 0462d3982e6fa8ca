"""A PNG has its words, and the same bytes whatever fonts a machine has."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fontTools.ttLib import TTFont
from paths import ROOT
from PIL import Image

from analysis.figures import fonts, svg
from analysis.figures.files import standalone, words_of
from analysis.figures.png import to_png

OURS = "from analysis.figures.png import to_png as draw"
SYSTEMS = "import resvg_py\ndraw = lambda svg: resvg_py.svg_to_bytes(svg_string=svg, zoom=2)"


def drawing(text: str) -> str:
    parts = [svg.text(10, 30, text, "strong"), svg.text(10, 60, text)]
    return standalone(svg.document(200, 80, parts, title="t", description="d", key="k"))


def ink(drawn: str) -> np.ndarray:
    """True where a pixel is not of the background's colour."""
    picture = np.asarray(Image.open(io.BytesIO(to_png(drawn))).convert("RGB"))
    return (picture != picture[0, 0]).any(axis=2)


def test_words_are_drawn_where_they_stand() -> None:
    """Baselines at 30 and 60 units, twice the size, 14 units of margin; an l is 0.278 em wide if bold, else 0.222.

    Ten of them at 15 units are 9 widths and a stem apart: about 75 + 4 and 60 + 3 pixels.
    """
    seen, empty = ink(drawing("l" * 10)), ink(drawing(" "))
    assert not empty.any()
    rows = np.flatnonzero(seen.any(axis=1))
    assert rows.max() == pytest.approx(2 * (14 + 60), abs=2)
    assert rows.min() == pytest.approx(2 * (14 + 30 - 0.73 * 15), abs=3), "an l is 0.73 em high"
    bold, plain = (np.ptp(np.flatnonzero(seen[2 * 14 + top : 2 * 14 + top + 30].any(axis=0))) for top in (32, 92))
    assert bold == pytest.approx(79, abs=2)
    assert plain == pytest.approx(63, abs=2)


def home_with(folder: Path, *files: Path) -> str:
    """Return the home of a user who has these fonts installed."""
    installed = folder / ".local/share/fonts"
    installed.mkdir(parents=True)
    for path in files:
        shutil.copy(path, installed)
    return str(folder)


def digest(home: str, draw: str) -> str:
    """Draw in a process of its own, since fonts that were read are kept, and return the PNG's digest."""
    script = f"{draw}\nimport hashlib, sys\nprint(hashlib.sha256(draw(sys.stdin.read())).hexdigest())"
    environment = {"HOME": home, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}
    return subprocess.run(
        [sys.executable, "-c", script],
        input=drawing("Word 12.3 %"),
        env=environment,
        capture_output=True,
        encoding="utf-8",
        check=True,
    ).stdout


def test_no_font_of_the_machine_changes_a_byte(tmp_path: Path) -> None:
    """The user's own "Liberation Sans" has an A for every letter: were it read, the bytes would differ."""
    impostor = TTFont(fonts.FILES[0])
    an_a = impostor.getBestCmap()[ord("A")]
    for table in impostor["cmap"].tables:
        table.cmap = dict.fromkeys(table.cmap, an_a)
    impostor.save(tmp_path / "LiberationSans-Regular.ttf")
    homes = (
        home_with(tmp_path / "none"),
        home_with(tmp_path / "other", tmp_path / "LiberationSans-Regular.ttf"),
        home_with(tmp_path / "same", *fonts.FILES),
    )
    assert len({digest(home, OURS) for home in homes}) == 1
    assert len({digest(home, SYSTEMS) for home in homes[1:]}) == 2, "else the attack would be none"


def test_what_the_font_lacks_is_named() -> None:
    assert fonts.lacking("κ − × … † ≤ ½ ‖ é\u00a0\n") == ""
    assert fonts.lacking("a 日本日 🙂") == "日本🙂"
    known = set(TTFont(fonts.FILES[0]).getBestCmap())
    assert known == set(TTFont(fonts.FILES[1]).getBestCmap()), "what one of the two has, the other has"
    every = [chr(code) for code in range(0x20, 0x2600) if chr(code).isprintable() and not chr(code).isspace()]
    assert fonts.lacking("".join(every)) == "".join(c for c in every if ord(c) not in known)


def test_words_of_a_drawing_are_those_that_it_shows() -> None:
    parts = [svg.text(0, 0, "a < b"), svg.spans(0, 0, [("c", "strong"), ("d", "")])]
    assert words_of(svg.document(9, 9, parts, title="unseen", description="unseen", key="k")) == "a < b cd"
