"""The KL that a run reached, as stored beside results that other verbs make of its descriptions."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.accuracy.record import Accuracy
from analysis.results.experiment import Experiment, kl_off, seeds_off
from analysis.results.load import SeedResult, last_of_each_batch
from analysis.results.pooling import Pooled, end_of_training
from analysis.results.wording import NBSP, plain
from analysis.tables.rules import Rules
from analysis.verdicts.record import Breakdown, JudgeIdentity
from analysis.verdicts.verdicts import Verdicts
from ex2.run.directory import RunDirectory
from reward.files import JSON, read_jsonl

TOLERANCE = Rules().tolerance
"""Share of the target that the KL may be off without being flagged, unless a command line says otherwise."""


def kl_reached(directory: RunDirectory, seeds: Sequence[int], confidence: float) -> JSON:
    """Read the KL at the end of training from the logs of a run's seeds.

    Args:
        directory: Of the run.
        seeds: Whose descriptions were used; those without a log are left out.
        confidence: Coverage of the interval.

    Returns:
        `reached` (value, low, high, n batches, seeds; null without a log), `by_seed`, `target` of the same quantity
        (null without one) and `off_target` (whether it is further off than `TOLERANCE` in any seed; null if unknown).
    """
    results = [
        SeedResult(
            seed,
            Accuracy(
                vlm="",
                dataset="",
                split="",
                images=0,
                classes=0,
                confidence=confidence,
                arms={},
                differences=(),
                covered_by_both=(),
            ),
            Breakdown(judge=JudgeIdentity("", False, "", ""), denominator="parsed", confidence=confidence, policies={}),
            [],
            Verdicts(),
            last_of_each_batch(read_jsonl(directory.seed(seed).train_log)),
        )
        for seed in seeds
    ]
    reached = end_of_training(results, "kl") if results else None
    target = end_of_training(results, "kl_target") if results else None
    stored: JSON = {
        "reached": reached
        and {"value": reached.value, "low": reached.low, "high": reached.high, "n": reached.n, "seeds": reached.seeds},
        "by_seed": {str(r.seed): kl.value for r in results if (kl := end_of_training([r], "kl"))},
        "target": target.value if target else None,
    }
    return stored | {"off_target": kl_off(with_kl(stored), TOLERANCE)}


def with_kl(stored: JSON | None) -> Experiment:
    """Return an experiment of which no more than the KL is known, for cells that carry it.

    Args:
        stored: From `kl_reached`; `None` if the run's KL is not known.
    """
    known = stored or {}
    end = known.get("reached")
    return Experiment(
        name="",
        vlm="",
        dataset="",
        accuracies={},
        kl=end and Pooled(end["value"], end["low"], end["high"], end["n"], end["seeds"]),
        kl_target=known.get("target"),
        seed_kl={int(seed): value for seed, value in known.get("by_seed", {}).items()},
    )


def kl_summary(stored: JSON | None, tolerance: float = TOLERANCE) -> str:
    """Return `KL 8.61 [8.40–8.82] nats, target 10`, and whether that is too far off, or `KL not known`.

    Args:
        stored: From `kl_reached`; `None` if the run's KL is not known.
        tolerance: Share of the target that the KL may be off.
    """
    experiment = with_kl(stored)
    if experiment.kl is None:
        return "KL not known"
    said = f"KL{NBSP}{plain(experiment.kl)}{NBSP}nats"
    if not experiment.kl_target:
        return f"{said}, no target"
    said += f", target {experiment.kl_target:g}"
    if not kl_off(experiment, tolerance):
        return said
    rule, off = f"more than {100 * tolerance:g}{NBSP}%", seeds_off(experiment, tolerance)
    if len(experiment.seed_kl) < 2 or not off:
        return f"{said}: {rule} {'above' if experiment.kl.value > experiment.kl_target else 'below'} it"
    return f"{said}: {rule} off it in " + ", ".join(f"seed {seed} ({kl:.1f})" for seed, kl in off.items())
