"""Makes an image folder of everyday nouns from photographs that Debian packages ship.

    python -m ex2.data.debian.photos --debs data/debs --out data/debian_photos --download

writes `OUT/{reward,test}/<noun>/*.png`, one class per noun (underscores for spaces), and
`OUT/manifest.json`: which packages, which picture came from where, and the hashes of both. The two
splits share no picture. Nouns come from Tux Paint's caption beside each stamp and from GCompris's file
names; `debian_photos.json` names the folders that hold photographs, joins nouns that mean the same
("hen" is a chicken) and lists what is left out, each with its reason.

Runs without root. A second call with the same packages and settings does nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import random
import re
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from ex2.data.debian.nouns import Curation, Picture
from ex2.data.debian.packages import Package, download, find_package, read_files
from ex2.data.debian.qt_rcc import RccError, entries
from reward.errors import UserError
from reward.exits import guarded
from reward.files import new_folder, writing
from reward.images import decode as decode_image
from reward.preprocess import to_rgb

SPLITS = ("reward", "test")
MAX_SIDE = 512
"""Largest side of a stored picture, in pixels: twice what the usual VLMs use. The originals would take three times the
disk space."""


def tuxpaint_pictures(files: Iterable[tuple[str, bytes]]) -> list[Picture]:
    """Pair Tux Paint's stamps with the English captions beside them.

    Args:
        files: Path and content of `.png` and `.txt` files below the stamps folder.
    """
    contents = dict(files)
    pictures = []
    for path, content in sorted(contents.items()):
        text = contents.get(str(Path(path).with_suffix(".txt")))
        if path.endswith(".png") and text:
            caption = text.decode("utf-8", "replace").partition("\n")[0]
            pictures.append(Picture(f"tuxpaint:{path}", caption, content))
    return pictures


def gcompris_pictures(files: Iterable[tuple[str, bytes]]) -> list[Picture]:
    """Unpack the WebP pictures of Qt resource archives; the file name is the caption.

    Args:
        files: Path and content of `.rcc` files.

    Raises:
        UserError: If an archive is damaged; the message names it.
    """
    pictures = []
    for archive, content in sorted(files):
        try:
            for entry in entries(content):
                if entry.path.endswith(".webp"):
                    path = f"{Path(archive).stem}/{entry.path.partition('/resource/')[2]}"
                    pictures.append(Picture(f"gcompris:{path}", Path(path).stem, entry.read()))
        except RccError as error:
            raise UserError(f"{archive}: {error}; download the package again.") from error
    return sorted(pictures, key=lambda picture: picture.source)


def _read_tuxpaint(package: Package) -> list[Picture]:
    prefix = "usr/share/tuxpaint/stamps/"
    return tuxpaint_pictures(
        (path.removeprefix(prefix), content) for path, content in read_files(package, prefix, (".png", ".txt"))
    )


def _read_gcompris(package: Package) -> list[Picture]:
    return gcompris_pictures(read_files(package, "usr/share/gcompris-qt/rcc/", (".rcc",)))


PACKAGES = {"tuxpaint-stamps-default": _read_tuxpaint, "gcompris-qt-data": _read_gcompris}
"""Name of a package → function that reads its pictures."""


def decode(picture: Picture) -> Image.Image:
    """Decode a picture to RGB on a white ground, shrunk to at most `MAX_SIDE` pixels a side.

    Raises:
        UserError: If the picture is damaged.
    """
    rgb = to_rgb(decode_image(io.BytesIO(picture.content), picture.source, "download the package again"))
    rgb.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
    return rgb


def picture_digest(image: Image.Image) -> str:
    """Return a hash of the pixels that is the same for a mirrored copy (packages ship both)."""
    views = (image, ImageOps.mirror(image))
    return min(hashlib.sha256(repr(view.size).encode() + view.tobytes()).hexdigest() for view in views)


def split(items: Sequence[str], seed: int, label: str) -> dict[str, str]:
    """Deal items out to the two splits alternately, in a seeded order.

    Args:
        items: At least two, in a fixed order.
        seed: Determines the order.
        label: The class; together with the seed it determines which split gets the first item.

    Returns:
        Item → split; the splits' sizes differ by one at most.
    """
    generator = random.Random(f"{seed}:{label}")
    order = list(items)
    generator.shuffle(order)
    first = generator.randrange(2)
    return {item: SPLITS[(first + index) % 2] for index, item in enumerate(order)}


def build(pictures: Iterable[Picture], curation: Curation, out: Path, settings: dict[str, Any]) -> list[dict[str, str]]:
    """Write the chosen pictures below `out` (an empty directory).

    Args:
        pictures: All candidates.
        curation: What to keep, and under which noun.
        out: Where `reward/` and `test/` are made.
        settings: `seed`, `min_pictures` and `max_pictures` per class.

    Returns:
        One row per file written: `file` (relative to `out`), `noun`, `split`, `source`, `sha256` of the file.

    Raises:
        UserError: If no class has enough pictures, or a picture is damaged.
    """
    classes: dict[str, dict[str, tuple[Picture, Image.Image]]] = {}
    seen: set[str] = set()
    for picture in pictures:
        noun = curation.noun(picture)
        if noun is None:
            continue
        image = decode(picture)
        digest = picture_digest(image)
        if digest not in seen:
            seen.add(digest)
            classes.setdefault(noun, {})[digest] = (picture, image)
    rows = []
    for noun, members in sorted(classes.items()):
        if len(members) < settings["min_pictures"]:
            continue
        generator = random.Random(f"{settings['seed']}:{noun}:choose")
        chosen = generator.sample(sorted(members), min(len(members), settings["max_pictures"]))
        for digest, part in sorted(split(chosen, settings["seed"], noun).items()):
            picture, image = members[digest]
            folder = out / part / noun.replace(" ", "_")
            folder.mkdir(parents=True, exist_ok=True)
            stem = re.sub(r"[^a-z0-9]+", "-", picture.source.rpartition(".")[0].lower()).strip("-")
            path = folder / f"{stem}.png"
            image.save(path)
            file_digest = hashlib.sha256(path.read_bytes()).hexdigest()
            file = path.relative_to(out).as_posix()
            rows.append({"file": file, "noun": noun, "split": part, "source": picture.source, "sha256": file_digest})
    if not rows:
        raise UserError(
            f"no class has {settings['min_pictures']} pictures; the packages hold other files than expected."
        )
    return rows


def is_current(out: Path, inputs: dict[str, Any]) -> bool:
    """Return whether `out` holds the complete result of the same packages and settings."""
    try:
        manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
        return bool(manifest["inputs"] == inputs and all((out / row["file"]).is_file() for row in manifest["pictures"]))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def make_folder(debs: Path, out: Path, *, seed: int = 0, min_pictures: int = 2, max_pictures: int = 8) -> bool:
    """Make the image folder unless it is there already.

    Args:
        debs: Directory with the `.deb` files of `PACKAGES`.
        out: The image folder; replaced as a whole, and only if this script made it.
        seed: Seed of the choice of pictures and of their split.
        min_pictures: Classes with fewer are dropped (at least 2: one for each split).
        max_pictures: Number of pictures chosen at random from a class that has more.

    Returns:
        True if it was made, False if it was there.

    Raises:
        UserError: If a package is missing or damaged, or `out` holds something else.
        EnvironmentFault: If dpkg-deb is missing or the disk refuses.
    """
    if not 2 <= min_pictures <= max_pictures:
        raise UserError(f"--min-pictures {min_pictures}, --max-pictures {max_pictures}: 2 <= min <= max is needed.")
    curation = Curation.read()
    packages = [find_package(debs, name) for name in PACKAGES]
    settings = {"seed": seed, "min_pictures": min_pictures, "max_pictures": max_pictures, "max_side": MAX_SIDE}
    inputs = {"packages": [p.described() for p in packages], "curation": curation.digest, "settings": settings}
    if is_current(out, inputs):
        return False
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / "manifest.json").is_file())):
        raise UserError(f"{out}: exists and was not made by this script; choose another --out or remove it.")
    with writing(out):
        pictures = [picture for package in packages for picture in PACKAGES[package.name](package)]
        with new_folder(out) as fresh:
            fresh.mkdir()
            rows = build(pictures, curation, fresh, settings)
            manifest = json.dumps({"inputs": inputs, "pictures": rows}, indent=1, ensure_ascii=False)
            (fresh / "manifest.json").write_text(manifest + "\n", encoding="utf-8")
    return True


def summary(out: Path) -> str:
    """Return one line: classes and pictures per split."""
    rows = json.loads((out / "manifest.json").read_text(encoding="utf-8"))["pictures"]
    parts = Counter(row["split"] for row in rows)
    classes = len({row["noun"] for row in rows})
    return f"{out}: {classes} classes, " + ", ".join(f"{parts[part]} {part} pictures" for part in SPLITS)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m ex2.data.debian.photos",
        description="Make an image folder from photographs that Debian packages ship.",
        epilog="example: python -m ex2.data.debian.photos --debs data/debs --out data/debian_photos --download",
    )
    parser.add_argument("--debs", type=Path, required=True, help="directory with the .deb files")
    parser.add_argument("--out", type=Path, required=True, help="image folder to make")
    parser.add_argument(
        "--download", action="store_true", help="fetch missing .deb files with apt-get (no root needed)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--min-pictures", type=int, default=2, help="drop classes with fewer (default 2)")
    parser.add_argument("--max-pictures", type=int, default=8, help="choose this many of larger classes (default 8)")
    options = parser.parse_args(arguments)

    def run() -> int:
        if options.download:
            download(options.debs, PACKAGES)
        made = make_folder(
            options.debs,
            options.out,
            seed=options.seed,
            min_pictures=options.min_pictures,
            max_pictures=options.max_pictures,
        )
        print(summary(options.out) + ("" if made else " (unchanged)"))
        return 0

    return guarded(run)


if __name__ == "__main__":
    sys.exit(main())
