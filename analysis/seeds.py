"""What several seeds of a run reached, in the terminal: mean and interval of reward, KL and accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from analysis.statistics import Estimate, all_equal, mean_t
from ex2.recipe import Recipe
from ex2.run_dir import RunDirectory, read_json, read_jsonl

PART = 0.1
"""Share of the batches, at the end of training, whose mean is a seed's number."""


class Summary(NamedTuple):
    """A number over seeds.

    Attributes:
        name: What it is.
        values: Of each seed that has it.
        over_seeds: Their mean with Student's t-interval.
    """

    name: str
    values: dict[int, float]
    over_seeds: Estimate


def print_summary(recipe: Recipe, seeds: Sequence[int]) -> None:
    """Print the summary of several seeds; nothing for one alone."""
    if len(seeds) > 1:
        print("\n".join(summary_lines(summarise(recipe, seeds), recipe.analysis.confidence)))


def summarise(recipe: Recipe, seeds: Sequence[int]) -> list[Summary]:
    """Read what the seeds have reached so far.

    Args:
        recipe: The run's.
        seeds: To summarise.

    Returns:
        Mean reward and KL over the last tenth of the batches, and accuracy (top-1) where it has been measured; what
        no seed has is left out.
    """
    run = RunDirectory.of(recipe)
    found: dict[str, dict[int, float]] = {}
    for seed in seeds:
        where = run.seed(seed)
        rows = list({row["batch"]: row for row in read_jsonl(where.train_log)}.values())
        for name, key in (("reward", "reward_mean"), ("KL, nats", "kl")):
            values = [float(row[key]) for row in rows if row.get(key) is not None]
            if values:
                tail = values[-max(1, round(PART * len(values))) :]
                found.setdefault(name, {})[seed] = sum(tail) / len(tail)
        if where.accuracy.exists():
            for arm, part in read_json(where.accuracy)["arms"].items():
                if arm == "aligned" and part:
                    found.setdefault("accuracy", {})[seed] = float(part["accuracy"])
    return [
        Summary(name, values, mean_t(list(values.values()), recipe.analysis.confidence))
        for name, values in found.items()
    ]


def summary_lines(summaries: Sequence[Summary], confidence: float) -> list[str]:
    """Return a table: one line per number, one column per seed, and the mean with its interval."""
    if not summaries:
        return []
    seeds = sorted({seed for summary in summaries for seed in summary.values})
    lines = [
        f"{'at the end of training':<22}" + "".join(f"{f'seed {seed}':>10}" for seed in seeds) + "   mean over seeds"
    ]
    for summary in summaries:
        shown = 100.0 if summary.name == "accuracy" else 1.0
        name = "accuracy, %" if summary.name == "accuracy" else summary.name
        cells = [f"{shown * summary.values[seed]:.2f}" if seed in summary.values else "–" for seed in seeds]
        mean, low, high, n = summary.over_seeds
        interval = "no interval" if low is None or high is None else f"[{shown * low:.2f}, {shown * high:.2f}]"
        if n > 1 and all_equal(list(summary.values.values())):
            interval = "no interval: all are equal"  # not one of no width, which would look certain
        lines.append(
            f"{name:<22}" + "".join(f"{cell:>10}" for cell in cells) + f"   {shown * mean:.2f} {interval} (n = {n})"
        )
    return [*lines, f"brackets: {100 * confidence:g} % t-intervals over seeds"]
