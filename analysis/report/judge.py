"""What the report says about the judge: shares by both denominators, a panel's votes, and the cost."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from analysis.agreement.section import QUESTION_NAMES
from analysis.judge.base import Usage
from analysis.judge.panel import JudgeUsage
from analysis.results.experiment import Experiment
from analysis.results.load import SeedResult
from analysis.results.pooling import Pooled
from analysis.results.wording import KIND_NAMES, count, percent
from analysis.verdicts.breakdown import DENOMINATORS, GROUPS
from analysis.verdicts.record import JudgingCost
from ex2.policy.source import POLICIES


def both_denominators(experiment: Experiment) -> list[dict[str, Any]]:
    """Lay out the shares by both denominators, for each policy with unparsed answers.

    Returns:
        For each policy its name, its unparsed answers by question, and rows of a name and two cells in the order of
        `DENOMINATORS`. Empty if every answer could be read, and if so few could that no share is shown.
    """
    tables: list[dict[str, Any]] = []
    if experiment.unread:
        return tables
    for policy in reversed(POLICIES):
        described = experiment.policies.get(policy)
        if described is None or not any(described.unparsed.values()):
            continue
        by_way = [described.by_denominator[way] for way in DENOMINATORS]
        rows = []
        for group in GROUPS:
            name = KIND_NAMES[group]
            rows.append((name, [_share(shares.of_all.get(group)) for shares in by_way]))
            if group in ("visual", "non_visual"):
                rows.append((f"{name}, of informative", [_share(shares.of_parent.get(group)) for shares in by_way]))
        tables.append({"policy": policy, **described.unparsed, "rows": rows, "n": described.descriptions})
    return tables


def _share(share: Pooled | None) -> str:
    return f"{percent(share)}, {count(share)}" if share else "–"


def panel(results: Sequence[SeedResult]) -> list[dict[str, Any]]:
    """Add up a panel's votes over seeds.

    Returns:
        For each question its name, how many descriptions were `asked` about, `split` (not unanimous) and `undecided`,
        and rows of a judge and its votes for yes, no and unparsed. Empty if the judge is not a panel.
    """
    tables = []
    for question, name in QUESTION_NAMES.items():
        parts = [part for result in results if (part := (result.breakdown.panel or {}).get(question))]
        if not parts:
            continue
        judges = dict.fromkeys(judge for part in parts for judge in part.judges)
        tables.append(
            {
                "name": name,
                "asked": sum(part.asked for part in parts),
                "split": sum(part.asked - part.unanimous for part in parts),
                "undecided": sum(part.undecided for part in parts),
                "judges": [
                    (judge, [sum(part.judges.get(judge, {}).get(vote, 0) for part in parts) for vote in VOTES])
                    for judge in judges
                ],
            }
        )
    return tables


VOTES = ("yes", "no", "unparsed")


def usage(results: Sequence[SeedResult]) -> str:
    """Say what the verdicts took, and for a panel what each judge took; empty if the judge does not count it."""
    parts = [result.breakdown.usage for result in results if result.breakdown.usage]
    if not parts:
        return ""
    taken, cost = _taken(parts)
    if cost is None:
        is_panel = any(result.breakdown.panel for result in results)
        priced = "the cost is unknown: not every judge was priced" if is_panel else "no prices were given"
    else:
        priced = f"{cost} by the prices given"
    by_judge: dict[str, list[JudgeUsage]] = {}
    for part in parts:
        for row in part.judges or ():
            by_judge.setdefault(row.name, []).append(row)
    judges = []
    for name, rows in by_judge.items():
        own, own_cost = _taken(rows)
        judges.append(f"{name}: {own}, cost {own_cost or 'unknown'}")
    return ". ".join((f"{taken}; {priced}", *(["; ".join(judges)] if judges else [])))


def _taken(parts: Sequence[JudgingCost] | Sequence[JudgeUsage]) -> tuple[str, str | None]:
    """Return what several seeds took in words, and the cost; the cost is `None` if that of a seed is unknown."""
    taken = functools.reduce(Usage.plus, (part.spent for part in parts))
    costs = [part.cost for part in parts if part.cost is not None]
    words = f"{taken.requests:,} requests, {taken.input_tokens:,} tokens in and {taken.output_tokens:,} out"
    return words, None if len(costs) < len(parts) else f"{sum(costs):,.4f}"
