"""One run's numbers over its seeds: with one seed the intervals of that seed, with several a t-interval over seeds.

Both kinds of interval answer different questions. Within a seed: how would the number change with other images or
descriptions? Over seeds: how would it change if the alignment were run again? The second is wider, and the one to
publish; the report says which it shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from analysis.breakdown import Group
from analysis.judging import Verdicts
from analysis.statistics import Estimate, mean_t, newcombe
from ex2.run_dir import JSON

Policy = Literal["base", "aligned"]


@dataclass(frozen=True)
class SeedResult:
    """What the stages left of one seed.

    Attributes:
        seed: The seed.
        accuracy: Content of `accuracy.json`.
        breakdown: Content of `breakdown.json`.
        descriptions: Rows of `descriptions.jsonl`.
        verdicts: Of the judge that `breakdown` names.
        train: Rows of `train.jsonl`; may be empty.
    """

    seed: int
    accuracy: JSON
    breakdown: JSON
    descriptions: list[JSON]
    verdicts: Verdicts
    train: list[JSON]


@dataclass(frozen=True)
class Pooled:
    """A number over seeds.

    Attributes:
        value: The one seed's value, or the mean over seeds.
        low: Lower end of its interval; `None` if there is none.
        high: Upper end of its interval.
        n: Descriptions, pairs or batches of all seeds together, or the images that all seeds share.
        seeds: Seeds that have the number.
        count: Hits behind it, summed over seeds; 0 where it is no share.
        shared: Whether all seeds share the n.
    """

    value: float
    low: float | None
    high: float | None
    n: int
    seeds: int
    count: int = 0
    shared: bool = False


@dataclass(frozen=True)
class Difference:
    """A difference over seeds, with a verdict.

    Attributes:
        value: Mean difference.
        low: Lower end of its interval.
        high: Upper end of its interval.
        significant: Whether it differs from 0 at the run's confidence; `None` if that cannot be said.
        p: McNemar's exact p-value of a single seed's accuracies; `None` otherwise.
        n: Descriptions or pairs of all seeds together, or the images that all seeds share.
        seeds: Seeds that have both numbers.
        shared: Whether all seeds share the n.
    """

    value: float
    low: float | None
    high: float | None
    significant: bool | None
    p: float | None
    n: int
    seeds: int
    shared: bool = False


def accuracy_of(results: Sequence[SeedResult], arm: str) -> Pooled | None:
    """Return an arm's accuracy, or `None` if no seed has texts for it."""
    parts = [part for result in results if (part := result.accuracy["arms"].get(arm))]
    if arm == "templates":
        parts = parts[:1]  # no seed changes it: its interval is over images, however many seeds there are
    pooled = _pool(
        [Estimate(part["accuracy"], part["low"], part["high"], part["n"]) for part in parts],
        confidence(results),
        sum(part["correct"] for part in parts),
    )
    return pooled and replace(pooled, n=parts[0]["n"], shared=True)


def further_accuracy(
    results: Sequence[SeedResult], arm: str, measure: Literal["top5", "mean_per_class"]
) -> Pooled | None:
    """Return an arm's top-5 accuracy (n images) or mean over classes (n classes), or `None` if no seed has it."""
    parts = [part for result in results if (part := (result.accuracy["arms"].get(arm) or {}).get(measure))]
    if arm == "templates":
        parts = parts[:1]
    estimates = [Estimate(part["accuracy"], part["low"], part["high"], part["n"]) for part in parts]
    pooled = _pool(estimates, confidence(results), 0)
    return pooled and replace(pooled, n=parts[0]["n"], shared=True)


def accuracy_difference(results: Sequence[SeedResult], arm: str, against: str) -> Difference | None:
    """Return how much more accurate `arm` is, on the same images, or `None` if it was not compared."""
    found = [
        part
        for result in results
        for part in result.accuracy["differences"]
        if (part["arm"], part["against"]) == (arm, against)
    ]
    return _accuracy_difference(found, confidence(results))


def covered_difference(results: Sequence[SeedResult], groups: Sequence[str]) -> Difference | None:
    """Return the difference of two groups on the classes that have texts of both, where it was measured."""
    found = [
        part["difference"]
        for result in results
        for part in result.accuracy["covered_by_both"]
        if part["groups"] == list(groups) and part["difference"]
    ]
    return _accuracy_difference(found, confidence(results))


def share_of(
    results: Sequence[SeedResult], policy: Policy, group: Group, of: Literal["of_all", "of_parent"] = "of_all"
) -> Pooled | None:
    """Return a group's share among a policy's descriptions, or `None` if there are none."""
    groups = [r.breakdown["policies"][policy]["groups"][group] for r in results if policy in r.breakdown["policies"]]
    shares = [group[of] for group in groups if group[of] is not None]
    return _pool(
        [Estimate(share["share"], share["low"], share["high"], share["n"]) for share in shares],
        confidence(results),
        sum(group["count"] for group in groups if group[of] is not None),
    )


def share_change(results: Sequence[SeedResult], group: Group) -> Difference | None:
    """Return by how much a group's share rose from the base model to the aligned one."""
    pairs = []
    for result in results:
        aligned, base = share_of([result], "aligned", group), share_of([result], "base", group)
        if aligned and base:
            pairs.append((aligned, base))
    if len(pairs) == 1:
        change = newcombe(*(Estimate(share.value, share.low, share.high, share.n) for share in pairs[0]))
        return Difference(change.value, change.low, change.high, _apart(change.low, change.high), None, change.n, 1)
    values = [aligned.value - base.value for aligned, base in pairs]
    return _difference(values, sum(min(aligned.n, base.n) for aligned, base in pairs), confidence(results))


def reward_gain(results: Sequence[SeedResult]) -> Difference | None:
    """Return the mean reward of aligned minus base descriptions of the same class and question."""
    gains = [gain for result in results if (gain := result.accuracy.get("reward_gain"))]
    if len(gains) == 1:
        low, high = gains[0]["low"], gains[0]["high"]
        return Difference(gains[0]["difference"], low, high, _apart(low, high), None, gains[0]["n"], 1)
    return _difference([gain["difference"] for gain in gains], sum(gain["n"] for gain in gains), confidence(results))


def end_of_training(results: Sequence[SeedResult], key: str, part: float = 0.1) -> Pooled | None:
    """Return the mean of a training metric over the last part of the batches.

    Args:
        results: The run's seeds.
        key: Of `train.jsonl`.
        part: Share of the batches, at least two of them.

    Returns:
        With one seed the t-interval is over batches, with several over seeds; `n` counts batches.
    """
    tails = []
    for result in results:
        values = [float(row[key]) for row in result.train if isinstance(row.get(key), int | float)]
        if values:
            tails.append(values[-max(2, round(part * len(values))) :])
    return _pool([mean_t(tail, confidence(results)) for tail in tails], confidence(results), 0)


def confidence(results: Sequence[SeedResult]) -> float:
    """Return the coverage of the run's intervals."""
    return float(results[0].accuracy["confidence"])


def _accuracy_difference(found: Sequence[JSON], coverage: float) -> Difference | None:
    if len(found) == 1:
        part = found[0]
        significant = part["p"] < 1 - coverage
        return Difference(part["difference"], part["low"], part["high"], significant, part["p"], part["n"], 1, True)
    pooled = _difference([part["difference"] for part in found], 0, coverage)
    return pooled and replace(pooled, n=max(part["n"] for part in found), shared=True)


def _pool(estimates: Sequence[Estimate], coverage: float, count: int) -> Pooled | None:
    if not estimates:
        return None
    n = sum(estimate.n for estimate in estimates)
    over = estimates[0] if len(estimates) == 1 else mean_t([estimate.value for estimate in estimates], coverage)
    return Pooled(over.value, over.low, over.high, n, len(estimates), count)


def _difference(values: Sequence[float], n: int, coverage: float) -> Difference | None:
    if not values:
        return None
    over = mean_t(values, coverage)
    return Difference(over.value, over.low, over.high, _apart(over.low, over.high), None, n, len(values))


def _apart(low: float | None, high: float | None) -> bool | None:
    return None if low is None or high is None else low > 0 or high < 0
