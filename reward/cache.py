"""The folder of what several runs share: image banks, judge answers, converted models."""

from __future__ import annotations

import os
from pathlib import Path


def cache_dir() -> Path:
    """Return `$EX2_CACHE`, else `~/.cache/ex2`. The folder may not exist yet."""
    configured = os.environ.get("EX2_CACHE")
    return Path(configured).expanduser() if configured else Path.home() / ".cache" / "ex2"
