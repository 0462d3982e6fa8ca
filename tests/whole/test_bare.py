"""`tests/bare.sh` hides what it says: a suite that passes in it has taken nothing of this from the machine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from needs import absent
from paths import ROOT, TESTS
from processes import PATIENCE

LOOKS = """
import json, locale, os, shutil, socket, sys, time
def refused(action):
    try:
        action()
    except OSError as error:
        return type(error).__name__
    return ""
shared = os.statvfs("/dev/shm")
print(json.dumps({
    "environment": dict(os.environ),
    "fonts": [name for name in sys.argv[1].split(":") if os.path.isdir(name) and os.listdir(name)],
    "programs": sorted(os.listdir(os.environ["PATH"])),
    "found": [name for name in ("chromium", "unshare", "curl", "pdflatex", "gcc") if shutil.which(name)],
    "home": refused(lambda: open(os.path.expanduser("~/x"), "w")),
    "cache": os.path.isdir(sys.argv[2]) and bool(os.listdir(sys.argv[2])),
    "network": refused(lambda: socket.create_connection(("192.0.2.1", 80), 1)),
    "loopback": refused(lambda: socket.create_server(("127.0.0.1", 0)).close()),
    "zone": time.strftime("%z"),
    "shared_mib": shared.f_blocks * shared.f_frsize >> 20,
    "hidden": os.path.getsize(sys.argv[3]) if os.path.exists(sys.argv[3]) else -1,
}))
"""
FONTS = "/usr/share/fonts:/usr/local/share/fonts:/etc/fonts"


@pytest.fixture
def bare() -> None:
    if shutil.which("unshare") is None:
        absent("namespaces", "there is no unshare on this machine")
    if subprocess.run(["unshare", "--mount", "--net", "true"], capture_output=True, check=False).returncode:
        absent("namespaces", "this machine gives no namespaces")


def look(hidden: Path, **environment: str) -> dict[str, Any]:
    words = [sys.executable, "-c", LOOKS, FONTS, str(Path.home() / ".cache"), str(hidden)]
    done = subprocess.run(
        [TESTS / "bare.sh", *words],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.usefixtures("bare")
def test_what_is_hidden_and_what_is_left(tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    witness.write_text("seen")
    found = look(witness, EX2_KEPT="kept", OTHER="lost")
    left = found["environment"]
    assert {name: left[name] for name in ("EX2_KEPT", "LC_ALL", "TZ")} == {
        "EX2_KEPT": "kept",
        "LC_ALL": "C",
        "TZ": "Pacific/Kiritimati",
    }
    assert {name for name in left if not name.startswith("EX2_")} <= {"HOME", "LC_ALL", "LC_CTYPE", "PATH", "TZ"}
    assert found["fonts"] == found["found"] == []
    assert {"git", "make", "sh"} <= set(found["programs"])
    assert (found["home"], found["network"], found["loopback"]) == ("OSError", "OSError", "")
    assert not found["cache"]
    assert (found["zone"], found["shared_mib"], found["hidden"]) == ("+1400", 64, 4)


@pytest.mark.usefixtures("bare")
def test_one_thing_more_can_be_hidden_and_nothing_is_left_behind(tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    witness.write_text("seen")
    assert look(witness, EX2_BARE_HIDE=str(witness), TMPDIR=str(tmp_path))["hidden"] == 0
    assert [path.name for path in tmp_path.iterdir()] == ["witness"]
    assert witness.read_text() == "seen"


@pytest.mark.usefixtures("bare")
def test_without_the_packaged_font_the_words_are_missed() -> None:
    """The check that the suite is: with the font taken out, its tests fail."""
    font = ROOT / "analysis/figures/fonts/LiberationSans-Regular.ttf"
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/analysis/figures/test_fonts.py"]
    done = subprocess.run(
        [TESTS / "bare.sh", *words],
        cwd=ROOT,
        env=os.environ | {"EX2_BARE_HIDE": str(font)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 1, done.stdout[-2000:]
    assert "test_words_are_drawn_where_they_stand" in done.stdout
