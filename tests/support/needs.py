"""What tests take from a machine beside the dev extra: where it is absent they are skipped, or fail where it must be.

`EX2_REQUIRE=browser,dpkg` names what must be there; `.ci/run` and the make targets of such tests set it.
"""

from __future__ import annotations

import importlib.util
import os
from typing import NoReturn

import pytest

NEEDS = {
    "browser": "a Chromium, for tests of the pages",
    "dpkg": "dpkg-deb, for tests that read Debian packages",
    "git": "a git checkout, for tests of what is tracked",
    "llama": "llama.cpp's servers, for tests of the judge; EX2_LLAMA_PYTHON names the interpreter that has them",
    "mount": "leave to mount a small disk, for tests of full and read-only ones",
    "namespaces": "mount and network namespaces (unshare), for tests of tests/bare.sh",
    "ray": "Ray, for tests of sweeps on a cluster",
    "sandbox": "bubblewrap (Debian: bubblewrap) and leave to make namespaces, for tests of code that draws",
    "tex": "pdflatex with booktabs (Debian: texlive-latex-recommended), for tests that tables compile",
    "tikz": "pdflatex and pdftoppm (texlive-latex-base, texlive-pictures, poppler-utils), for drawings in TikZ",
    "weights": "packages with a model's weights (recipes/real/packages.txt), for tests of real models",
}


def required() -> set[str]:
    """Return what must be there.

    Raises:
        pytest.UsageError: If a name is not known.
    """
    names = {name for name in os.environ.get("EX2_REQUIRE", "").split(",") if name}
    if names - set(NEEDS):
        raise pytest.UsageError(f"EX2_REQUIRE: unknown {sorted(names - set(NEEDS))}; known: {', '.join(NEEDS)}")
    return names


def absent(need: str, reason: str) -> NoReturn:
    """Skip the test, or fail it where its need is required."""
    assert need in NEEDS
    if need in required():
        pytest.fail(f"EX2_REQUIRE={need}, but {reason}", pytrace=False)
    pytest.skip(reason)


def needs_weights(*packages: str) -> None:
    """Skip or fail the test unless packages that bring weights are installed."""
    if any(importlib.util.find_spec(package.replace("-", "_")) is None for package in packages):
        absent("weights", f"not installed: {', '.join(packages)}")
