"""Debian packages made here, and pictures to put into them."""

from __future__ import annotations

import hashlib
import io
import shutil
import subprocess
from pathlib import Path

from needs import absent
from PIL import Image


def need_dpkg() -> None:
    """Leave a test out where packages can be neither made nor read."""
    if shutil.which("dpkg-deb") is None:
        absent("dpkg", "there is no dpkg-deb on this machine (Debian and Ubuntu have it)")


def make_deb(folder: Path, name: str, files: dict[str, bytes], version: str = "1.0") -> Path:
    """Make a package of files, which are named by their paths below the root."""
    root = folder / f"{name}-root"
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN" / "control").write_text(
        f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: A <a@example.org>\nDescription: d\n"
    )
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    deb = folder / f"{name}_{version}_all.deb"
    subprocess.run(["dpkg-deb", "-Zgzip", "--root-owner-group", "-b", root, deb], check=True, capture_output=True)
    shutil.rmtree(root)
    return deb


def picture_bytes(seed: int, size: tuple[int, int] = (12, 10), kind: str = "PNG") -> bytes:
    """Return a picture of noise that only its seed and size determine."""
    stream = io.BytesIO()
    pixels = hashlib.shake_256(str(seed).encode()).digest(3 * size[0] * size[1])
    Image.frombytes("RGB", size, pixels).save(stream, kind, **({"lossless": True} if kind == "WEBP" else {}))
    return stream.getvalue()
