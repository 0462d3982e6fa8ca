"""Pools a run's seeds into one experiment. All numbers of a run over its seeds are made here."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.accuracy.record import Control
from analysis.results.attribution import gain_parts
from analysis.results.by_class import changes_by_class, counted_by_class
from analysis.results.endings import end_of_training
from analysis.results.experiment import Counts, Coverage, Described, Experiment, Shares, Texts
from analysis.results.kl import kl_of
from analysis.results.load import SeedResult, confidence_of
from analysis.results.pooling import (
    accuracy_difference,
    accuracy_of,
    as_denominator,
    covered_difference,
    further_accuracy,
    reward_gain,
    share_change,
    share_of,
)
from analysis.results.unread import unread_answers, without_shares
from analysis.verdicts.breakdown import DENOMINATORS, GROUPS
from analysis.verdicts.verdicts import KINDS
from ex2.policy.source import POLICIES, PolicyName


def pool_seeds(name: str, results: Sequence[SeedResult]) -> Experiment:
    """Pool all numbers of a run's seeds, or those of one seed alone.

    Args:
        name: Name of the run.
        results: Results of at least one seed, all analysed in the same way. Shares are by the denominator that the
            results hold.

    Returns:
        The experiment with what the seeds' own files hold; without shares if the judge could hardly be read. The
        recipe's KL setting, results of `ex2 cross`, examples and folder are not set.
    """
    first = results[0].accuracy
    arms = dict.fromkeys(arm for result in results for arm in result.accuracy.arms)
    accuracies = {arm: number for arm in arms if (number := accuracy_of(results, arm))}
    pairs = dict.fromkeys((part.arm, part.against) for r in results for part in r.accuracy.differences)
    denominator = results[0].breakdown.denominator
    made = Experiment(
        name=name,
        vlm=first.vlm,
        dataset=first.dataset,
        accuracies=accuracies,
        differences={pair: change for pair in pairs if (change := accuracy_difference(results, *pair))},
        counts=tuple(count for result in results if (count := _counts(result))),
        denominator=denominator,
        confidence=confidence_of(results),
        kl=kl_of(results),
        textless=frozenset(arms.keys() - accuracies.keys()),
        fallback=_fallback(results),
        classes=first.classes,
        seeds=tuple(result.seed for result in results),
        images=first.images,
        arms={arm: _texts(results, arm) for arm in arms},
        controls=_controls(results),
        covered=_covered(results),
        policies={policy: made for policy in POLICIES if (made := _described(results, policy))},
        share_changes={group: change for group in GROUPS if (change := share_change(results, group))},
        class_changes=changes_by_class([counted_by_class(result) for result in results], denominator),
        reward_gain=reward_gain(results),
        reward_end=end_of_training(results, "reward_mean"),
        judge=results[0].breakdown.judge,
        gain_parts=gain_parts(results),
    )
    unread = unread_answers(made.policies)
    return without_shares(made, unread) if unread else made


def _counts(result: SeedResult) -> Counts | None:
    """Return one seed's counts of aligned descriptions, or `None` if only the base model was described."""
    part = result.breakdown.policy("aligned")
    if part is None:
        return None
    return Counts(part.descriptions, **{group: part.count(group) for group in GROUPS})


def _fallback(results: Sequence[SeedResult]) -> dict[str, int]:
    """Return arm → number of classes without a text, in the seed with the most; arms that cover all are absent."""
    found: dict[str, int] = {}
    for result in results:
        for arm, part in result.accuracy.arms.items():
            if part and part.fallback_classes:
                found[arm] = max(found.get(arm, 0), len(part.fallback_classes))
    return found


def _texts(results: Sequence[SeedResult], arm: str) -> Texts:
    parts = [part for result in results if (part := result.accuracy.arm(arm))]
    return Texts(
        texts=sum(part.texts for part in parts),
        fallback_classes=tuple(sorted({name for part in parts for name in part.fallback_classes})),
        top5=further_accuracy(results, arm, "top5"),
        mean_per_class=further_accuracy(results, arm, "mean_per_class"),
    )


def _controls(results: Sequence[SeedResult]) -> dict[str, Control]:
    """Return what each control arm is, as the first seed that has the arm says."""
    found: dict[str, Control] = {}
    for result in results:
        for arm, control in result.accuracy.controls.items():
            found.setdefault(arm, control)
    return found


def _covered(results: Sequence[SeedResult]) -> dict[tuple[str, str], Coverage]:
    classes: dict[tuple[str, str], list[int]] = {}
    for result in results:
        for part in result.accuracy.covered_by_both:
            classes.setdefault(part.groups, []).append(part.classes)
    return {
        groups: Coverage(min(found), max(found), covered_difference(results, groups))
        for groups, found in classes.items()
    }


def _described(results: Sequence[SeedResult], policy: PolicyName) -> Described | None:
    """Add up a policy's descriptions over seeds; `None` if no seed has any."""
    parts = [part for result in results if (part := result.breakdown.policy(policy))]
    if not parts:
        return None
    ways = {way: [as_denominator(result, way) for result in results] for way in DENOMINATORS}
    return Described(
        descriptions=sum(part.descriptions for part in parts),
        empty=sum(part.empty for part in parts),
        unparsed={question: sum(part.unparsed[question] for part in parts) for question in parts[0].unparsed},
        kinds={kind: sum(part.kinds[kind] for part in parts) for kind in KINDS},
        shares=_shares(results, policy),
        by_denominator={way: _shares(seeds, policy) for way, seeds in ways.items()},
    )


def _shares(results: Sequence[SeedResult], policy: PolicyName) -> Shares:
    return Shares(
        {group: share for group in GROUPS if (share := share_of(results, policy, group))},
        {group: share for group in GROUPS if (share := share_of(results, policy, group, "of_parent"))},
    )
