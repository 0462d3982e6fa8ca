"""How long code that draws takes in the sandbox.

    python benchmarks/sandbox_speed.py [--repeats 30] [--out FILE.md]

For each language whose renderer is here: the first drawing, with the worker's start and imports, and the median of the
others, each from the program's text to a checked image of 256 × 256 in this process. What may take longest: SVG 20 ms,
matplotlib in a warm worker 200 ms, TikZ, whose pictures have a worker each, 2.5 s. Beside it the start of bubblewrap
alone. The drawings are EX2's worked examples, by turns. Ends with status 1 if a median is above its limit.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from common import processor

from ex2.sets.authors.examples import shipped_examples
from ex2.sets.sandbox.bubblewrap import namespaces, program
from ex2.sets.sandbox.inside.jobs import Job
from ex2.sets.sandbox.languages.base import LANGUAGES, language_named
from ex2.sets.sandbox.worker import Worker
from reward.files import write_text

MOST = {"svg": 0.020, "matplotlib": 0.200, "tikz": 2.5}
"""Seconds."""


@dataclass(frozen=True)
class Timing:
    """What one row says, in seconds.

    Attributes:
        name: What was timed.
        first: The first time.
        times: All later ones.
        most: What the median may be; None where nothing is promised.
    """

    name: str
    first: float
    times: tuple[float, ...]
    most: float | None

    @property
    def holds(self) -> bool:
        """Whether the median is within its limit."""
        return self.most is None or median(self.times) <= self.most

    def row(self) -> str:
        """Return the row of a Markdown table."""
        low, middle, high = min(self.times), median(self.times), max(self.times)
        limit = "" if self.most is None else f"{1e3 * self.most:,.0f}"
        cells = [self.name, *(f"{1e3 * value:,.1f}" for value in (self.first, middle, low, high)), str(len(self.times))]
        return f"| {' | '.join([*cells, limit])} |"


def start(repeats: int) -> Timing:
    """Time bubblewrap around a program that does nothing."""
    words = [program(), *namespaces(), "--ro-bind", "/usr", "/usr", "--symlink", "usr/lib", "/lib"]
    words += ["--symlink", "usr/lib64", "/lib64", "--", "/usr/bin/true"]
    times = []
    for _ in range(repeats + 1):
        begun = time.perf_counter()
        subprocess.run(words, check=True)
        times.append(time.perf_counter() - begun)
    return Timing("start of bubblewrap", times[0], tuple(times[1:]), None)


def drawing(name: str, repeats: int) -> Timing:
    """Time the drawings of a language."""
    language, examples, times = language_named(name), shipped_examples(name), []
    with Worker(language) as worker:
        for number in range(repeats + 1):
            job = Job(examples[number % len(examples)].code, 256, number, 60.0, 1 << 30)
            begun = time.perf_counter()
            outcome = worker.run(job)
            times.append(time.perf_counter() - begun)
            if outcome.status != "drawn":
                raise SystemExit(f"{name}: {outcome.status}: {outcome.message}")
    return Timing(name, times[0], tuple(times[1:]), MOST.get(name))


def main() -> int:
    """Print the table, and keep it where that is asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    load = os.getloadavg()[0]
    rows = [start(options.repeats)]
    for name in LANGUAGES:
        if language_named(name).problems():
            print(f"{name}: not timed, its renderer is not here", file=sys.stderr)
            continue
        rows.append(drawing(name, options.repeats))
    lines = [
        "# Drawings by code in the sandbox",
        "",
        f"`python benchmarks/sandbox_speed.py --repeats {options.repeats}` on {processor()}, whose load was {load:.1f} "
        f"when it began and {os.getloadavg()[0]:.1f} when it ended. Milliseconds, each from a program's text to a "
        "checked image of 256 × 256; the first drawing starts the worker.",
        "",
        "| what | first | median | least | most | of | limit |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        *(row.row() for row in rows),
    ]
    above = [row.name for row in rows if not row.holds]
    lines += ["", f"Above their limits: {', '.join(above)}." if above else "All medians are within their limits."]
    print("\n".join(lines))
    if options.out:
        write_text(options.out, "\n".join(lines) + "\n")
    return 1 if above else 0


if __name__ == "__main__":
    raise SystemExit(main())
