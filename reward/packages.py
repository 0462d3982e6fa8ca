"""Folders of installed packages that ship models and data."""

from __future__ import annotations

import contextlib
import importlib.util
from pathlib import Path


def package_folder(package: str) -> Path | None:
    """Return the folder of an installed package, which is not imported.

    Args:
        package: Its name in imports; of one within another, the outer ones are imported.

    Returns:
        None if there is no such package, or it has no folder.
    """
    spec = None
    if all(part.isidentifier() for part in package.split(".")):
        with contextlib.suppress(ImportError):  # of the package that holds it
            spec = importlib.util.find_spec(package)
    return Path(spec.submodule_search_locations[0]) if spec is not None and spec.submodule_search_locations else None
