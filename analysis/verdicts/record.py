"""What `breakdown.json` holds: one seed's shares of kinds, and who judged, read from the file and written to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from analysis.judge.base import Question, Usage
from analysis.judge.panel import JudgeUsage, PanelVotes
from analysis.verdicts.breakdown import Denominator, PolicyBreakdown
from reward.files import read_record
from reward.records import Flat, Keyed, Omitted, Record


@dataclass(frozen=True)
class JudgeIdentity(Record):
    """The judge that gave the verdicts.

    Attributes:
        name: Name of the judge.
        exact: True if the judge's answers are true by construction, False if they are a model's.
        rubric: Version of the questions.
        settings: `judge_digest` of the judge.
    """

    name: str
    exact: bool
    rubric: str
    settings: str


@dataclass(frozen=True)
class JudgingCost(Record):
    """What all verdicts took.

    Attributes:
        spent: Requests and tokens.
        cost: Price in the currency of the judge's prices; None without prices, or if that of one judge of a panel is
            unknown.
        judges: What each judge of a panel took; None if the judge is not a panel.
    """

    spent: Annotated[Usage, Keyed(), Flat()]
    cost: float | None
    judges: Annotated[tuple[JudgeUsage, ...] | None, Omitted()] = None


@dataclass(frozen=True, kw_only=True)
class Breakdown(Record):
    """Content of `breakdown.json`.

    Attributes:
        judge: The judge that gave the verdicts.
        usage: What the verdicts took; None if the judge does not count it.
        panel: How a panel voted, by question; None if the judge is not a panel.
        denominator: Which descriptions the shares of `policies` are of.
        confidence: Coverage of the shares' intervals, in (0, 1).
        policies: Breakdown of each policy that was described, by name: `aligned` and `base`.
        analysis_id: Identifier that the `accuracy.json` of the same analysis has too; None in files of earlier
            versions.
    """

    judge: JudgeIdentity
    usage: JudgingCost | None = None
    panel: Mapping[Question, PanelVotes] | None = None
    denominator: Denominator
    confidence: float
    policies: Mapping[str, PolicyBreakdown]
    analysis_id: Annotated[str | None, Omitted()] = None

    def policy(self, name: str) -> PolicyBreakdown | None:
        """Return the breakdown of one policy's descriptions; None if it was not described."""
        return self.policies.get(name)


def read_breakdown(path: Path) -> Breakdown:
    """Read `breakdown.json`.

    Raises:
        UserError: If the file is missing, is not JSON, or lacks what every version of the stage has written.
    """
    return read_record(path, Breakdown.from_json)
