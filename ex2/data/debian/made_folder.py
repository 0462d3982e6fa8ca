"""An image folder that a script makes from packages: made once, with what it was made from beside the pictures.

`manifest.json` has `inputs`, whatever the pictures depend on, and `pictures`, a row for each. The folder is made anew
when its inputs change, and replaced only if a script made it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from reward.errors import UserError
from reward.files import new_folder, writing

MAX_SIDE = 512
"""Largest side of a stored picture, in pixels: twice what the usual VLMs use. The originals would take three times the
disk space."""

Rows = list[dict[str, str]]


def made_folder(out: Path, inputs: dict[str, Any], build: Callable[[Path], Rows]) -> bool:
    """Make an image folder unless it is there already.

    Args:
        out: The folder; replaced as a whole.
        inputs: What the pictures depend on, as JSON.
        build: Writes the pictures below an empty folder, and returns a row for each, with its `file` below it.

    Returns:
        True if it was made, False if it was there.

    Raises:
        UserError: If `out` holds something else, or `build` raises it; nothing is changed then.
        EnvironmentFault: If the disk refuses.
    """
    if is_current(out, inputs):
        return False
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / "manifest.json").is_file())):
        raise UserError(f"{out}: exists and was not made by this script; choose another --out or remove it.")
    with writing(out), new_folder(out) as fresh:
        fresh.mkdir()
        rows = build(fresh)
        manifest = json.dumps({"inputs": inputs, "pictures": rows}, indent=1, ensure_ascii=False)
        (fresh / "manifest.json").write_text(manifest + "\n", encoding="utf-8")
    return True


def is_current(out: Path, inputs: dict[str, Any]) -> bool:
    """Return whether `out` holds the complete result of the same inputs."""
    try:
        manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
        return bool(manifest["inputs"] == inputs and all((out / row["file"]).is_file() for row in manifest["pictures"]))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def read_pictures(out: Path) -> Rows:
    """Return the rows of the pictures of a folder that was made."""
    rows: Rows = json.loads((out / "manifest.json").read_text(encoding="utf-8"))["pictures"]
    return rows


def save_picture(image: Image.Image, out: Path, noun: str, source: str, split: str | None = None) -> dict[str, str]:
    """Save a picture under its noun, as a file that is named like its source.

    Args:
        image: The picture.
        out: The image folder.
        noun: Its class; the folder has underscores for spaces.
        source: `package-folder:path` of the file that it comes from.
        split: Folder above that of the noun; None for none.

    Returns:
        Its row of the manifest: `file` (relative to `out`), `noun`, `split` if there is one, `source`, `sha256` of the
        file.
    """
    folder = out / (split or "") / noun.replace(" ", "_")
    folder.mkdir(parents=True, exist_ok=True)
    stem = re.sub(r"[^a-z0-9]+", "-", source.rpartition(".")[0].lower()).strip("-")
    path = folder / f"{stem}.png"
    image.save(path)
    row = {"file": path.relative_to(out).as_posix(), "noun": noun, "split": split or "", "source": source}
    row["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    return {key: value for key, value in row.items() if value}


def picture_digest(image: Image.Image) -> str:
    """Return a hash of the pixels that is the same for a mirrored copy (packages ship both)."""
    views = (image, ImageOps.mirror(image))
    return min(hashlib.sha256(repr(view.size).encode() + view.tobytes()).hexdigest() for view in views)
