"""Do EX2's intervals hold what they should, and do its tests find anything? A grid of its typical outcomes, simulated.

    python benchmarks/coverage.py [--out FILE.md] [--runs 10000] [--only WORD]

Each cell of coverage_grid.py is a number that the tool shows, in a situation that is typical of it: rare kinds,
repeated texts, few seeds that drift. The tool's own functions make interval and test in every run. A run in which no
test is made counts as one without a finding, for that is what the reader sees; runs without an interval are left out of
the coverage, and their share stands beside it. Bounds, fixed beforehand:

* coverage: at least 93 % of all intervals hold the truth, at 95 %;
* type I: where nothing differs, at most 6 % of all runs find something, at 5 %;
* width: the median interval is at most 1.3 times as wide as the range that holds 95 % of the errors (estimate minus
  truth) of the cell. For Student's t over two to five values that range is taken times t / z: of so few nobody knows
  how far they differ, and no shorter interval holds whatever that is. The ratio to the bare range stands beside it;
* power: a stated effect is found in at least 80 % of runs.

Four twins of each cell's outcome must fail: no finding ever (power), a finding always (type I), an interval without
ends (width), an interval of a quarter of the width (coverage).
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from common import processor
from coverage_cells import Runs
from coverage_grid import Cell, grid
from scipy import stats

LEAST_COVERAGE, MOST_FALSE, MOST_WIDTH, LEAST_POWER = 0.93, 0.06, 1.3, 0.8
LEVEL = 0.05
WITH_EFFECT = 5
"""One of so many runs has the effect too, for the power."""


class Outcome(NamedTuple):
    """What a cell's runs came to.

    Attributes:
        coverage: Share of the intervals that hold the truth.
        without: Share of runs without an interval.
        false: Share of runs without an effect that find one; None where nothing is tested.
        width: Median width against the range that it is held to.
        bare: The same against the bare range of the errors.
        power: Share of runs with the effect that find it; None where nothing is tested.
    """

    coverage: float
    without: float
    false: float | None
    width: float
    bare: float
    power: float | None

    @property
    def broken(self) -> list[str]:
        """Names of the bounds that are not kept."""
        rules = {
            "coverage": self.coverage >= LEAST_COVERAGE,
            "type I": self.false is None or self.false <= MOST_FALSE,
            "width": self.width <= MOST_WIDTH,
            "power": self.power is None or self.power >= LEAST_POWER,
        }
        return [rule for rule, kept in rules.items() if not kept]


def judge(null: Runs, other: Runs | None, values: int) -> Outcome:
    """Measure a cell's runs.

    Args:
        null: Runs without an effect.
        other: Runs with the effect; None where nothing is tested.
        values: Values that Student's t is over, where they are few; 0 elsewhere.
    """
    parts = [null] if other is None else [null, other]
    estimate, low, high, truth = (
        np.concatenate([np.reshape(getattr(part, name), (len(part.estimate), -1)) for part in parts])
        for name in ("estimate", "low", "high", "truth")
    )
    known = ~np.isnan(low).any(1)
    held = ((low <= truth + 1e-12) & (truth <= high + 1e-12)).all(1)
    errors = (estimate - truth)[known, 0]
    bare = float(np.median((high - low)[known, 0]) / np.subtract(*np.quantile(errors, [1 - LEVEL / 2, LEVEL / 2])))
    together = estimate.shape[1]
    allowed = stats.t.isf(LEVEL / 2 / together, values - 1) / stats.norm.isf(LEVEL / 2) if values else 1.0
    return Outcome(
        coverage=float(held[known].mean()),
        without=float(1 - known.mean()),
        false=None if null.told is None or other is None else float(_found(null, any_of=True).mean()),
        width=bare / float(allowed),
        bare=bare,
        power=None if other is None else float(_found(other, any_of=False).mean()),
    )


def _found(runs: Runs, *, any_of: bool) -> np.ndarray:
    """Say which runs find something: any of the numbers read together, or the first, which has the effect."""
    assert runs.told is not None
    told = np.reshape(runs.told, (len(runs.told), -1))
    return told.any(1) if any_of else told[:, 0]


def twins_kept(null: Runs, other: Runs | None, values: int) -> list[str]:
    """Return the bounds that a rule without sense would keep too; they are worth nothing then."""
    kept = []
    if other is not None:
        assert null.told is not None
        assert other.told is not None
        never = judge(null, other._replace(told=np.zeros_like(other.told)), values)
        always = judge(null._replace(told=np.ones_like(null.told)), other, values)
        kept += [rule for rule, twin in (("power", never), ("type I", always)) if rule not in twin.broken]
    wide, narrow = (
        judge(*(part and _resized(part, factor) for part in (null, other)), values)  # type: ignore[arg-type]
        for factor in (1e6, 0.25)
    )
    kept += [rule for rule, twin in (("width", wide), ("coverage", narrow)) if rule not in twin.broken]
    return kept


def _resized(runs: Runs, factor: float) -> Runs:
    return runs._replace(
        low=runs.estimate - factor * (runs.estimate - runs.low),
        high=runs.estimate + factor * (runs.high - runs.estimate),
    )


def simulated(cell: Cell, runs: int, seed: int = 0) -> tuple[Runs, Runs | None]:
    """Return a cell's runs without and with its effect."""
    rng = np.random.default_rng(seed)
    return cell.simulate(rng, runs, 0.0), cell.simulate(rng, runs // WITH_EFFECT, cell.effect) if cell.effect else None


def row(cell: Cell, outcome: Outcome) -> str:
    """Lay a cell out as a row of Markdown."""

    def share(value: float | None) -> str:
        return "" if value is None else f"{100 * value:.1f}"

    broken = ", ".join(outcome.broken) or "all"
    return (
        f"| {cell.what} | {cell.situation} | {share(outcome.coverage)} | {share(outcome.without)} | "
        f"{share(outcome.false)} | {outcome.width:.2f} | {outcome.bare:.2f} | {share(outcome.power)} | {cell.stated} | "
        f"{broken if broken == 'all' else f'not: {broken}'} |"
    )


HEAD = (
    "| number | situation | coverage, % | no interval, % | type I, % | width | to bare range | power, % | at | holds "
    "|\n"
    "|---|---|---|---|---|---|---|---|---|---|"
)


def main() -> int:
    """Simulate the grid, print and write it; status 1 if a cell does not hold, or its twin does."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="Markdown file")
    parser.add_argument("--runs", type=int, default=10_000, help="runs of each cell without an effect")
    parser.add_argument("--only", default="", help="cells whose name holds this")
    options = parser.parse_args()
    torch.set_num_threads(1)
    start, lines, wrong, senseless = time.process_time(), [HEAD], [], []
    print(HEAD, flush=True)
    cells = [cell for cell in grid() if options.only in f"{cell.what}, {cell.situation}"]
    for cell in cells:
        begun = time.process_time()
        null, other = simulated(cell, options.runs)
        outcome = judge(null, other, cell.values)
        lines.append(row(cell, outcome))
        print(lines[-1], f"{time.process_time() - begun:.0f} s", file=sys.stdout, flush=True)
        if bool(outcome.broken) is not bool(cell.known):
            wrong.append(f"{cell.what}, {cell.situation}")
        kept = twins_kept(null, other, cell.values)
        senseless += [f"{cell.what}, {cell.situation}: {', '.join(kept)}"] if kept else []
    taken = time.process_time() - start
    notes = [f"Known: {cell.what}, {cell.situation}: {cell.known}." for cell in cells if cell.known]
    ended = (
        f"{len(cells)} cells, {len(cells) - len(wrong)} as expected; twins that keep a bound: "
        f"{'; '.join(senseless) or 'none'}."
    )
    print("\n".join([*notes, ended, *wrong]))
    if options.out:
        doc = (__doc__ or "").partition("Each cell")[2]
        text = "\n\n".join(
            [
                "# Coverage, false findings, width and power of EX2's numbers",
                f"{processor()}, Python {platform.python_version()}, {taken:.0f} s of one core; "
                f"`make coverage`, {options.runs:,} runs of each cell and a {WITH_EFFECT}th of that with its effect.",
                "Each cell " + doc.strip(),
                "\n".join(lines),
                *notes,
                ended,
            ]
        )
        options.out.write_text(text + "\n", encoding="utf-8")
    return 1 if wrong or senseless else 0


if __name__ == "__main__":
    raise SystemExit(main())
