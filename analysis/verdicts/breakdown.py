"""The breakdown: all → spurious / informative → non-visual / visual descriptions, with an interval for every share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

from analysis.statistics.intervals import Estimate
from analysis.statistics.shares import share_interval
from analysis.verdicts.verdicts import KINDS, Kind, Verdicts
from ex2.run.descriptions import Description
from reward.records import Keyed, Omitted, Record, Whole

Group = Literal["spurious", "informative", "visual", "non_visual"]
Denominator = Literal["parsed", "all"]

DENOMINATORS: tuple[Denominator, ...] = ("parsed", "all")

GROUPS: tuple[Group, ...] = ("spurious", "informative", "visual", "non_visual")

Leaf = Literal["spurious", "non_visual", "visual"]
LEAVES: tuple[Leaf, ...] = ("spurious", "non_visual", "visual")
"""The groups that are not divided further: each description whose verdicts are all known is in one of them."""

MEMBERS: dict[Group, frozenset[Kind]] = {
    "spurious": frozenset({"spurious"}),
    "informative": frozenset({"visual", "non_visual", "informative_unparsed"}),
    "visual": frozenset({"visual"}),
    "non_visual": frozenset({"non_visual"}),
}
"""The kinds of description that make up each group."""


Of = Literal["of_all", "of_parent"]
"""What a share is of. `of_all`: all descriptions. `of_parent`: the group above, which is the informative descriptions
for visual and non-visual, and all descriptions for the others."""


Share = Annotated[Estimate, Keyed(value="share")]
"""A share with its interval, as it is stored."""


@dataclass(frozen=True)
class GroupShares(Record):
    """Size of a group of descriptions, as a count and as shares.

    Attributes:
        count: Number of descriptions in the group.
        of_parent: The group's share of the group above it, see `group_sizes`; None where the denominator is 0.
        of_all: The group's share of all descriptions; None where the denominator is 0.
    """

    count: int
    of_parent: Share | None
    of_all: Share | None

    def share(self, of: Of) -> Estimate | None:
        """Return one of the two shares."""
        return self.of_all if of == "of_all" else self.of_parent


Groups = Annotated[Mapping[Group, GroupShares], Whole()]


@dataclass(frozen=True)
class PolicyBreakdown(Record):
    """What one policy's descriptions are made of.

    Attributes:
        descriptions: Number of descriptions, repeated ones included.
        unique: Number of distinct pairs of class and text.
        empty: Number of empty descriptions, which are among the spurious.
        unparsed: Number of the judge's answers that could not be read, by question.
        kinds: Number of descriptions of each kind.
        groups: Shares of the groups, by the denominator of the recipe.
        by_denominator: Shares of the groups by each denominator; they differ only if an answer could not be read. Empty
            in files of earlier versions.
    """

    descriptions: int
    unique: int
    empty: int
    unparsed: Mapping[str, int]
    kinds: Annotated[Mapping[Kind, int], Whole()]
    groups: Groups
    by_denominator: Annotated[Mapping[Denominator, Groups], Omitted()] = field(default_factory=dict)

    def count(self, group: Group) -> int:
        """Return how many descriptions are of a group."""
        return sum(self.kinds[kind] for kind in MEMBERS[group])


@dataclass(frozen=True)
class GroupSizes:
    """Number of descriptions of a group, and of those that its shares are of.

    Attributes:
        count: Descriptions in the group.
        parent: Descriptions that `of_parent` is of.
        all: Descriptions that `of_all` is of.
    """

    count: int
    parent: int
    all: int


def group_sizes(counts: Mapping[Kind, int], denominator: Denominator) -> dict[Group, GroupSizes]:
    """Count groups and what their shares are of.

    With the denominator `parsed`, a share is of the descriptions whose verdicts could be read. For spurious and
    informative these are the descriptions with a first verdict. For visual and non-visual they are the informative ones
    with a second verdict (`of_parent`), and all descriptions in one of the three leaves (`of_all`). With the
    denominator `all`, descriptions with unparsed answers stay in the denominator, as in the paper: informative / all,
    visual / informative.

    Args:
        counts: Number of descriptions of each kind; absent kinds count 0.
        denominator: `parsed` or `all`, see above.
    """
    n: dict[Kind, int] = {kind: counts.get(kind, 0) for kind in KINDS}
    total = sum(n.values())
    spurious, visual, non_visual, half_parsed, _ = n.values()
    informative = visual + non_visual + half_parsed
    if denominator == "all":
        first, second, leaves = total, informative, total
    else:
        first = spurious + informative
        second = visual + non_visual
        leaves = spurious + second
    found: dict[Group, GroupSizes] = {}
    for group in GROUPS:
        count = sum(n[kind] for kind in MEMBERS[group])
        divided = group in ("visual", "non_visual")
        found[group] = GroupSizes(count, second if divided else first, leaves if divided else first)
    return found


def group_shares(
    counts: Mapping[Kind, int], denominator: Denominator, confidence: float = 0.95
) -> dict[Group, GroupShares]:
    """Turn counts of kinds into shares of groups.

    Args:
        counts: Number of descriptions of each kind; absent kinds count 0.
        denominator: What shares are of, see `group_sizes`.
        confidence: Coverage of the intervals, in (0, 1).

    Returns:
        Each group's count and its two shares, which are `None` where the denominator is 0.
    """
    return {
        group: GroupShares(
            size.count,
            of_parent=_interval(size.count, size.parent, confidence),
            of_all=_interval(size.count, size.all, confidence),
        )
        for group, size in group_sizes(counts, denominator).items()
    }


def breakdown(
    descriptions: Sequence[Description], verdicts: Verdicts, denominator: Denominator, confidence: float = 0.95
) -> dict[str, PolicyBreakdown]:
    """Break the descriptions of each policy down.

    Args:
        descriptions: Descriptions of any policies; repeated texts count each time.
        verdicts: Verdicts on every description that is not empty.
        denominator: What shares are of, see `group_sizes`.
        confidence: Coverage of the intervals, in (0, 1).

    Returns:
        Policy → its breakdown, in the order of the policies' first descriptions.

    Raises:
        KeyError: If a description has not been judged.
    """
    result: dict[str, PolicyBreakdown] = {}
    for policy in dict.fromkeys(one.policy for one in descriptions):
        own = [one for one in descriptions if one.policy == policy]
        counted = Counter(verdicts.kind(*one.of_class) for one in own)
        kinds: dict[Kind, int] = {kind: counted[kind] for kind in KINDS}
        by_denominator = {way: group_shares(kinds, way, confidence) for way in DENOMINATORS}
        result[policy] = PolicyBreakdown(
            descriptions=len(own),
            unique=len({one.of_class for one in own}),
            empty=sum(one.is_empty for one in own),
            unparsed={"informative": kinds["unparsed"], "visual": kinds["informative_unparsed"]},
            kinds=kinds,
            groups=by_denominator[denominator],
            by_denominator=by_denominator,
        )
    return result


def _interval(count: int, n: int, confidence: float) -> Estimate | None:
    return share_interval(count, n, confidence) if n else None
