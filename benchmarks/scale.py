"""Time and memory at 10,000 classes, 2,000,000 images in a manifest and 250,000 descriptions, and at a quarter of each.

python benchmarks/scale.py [--folder FOLDER] [--only STAGE …] [--out benchmarks/results/2026-11-29-scale.md]

No image is made and no model loaded: what is measured are readers, bookkeeping and pages, see `scale_stages.py`. Each
measurement is a process of its own; its seconds are the processor's for the work alone, so that a busy machine changes
them little. `growth` is the ratio of the two times, divided by the ratio of the sizes: 1 where time grows as the size
does, 4 where it grows as its square. Ends with status 1 if a growth is above `MOST_GROWTH`.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from scale_stages import STAGES

MOST_GROWTH = 1.8
SIZES = (2_500, 10_000)
"""Classes; 200 images and 25 descriptions for each."""
TINY = 8


class Taken(NamedTuple):
    """What a stage took: the processor's seconds, most resident memory of the process in GB."""

    seconds: float
    gigabytes: float


def run_stage(name: str, folder: Path, classes: int) -> None:
    """Do a stage's work in this process, and print what it took; a tiny one comes before, which pays for imports."""
    stage = STAGES[name]
    with tempfile.TemporaryDirectory(dir=folder) as tiny:
        stage.prepare(Path(tiny), TINY)
        stage.work(Path(tiny), TINY)
    start = time.process_time()
    stage.work(folder, classes)
    seconds = time.process_time() - start
    print(f"\ntaken {json.dumps([seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20])}")


def in_child(name: str, what: str, folder: Path, classes: int) -> str:
    """Run this file in a process of its own; return what it prints."""
    command = [sys.executable, __file__, what, name, "--folder", str(folder), "--classes", str(classes)]
    environment = os.environ | {"EX2_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{name}, {classes:,} classes: {done.stderr[-2000:]}")
    return done.stdout


def measured(name: str, classes: int, folder: Path) -> Taken:
    """Prepare a stage and do its work, each in a process of its own."""
    with tempfile.TemporaryDirectory(dir=folder) as own:
        in_child(name, "--prepare", Path(own), classes)
        return Taken(*json.loads(in_child(name, "--stage", Path(own), classes).rpartition("taken ")[2]))


def growth(small: Taken, large: Taken, sizes: Sequence[int]) -> float:
    """Return the ratio of times over the ratio of sizes."""
    return large.seconds / max(small.seconds, 1e-3) / (sizes[1] / sizes[0])


def summary(lines: Sequence[Sequence[str]], faults: Sequence[str]) -> str:
    """Return the result file, in Markdown."""
    from common import device, processor

    table = ["| what | size | CPU seconds | GB | growth |", "|---|---|---|---|---|"]
    table += [f"| {' | '.join(line)} |" for line in lines]
    verdict = (
        "Nothing grows faster than its size." if not faults else f"Grows faster than its size: {'; '.join(faults)}."
    )
    return "\n".join(
        ["# Scale: `python benchmarks/scale.py`", "", f"{processor()}; {device()}.", "", *table, "", verdict, ""]
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where files go; default: a temporary one")
    parser.add_argument("--only", nargs="*", choices=STAGES, default=list(STAGES), help="some of the stages")
    parser.add_argument("--out", type=Path, help="Markdown file for the results")
    parser.add_argument("--stage", choices=STAGES, help=argparse.SUPPRESS)
    parser.add_argument("--prepare", choices=STAGES, help=argparse.SUPPRESS)
    parser.add_argument("--classes", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.prepare:
        STAGES[options.prepare].prepare(options.folder, options.classes)
        return 0
    if options.stage:
        run_stage(options.stage, options.folder, options.classes)
        return 0
    lines, faults = [], []
    with tempfile.TemporaryDirectory() as temporary:
        for name in options.only:
            stage = STAGES[name]
            sizes = [round(size * stage.part) for size in SIZES]
            small, large = (measured(name, size, options.folder or Path(temporary)) for size in sizes)
            ratio = growth(small, large, sizes)
            if ratio > MOST_GROWTH:
                faults.append(f"{stage.title} ({ratio:.1f})")
            for size, taken, shown in ((sizes[0], small, "–"), (sizes[1], large, f"{ratio:.2f}")):
                unit = f"{size:,} classes, {stage.unit} each"
                lines.append((stage.title, unit, f"{taken.seconds:.1f}", f"{taken.gigabytes:.2f}", shown))
                print(" | ".join(lines[-1]), flush=True)
    for fault in faults:
        print(f"faster than its size: {fault}", file=sys.stderr)
    if options.out:
        from reward.files import write_text

        write_text(options.out, summary(lines, faults))
    return int(bool(faults))


if __name__ == "__main__":
    raise SystemExit(main())
