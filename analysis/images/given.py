"""The sets that are to be measured: found, read, without test images, and with the labels of the dataset.

A plain folder of class folders is a set too, of which no more is known than its images.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Literal

from ex2.data.datasets.base import ImageFile
from ex2.data.datasets.image_folders import class_folders
from ex2.data.datasets.image_sets import ImageSet, is_set, lost_records, raise_first, read_set, seeds_in
from ex2.data.datasets.set_records import SET, ImageRow, SetRecord
from ex2.sets.cost import Cost, measured, total
from ex2.sets.layouts import read_class_folders
from ex2.sets.overlap import HashedImages, rows_for_test
from ex2.sets.store import pixels_digest
from reward.errors import UserError, shortened, unknown_name
from reward.image_sets.centers import SHOWN
from reward.images import LabeledImage
from reward.preprocess import to_rgb

PLAIN = "folder"
"""Who drew the images of a plain folder."""


@dataclass(frozen=True)
class GivenSet:
    """A set that is to be measured.

    Attributes:
        name: As tables show it.
        folders: The folder of each seed; or one plain folder, with a folder for each class.
        usd_per_hour: Price of the machine that drew it; None for what the set itself says.
        usd_per_image: Price of an image, such as of a label.
        licence: Terms of the images; empty for what the set itself says.
        run: Folder of the run whose texts it was drawn from; empty if it was not, or that is not known.
    """

    name: str
    folders: tuple[Path, ...]
    usd_per_hour: float | None = None
    usd_per_image: float | None = None
    licence: str = ""
    run: str = ""


@dataclass(frozen=True)
class ReadSeed:
    """One seed of a set.

    Attributes:
        image_set: As it lies on disk.
        rows: Those that are no test images, ordered by label, then by index; a row's label is the dataset's.
        plain: Whether it is a plain folder.
    """

    image_set: ImageSet
    rows: tuple[ImageRow, ...]
    plain: bool

    @property
    def digest(self) -> str:
        """What changes with any image or row of the set."""
        return self.image_set.record.seal

    @cached_property
    def image_keys(self) -> tuple[tuple[int, str], ...]:
        """Label and hash of each image: of its pixels, or of its file where it was not decoded."""
        return tuple((row.label, row.pixels or row.sha256) for row in self.rows)

    @property
    def dropped(self) -> int:
        """Number of test images that were taken out."""
        return len(self.image_set.rows) - len(self.rows)

    def image(self, row: ImageRow, label: int) -> LabeledImage:
        """Return a row's image under a label."""
        if self.plain:
            return ImageFile(self.image_set.folder / row.file_name, label)
        return replace(self.image_set.image(row), label=label)

    def counts(self) -> Counter[int]:
        """Return label → number of images, without classes that have none."""
        return Counter(row.label for row in self.rows)


@dataclass(frozen=True)
class ReadSet:
    """A set with all its seeds.

    Attributes:
        given: What was asked for.
        seeds: At least one.
        filled: Labels of the classes that have no images in some seed.
        repeated: Seeds that were left out, since their images are those of an earlier one.
        shared: Number of images that stand in several of the seeds.
        overlap: Mean share of images that two of the seeds have in common.
    """

    given: GivenSet
    seeds: tuple[ReadSeed, ...]
    filled: tuple[int, ...]
    repeated: tuple[int, ...] = ()
    shared: int = 0
    overlap: float = 0.0

    @property
    def records(self) -> list[SetRecord]:
        """What each seed says of itself, at the price that was given."""
        price = self.given.usd_per_hour
        found = [seed.image_set.record for seed in self.seeds]
        return found if price is None else [replace(record, usd_per_hour=price) for record in found]

    def cost(self) -> Cost:
        """Return what all images cost."""
        return total(measured(record, usd_an_image=self.given.usd_per_image) for record in self.records)


def given_folders(words: Sequence[str]) -> list[GivenSet]:
    """Find the sets that words of the command line name: a set's folder, one of its seeds, or a plain folder.

    Seeds of one set are put together. Sets of one name are told apart by the names of their folders.

    Raises:
        UserError: For folders that are not there or hold no images of classes; a line for each.
    """
    found: dict[Path, list[Path]] = {}
    problems = []
    for word in words:
        base = Path(word).expanduser()
        try:
            seeds = seeds_in(base)
        except UserError as error:
            problems += str(error).splitlines()
            continue
        if seeds:
            known = found.setdefault(seeds[0].resolve().parent, [])
            known += [one for one in seeds if one.resolve() not in [other.resolve() for other in known]]
        elif not base.is_dir():
            problems.append(
                f"{word}: no such folder; give a recipe of image sets, a set's folder, or one folder a class."
            )
        elif not class_folders(base):
            problems.append(f"{word}: no image set: it has no {SET}, no seed-0/{SET} and no CLASS/image.png.")
        else:
            found.setdefault(base.resolve(), [base])
    if problems:
        raise UserError("\n".join(problems))
    short = {place: _short_name(place, folders[0]) for place, folders in found.items()}
    twice = {name for name, count in Counter(short.values()).items() if count > 1}
    names = {place: place.name if name in twice else name for place, name in short.items()}
    again = sorted(name for name, count in Counter(names.values()).items() if count > 1)
    if again:
        raise UserError(f"{', '.join(again)}: the name of two of the sets; rename one of the folders.")
    return [GivenSet(names[place], tuple(folders)) for place, folders in found.items()]


def read_sets(
    given: Sequence[GivenSet],
    class_names: Sequence[str],
    test: HashedImages | None,
    *,
    overlap: Literal["error", "drop"] = "error",
    missing: Literal["error", "text"] = "error",
) -> list[ReadSet]:
    """Read sets, and check that they can be measured on a dataset.

    Args:
        given: The sets.
        class_names: Of the dataset, in label order.
        test: The test images, none of which may be in a set; None to leave this check out.
        overlap: `drop` takes test images out of a set.
        missing: `text` allows classes without images.

    Raises:
        UserError: For sets that are not there, are unfinished or damaged, have classes that the dataset does not have,
            or none for one that it has, or have test images; the message has a line for each problem of any set.
    """
    found, problems = [], []
    for one in given:
        seeds = []
        for folder in one.folders:
            try:
                seeds.append(_read_seed(folder, class_names, test, overlap))
            except UserError as error:
                problems += str(error).splitlines()
        problems += [line for seed in seeds for line in _empty(seed, class_names, missing)]
        if seeds:
            present = set.intersection(*(set(seed.counts()) for seed in seeds))
            filled = tuple(label for label in range(len(class_names)) if label not in present)
            own, repeated = distinct(seeds)
            found.append(ReadSet(one, tuple(own), filled, tuple(repeated), shared_images(own), overlap_of(own)))
    if problems:
        raise UserError(shortened("\n".join(dict.fromkeys(problems))))
    return found


def distinct(seeds: Sequence[ReadSeed]) -> tuple[list[ReadSeed], list[int]]:
    """Tell seeds of other images from those that repeat an earlier one's, as the first images of a split do.

    Returns:
        The seeds whose images are no other's, and the numbers of the others: a draw that is there twice says nothing of
        other draws.
    """
    known: set[tuple[tuple[int, str], ...]] = set()
    own, repeated = [], []
    for seed in seeds:
        content = tuple(sorted(seed.image_keys))
        if content in known:
            repeated.append(seed.image_set.record.seed)
        else:
            known.add(content)
            own.append(seed)
    return own, repeated


def shared_images(seeds: Sequence[ReadSeed]) -> int:
    """Return how many images of all seeds stand in another seed too."""
    seen: Counter[tuple[int, str]] = Counter()
    for seed in seeds:
        seen.update(set(seed.image_keys))
    return sum(seen[key] > 1 for seed in seeds for key in seed.image_keys)


def overlap_of(seeds: Sequence[ReadSeed]) -> float:
    """Return the mean share of images that two seeds have in common, over all pairs; 0 for a single seed."""
    held = [set(seed.image_keys) for seed in seeds]
    shares = [len(one & other) / max(1, min(len(one), len(other))) for one, other in combinations(held, 2)]
    return sum(shares) / len(shares) if shares else 0.0


def common_number(sets: Sequence[ReadSet], class_names: Sequence[str], shots: Sequence[int]) -> int:
    """Return how many images of each class are measured: as many as all classes of all sets have.

    Args:
        sets: The sets.
        class_names: Of the dataset.
        shots: Numbers that were asked for too, the largest of which is taken where classes have different numbers.

    Raises:
        UserError: If classes have different numbers of images, and no number of shots is given that all have.
    """
    places = [
        (count, f"'{one.given.name}', seed {seed.image_set.record.seed}, class '{class_names[label]}'")
        for one in sets
        for seed in one.seeds
        for label, count in sorted(seed.counts().items())
    ]
    (fewest, least), (most, greatest) = min(places, key=_count), max(places, key=_count)
    above = sorted(number for number in shots if number > fewest)
    if above:
        raise UserError(f"measure.shots: {', '.join(map(str, above))} of {fewest} images in {least}; ask for fewer.")
    if fewest == most:
        return fewest
    if not shots:
        raise UserError(
            f"images of a class: {fewest} in {least}, and {most} in {greatest}; equal numbers are needed: give "
            f"measure.shots=[{fewest}], which measures the first {fewest} of every class, or draw what is missing."
        )
    return max(shots)


def _read_seed(
    folder: Path, class_names: Sequence[str], test: HashedImages | None, overlap: Literal["error", "drop"]
) -> ReadSeed:
    raise_first(lost_records([folder]))
    plain = not is_set(folder)
    image_set = _plain_set(folder, pixels=test is not None) if plain else read_set(folder)
    own = image_set.record.class_names
    strangers = [name for name in own if name not in class_names]
    if strangers:
        lines = [unknown_name(f"{folder}: class", name, class_names[:SHOWN]) for name in strangers]
        if len(class_names) > SHOWN:
            lines = [line[:-1] + f", and {len(class_names) - SHOWN} more." for line in lines]
        raise_first(lines)
    rows = image_set.rows if test is None else rows_for_test(image_set, test, overlap)
    label_of = {name: label for label, name in enumerate(class_names)}
    of_dataset = [replace(row, label=label_of[row.class_name]) for row in rows]
    return ReadSeed(image_set, tuple(sorted(of_dataset, key=_place)), plain)


def _plain_set(folder: Path, *, pixels: bool) -> ImageSet:
    """Read a plain folder as a set; the images are decoded only for the hashes of their pixels.

    Raises:
        UserError: If there are no class folders, their names are none, or a file cannot be read; a line for each file.
    """
    listing = read_class_folders(folder)
    rows: list[ImageRow] = []
    problems: list[str] = []
    numbers: Counter[str] = Counter()
    state = hashlib.sha256()
    for one in listing.images:
        path = Path(one.image.name)
        try:
            opened = to_rgb(one.image.open()) if pixels else None
            sha256 = one.image.digest()
        except UserError as error:
            problems.append(str(error))
            continue
        rows.append(
            ImageRow(
                file_name=path.relative_to(folder).as_posix(),
                class_name=one.class_name,
                label=one.image.label,
                index=numbers[one.class_name],
                prompt="",
                negative_prompt="",
                strategy="",
                generator=PLAIN,
                seed=0,
                sha256=sha256,
                pixels="" if opened is None else pixels_digest(opened),
                width=0 if opened is None else opened.width,
                height=0 if opened is None else opened.height,
                bytes=path.stat().st_size,
                seconds=0.0,
            )
        )
        numbers[one.class_name] += 1
        state.update(f"{one.class_name}\0{sha256}\n".encode())
    raise_first(problems)
    record = SetRecord(
        name=folder.resolve().name,
        digest=state.hexdigest(),
        seed=0,
        generator=PLAIN,
        generator_settings={},
        fingerprint="",
        strategy="",
        strategy_settings={},
        class_names=listing.class_names,
        per_class=max(numbers.values(), default=0),
        requests="",
        asked=len(rows),
        made=len(rows),
        bytes=sum(row.bytes for row in rows),
        complete=True,
        seal=state.hexdigest(),
    )
    return ImageSet(folder, record, tuple(rows), ())


def seal_of(folder: Path) -> str | None:
    """Return what `ReadSeed.digest` is of a folder now; None if there is no set.

    Raises:
        UserError: If it cannot be read.
    """
    if is_set(folder):
        return read_set(folder).record.seal
    raise_first(lost_records([folder]))
    return _plain_set(folder, pixels=False).record.seal if folder.is_dir() else None


def _empty(seed: ReadSeed, class_names: Sequence[str], missing: Literal["error", "text"]) -> Iterator[str]:
    """Yield a line where a set has too few classes with images."""
    where, counts = seed.image_set.folder, seed.counts()
    empty = [f"'{name}'" for label, name in enumerate(class_names) if not counts[label]]
    if not counts:
        yield f"{where}: no images; draw some, or leave the set out."
    elif empty and missing == "error":
        listed = ", ".join(empty[:SHOWN]) + ", …" * (len(empty) > SHOWN)
        yield (
            f"{where}: no images of class {listed} ({len(empty)} of {len(class_names)} classes); draw some, or give "
            "measure.missing=text, which takes a class's texts instead."
        )


def failures(seeds: Sequence[ReadSeed]) -> Mapping[str, int]:
    """Return kind of failure → number of requests that got no image."""
    found: Counter[str] = Counter()
    for seed in seeds:
        found.update(seed.image_set.record.failed)
    return dict(found)


def _short_name(place: Path, folder: Path) -> str:
    return folder.resolve().name if folder.resolve() == place else place.name.rpartition("-")[0] or place.name


def _place(row: ImageRow) -> tuple[int, int]:
    return row.label, row.index


def _count(place: tuple[int, str]) -> int:
    return place[0]
