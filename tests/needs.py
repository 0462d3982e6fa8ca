"""What tests take from a machine beside Python packages: where it is absent they are skipped, or fail where it must be.

`EX2_REQUIRE=browser,dpkg,git,mount` names what must be there, as `.ci/run` does.
"""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

NEEDS = {
    "browser": "a Chromium, for tests of the pages",
    "dpkg": "dpkg-deb, for tests that read Debian packages",
    "git": "a git checkout, for tests of what is tracked",
    "mount": "leave to mount a small disk, for tests of full and read-only ones",
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
