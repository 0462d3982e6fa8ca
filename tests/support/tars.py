"""Archives made by tests."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path
from typing import Any


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def tar_of(path: Path, files: dict[str, bytes], *more: tarfile.TarInfo, mode: Any = "w:gz") -> Path:
    """Write a tar file; `more` are members without content."""
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for info in more:
            archive.addfile(info)
    return path
