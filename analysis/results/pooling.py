"""One run's numbers over its seeds: with one seed the intervals of that seed, with several a t-interval over seeds.

The two kinds of interval answer different questions. Within a seed: how would the number change with other images or
descriptions? Over seeds: how would it change if the alignment were run again? Neither contains the other, so a
difference of accuracies over several seeds has both, and McNemar's p of each seed. A number that does not depend on the
seed, such as the accuracy of the templates or of a file of descriptions, has no spread over seeds: its interval is that
of one seed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from analysis.accuracy.draws import Draws, paired_over_draws, share_over_draws
from analysis.accuracy.record import Hits
from analysis.accuracy.zero_shot import unpack_correct
from analysis.results.load import SeedResult, confidence_of, settings_of
from analysis.statistics.intervals import (
    Estimate,
    IntervalSettings,
    all_equal,
    mean_t,
    newcombe,
    over_both,
    within,
)
from analysis.statistics.paired import PairedAccuracy, paired_averages
from analysis.verdicts.breakdown import Denominator, Group, Of, group_shares
from ex2.policy.source import PolicyName

MCNEMAR, OVER_IMAGES, OVER_SEEDS = "McNemar", "interval over images", "interval over seeds"
OVER_BOTH = "interval over seeds and images together"
"""Names of the tests of a difference of accuracies."""

SHARE, DIFFERENCE, ANY = (0.0, 1.0), (-1.0, 1.0), (-math.inf, math.inf)
"""The least and the most that a share, a difference of two shares and a quantity without bounds can be."""


@dataclass(frozen=True)
class Pooled:
    """A number pooled over seeds.

    Attributes:
        value: The one seed's value, or the mean over seeds.
        low: Lower end of its interval; `None` if there is none.
        high: Upper end of its interval.
        n: Number of descriptions, pairs or batches of all seeds together, or of the images that all seeds share.
        seeds: Number of seeds that have the number; 1 if it does not depend on the seed.
        count: Number of hits if the number is a share, summed over seeds; 0 otherwise.
        shared: Whether `n` counts observations that all seeds share, such as the test images.
        fewest: Number of observations of the seed that has fewest; `None` where it is not known.
    """

    value: float
    low: float | None
    high: float | None
    n: int
    seeds: int
    count: int = 0
    shared: bool = False
    fewest: int | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Difference:
    """A difference pooled over seeds, with what tests say of it.

    Attributes:
        value: Mean difference.
        low: Lower end of its interval: with one seed over images, with several over seeds. `None` if there is none.
        high: Upper end of its interval.
        significant: Whether the difference is told from 0 by every test there is, at the run's confidence; `None`
            without a test.
        p: McNemar's p-value, if this is a difference of accuracies of one seed; else `None`.
        n: Number of descriptions or pairs of all seeds together, or of the images that all seeds share.
        seeds: Number of seeds that have both numbers; 1 if neither depends on the seed.
        shared: Whether `n` counts observations that all seeds share, such as the test images.
        images: Interval over images of the mean over seeds, if this is a difference of accuracies over several seeds.
        p_by_seed: McNemar's p-value of each seed, if this is a difference of accuracies over several seeds.
        doubts: Those of `MCNEMAR`, `OVER_IMAGES`, `OVER_SEEDS` and, where these tell the difference from 0, `OVER_BOTH`
            that do not tell it although another test does.
        by_seed: The difference in each seed, where there are several; empty for differences of accuracies.
        draws: Number of draws of the texts that interval and test of one seed hold; 0 if they are for these texts.
        both: Interval over seeds and images together where there are the two; the widest of the three.
    """

    value: float
    low: float | None
    high: float | None
    significant: bool | None
    p: float | None
    n: int
    seeds: int
    shared: bool = False
    images: tuple[float, float] | None = None
    p_by_seed: tuple[float, ...] = ()
    doubts: tuple[str, ...] = ()
    by_seed: tuple[float, ...] = ()
    draws: int = 0
    both: tuple[float, float] | None = None

    @property
    def of_these_texts(self) -> bool:
        """Whether this is a difference of accuracies that was tested over images alone: for these texts."""
        return self.shared and self.seeds == 1 and not self.draws

    def flipped(self) -> Difference:
        """Return the difference with the opposite sign: the second minus the first; 0 has none."""
        low, high = (None if end is None else 0.0 - end for end in (self.high, self.low))
        images, both = (ends and (0.0 - ends[1], 0.0 - ends[0]) for ends in (self.images, self.both))
        by_seed = tuple(0.0 - value for value in self.by_seed)
        return replace(self, value=0.0 - self.value, low=low, high=high, images=images, by_seed=by_seed, both=both)

    @property
    def lows(self) -> list[float]:
        """The lower end of each of its intervals."""
        return [end for end in (self.low, *(ends[0] for ends in (self.images, self.both) if ends)) if end is not None]

    @property
    def not_excluded(self) -> tuple[float, float] | None:
        """The least and the most that it may be where it is not significant; `None` without an interval.

        What any interval holds counts, and 0 too: an interval need not belong to the test that leaves it open.
        """
        held = (self.low, self.high, *(self.images or ()), *(self.both or ()))
        ends = [end for end in held if end is not None]
        return (min(*ends, 0.0), max(*ends, 0.0)) if ends else None

    def surely_above(self, threshold: float) -> bool | None:
        """Say whether every interval lies above a threshold and every test tells it from 0; `None` without a test.

        Args:
            threshold: The threshold in the difference's units, at least 0 except for rounding.
        """
        if self.significant is None or (self.low is None and self.significant):
            return None
        return self.significant and all(low > threshold for low in self.lows)


def accuracy_of(results: Sequence[SeedResult], arm: str) -> Pooled | None:
    """Return an arm's accuracy, or `None` if no seed has texts for it."""
    found = [part for result in results if (part := result.accuracy.arm(arm))]
    # Templates are one by design: where bits differ by the arithmetic of a GPU, that is no spread over seeds.
    parts = found[:1] if arm == "templates" else found
    pooled = pool_accuracies([part.top1 for part in parts], confidence_of(results))
    if pooled is None or pooled.seeds > 1 or parts[0].draws is None:
        return pooled
    over = share_over_draws(parts[0].top1.estimate, parts[0].draws, confidence_of(results))
    return replace(pooled, low=over.low, high=over.high)


def pool_accuracies(parts: Sequence[Hits], confidence: float) -> Pooled | None:
    """Pool an accuracy over seeds.

    Args:
        parts: The result of each seed.
        confidence: Coverage of the interval, in (0, 1).

    Returns:
        The pooled accuracy; `None` without parts. If every seed has the same images right, it is the first seed's
        accuracy.
    """
    if _same([part.correct_bits for part in parts]):
        parts = parts[:1]
    pooled = pool([part.estimate for part in parts], confidence, sum(part.correct for part in parts), SHARE)
    return pooled and replace(pooled, n=parts[0].n, shared=True)


def further_accuracy(
    results: Sequence[SeedResult], arm: str, measure: Literal["top5", "mean_per_class"]
) -> Pooled | None:
    """Return an arm's top-5 accuracy (n images) or mean over classes (n classes), or `None` if no seed has it."""
    found = []
    for result in results:
        part = result.accuracy.arm(arm)
        number = part and (part.mean_per_class if measure == "mean_per_class" else part.top5 and part.top5.estimate)
        if part and number:
            found.append((number, part.top1.correct_bits))
    estimates = [number for number, _ in found]
    if arm == "templates" or _same([bits for _, bits in found]):
        estimates = estimates[:1]
    pooled = pool(estimates, confidence_of(results), 0, SHARE)
    return pooled and replace(pooled, n=estimates[0].n, shared=True)


def accuracy_difference(results: Sequence[SeedResult], arm: str, against: str) -> Difference | None:
    """Return the accuracy of `arm` minus that of `against` on the same images; `None` if they were not compared."""
    for pair, swapped in (((arm, against), False), ((against, arm), True)):
        found = [
            (
                part,
                [measured.top1.correct_bits if (measured := result.accuracy.arm(name)) else "" for name in pair],
            )
            for result in results
            for part in result.accuracy.differences
            if (part.arm, part.against) == pair
        ]
        change = pool_differences(
            [part.paired for part, _ in found],
            [bits for _, bits in found],
            settings_of(results),
            draws=found[0][0].draws if found else None,
        )
        if change:
            return change.flipped() if swapped else change
    return None


def covered_difference(results: Sequence[SeedResult], groups: Sequence[str]) -> Difference | None:
    """Return the difference of two groups on the classes that have texts of both; `None` if it was not measured."""
    found = [
        part
        for result in results
        for part in result.accuracy.covered_by_both
        if part.groups == tuple(groups) and part.difference
    ]
    bits = [[part.arms[group].correct_bits for group in groups] for part in found]
    if len({part.without or () for part in found}) > 1:
        bits = []  # each seed leaves other images out: there are none to average over seeds
    return pool_differences([part.difference.paired for part in found if part.difference], bits, settings_of(results))


def pool_differences(
    parts: Sequence[PairedAccuracy],
    bits: Sequence[Sequence[str]],
    settings: IntervalSettings,
    *,
    draws: Draws | None = None,
) -> Difference | None:
    """Pool a difference of accuracies over seeds.

    Args:
        parts: The result of each seed.
        bits: For each seed, which images the first and the second arm classify rightly, from `pack_correct`; empty
            where it was not stored.
        settings: How intervals are made.
        draws: What draws of the texts tell of the first seed's difference; not used where several seeds are, each of
            which has texts of its own.

    Returns:
        The pooled difference; `None` without parts. If every seed has the same images right with both arms, it is the
        first seed's difference. Otherwise it has Student's t-interval over seeds and, where the bits are known, the
        interval over images of the mean over seeds; it is significant only if both exclude 0, and so does the interval
        over seeds and images together: with five seeds, each of the two alone leaves out as much as it holds.
    """
    if not parts:
        return None
    columns = list(zip(*bits, strict=True)) if len(bits) == len(parts) else []
    if len(parts) == 1 or (columns and all(_same(column) for column in columns)):
        return _difference_of_one_seed(paired_over_draws(parts[0], draws, settings.confidence), draws, settings)
    values = [part.difference for part in parts]
    over = within(mean_t(values, settings.confidence), *DIFFERENCE)
    # Seeds that agree by chance would give an interval of no width: they do not tell how far seeds differ.
    low, high = (None, None) if all_equal(values) else (over.low, over.high)
    tests = {OVER_SEEDS: _apart(low, high) is True}
    images, both, sizes = None, None, {part.n for part in parts}
    if len(sizes) == 1 and columns and all(all(column) for column in columns):
        first, second = ([unpack_correct(packed, min(sizes)) for packed in column] for column in columns)
        means = (np.mean(column, axis=0).tolist() for column in (first, second))
        averaged = paired_averages(*means, confidence=settings.confidence)
        images = (averaged.low, averaged.high)
        tests[OVER_IMAGES] = _apart(*images) is True
        if low is not None and high is not None:
            ends = over_both(over.value, (low, high), images)
            both = max(ends[0], DIFFERENCE[0]), min(ends[1], DIFFERENCE[1])
            if all(tests.values()):
                tests[OVER_BOTH] = _apart(*both) is True
    return Difference(
        over.value,
        low,
        high,
        all(tests.values()),
        None,
        max(sizes),
        len(parts),
        shared=True,
        images=images,
        p_by_seed=tuple(part.p for part in parts),
        doubts=_doubts(tests),
        both=both,
    )


def _difference_of_one_seed(part: PairedAccuracy, draws: Draws | None, settings: IntervalSettings) -> Difference:
    # Today's interval and p are one inversion and say the same. Those of earlier versions were a bootstrap and the
    # exact test, which need not: both must tell.
    tests = {MCNEMAR: part.p < 1 - settings.confidence, OVER_IMAGES: _apart(part.low, part.high) is True}
    significant = all(tests.values())
    number = draws.draws if draws else 0
    return Difference(
        part.difference, part.low, part.high, significant, part.p, part.n, 1, True, doubts=_doubts(tests), draws=number
    )


def as_denominator(result: SeedResult, denominator: Denominator) -> SeedResult:
    """Return a seed's result with all shares by the given denominator, whichever it was analysed with."""
    stored = result.breakdown
    policies = {
        policy: replace(part, groups=group_shares(part.kinds, denominator, stored.confidence))
        for policy, part in stored.policies.items()
    }
    return replace(result, breakdown=replace(stored, denominator=denominator, policies=policies))


def share_of(results: Sequence[SeedResult], policy: PolicyName, group: Group, of: Of = "of_all") -> Pooled | None:
    """Return a group's share among a policy's descriptions, or `None` if there are none."""
    groups = [part.groups[group] for result in results if (part := result.breakdown.policy(policy))]
    found = [(share, each.count) for each in groups if (share := each.share(of))]
    return pool([share for share, _ in found], confidence_of(results), sum(count for _, count in found), SHARE)


def share_change(results: Sequence[SeedResult], group: Group) -> Difference | None:
    """Return a group's share of all descriptions, aligned model minus base model; `None` if it is not known."""
    changes = []
    for result in results:
        pair = [share_of([result], policy, group) for policy in ("aligned", "base")]
        estimates = [Estimate(share.value, share.low, share.high, share.n) for share in pair if share]
        if len(estimates) == 2:
            changes.append(newcombe(*estimates))
    return difference_over(changes, confidence_of(results), DIFFERENCE)


def reward_gain(results: Sequence[SeedResult]) -> Difference | None:
    """Return the mean reward of aligned minus base descriptions of the same class and question."""
    gains = [result.accuracy.reward_gain.paired for result in results if result.accuracy.reward_gain]
    estimates = [Estimate(gain.difference, gain.low, gain.high, gain.n) for gain in gains]
    return difference_over(estimates, confidence_of(results))


def pool(
    estimates: Sequence[Estimate], confidence: float, count: int, bounds: tuple[float, float] = ANY
) -> Pooled | None:
    """Pool a number over seeds.

    Args:
        estimates: The estimate of each seed.
        confidence: Coverage of the interval, in (0, 1).
        count: Number of hits of all seeds together; 0 if the number is not a share.
        bounds: The least and the most that the quantity can be; the interval over seeds is cut to it.

    Returns:
        The mean with Student's t-interval over seeds; `None` without estimates. If all estimates are equal, that
        interval would have no width, so the first seed's interval is taken.
    """
    if not estimates:
        return None
    values = [estimate.value for estimate in estimates]
    over = estimates[0] if all_equal(values) else within(mean_t(values, confidence), *bounds)
    sizes = [estimate.n for estimate in estimates]
    return Pooled(over.value, over.low, over.high, sum(sizes), len(sizes), count, fewest=min(sizes))


def difference_over(
    estimates: Sequence[Estimate], confidence: float, bounds: tuple[float, float] = ANY
) -> Difference | None:
    """Pool a difference over seeds, as `pool` does; it is told from 0 if its interval is.

    Args:
        estimates: The difference in each seed, with its interval.
        confidence: Coverage of the interval, in (0, 1).
        bounds: The least and the most that the quantity can be.

    Returns:
        The difference; `None` without estimates.
    """
    over = pool(estimates, confidence, 0, bounds)
    if over is None:
        return None
    by_seed = tuple(estimate.value for estimate in estimates) if len(estimates) > 1 else ()
    told = _apart(over.low, over.high)
    return Difference(over.value, over.low, over.high, told, None, over.n, over.seeds, by_seed=by_seed)


def _apart(low: float | None, high: float | None) -> bool | None:
    return None if low is None or high is None else low > 0 or high < 0


def _same(bits: Sequence[str]) -> bool:
    return len(set(bits)) == 1 and bool(bits[0])


def _doubts(tests: dict[str, bool]) -> tuple[str, ...]:
    return tuple(test for test, told in tests.items() if not told) if any(tests.values()) else ()
