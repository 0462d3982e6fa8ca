"""A dataset as folders: one per split, in each one per class, in each its images."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ex2.data.datasets.base import ImageFile, in_order
from ex2.data.datasets.naming import ClassNames, name_classes
from reward.errors import UserError
from reward.images import LabeledImage
from reward.user_paths import expanded

IMAGE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"}
)
"""Endings of files that are taken as images, in any case. AVIF is none of them: whether Pillow reads it depends on how
it was built, and a dataset must not differ from machine to machine."""


@dataclass
class _Listing:
    """What a split's folders hold.

    Attributes:
        files: Class folder → its images, ordered by name.
        others: Why something is no image of a class → how often.
        examples: Why → the first such path below the root.
    """

    files: dict[str, list[Path]] = field(default_factory=dict)
    others: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def pass_over(self, why: str, path: str, count: int = 1) -> None:
        """Count what is no image of a class."""
        if count:
            self.others[why] += count
            self.examples.setdefault(why, path)


class ImageFolder:
    """Images at `root/SPLIT/CLASS/image.png`; every split has the same classes, labelled in the order of their names.

    Hidden files and folders, folders within class folders and files of other kinds are passed over; `passed_over` says
    what they are.

    Args:
        root: The folder.
        class_names: Names in prompts: folder → name, or a list in the order of the sorted folder names, which is
            refused where people sort the folders in another order. Default: the folders' own, underscores turned into
            spaces; folders that are numbers need names.

    Raises:
        UserError: If a folder is missing or cannot be listed, if a link leads nowhere, or if the folders' names say
            nothing, are alike, or are not those of `class_names`.
    """

    def __init__(self, root: str, class_names: ClassNames | None = None) -> None:
        self.root = expanded(root)
        if not os.path.isdir(self.root):
            raise UserError(
                f"dataset.root: no folder '{root}'. Give the folder that holds one folder per split, each with one "
                "folder per class."
            )
        self.splits = tuple(_shown_folders(self.root))
        self._folders = sorted(set().union(*(_shown_folders(self.root / split) for split in self.splits)))
        if not self._folders:
            raise UserError(f"dataset.root: no class folders in '{root}' (expected {root}/SPLIT/CLASS/image.png).")
        self.class_names = name_classes(self._folders, class_names, f"class folders in '{root}'", sorted_by_us=True)
        self._listings: dict[str, _Listing] = {}

    def images(self, split: str) -> list[LabeledImage]:
        """Return a split's images, ordered by label, then by file name."""
        files = self._listed(split).files
        return in_order(ImageFile(path, label) for label, folder in enumerate(self._folders) for path in files[folder])

    def passed_over(self, splits: Iterable[str]) -> str:
        """Return one line on what lies in the root and in some splits' folders and is not read; empty if there is none.

        Args:
            splits: The splits that are used; the others are not looked into.
        """
        found = _Listing()
        for entry in _entries(self.root):
            if entry.name.startswith("."):
                found.pass_over("hidden", entry.name)
            elif not _is_folder(entry):
                found.pass_over("outside a class's folder", entry.name)
        for split in dict.fromkeys(splits):
            listing = self._listed(split)
            for why, count in listing.others.items():
                found.pass_over(why, listing.examples[why], count)
        if not found.others:
            return ""
        reasons = "; ".join(f"{count} {why}, such as {found.examples[why]}" for why, count in found.others.items())
        return f"dataset.root: '{self.root}': {found.others.total()} files and folders passed over: {reasons}."

    def _listed(self, split: str) -> _Listing:
        if split not in self._listings:
            self._listings[split] = self._list(split)
        return self._listings[split]

    def _list(self, split: str) -> _Listing:
        listing = _Listing({folder: [] for folder in self._folders})
        for entry in _entries(self.root / split):
            if entry.name.startswith("."):
                listing.pass_over("hidden", f"{split}/{entry.name}")
            elif not _is_folder(entry):
                listing.pass_over("outside a class's folder", f"{split}/{entry.name}")
        for folder, files in listing.files.items():
            if (self.root / split / folder).is_dir():
                for entry in _entries(self.root / split / folder):
                    self._sort(entry, files, listing)
        return listing

    def _sort(self, entry: os.DirEntry[str], files: list[Path], listing: _Listing) -> None:
        """Put what lies in a class's folder among its images, or count why it is none."""
        shown = str(Path(entry.path).relative_to(self.root))
        suffix = os.path.splitext(entry.name)[1].lower()
        if entry.name.startswith("."):
            listing.pass_over("hidden", shown)
        elif _is_folder(entry):
            inner, example = (1, "") if entry.is_symlink() else _count_files(entry.path)
            nested = str(Path(example).relative_to(self.root)) if example else shown
            listing.pass_over("in folders within a class's folder", nested, inner)
        elif suffix not in IMAGE_SUFFIXES:
            listing.pass_over("of other kinds", shown)
        elif not _is_file_or_missing(entry):
            listing.pass_over("neither file nor folder", shown)
        else:
            files.append(Path(entry.path))


def class_folders(root: Path) -> dict[str, list[Path]]:
    """Return the folders in a folder, ordered by name, each with its images, ordered by name.

    Hidden files and folders, folders within class folders and files of other kinds are passed over.

    Raises:
        UserError: If a folder cannot be listed, or a link leads nowhere.
    """
    return {
        name: [
            Path(entry.path)
            for entry in _entries(root / name)
            if not entry.name.startswith(".")
            and os.path.splitext(entry.name)[1].lower() in IMAGE_SUFFIXES
            and not _is_folder(entry)
            and _is_file_or_missing(entry)
        ]
        for name in _shown_folders(root)
    }


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """Return what lies in a folder, ordered by name.

    Raises:
        UserError: If the folder cannot be listed.
    """
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be listed ({error.strerror}); change its permissions or take it out of the dataset."
        ) from error


def _shown_folders(folder: Path) -> list[str]:
    """Return the names of the folders in a folder, hidden ones left out, in order.

    Raises:
        UserError: If a link leads nowhere, which would take away a whole class or split without a word.
    """
    entries = [entry for entry in _entries(folder) if not entry.name.startswith(".")]
    lost = [entry.path for entry in entries if entry.is_symlink() and not os.path.exists(entry.path)]
    if lost:
        raise UserError("\n".join(f"{path}: a link that leads nowhere; mend or remove it." for path in lost[:10]))
    return [entry.name for entry in entries if _is_folder(entry)]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _is_file_or_missing(entry: os.DirEntry[str]) -> bool:
    """Say whether an entry is a file or a link to none, which is an error when it is read; a pipe would be waited for
    for ever."""
    try:
        return entry.is_file() or not os.path.exists(entry.path)
    except OSError:
        return True


def _count_files(folder: str) -> tuple[int, str]:
    """Return how many files lie below a folder, links to folders not followed, and the first one."""
    count, example = 0, ""
    for inner, folders, names in os.walk(folder):
        folders.sort()
        if names and not example:
            example = os.path.join(inner, min(names))
        count += len(names)
    return count, example
