"""`ex2 data`: what a dataset holds, before anything is trained on it.

Reads every image once: counts, files that cannot be read, equal images in two splits, and a contact sheet.
"""

from __future__ import annotations

import statistics
from argparse import Namespace
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

from PIL import Image
from rich.table import Table
from rich.text import Text
from tqdm import tqdm

from ex2.data.contact_sheet import CLASSES, PER_CLASS, classes_shown, contact_sheet, save_sheet, thumbnail
from ex2.data.datasets.archives import Archive, download
from ex2.data.datasets.base import DATASETS, ImageDataset, open_dataset
from ex2.data.selection import select, too_few_classes
from reward.components import resolve
from reward.errors import UserError
from reward.images import LabeledImage
from reward.terminal import PlainConsole
from reward.yaml_values import read_yaml

LISTED = 20
"""Most lines shown of one kind of problem; the others are only counted."""
NEAR_EMPTY = 0.1
"""A class is nearly empty if it has fewer images than this share of the split's median class."""


@dataclass
class Findings:
    """Results of reading all images of a dataset.

    Attributes:
        counts: Split → label → readable images.
        unreadable: Split → one message per unreadable file.
        overlaps: Pair of splits → pairs of names of equal images, one in each split.
        repeated: Images whose content occurs earlier in the same split.
        relabeled: Pairs of names of equal images that have different labels.
        thumbnails: Label → thumbnails for the contact sheet.
    """

    counts: dict[str, Counter[int]] = field(default_factory=dict)
    unreadable: dict[str, list[str]] = field(default_factory=dict)
    overlaps: dict[tuple[str, str], list[tuple[str, str]]] = field(default_factory=dict)
    repeated: int = 0
    relabeled: list[tuple[str, str]] = field(default_factory=list)
    thumbnails: dict[int, list[Image.Image]] = field(default_factory=lambda: defaultdict(list))


def main(options: Namespace) -> int:
    """Show a dataset; with `--download` fetch it first.

    Args:
        options: `name`, `settings`, `root`, `sheet` and `download` of the command line.

    Returns:
        Exit status 0.

    Raises:
        UserError: If the dataset cannot be opened, or is broken; the latter after everything has been shown.
    """
    settings = _settings(options)
    sheet = Path(options.sheet or f"{options.name.replace(':', '.').rpartition('.')[2]}.png")
    if sheet.suffix.lower() != ".png":
        raise UserError(f"--sheet: given '{sheet}'; the contact sheet is a .png file.")
    console = PlainConsole(highlight=False)
    if options.download:
        for line in _download(options.name, settings):
            console.print(line, markup=False, soft_wrap=True)
    dataset = open_dataset(options.name, settings, "data")
    findings = examine(dataset)
    console.print(class_table(dataset, findings))
    console.print(split_table(dataset, findings))
    for note in notes(dataset, findings):
        console.print(note, markup=False, soft_wrap=True)
    save_sheet(contact_sheet(dataset.class_names, findings.thumbnails), sheet)
    shown = f"{CLASSES} of {len(dataset.class_names)} classes" if len(dataset.class_names) > CLASSES else "all classes"
    console.print(f"contact sheet: {sheet} ({shown})", markup=False, soft_wrap=True)
    found = problems(dataset, findings)
    if found:
        raise UserError("\n".join(f"{options.name}: {problem}" for problem in found))
    return 0


def _settings(options: Namespace) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for setting in options.settings:
        key, separator, text = setting.partition("=")
        if not separator or not key:
            raise UserError(f"command line: '{setting}' is no setting; write key=value, such as partition=2.")
        settings[key] = read_yaml(text, f"command line: {key}")
    if options.root is not None:
        if "root" in settings:
            raise UserError("command line: give either --root or root=…, not both.")
        settings["root"] = options.root
    return settings


def _download(name: str, settings: dict[str, Any]) -> list[str]:
    """Fetch a dataset's archives, or let a dataset that has a setting for it ask the hub."""
    factory = resolve(name, DATASETS, "data")
    archives: Sequence[Archive] = getattr(factory, "archives", ())
    if archives:
        if "root" not in settings:
            raise UserError("--download: where to? Give the folder with --root.")
        return download(archives, Path(settings["root"]).expanduser())
    if name == "huggingface":
        settings["download"] = True
        return []
    root = str(settings.get("root", "ROOT"))
    default = f"--download: '{name}' has no official archives; put its files into place yourself."
    raise UserError(str(getattr(factory, "download_help", default)).replace("ROOT", root))


def examine(dataset: ImageDataset) -> Findings:
    """Read and decode every image of a dataset, once."""
    findings = Findings()
    by_split = {split: dataset.images(split) for split in dataset.splits}
    wanted = _for_sheet(by_split, len(dataset.class_names))
    names: dict[str, dict[bytes, tuple[str, int]]] = {split: {} for split in by_split}
    with tqdm(total=sum(map(len, by_split.values())), desc="read", unit="img", leave=False) as bar:
        for split, images in by_split.items():
            counts = findings.counts[split] = Counter()
            unreadable = findings.unreadable[split] = []
            for index, image in enumerate(images):
                bar.update()
                try:
                    digest = bytes.fromhex(image.digest())
                    picture = image.open()
                except UserError as error:
                    unreadable.append(str(error))
                    continue
                if (split, index) in wanted:
                    findings.thumbnails[image.label].append(thumbnail(picture))
                counts[image.label] += 1
                if digest in names[split]:
                    findings.repeated += 1
                    _note_label(findings, names[split][digest], image)
                else:
                    names[split][digest] = image.name, image.label
    for first, second in combinations(by_split, 2):
        if second in _parts(dataset, first) or first in _parts(dataset, second):
            continue
        shared = [
            (names[first][digest][0], name) for digest, (name, _) in names[second].items() if digest in names[first]
        ]
        if shared:
            findings.overlaps[first, second] = shared
    return findings


def _for_sheet(by_split: Mapping[str, Sequence[LabeledImage]], class_count: int) -> set[tuple[str, int]]:
    """Return the images for the contact sheet: a seeded sample of each class shown, as (split, index in the split)."""
    shown = set(classes_shown(class_count))
    places = [
        _Place(image.label, split, index)
        for split, images in by_split.items()
        for index, image in enumerate(images)
        if image.label in shown
    ]
    return {(place.split, place.index) for place in select(places, PER_CLASS, "random", 0)}


@dataclass(frozen=True)
class _Place:
    label: int
    split: str
    index: int


def _note_label(findings: Findings, first: tuple[str, int], image: LabeledImage) -> None:
    if first[1] != image.label:
        findings.relabeled.append((first[0], image.name))


def _parts(dataset: ImageDataset, split: str) -> tuple[str, ...]:
    parts: Mapping[str, tuple[str, ...]] = getattr(dataset, "parts", {})
    return parts.get(split, ())


def class_table(dataset: ImageDataset, findings: Findings) -> Table:
    """Return a table of the number of readable images per class and split."""
    table = Table(title="Images per class and split", show_footer=True)
    table.add_column("label", justify="right")
    table.add_column("class", footer="total")
    for split in dataset.splits:
        table.add_column(Text(split), justify="right", footer=str(findings.counts[split].total()))
    for label, name in enumerate(dataset.class_names):
        table.add_row(str(label), Text(name), *(str(findings.counts[split][label]) for split in dataset.splits))
    return table


def split_table(dataset: ImageDataset, findings: Findings) -> Table:
    """Return a table with a row per split: number of images, official number, and images per class."""
    official: Mapping[str, int] = getattr(dataset, "official_sizes", {})
    table = Table(title="Splits, and images per class in each")
    for heading in ("split", "images", "official", "unread", "min", "median", "max", "empty"):
        table.add_column(heading, justify="left" if heading == "split" else "right")
    for split in dataset.splits:
        counts = _per_class(dataset, findings, split)
        table.add_row(
            Text(split),
            str(sum(counts)),
            str(official.get(split, "–")),
            str(len(findings.unreadable[split])),
            str(min(counts)),
            f"{statistics.median(counts):g}",
            str(max(counts)),
            str(counts.count(0)),
        )
    return table


def notes(dataset: ImageDataset, findings: Findings) -> list[str]:
    """Return notes for the user on what is unusual but does not break an experiment, one per line."""
    lines = []
    for split in dataset.splits:
        counts = _per_class(dataset, findings, split)
        limit = max(2, NEAR_EMPTY * statistics.median(counts))
        few = [
            f"{name} ({count})" for name, count in zip(dataset.class_names, counts, strict=True) if 0 < count < limit
        ]
        if few and max(counts) > 1:
            lines.append(f"note: {split}: nearly empty classes: {_listed(few, ', ')}")
    tell: Callable[[Sequence[str]], str] | None = getattr(dataset, "passed_over", None)
    passed = "" if tell is None else tell(dataset.splits)
    if passed:
        lines.append(f"note: {passed}")
    if findings.repeated:
        lines.append(f"note: {findings.repeated} images repeat an earlier image of their split")
    return lines


def problems(dataset: ImageDataset, findings: Findings) -> list[str]:
    """Return what breaks an experiment on this dataset, one message per line."""
    official: Mapping[str, int] = getattr(dataset, "official_sizes", {})
    found = [too_few_classes(dataset.class_names, "classes")] if len(dataset.class_names) < 2 else []
    for split in dataset.splits:
        counts = _per_class(dataset, findings, split)
        if split in official and sum(counts) != official[split]:
            found.append(
                f"{split}: {sum(counts)} readable images, officially {official[split]}; unpack the official archives "
                "again."
            )
        empty = [name for name, count in zip(dataset.class_names, counts, strict=True) if not count]
        if empty:
            found.append(f"{split}: {len(empty)} classes without images: {_listed(empty, ', ')}")
        stray = sorted(set(findings.counts[split]) - set(range(len(dataset.class_names))))
        if stray:
            found.append(f"{split}: labels without a class name: {_listed(list(map(str, stray)), ', ')}")
        if findings.unreadable[split]:
            found.append(f"{split}: {len(findings.unreadable[split])} unreadable files:")
            found += _lines(findings.unreadable[split])
    for (first, second), pairs in findings.overlaps.items():
        found.append(f"{len(pairs)} images are in both '{first}' and '{second}':")
        found += _lines([f"{one} = {other}" for one, other in pairs])
    if findings.relabeled:
        found.append(f"{len(findings.relabeled)} equal images have different labels:")
        found += _lines([f"{one} = {other}" for one, other in findings.relabeled])
    return found


def _per_class(dataset: ImageDataset, findings: Findings, split: str) -> list[int]:
    return [findings.counts[split][label] for label in range(len(dataset.class_names))]


def _listed(items: Sequence[str], separator: str) -> str:
    more = [f"and {len(items) - LISTED} more"] * (len(items) > LISTED)
    return separator.join([*items[:LISTED], *more])


def _lines(items: Sequence[str]) -> list[str]:
    return _listed([f"  {item}" for item in items], "\n").splitlines()
