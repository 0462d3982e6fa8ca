"""`ex2 draw`: draws the sets of a recipe that are not there yet, or makes a set of a folder of images.

What it will cost is told before anything is drawn, as far as finished sets of the same generator tell it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.markup import escape
from rich.table import Table
from tqdm import tqdm

from ex2.data.datasets.image_sets import ImageSet, is_set, read_set, read_set_record, seeds_in
from ex2.data.datasets.set_records import FAILURES, ROWS, SET, SetRecord
from ex2.sets.cost import Cost, planned, total
from ex2.sets.draw import SetPlan, draw_set, set_folder
from ex2.sets.generators.base import Generator
from ex2.sets.layouts import Listing, import_set, read_class_folders, read_genbench, read_geneval
from reward.errors import UserError
from reward.terminal import PlainConsole

UNKNOWN = "?"


@dataclass(frozen=True)
class Standing:
    """Where a planned set stands.

    Attributes:
        plan: The set.
        folder: Its folder.
        left: Number of images that are not drawn yet.
        cost: What they will cost, as far as it is known.
    """

    plan: SetPlan
    folder: Path
    left: int
    cost: Cost


def standings(plans: Sequence[SetPlan], root: Path, usd_an_image: dict[str, float | None]) -> list[Standing]:
    """Return where sets stand and what is left to draw of them; nothing is written.

    Seconds and bytes of an image are those of finished sets below `root` that the same generator has drawn with the
    same settings, else with any; without such sets they are not known.

    Args:
        plans: The sets.
        root: Folder in which sets stand.
        usd_an_image: Name of a set → price of an image of it besides the machine's time.
    """
    records = finished_sets(root)
    found = []
    for plan in plans:
        folder = set_folder(plan, root)
        left = len(plan.requests) - answered(folder)
        found.append(Standing(plan, folder, left, _expected(plan, left, records, usd_an_image.get(plan.name))))
    return found


def finished_sets(root: Path) -> list[SetRecord]:
    """Return the records of all finished sets below a folder; one that cannot be read tells nothing."""
    records = []
    for path in sorted(root.expanduser().glob(f"*/seed-*/{SET}")):
        try:
            record = read_set_record(path.parent)
        except UserError:
            continue
        records += [record] * (record.complete and record.made > 0)
    return records


def answered(folder: Path) -> int:
    """Return how many requests of a set have an image or a failure, as its logs have it.

    Raises:
        UserError: If `set.json` is there and damaged.
    """
    if not is_set(folder):
        return 0
    record = read_set_record(folder)
    if record.complete:
        return record.asked
    logs = [folder / name for name in (ROWS, FAILURES) if (folder / name).is_file()]
    return sum(log.read_bytes().count(b"\n") for log in logs)


def draw_all(standing: Sequence[Standing], root: Path, *, progress: bool = True) -> list[ImageSet]:
    """Draw what is left of sets, one after the other, under one bar with the time left over all of them.

    Raises:
        UserError, EnvironmentFault: As `draw_set`; what is drawn by then stays.
    """
    drawn = []
    with tqdm(
        total=sum(one.left for one in standing),
        unit="img",
        dynamic_ncols=True,
        disable=not (progress and any(one.left for one in standing)),
    ) as bar:
        for number, one in enumerate(standing, start=1):
            bar.set_description(f"draw {one.plan.name}, seed {one.plan.seed} ({number} of {len(standing)})")
            drawn.append(draw_set(one.plan, root, bar=bar))
    return drawn


def print_plan(standing: Sequence[Standing], root: Path) -> None:
    """Print what drawing would do: a line for each set with all its seeds, and the sum."""
    table = Table(box=box.SIMPLE)
    for heading in ("folder", "seeds", "there", "to draw", "time", "USD", "size"):
        table.add_column(heading, overflow="fold", justify="left" if heading == "folder" else "right")
    for name in dict.fromkeys(one.plan.name for one in standing):
        own = [one for one in standing if one.plan.name == name]
        there = sum(len(one.plan.requests) - one.left for one in own)
        cost = total(one.cost for one in own)
        table.add_row(escape(own[0].folder.parent.name), str(len(own)), f"{there:,}", *_cells(cost))
    table.add_section()
    everywhere = sum(len(one.plan.requests) - one.left for one in standing)
    table.add_row("all", "", f"{everywhere:,}", *_cells(_known(one.cost for one in standing)))
    console = PlainConsole(highlight=False)
    console.print(f"sets in {escape(str(root))}", soft_wrap=True)
    console.print(table)
    unknown = [
        what
        for what, values in (
            ("time", [one.cost.seconds for one in standing]),
            ("USD", [one.cost.usd for one in standing]),
            ("size", [one.cost.bytes for one in standing]),
        )
        if any(value is None for value in values)
    ]
    if unknown:
        console.print(
            f"{UNKNOWN}: not known, and not in the sum ({', '.join(unknown)}). Time and size are those of finished "
            "sets of the same generator, and time is the generator's alone; USD needs usd_per_hour or usd_per_image.",
            soft_wrap=True,
        )
    console.print("Nothing was drawn.")


def print_sets(sets: Sequence[ImageSet]) -> None:
    """Print a line for each set, with its yield."""
    console = PlainConsole(highlight=False)
    for one in sets:
        record = one.record
        failed = ", ".join(f"{count} {status}" for status, count in record.failed.items())
        told = f"{record.made:,} of {record.asked:,} images" + f" (failed: {failed})" * bool(failed)
        told += ", from code run without a sandbox" * (record.sandbox == "none")
        console.print(f"{escape(record.name)}, seed {record.seed}: {told}: {escape(str(one.folder))}", soft_wrap=True)


def draw_folder(folder: Path, root: Path, *, dry_run: bool = False) -> list[ImageSet]:
    """Make a set of a folder of images in one of the known layouts, or of GenBench's list of images.

    A folder that is a set already is read and checked; of an unfinished one it is said how drawing goes on.

    Args:
        folder: Class folders, GenEval's layout, a list `NAME.txt` of GenBench's, or a set.
        root: Folder in which sets stand.
        dry_run: Whether nothing is written.

    Raises:
        UserError: If it is no such folder, or a set that is unfinished or damaged.
        EnvironmentFault: If the set cannot be written.
    """
    seeds = seeds_in(folder)
    if seeds:
        return [_finished(seed) for seed in seeds]
    listing = _listing(folder)
    if dry_run:
        console = PlainConsole(highlight=False)
        count, classes = len(listing.images), len(listing.class_names)
        console.print(f"{escape(str(folder))}: {count:,} images of {classes:,} classes, in the layout {listing.layout}")
        console.print("Nothing was drawn.")
        return []
    return [import_set(listing, set_name(folder), root)]


def set_name(folder: Path) -> str:
    """Return the name of the set that a folder of images becomes: its own, with hyphens for what no name has."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", folder.resolve().stem if folder.suffix == ".txt" else folder.resolve().name)
    return name.strip("._-")[:64] or "set"


def _finished(seed: Path) -> ImageSet:
    record = read_set_record(seed)
    if not record.complete:
        raise UserError(
            f"{seed}: unfinished: {answered(seed)} of {record.asked} images have been drawn. A set's folder does not "
            f"tell where its prompts are from; go on with the recipe that has the set '{record.name}', such as: ex2 "
            f"draw RECIPE --sets {record.name} --seeds {record.seed}"
        )
    found = read_set(seed)
    found.check_content()
    return found


def _listing(folder: Path) -> Listing:
    if folder.is_file():
        return read_genbench(folder)
    if any(folder.glob("*/metadata.jsonl")):
        return read_geneval(folder)
    return read_class_folders(folder)


def _expected(plan: SetPlan, left: int, records: Sequence[SetRecord], usd_an_image: float | None) -> Cost:
    told = drawn_alike(plan.generator, records)
    made = sum(record.made for record in told)
    return planned(
        left,
        seconds_an_image=sum(record.seconds for record in told) / made if made else (None if left else 0.0),
        usd_per_hour=plan.usd_per_hour,
        usd_an_image=usd_an_image,
        bytes_an_image=sum(record.bytes for record in told) / made if made else (None if left else 0.0),
    )


def drawn_alike(generator: Generator, records: Sequence[SetRecord]) -> list[SetRecord]:
    """Return the sets that a generator has drawn with the same settings; if there are none, with any."""
    alike = [record for record in records if record.generator == generator.name]
    same = [record for record in alike if dict(record.generator_settings) == _as_stored(generator.settings)]
    return same or alike


def _as_stored(settings: object) -> object:
    return json.loads(json.dumps(settings, default=dict))


def _known(costs: Iterable[Cost]) -> Cost:
    """Return the sum of what is known; None where nothing is."""
    listed = list(costs)

    def known(values: Iterable[float | None]) -> float | None:
        given = [value for value in values if value is not None]
        return sum(given) if given else None

    size = known(one.bytes for one in listed)
    return Cost(
        sum(one.images for one in listed),
        known(one.seconds for one in listed),
        known(one.usd for one in listed),
        None if size is None else int(size),
    )


def _cells(cost: Cost) -> list[str]:
    return [
        f"{cost.images:,}",
        UNKNOWN if cost.seconds is None else duration(cost.seconds),
        UNKNOWN if cost.usd is None else f"{cost.usd:,.2f}",
        UNKNOWN if cost.bytes is None else size(cost.bytes),
    ]


def duration(seconds: float) -> str:
    """Return a time in its largest unit of which there is one at least: `1.5 h`."""
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} s"


def size(count: float) -> str:
    """Return a number of bytes in its largest unit of which there is one at least: `1.5 MiB`."""
    for power, unit in ((4, "TiB"), (3, "GiB"), (2, "MiB"), (1, "KiB")):
        if count >= 1024**power:
            return f"{count / 1024**power:.1f} {unit}"
    return f"{count:.0f} bytes"
