"""Changes of the shares of kinds class by class: whether a kind rose in most classes or only in a few of them.

A score that likes a few texts of each class for what else is in them raises the kind that has more of these by chance,
and does so in every training. Seeds that agree do not tell that from a preference for the kind; classes, each of which
has texts of its own, do.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean

from analysis.results.load import SeedResult
from analysis.verdicts.breakdown import LEAVES, Denominator, Leaf, group_sizes
from analysis.verdicts.verdicts import Kind
from ex2.policy.source import POLICIES, PolicyName

Counted = Mapping[PolicyName, Mapping[int, Mapping[Kind, int]]]
"""Number of descriptions of each kind, by policy and by the class's label."""


def changes_by_class(seeds: Sequence[Counted], denominator: Denominator) -> dict[Leaf, tuple[float, ...]]:
    """Return how the share of each kind changed in each class, aligned minus base, as the mean over seeds.

    Args:
        seeds: What each seed has.
        denominator: What shares are of, see `group_sizes`. A class without such descriptions of either policy tells
            nothing in that seed.

    Returns:
        For each kind a change in [-1, 1] for each class that has one, by label; absent where no class has one.
    """
    found: dict[Leaf, dict[int, list[float]]] = {leaf: defaultdict(list) for leaf in LEAVES}
    for counted in seeds:
        aligned, base = counted.get("aligned", {}), counted.get("base", {})
        for label in aligned.keys() & base.keys():
            after, before = (group_sizes(each[label], denominator) for each in (aligned, base))
            for leaf in LEAVES:
                if after[leaf].all and before[leaf].all:
                    change = after[leaf].count / after[leaf].all - before[leaf].count / before[leaf].all
                    found[leaf][label].append(change)
    return {leaf: tuple(fmean(own[label]) for label in sorted(own)) for leaf, own in found.items() if own}


def counted_by_class(result: SeedResult) -> Counted:
    """Count a seed's descriptions by policy, class and kind; nothing where the analysis has no shares.

    Raises:
        UserError: If a description has no verdict.
    """
    counted: dict[PolicyName, dict[int, Counter[Kind]]] = {}
    for policy in POLICIES:
        if result.breakdown.policy(policy):
            counted[policy] = defaultdict(Counter)
            for one in result.descriptions:
                if one.policy == policy:
                    counted[policy][one.label][result.kind(one)] += 1
    return counted
