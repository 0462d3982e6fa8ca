"""Is PPO's value function worth having? Its explained variance in the demo world, at a fixed β of 0.2, 1 and 10.

    python benchmarks/value_function.py --out FILE.md

Trains the demo's `visual` world for 25 batches with three seeds at each β, with the recipe's value head and, as a twin
that must fail, with the head of the paper's PPO under the same divided rewards. For each run: the smallest explained
variance of a batch and its mean over batches 5 to 25, the KL, and the paired reward of aligned over base descriptions.
Some ten minutes on two cores.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from analysis.accuracy.measure import reward_gain
from analysis.statistics.intervals import IntervalSettings
from ex2.recipe_io import FORMER
from ex2.run.descriptions import stored_descriptions
from ex2.run.directory import RunDirectory
from reward.files import read_jsonl

RECIPE = Path(__file__).resolve().parents[1] / "recipes/demo/visual.yaml"
BETAS, SEEDS, BATCHES = (0.2, 1.0, 10.0), (0, 1, 2), 25
HEADS: dict[str, list[str]] = {
    "the recipe's": [],
    "the paper's (twin)": [f"ppo.{key}={value}" for key, value in FORMER.items()],
}
LEAST_VARIANCE, LEAST_MEAN = -0.05, 0.05


class Outcome(NamedTuple):
    """What one run showed.

    Attributes:
        head: Key of `HEADS`.
        beta: β.
        seed: Seed.
        least: Smallest explained variance of a batch.
        mean: Its mean over batches 5 to the last.
        most_kl: Largest mean KL of a batch, in nats.
        gain: Mean reward of aligned over base descriptions of the same class and question.
        low: Lower end of its 95 % interval.
        high: Upper end of it.
    """

    head: str
    beta: float
    seed: int
    least: float
    mean: float
    most_kl: float
    gain: float
    low: float
    high: float

    @property
    def holds(self) -> bool:
        """Whether the value function is no worse than a constant, and the reward where it should be."""
        rewarded = self.low > 0 if self.beta <= 1 else self.high > 0
        return self.least >= LEAST_VARIANCE and self.mean >= LEAST_MEAN and rewarded


def run(head: str, beta: float, seed: int, folder: Path) -> Outcome:
    """Train and describe once, in processes of their own."""
    name = f"{'own' if not HEADS[head] else 'twin'}-{beta:g}-{seed}"
    words = [
        str(RECIPE),
        f"name={name}",
        f"output_dir={folder}",
        f"seeds=[{seed}]",
        f"rl.batches={BATCHES}",
        "rl.batch_size=32",
        "rl.minibatch_size=8",
        "rl.learning_rate=1e-3",
        "rl.kl.controller=fixed",
        f"rl.kl.init_coef={beta}",
        "describe.per_question=2",
        *HEADS[head],
    ]
    for stage in ("train", "describe"):
        ended = subprocess.run(
            [sys.executable, "-m", "ex2.cli", stage, *words], capture_output=True, text=True, check=False
        )
        if ended.returncode:
            raise SystemExit(f"{stage} {' '.join(words)}\n{ended.stderr[-3000:]}")
    where = RunDirectory(folder / name).seed(seed)
    rows = read_jsonl(where.train_log)
    explained = [float(row["explained_variance"]) for row in rows]
    gain = reward_gain(stored_descriptions(where), IntervalSettings())
    assert gain is not None, "both policies described"
    assert gain.paired.low is not None
    assert gain.paired.high is not None
    return Outcome(
        head,
        beta,
        seed,
        min(explained),
        sum(explained[4:]) / len(explained[4:]),
        max(float(row["kl"]) for row in rows),
        gain.paired.difference,
        gain.paired.low,
        gain.paired.high,
    )


def table(outcomes: list[Outcome]) -> str:
    """Lay the outcomes out as Markdown."""
    lines = [
        "| value head | β | seed | smallest explained variance | mean of batches 5–25 | largest KL | reward over base "
        "[95 %] | holds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in outcomes:
        lines.append(
            f"| {one.head} | {one.beta:g} | {one.seed} | {one.least:.3f} | {one.mean:.3f} | {one.most_kl:.2f} | "
            f"{one.gain:.2f} [{one.low:.2f}, {one.high:.2f}] | {'yes' if one.holds else 'no'} |"
        )
    return "\n".join(lines)


def main() -> int:
    """Run everything, print and write the table; status 1 if a run of the recipe's head does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="Markdown file")
    parser.add_argument("--jobs", type=int, default=2, help="runs at once")
    options = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    jobs = [(head, beta, seed) for head in HEADS for beta in BETAS for seed in SEEDS]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(options.jobs) as pool:
        outcomes = list(pool.map(lambda job: run(*job, Path(folder)), jobs))
    text = table(outcomes)
    print(text)
    if options.out:
        options.out.write_text(f"# The value function in the demo world\n\n{text}\n", encoding="utf-8")
    own = [one for one in outcomes if not HEADS[one.head]]
    twins = [one for one in outcomes if HEADS[one.head]]
    held, twins_held = sum(one.holds for one in own), sum(one.holds for one in twins)
    print(f"holds: {held} of {len(own)}; twin: {twins_held} of {len(twins)}")
    return 0 if all(one.holds for one in own) and not all(one.holds for one in twins) else 1


if __name__ == "__main__":
    raise SystemExit(main())
