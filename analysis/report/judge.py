"""What the report says of the judge: shares by both denominators, agreement with people, a panel's votes, the cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from analysis.agreement.section import POLICIES, QUESTION_NAMES
from analysis.results.load import SeedResult
from analysis.results.pooling import Policy, as_denominator, share_of
from analysis.results.wording import KIND_NAMES, count, percent
from analysis.verdicts.breakdown import DENOMINATORS, GROUPS
from reward.files import JSON


def both_denominators(results: Sequence[SeedResult]) -> list[dict[str, Any]]:
    """Lay out the shares by both denominators, for each policy with unparsed answers.

    Returns:
        Per policy its name, its unparsed answers by question, and rows of a name and two cells in the order of
        `DENOMINATORS`; empty if every answer could be read.
    """
    tables = []
    for policy in POLICIES:
        parts = [r.breakdown["policies"][policy] for r in results if policy in r.breakdown["policies"]]
        unparsed = {question: sum(part["unparsed"][question] for part in parts) for question in QUESTION_NAMES}
        if not any(unparsed.values()):
            continue
        by_way = [[as_denominator(result, way) for result in results] for way in DENOMINATORS]
        rows = []
        for group in GROUPS:
            name = KIND_NAMES[group]
            rows.append((name, [_share(seeds, policy, group, "of_all") for seeds in by_way]))
            if group in ("visual", "non_visual"):
                rows.append(
                    (f"{name}, of informative", [_share(seeds, policy, group, "of_parent") for seeds in by_way])
                )
        tables.append({"policy": policy, **unparsed, "rows": rows, "n": sum(part["descriptions"] for part in parts)})
    return tables


def _share(results: Sequence[SeedResult], policy: Policy, group: Any, of: Any) -> str:
    share = share_of(results, policy, group, of)
    return f"{percent(share)}, {count(share)}" if share else "–"


def panel(results: Sequence[SeedResult]) -> list[dict[str, Any]]:
    """Add up a panel's votes over seeds.

    Returns:
        Per question its name, how many were `asked`, `split` (not unanimous) and `undecided`, and rows of a judge and
        its votes for yes, no and unparsed; empty if the judge is no panel.
    """
    tables = []
    for question, name in QUESTION_NAMES.items():
        parts = [part for r in results if (part := (r.breakdown.get("panel") or {}).get(question))]
        if not parts:
            continue
        judges = dict.fromkeys(judge for part in parts for judge in part["judges"])
        tables.append(
            {
                "name": name,
                "asked": sum(part["asked"] for part in parts),
                "split": sum(part["asked"] - part["unanimous"] for part in parts),
                "undecided": sum(part["undecided"] for part in parts),
                "judges": [
                    (judge, [sum(part["judges"].get(judge, {}).get(vote, 0) for part in parts) for vote in VOTES])
                    for judge in judges
                ],
            }
        )
    return tables


VOTES = ("yes", "no", "unparsed")


def usage(results: Sequence[SeedResult]) -> str:
    """Say what the verdicts took, of a panel each judge's part too; empty if the judge does not count."""
    parts = [part for result in results if (part := result.breakdown.get("usage"))]
    if not parts:
        return ""
    taken, cost = _taken(parts)
    if cost is None:
        is_panel = any(result.breakdown.get("panel") for result in results)
        priced = "the cost is unknown: not every judge was priced" if is_panel else "no prices were given"
    else:
        priced = f"{cost} by the prices given"
    by_judge: dict[str, list[JSON]] = {}
    for part in parts:
        for row in part.get("judges", ()):
            by_judge.setdefault(row["name"], []).append(row)
    judges = []
    for name, rows in by_judge.items():
        own, own_cost = _taken(rows)
        judges.append(f"{name}: {own}, cost {own_cost or 'unknown'}")
    return ". ".join((f"{taken}; {priced}", *(["; ".join(judges)] if judges else [])))


def _taken(parts: Sequence[JSON]) -> tuple[str, str | None]:
    """Return what several seeds took in words, and its cost; `None` if that of a part is unknown."""
    requests, sent, received = (
        sum(part[key] for part in parts) for key in ("requests", "input_tokens", "output_tokens")
    )
    costs = [part["cost"] for part in parts]
    words = f"{requests:,} requests, {sent:,} tokens in and {received:,} out"
    return words, None if None in costs else f"{sum(costs):,.4f}"
