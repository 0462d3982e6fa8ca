"""Makes an image folder of everyday nouns from drawings that Debian's openclipart-svg ships.

    python -m ex2.data.debian.drawings --debs data/debs --out data/debian_drawings --download

writes `OUT/<noun>/*.png`, one class per noun, and `OUT/manifest.json`: the package, the terms of its drawings, which
picture came from which file, and the hashes of both. `drawings.json` lists the files of each noun, all of which were
looked at. A drawing is drawn on white, without its text, trimmed to what is drawn; a file that could read another
file, fetch anything or never end is refused (`ex2.data.debian.svg`). With `--margin` it stands in the middle of a
white square that is larger, so that a VLM which crops the middle of an image sees all of it.

Runs without root. A second call with the same package, list and margin does nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from ex2.data.debian.made_folder import MAX_SIDE, Rows, made_folder, picture_digest, read_pictures, save_picture
from ex2.data.debian.packages import Package, download, find_package, read_files
from ex2.data.debian.svg import GROUND, render
from reward.errors import UserError, shortened
from reward.exits import guarded
from reward.records import Record
from reward.strict_json import decode

DRAWINGS = Path(__file__).with_name("drawings.json")
PREFIX = "usr/share/openclipart/svg/"


@dataclass(frozen=True)
class DrawingList(Record):
    """Content of `drawings.json`.

    Attributes:
        about: How files were chosen.
        package: Name of the package.
        version: Its version whose files were looked at.
        license: Terms of the drawings.
        drawings: Noun → its files, below `PREFIX`.
    """

    about: str
    package: str
    version: str
    license: str
    drawings: dict[str, list[str]]

    def nouns(self) -> dict[str, str]:
        """Return file → noun."""
        return {file: noun for noun, files in self.drawings.items() for file in files}


def read_list(path: Path = DRAWINGS) -> tuple[DrawingList, str]:
    """Return the list that the project ships, and its hash."""
    content = path.read_bytes()
    return DrawingList.from_json(decode(content)), hashlib.sha256(content).hexdigest()


def framed(picture: Image.Image, margin: float) -> Image.Image:
    """Return a picture in the middle of a white square.

    Args:
        picture: The picture.
        margin: White on each side of its longer side, as a share of that side; 0 returns the picture as it is.
    """
    if not margin:
        return picture
    side = round(max(picture.size) * (1 + 2 * margin))
    square = Image.new("RGB", (side, side), GROUND)
    square.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    return square


def build(files: Mapping[str, bytes], listed: DrawingList, out: Path, margin: float = 0.0) -> Rows:
    """Draw the listed files below `out` (an empty directory).

    Args:
        files: Path below `PREFIX` → content.
        listed: Which files, and their nouns.
        out: Where the folders of the nouns are made.
        margin: As in `framed`.

    Returns:
        One row per picture: `file` (relative to `out`), `noun`, `source`, `sha256` of the picture's file.

    Raises:
        UserError: If files are missing, may not be drawn, or show the same; a line for each.
    """
    rows: Rows = []
    problems = []
    seen: dict[str, str] = {}
    for file, noun in sorted(listed.nouns().items(), key=lambda pair: (pair[1], pair[0])):
        source = f"openclipart:{file}"
        if file not in files:
            problems.append(f"{source}: not in the package; take it off the list of drawings.")
            continue
        try:
            picture = render(files[file], source, MAX_SIDE)
        except UserError as error:
            problems.append(str(error))
            continue
        digest = picture_digest(picture)
        if digest in seen:
            problems.append(f"{source}: shows the same as {seen[digest]}; take one off the list of drawings.")
            continue
        seen[digest] = source
        rows.append(save_picture(framed(picture, margin), out, noun, source))
    if problems:
        raise UserError(shortened("\n".join(problems)))
    return rows


def make_folder(debs: Path, out: Path, *, margin: float = 0.0) -> bool:
    """Make the image folder unless it is there already.

    Args:
        debs: Directory with the package's `.deb` file.
        out: The image folder; replaced as a whole, and only if a script made it.
        margin: As in `framed`, from 0 to 1.

    Returns:
        True if it was made, False if it was there.

    Raises:
        UserError: If the package is missing or damaged, a drawing is missing or refused, `out` holds
            something else, or the margin is none.
        EnvironmentFault: If dpkg-deb is missing or the disk refuses.
    """
    if not 0 <= margin <= 1:
        raise UserError(f"--margin {margin}: give a share of the longer side, from 0 to 1.")
    listed, digest = read_list()
    package = find_package(debs, listed.package)
    inputs = {
        "packages": [package.described()],
        "license": listed.license,
        "list": digest,
        "settings": {"max_side": MAX_SIDE, "margin": margin},
    }
    return made_folder(out, inputs, lambda fresh: build(_read(package, listed), listed, fresh, margin))


def _read(package: Package, listed: DrawingList) -> dict[str, bytes]:
    wanted = listed.nouns()
    found = ((path.removeprefix(PREFIX), content) for path, content in read_files(package, PREFIX, (".svg",)))
    return {path: content for path, content in found if path in wanted}


def summary(debs: Path, out: Path) -> str:
    """Return one line: classes and drawings, and a package that is another than was looked at."""
    listed, rows = read_list()[0], read_pictures(out)
    version = find_package(debs, listed.package).version
    other = "" if version == listed.version else f"; {listed.package} {version}, {listed.version} was looked at"
    return f"{out}: {len({row['noun'] for row in rows})} classes, {len(rows)} drawings{other}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m ex2.data.debian.drawings",
        description="Make an image folder from drawings that Debian's openclipart-svg ships.",
        epilog="example: python -m ex2.data.debian.drawings --debs data/debs --out data/debian_drawings --download",
    )
    parser.add_argument("--debs", type=Path, required=True, help="directory with the .deb file")
    parser.add_argument("--out", type=Path, required=True, help="image folder to make")
    parser.add_argument(
        "--download", action="store_true", help="fetch a missing .deb file with apt-get (no root needed)"
    )
    parser.add_argument(
        "--margin", type=float, default=0.0, help="white on each side, as a share of the longer side (default 0)"
    )
    options = parser.parse_args(arguments)

    def run() -> int:
        if options.download:
            download(options.debs, [read_list()[0].package])
        made = make_folder(options.debs, options.out, margin=options.margin)
        print(summary(options.debs, options.out) + ("" if made else " (unchanged)"))
        return 0

    return guarded(run)


if __name__ == "__main__":
    sys.exit(main())
