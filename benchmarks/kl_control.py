"""Does the KL reach its target from a β ten times too high and ten times too low? In the demo world, with PPO.

python benchmarks/kl_control.py [--controller log] [--algorithm ppo] [--seeds 0 1 2] [--folder FOLDER]

Prints a table, one run a line, and exits 1 if a run's mean KL over its last 20 batches is over 20 % off the target.
A run takes about 150 s on one free core; run again, finished ones are only read.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
TARGET = 2.0
"""Nats a description. The demo's policy reaches 1 to 6 with β from 0.5 down to 0.05."""
RIGHT = 0.3
"""β that holds about this KL, as found by the runs themselves."""
SETTINGS = ("rl.batches=200", "rl.learning_rate=5e-4")
"""At the demo's learning rate of 1e-3, 2 of 18 runs broke down where β passed 1: first the value loss rose over 100 (a
response of a large KL is then a return far from every other), then the KL over 100. At 5e-4 none did."""
HORIZON = 12
"""Batches in which β can change by a factor of e."""
LAST, TOLERANCE = 20, 0.2


def rows_of(run: str, settings: list[str], seed: int, folder: Path) -> list[dict[str, Any]]:
    """Train one seed of the demo recipe, if it has not been trained, and return its log."""
    words = [f"name={run}", f"output_dir={folder}", f"seeds=[{seed}]", "training.save_every=1000", *settings]
    subprocess.run(
        [sys.executable, "-m", "ex2.cli", "train", str(ROOT / "recipes/demo/visual.yaml"), *words],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    log = folder / run / f"seed-{seed}" / "train.jsonl"
    return [json.loads(line) for line in log.read_text().splitlines()]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--controller", default="log", choices=["adaptive", "log", "fixed"])
    parser.add_argument("--algorithm", default="ppo", choices=["ppo", "rloo", "grpo"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument(
        "--factors", type=float, nargs="+", default=[10.0, 0.1], help="β at the start, of the right one"
    )
    parser.add_argument("--folder", type=Path, help="default: a temporary one")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="ex2-kl-"))
    print(f"demo world, {options.algorithm}, {options.controller} controller, target KL {TARGET:g}, in {folder}")
    print(f"{'β at start':>10} {'seed':>4} {'KL 21–40':>8} {'KL, last 20':>11} {'off':>6} {'β, last 20':>10}  outcome")
    missed = 0
    for factor in options.factors:
        for seed in options.seeds:
            start = RIGHT * factor
            settings = [
                *SETTINGS,
                f"algorithm={options.algorithm}",
                f"rl.kl.controller={options.controller}",
                f"rl.kl.init_coef={start:g}",
                f"rl.kl.target={TARGET:g}",
            ]
            if options.controller == "log":
                settings += ["rl.kl.horizon_unit=batches", f"rl.kl.horizon={HORIZON}"]
            name = f"{options.algorithm}-{options.controller}-{start:g}-{seed}"
            rows = rows_of(name, settings, seed, folder)
            early = statistics.mean(row["kl"] for row in rows[20:40])
            reached = statistics.mean(row["kl"] for row in rows[-LAST:])
            coef = statistics.geometric_mean(row["kl_coef"] for row in rows[-LAST:])
            off = reached / TARGET - 1
            hit = abs(off) <= TOLERANCE
            missed += not hit
            print(
                f"{start:>10.3g} {seed:>4} {early:>8.2f} {reached:>11.2f} {off:>+6.1%} {coef:>10.3g}  "
                f"{'within' if hit else 'over'} {TOLERANCE:.0%}",
                flush=True,
            )
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
