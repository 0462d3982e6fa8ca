"""Run the reliability matrix, or cells of it.

python -m tests.reliability --out docs/reliability.md
python -m tests.reliability --cell 'report:file:seed-0/accuracy.json half'
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from tests.reliability.base import ALL_MOMENTS, ROOT, make
from tests.reliability.cells import Cell, all_cells, drawn_cells
from tests.reliability.outcome import Finding
from tests.reliability.page import page
from tests.reliability.runner import Laboratory, held


def main(words: Sequence[str] | None = None) -> int:
    """Run what is asked for; 0 if all of it held."""
    options = _parser().parse_args(words)
    cells = _chosen(options)
    if options.list:
        print(*(cell.name for cell in cells), sep="\n")
        return 0
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="reliability-") as folder:
        worlds = Path(options.worlds or f"{folder}/worlds")
        if not all((worlds / moment).is_dir() for moment in ALL_MOMENTS):
            make(worlds, lambda moment: print(f"made: {moment}", file=sys.stderr, flush=True))
        room = Path(folder) / "room"
        room.mkdir()
        progress = _Progress(len(cells), loud=options.cell is not None)
        findings = Laboratory(worlds, room).check_all(cells, progress.say, options.at_once)
    print(*(f"{fault}: {number}" for fault, number in Counter(one.fault for one in findings).most_common()), sep="\n")
    if options.out:
        text = page(cells, findings, (time.monotonic() - began) / 60, _commit())
        Path(options.out).write_text(text + "\n", encoding="utf-8")
    return 0 if held(findings) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.reliability", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--cell", metavar="NAME", action="append", help="these alone, and show what was seen")
    parser.add_argument("--only", metavar="WORD", default="", help="cells whose names hold this")
    parser.add_argument(
        "--draw", metavar="N", type=int, help="a random part; each stage and kind is in it without --only"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the draw: 0")
    parser.add_argument("--out", metavar="FILE", help="write the page")
    parser.add_argument("--worlds", metavar="DIR", help="keep the base run here, or take it from here")
    parser.add_argument("--at-once", type=int, default=2, help="cells: 2")
    parser.add_argument("--list", action="store_true", help="print the names; run nothing")
    return parser


def _chosen(options: argparse.Namespace) -> list[Cell]:
    cells = [cell for cell in all_cells() if options.only in cell.name]
    if options.cell:
        by_name = {cell.name: cell for cell in cells}
        if unknown := [name for name in options.cell if name not in by_name]:
            raise SystemExit(f"--cell: no cell is called {', '.join(unknown)}; --list names them all.")
        return [by_name[name] for name in options.cell]
    if options.draw and options.only:
        return random.Random(options.seed).sample(cells, min(options.draw, len(cells)))
    return drawn_cells(cells, options.draw, options.seed) if options.draw else cells


class _Progress:
    """Says how far it is.

    Args:
        total: Of cells.
        loud: Whether to tell of those that held too.
    """

    def __init__(self, total: int, *, loud: bool) -> None:
        self._total, self._loud, self._done = total, loud, 0
        self._bar = tqdm(total=total, desc="cells", unit="cell", dynamic_ncols=True, smoothing=0)

    def say(self, finding: Finding) -> None:
        """Tell of a cell."""
        self._done += 1
        self._bar.update()
        if self._loud or not finding.held:
            tqdm.write(f"{self._done}/{self._total} {finding.fault}: {finding.cell}\n    {finding.seen}")
            sys.stdout.flush()


def _commit() -> str:
    done = subprocess.run(
        ["git", "-C", str(ROOT), "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"


if __name__ == "__main__":
    sys.exit(main())
