"""Makes an image folder of everyday nouns from photographs that Debian packages ship.

    python -m ex2.data.debian.photos --debs data/debs --out data/debian_photos --download

writes `OUT/{reward,test}/<noun>/*.png`, one class per noun (underscores for spaces), and
`OUT/manifest.json`: which packages, which picture came from where, and the hashes of both. The two
splits share no picture. `--like FOLDER` makes only the nouns that have a folder there. Nouns come from
Tux Paint's caption beside each stamp and from GCompris's file names; `photos.json` names the folders
that hold photographs, joins nouns that mean the same ("hen" is a chicken) and lists what is left out,
each with its reason.

Runs without root. A second call with the same packages and settings does nothing.
"""

from __future__ import annotations

import argparse
import io
import random
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from ex2.data.debian.made_folder import MAX_SIDE, Rows, made_folder, picture_digest, read_pictures, save_picture
from ex2.data.debian.nouns import Curation, Picture
from ex2.data.debian.packages import Package, download, find_package, read_files
from ex2.data.debian.qt_rcc import RccError, entries
from reward.errors import UserError
from reward.exits import guarded
from reward.images import decode as decode_image
from reward.preprocess import to_rgb

SPLITS = ("reward", "test")


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


def build(pictures: Iterable[Picture], curation: Curation, out: Path, settings: dict[str, Any]) -> Rows:
    """Write the chosen pictures below `out` (an empty directory).

    Args:
        pictures: All candidates.
        curation: What to keep, and under which noun.
        out: Where `reward/` and `test/` are made.
        settings: `seed`, `min_pictures` and `max_pictures` per class; if there are `nouns`, all others are left out.

    Returns:
        One row per file written: `file` (relative to `out`), `noun`, `split`, `source`, `sha256` of the file.

    Raises:
        UserError: If no class has enough pictures, or one of `nouns` has not, or a picture is damaged.
    """
    wanted = settings.get("nouns")
    classes: dict[str, dict[str, tuple[Picture, Image.Image]]] = {}
    seen: set[str] = set()
    for picture in pictures:
        noun = curation.noun(picture)
        if noun is None or (wanted is not None and noun not in wanted):
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
            rows.append(save_picture(image, out, noun, picture.source, part))
    if not rows:
        raise UserError(
            f"no class has {settings['min_pictures']} pictures; the packages hold other files than expected."
        )
    few = sorted(set(wanted or ()) - {row["noun"] for row in rows})
    if few:
        raise UserError(
            f"{', '.join(few)}: not {settings['min_pictures']} photographs of each; lower --min-pictures, or remove "
            "their folders from that of --like."
        )
    return rows


def make_folder(
    debs: Path,
    out: Path,
    *,
    seed: int = 0,
    min_pictures: int = 2,
    max_pictures: int = 8,
    nouns: Iterable[str] | None = None,
) -> bool:
    """Make the image folder unless it is there already.

    Args:
        debs: Directory with the `.deb` files of `PACKAGES`.
        out: The image folder; replaced as a whole, and only if this script made it.
        seed: Seed of the choice of pictures and of their split.
        min_pictures: Classes with fewer are dropped (at least 2: one for each split).
        max_pictures: Number of pictures chosen at random from a class that has more.
        nouns: The only classes; default: all. Which of its pictures a class gets, and their split, stay the same.

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
    settings: dict[str, Any] = {"seed": seed, "min_pictures": min_pictures, "max_pictures": max_pictures}
    settings["max_side"] = MAX_SIDE
    if nouns is not None:
        settings["nouns"] = sorted(nouns)
    inputs = {"packages": [p.described() for p in packages], "curation": curation.digest, "settings": settings}

    def pictures() -> Iterable[Picture]:
        return (picture for package in packages for picture in PACKAGES[package.name](package))

    return made_folder(out, inputs, lambda fresh: build(pictures(), curation, fresh, settings))


def summary(out: Path) -> str:
    """Return one line: classes and pictures per split."""
    rows = read_pictures(out)
    parts = Counter(row["split"] for row in rows)
    classes = len({row["noun"] for row in rows})
    return f"{out}: {classes} classes, " + ", ".join(f"{parts[part]} {part} pictures" for part in SPLITS)


def _nouns_of(folder: Path) -> list[str]:
    """Return the nouns that have a folder in an image folder without splits.

    Raises:
        UserError: If there are none.
    """
    try:
        nouns = [entry.name.replace("_", " ") for entry in folder.iterdir() if entry.is_dir()]
    except OSError as error:
        raise UserError(f"--like {folder}: {error.strerror}; give a folder with a folder for each noun.") from error
    if not nouns:
        raise UserError(f"--like {folder}: has no folders; give a folder with a folder for each noun.")
    return nouns


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
    parser.add_argument("--like", type=Path, help="only nouns that have a folder in this one, such as of drawings")
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
            nouns=None if options.like is None else _nouns_of(options.like),
        )
        print(summary(options.out) + ("" if made else " (unchanged)"))
        return 0

    return guarded(run)


if __name__ == "__main__":
    sys.exit(main())
