"""Writing a set in the layouts of others, which `ex2.sets.layouts` describes and reads."""

from __future__ import annotations

import contextlib
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from ex2.data.datasets.image_sets import ImageSet, read_set, seeds_in
from ex2.data.datasets.set_records import SET, ImageRow, folder_names
from ex2.sets.layouts import NAMES
from reward.errors import UserError
from reward.files import new_folder, write_json, write_text, writing

_EARLIEST = (1980, 1, 1, 0, 0, 0)
"""Date of files in a zip file that is written: equal sets have equal files."""


def export_class_folders(image_set: ImageSet, target: Path) -> None:
    """Write `target/CLASS/IMAGE`, and `class_names.json` with the names of the folders' classes.

    Raises:
        UserError: If `target` exists, or an image is not what was written.
        EnvironmentFault: If it cannot be written; then nothing is left of it.
    """
    names = image_set.record.class_names
    folders = folder_names(names)
    with _new(target) as fresh:
        for row, content in _contents(image_set):
            path = fresh / folders[row.label] / f"{row.index:05d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        write_json(fresh / NAMES, dict(zip(folders, names, strict=True)))


def export_geneval(image_set: ImageSet, target: Path) -> None:
    """Write GenEval's layout, a folder for each class and prompt. Raises what `export_class_folders` raises."""
    with _new(target) as fresh:
        places: dict[tuple[int, str], int] = {}
        counts: dict[int, int] = {}
        for row, content in _contents(image_set):
            place = places.setdefault((row.label, row.prompt), len(places))
            folder = fresh / f"{place:05d}"
            number = counts.get(place, 0)
            counts[place] = number + 1
            if not number:
                include = [{"class": row.class_name, "count": 1}]
                stored = {"tag": "single_object", "include": include, "prompt": row.prompt}
                write_text(folder / "metadata.jsonl", json.dumps(stored, ensure_ascii=False) + "\n")
                (folder / "samples").mkdir()
            (folder / "samples" / f"{number:04d}.png").write_bytes(content)


def export_genbench(image_set: ImageSet, target: Path) -> None:
    """Write GenBench's zip file and list into the new folder `target`. Raises what `export_class_folders` raises."""
    stem = f"{image_set.record.name}_train"
    folders = folder_names(image_set.record.class_names)
    lines = []
    with _new(target) as fresh:
        fresh.mkdir(parents=True)
        with zipfile.ZipFile(fresh / f"{stem}.zip", "w") as archive:
            for row, content in _contents(image_set):
                member = f"{folders[row.label]}/{row.index:05d}.png"
                archive.writestr(zipfile.ZipInfo(member, _EARLIEST), content)
                lines.append(f"{stem}.zip@{member} {row.label}\n")
        write_text(fresh / f"{stem}.txt", "".join(lines))


EXPORTS: dict[str, Callable[[ImageSet, Path], None]] = {
    "class_folders": export_class_folders,
    "geneval": export_geneval,
    "genbench": export_genbench,
}
"""By name, for `ex2 export --layout`."""


def export_sets(word: str, layout: str, out: Path) -> list[Path]:
    """Write a set, or each seed of one, in another's layout.

    Args:
        word: Folder of a set or of one of its seeds.
        layout: One of `EXPORTS`.
        out: New folder; of a set with several seeds it holds a folder for each.

    Returns:
        The folders that were written.

    Raises:
        UserError: If the folder holds no finished set, a seed's record is lost, or what is to be written exists;
            nothing is written then.
        EnvironmentFault: If it cannot be written; then nothing is left of that seed.
    """
    base = Path(word).expanduser()
    seeds = seeds_in(base)
    if not seeds:
        raise UserError(f"{word}: no image set: it has no {SET} and no seed-0/{SET}; give a set's folder, or a recipe.")
    targets = [out] if len(seeds) == 1 else [out / one.name for one in seeds]
    taken = [f"{target}: is there already; give a new folder." for target in targets if target.exists()]
    if taken:
        raise UserError("\n".join(taken))
    for image_set, target in zip([read_set(folder) for folder in seeds], targets, strict=True):
        EXPORTS[layout](image_set, target)
    return targets


@contextlib.contextmanager
def _new(target: Path) -> Iterator[Path]:
    """Yield a folder that becomes `target` if the block ends without an error, and is removed otherwise."""
    if target.exists():
        raise UserError(f"{target}: is there already; give a new folder.")
    with writing(target), new_folder(target) as fresh:
        yield fresh


def _contents(image_set: ImageSet) -> Iterator[tuple[ImageRow, bytes]]:
    """Yield each row with the content of its file, ordered by label and index."""
    for row in sorted(image_set.rows, key=lambda row: (row.label, row.index)):
        yield row, image_set.image(row).content()
