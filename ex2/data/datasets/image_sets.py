"""Image sets on disk: images of named classes with how each came to be, read, checked, and as a dataset.

    <root>/<name>-<8 hex>/seed-<n>/  set.json  metadata.jsonl  failures.jsonl  images/<class>/<index>.png
                                     code/<sha256>.<extension>, where code drew them

Hugging Face `datasets` loads the folder of a seed as `imagefolder`. Each image's row has the hash of its file, and
`set.json` has those of the two logs and of itself: whatever has changed in a finished set is found.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image

from ex2.data.datasets.set_records import (
    CODE,
    FAILURES,
    IMAGES,
    ROWS,
    SET,
    FailureRow,
    ImageRow,
    SetRecord,
    file_name,
    folder_names,
)
from reward.errors import UserError
from reward.file_digests import FileDigest
from reward.files import read_record, read_rows
from reward.images import LabeledImage, decode, open_regular
from reward.user_paths import expanded

SPLIT = "set"
"""The only split of a set."""
_OF_A_SET = re.compile(r".+-[0-9a-f]{8}")
"""The name of a set's folder."""
SHOWN = 10
"""Most problems of one kind that a message names; the others are only counted."""


@dataclass(frozen=True, slots=True)
class SetImage:
    """An image of a set, which is only read if its file is what was written."""

    path: Path
    label: int
    sha256: str

    @property
    def name(self) -> str:
        return str(self.path)

    def open(self) -> Image.Image:
        """Decode the file.

        Raises:
            UserError: If it is missing or another one than was written.
        """
        return decode(BytesIO(self.content()), self.name)

    def digest(self) -> str:
        """Return the SHA-256 of the file. Raises what `open` raises."""
        self.content()
        return self.sha256

    def content(self) -> bytes:
        """Read the file. Raises what `open` raises."""
        try:
            with open_regular(self.path) as file:
                content = file.read()
        except FileNotFoundError as error:
            raise UserError(
                f"{self.path}: not found, but {ROWS} has a row of it; {remedy_of(_set_of(self.path))}."
            ) from error
        except OSError as error:
            raise UserError(f"{self.path}: cannot be read ({error.strerror}).") from error
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise UserError(f"{self.path}: its content is not what was written; {remedy_of(_set_of(self.path))}.")
        return content


@dataclass(frozen=True)
class ImageSet:
    """A set as it lies on disk.

    Attributes:
        folder: The folder of a seed.
        record: What the set is.
        rows: A row an image, in the order in which they were asked for.
        failures: A row for each request without an image.
    """

    folder: Path
    record: SetRecord
    rows: tuple[ImageRow, ...]
    failures: tuple[FailureRow, ...]

    def image(self, row: ImageRow) -> SetImage:
        """Return the image that a row is of."""
        return SetImage(self.folder / row.file_name, row.label, row.sha256)

    def images(self) -> list[SetImage]:
        """Return all images, ordered by label, then by index."""
        return [self.image(row) for row in sorted(self.rows, key=lambda row: (row.label, row.index))]

    def code_of(self, row: ImageRow | FailureRow) -> str:
        """Return the code that drew an image, or that failed to; empty if there was none.

        Raises:
            UserError: If its file is missing or another one than was written.
        """
        return _code(self.folder, row.code, _code_files(self.folder)) if row.code else ""

    def check_content(self) -> None:
        """Read every image and all code.

        Raises:
            UserError: If one is not what was written; a line for each.
        """
        problems = []
        files = _code_files(self.folder)
        for code in _codes(self.rows, self.failures):
            try:
                _code(self.folder, code, files)
            except UserError as error:
                problems.append(str(error))
        for row in self.rows:
            try:
                self.image(row).digest()
            except UserError as error:
                problems.append(str(error))
        raise_first(problems)


def _code_files(folder: Path) -> dict[str, Path]:
    """Return the code beside a set's images: hash, as the file's name has it → the file."""
    return {path.stem: path for path in sorted((folder / CODE).glob("*"))}


def _codes(rows: Sequence[ImageRow], failures: Sequence[FailureRow]) -> list[str]:
    """Return the hashes of all code of a set, each once."""
    return list(dict.fromkeys(code for code in (*(row.code for row in rows), *(row.code for row in failures)) if code))


def _code(folder: Path, sha256: str, files: Mapping[str, Path]) -> str:
    path = files.get(sha256)
    if path is None or not path.is_file():
        raise UserError(f"{folder / CODE / sha256}.*: not found, but a row has it; {remedy_of(folder)}.")
    with open_regular(path) as file:
        content = file.read()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise UserError(f"{path}: its content is not what was written; {remedy_of(folder)}.")
    return content.decode(errors="replace")


def is_set(folder: Path) -> bool:
    """Say whether a folder is that of a set's seed."""
    return os.path.isfile(folder / SET)


def lost_records(folders: Iterable[Path]) -> list[str]:
    """Return a line for each folder in which a seed was drawn and whose `set.json` is not there.

    Such a folder must not be taken for a folder of images without a record, nor be passed over.
    """
    return [
        f"{folder / SET}: not found, and {ROWS} and {IMAGES} are there; {remedy_of(folder)}."
        for folder in folders
        if not is_set(folder) and (folder / ROWS).exists() and (folder / IMAGES).is_dir()
    ]


def seeds_in(folder: Path) -> list[Path]:
    """Return the folders of a set's seeds, or the folder itself if it is one, in the order of their numbers.

    Raises:
        UserError: If the record of one is not there; a line for each.
    """
    if is_set(folder):
        return [folder]
    seeds = sorted(folder.glob("seed-*"), key=_number)
    raise_first(lost_records([folder, *seeds]))
    return [seed for seed in seeds if is_set(seed)]


def _number(folder: Path) -> tuple[int, str]:
    digits = folder.name.removeprefix("seed-")
    return (int(digits) if digits.isdecimal() else 0), digits


def find_set(root: str, seed: int, where: str = "dataset") -> Path:
    """Return the folder of a set's seed.

    Args:
        root: The folder `<name>-<8 hex>` of a set, or one of its seeds'.
        seed: The seed; not looked at if `root` is a seed's folder.
        where: What names the folder, for messages.

    Raises:
        UserError: If there is no such set.
    """
    base = expanded(root)
    if is_set(base):
        return base
    if is_set(base / f"seed-{seed}"):
        return base / f"seed-{seed}"
    if not os.path.isdir(base):
        raise UserError(f"{where}.root: no folder '{root}'. Give the folder of a set, as SETS/NAME-1a2b3c4d.")
    seeds = sorted(path.parent.name.removeprefix("seed-") for path in base.glob(f"seed-*/{SET}"))
    if seeds:
        raise UserError(f"{where}.seed: '{root}' has no seed {seed}. Available: {', '.join(seeds)}.")
    inner = sorted({path.parent.parent.name for path in base.glob(f"*/seed-*/{SET}")})
    listed = f" Sets in it: {', '.join(inner[:SHOWN])}." if inner else " A plain folder of images is read as `folder`."
    raise UserError(f"{where}.root: '{root}' is no set: it has no seed-{seed}/{SET}.{listed}")


def read_set(folder: Path, *, unfinished: bool = False) -> ImageSet:
    """Read and check a set: its record, its rows, and that its images are there in their sizes, none more.

    What the images contain is checked when they are opened, or by `ImageSet.check_content`.

    Args:
        folder: The folder of a seed.
        unfinished: Whether requests may be unanswered, and images lie there that no row is about yet.

    Raises:
        UserError: If the set is unfinished, or damaged; a line for each problem.
    """
    record = read_set_record(folder)
    if not record.complete and not unfinished:
        done = sum(1 for log in (ROWS, FAILURES) for _ in _lines(folder / log))
        raise UserError(
            f"{folder}: unfinished: {done} of {record.asked} images have been drawn; run the command that draws it "
            "again to go on."
        )
    remedy = remedy_of(folder)
    rows = read_rows(
        folder / ROWS, ImageRow.from_json, what="image", remedy=remedy, key=_place, finished=record.complete
    )
    failures = read_rows(
        folder / FAILURES, FailureRow.from_json, what="failure", remedy=remedy, key=_place, finished=record.complete
    )
    raise_first([f"{problem}; {remedy}." for problem in _row_problems(folder, record, rows, failures)])
    if record.complete:
        raise_first([f"{problem}; {remedy}." for problem in _content_problems(folder, record, rows, failures)])
    raise_first([f"{problem}; {remedy}." for problem in _image_problems(folder, rows, unfinished=unfinished)])
    codes = _codes(rows, failures)
    raise_first([f"{problem}; {remedy}." for problem in _code_problems(folder, codes, unfinished=unfinished)])
    return ImageSet(folder, record, tuple(rows), tuple(failures))


def read_set_record(folder: Path) -> SetRecord:
    """Read and check `set.json`.

    Raises:
        UserError: If it is missing, was changed, or is of another seed or, by the folder's name, of another set.
    """
    path, remedy = folder / SET, remedy_of(folder)
    record = read_record(path, SetRecord.from_json, remedy=remedy)
    if record.sealed().seal != record.seal:
        raise UserError(f"{path}: its content is not what was written; {remedy}.")
    if re.fullmatch(r"seed-\d+", folder.name) and folder.name != f"seed-{record.seed}":
        raise UserError(f"{path}: was written for seed-{record.seed}, and this is {folder.name}; {remedy}.")
    place = folder.absolute().parent.name
    if _OF_A_SET.fullmatch(place) and place != record.folder_name:
        raise UserError(
            f"{path}: was written for {record.folder_name}, and this is {place}; {remedy}. If the folder was renamed, "
            "give it back its name, or one that does not end as a set's."
        )
    return record


def raise_first(problems: Sequence[str]) -> None:
    """Raise a `UserError` with the first problems, a line each, and the number of the others, if there are any."""
    if problems:
        more = [f"and {len(problems) - SHOWN} more such problems."] * (len(problems) > SHOWN)
        raise UserError("\n".join([*problems[:SHOWN], *more]))


def remedy_of(folder: Path) -> str:
    """Return what to do about a damaged set, for messages."""
    return f"put it back as it was, or move {folder} away and draw the set again"


def _set_of(path: Path) -> Path:
    return path.parents[2]


def _lines(path: Path) -> Iterator[str]:
    if path.is_file():
        with path.open(errors="replace") as file:
            yield from (line for line in file if line.endswith("\n"))


def _place(row: ImageRow | FailureRow) -> tuple[int, int]:
    return row.label, row.index


def _row_problems(
    folder: Path, record: SetRecord, rows: Sequence[ImageRow], failures: Sequence[FailureRow]
) -> Iterator[str]:
    """Yield what is wrong with rows: those of other sets, and requests that have an image and a failure."""
    folders = folder_names(record.class_names)
    both: tuple[tuple[str, Iterable[ImageRow | FailureRow]], ...] = ((ROWS, rows), (FAILURES, failures))
    for log, found in both:
        for number, row in enumerate(found, start=1):
            where = f"{folder / log}: line {number}"
            known = row.label in range(len(folders)) and record.class_names[row.label] == row.class_name
            if not known or row.index not in range(record.per_class):
                yield f"{where}: class '{row.class_name}', label {row.label}, index {row.index} is not of this set"
            elif isinstance(row, ImageRow) and row.file_name != file_name(folders[row.label], row.index):
                wanted = file_name(folders[row.label], row.index)
                yield f"{where}: file_name is '{row.file_name}', and that of this image is '{wanted}'"
    failed = {_place(row) for row in failures}
    for number, row in enumerate(rows, start=1):
        if _place(row) in failed:
            yield f"{folder / ROWS}: line {number}: {FAILURES} has a row of this image too"


def _content_problems(
    folder: Path, record: SetRecord, rows: Sequence[ImageRow], failures: Sequence[FailureRow]
) -> Iterator[str]:
    """Yield what a finished set has other than was written in its logs."""
    for name, digest in record.files.items():
        path = folder / name
        if not path.is_file():
            yield f"{path}: not found, but the set was finished with it"
        elif FileDigest.of(path) != digest:
            yield f"{path}: its content is not what was written"
    if len(rows) != record.made or len(failures) != sum(record.failed.values()):
        yield f"{folder / SET}: tells of {record.made} images, and {ROWS} of {len(rows)}"


def _image_problems(folder: Path, rows: Sequence[ImageRow], *, unfinished: bool) -> Iterator[str]:
    """Yield the images that are missing or of another size, and files that no row is about."""
    sizes = dict(_sizes(folder))
    for number, row in enumerate(rows, start=1):
        size, path = sizes.pop(row.file_name, None), folder / row.file_name
        if size is None:
            yield f"{path}: not found, but {ROWS} has a row of it (line {number})"
        elif size != row.bytes:
            yield f"{path}: {size:,} bytes, and {row.bytes:,} by {ROWS} (line {number})"
    if not unfinished:
        yield from (f"{folder / name}: no row of {ROWS} is about it" for name in sorted(sizes))


def _code_problems(folder: Path, wanted: Collection[str], *, unfinished: bool) -> Iterator[str]:
    """Yield the code that is missing, and files of it that no row is about."""
    there = _code_files(folder)
    for sha256 in sorted(set(wanted) - set(there)):
        yield f"{folder / CODE / sha256}.*: not found, but a row has it"
    if not unfinished:
        yield from (f"{there[stem]}: no row is about it" for stem in sorted(set(there) - set(wanted)))


def _sizes(folder: Path) -> Iterator[tuple[str, int]]:
    """Yield path from the set's folder and size of each file below `images/`."""
    for place, _, names in os.walk(folder / IMAGES):
        for name in names:
            path = Path(place, name)
            yield path.relative_to(folder).as_posix(), path.lstat().st_size


class ImageSetDataset:
    """A set as a dataset of one split, `set`.

    Args:
        root: Folder of the set, `<name>-<8 hex>`, or of one of its seeds.
        seed: Which of its seeds.

    Raises:
        UserError: If there is no such set, or it is unfinished or damaged.
    """

    splits = (SPLIT,)

    def __init__(self, root: str, seed: int = 0) -> None:
        self.image_set = read_set(find_set(root, seed))
        self.class_names = self.image_set.record.class_names

    def images(self, split: str) -> list[LabeledImage]:
        """Return the images, ordered by label, then by index."""
        if split not in self.splits:
            raise UserError(f"dataset: a set has no split '{split}'. Available: {SPLIT}.")
        return [*self.image_set.images()]
