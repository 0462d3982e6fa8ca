"""The breakdown: all → spurious / informative → non-visual / visual, with an interval for every share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from analysis.statistics.intervals import Estimate, wilson
from analysis.verdicts.verdicts import KINDS, Kind, Verdicts
from ex2.run.descriptions import Description
from reward.files import JSON

Group = Literal["spurious", "informative", "visual", "non_visual"]
Denominator = Literal["parsed", "all"]

DENOMINATORS: tuple[Denominator, ...] = ("parsed", "all")

GROUPS: tuple[Group, ...] = ("spurious", "informative", "visual", "non_visual")

MEMBERS: dict[Group, frozenset[Kind]] = {
    "spurious": frozenset({"spurious"}),
    "informative": frozenset({"visual", "non_visual", "informative_unparsed"}),
    "visual": frozenset({"visual"}),
    "non_visual": frozenset({"non_visual"}),
}
"""Which kinds of description make up a group."""


def group_shares(counts: dict[Kind, int], denominator: Denominator, confidence: float = 0.95) -> dict[Group, JSON]:
    """Turn counts of kinds into shares of groups.

    With `parsed`, a share is of the descriptions whose verdicts could be read: all first verdicts for spurious and
    informative; for visual and non-visual, informative ones with a second verdict (`of_parent`), and all that ended in
    one of the three leaves (`of_all`). With `all`, unparsed answers stay in the denominator, as in the paper:
    informative / all, visual / informative.

    Args:
        counts: Descriptions of each kind; absent kinds count 0.
        denominator: See above.
        confidence: Of the Wilson intervals.

    Returns:
        For each group its `count` and two shares, `of_parent` and `of_all`, each with `share`, `low`, `high` and `n`,
        or `None` where the denominator is 0.
    """
    n: dict[Kind, int] = {kind: counts.get(kind, 0) for kind in KINDS}
    total = sum(n.values())
    informative = n["visual"] + n["non_visual"] + n["informative_unparsed"]
    if denominator == "all":
        first, second, leaves = total, informative, total
    else:
        first = n["spurious"] + informative
        second = n["visual"] + n["non_visual"]
        leaves = n["spurious"] + second
    result: dict[Group, JSON] = {}
    for group in GROUPS:
        count = sum(n[kind] for kind in MEMBERS[group])
        is_leaf_of_informative = group in ("visual", "non_visual")
        result[group] = {
            "count": count,
            "of_parent": _share(count, second if is_leaf_of_informative else first, confidence),
            "of_all": _share(count, leaves if is_leaf_of_informative else first, confidence),
        }
    return result


def breakdown(
    descriptions: Sequence[Description], verdicts: Verdicts, denominator: Denominator, confidence: float = 0.95
) -> dict[str, JSON]:
    """Break the descriptions of each policy down.

    Args:
        descriptions: Of any policies; repeated texts count each time.
        verdicts: Of every description that is not empty.
        denominator: What shares are of, see `group_shares`.
        confidence: Of the intervals.

    Returns:
        Per policy: `descriptions`, `unique`, `empty` (among the spurious), `unparsed` by question, `kinds`, `groups`
        by the chosen denominator, and `by_denominator`, the groups by each; these differ only if some answer is
        unparsed.

    Raises:
        KeyError: If a description has not been judged.
    """
    result: dict[str, JSON] = {}
    for policy in dict.fromkeys(one.policy for one in descriptions):
        own = [one for one in descriptions if one.policy == policy]
        counted = Counter(verdicts.kind(*one.of_class) for one in own)
        kinds: dict[Kind, int] = {kind: counted[kind] for kind in KINDS}
        by_denominator = {way: group_shares(kinds, way, confidence) for way in DENOMINATORS}
        result[policy] = {
            "descriptions": len(own),
            "unique": len({one.of_class for one in own}),
            "empty": sum(one.is_empty for one in own),
            "unparsed": {"informative": kinds["unparsed"], "visual": kinds["informative_unparsed"]},
            "kinds": kinds,
            "groups": by_denominator[denominator],
            "by_denominator": by_denominator,
        }
    return result


def _share(count: int, n: int, confidence: float) -> JSON | None:
    if n == 0:
        return None
    estimate: Estimate = wilson(count, n, confidence)
    return {"share": estimate.value, "low": estimate.low, "high": estimate.high, "n": estimate.n}
