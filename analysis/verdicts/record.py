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
    """Who judged.

    Attributes:
        name: Of the judge.
        exact: True if its answers are true by construction, False if they are a model's.
        rubric: Version of the questions.
        settings: `judge_digest` of its settings.
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
        cost: In the currency of the prices; None without prices, or if that of a panel's judge is unknown.
        judges: Of a panel, the part of each judge; None if the judge is no panel.
    """

    spent: Annotated[Usage, Keyed(), Flat()]
    cost: float | None
    judges: Annotated[tuple[JudgeUsage, ...] | None, Omitted()] = None


@dataclass(frozen=True, kw_only=True)
class Breakdown(Record):
    """Content of `breakdown.json`.

    Attributes:
        judge: Who judged.
        usage: What its verdicts took; None if it does not count.
        panel: By question, how a panel voted; None if the judge is no panel.
        denominator: What the shares of `policies` are of.
        confidence: Coverage of their intervals.
        policies: By name, `aligned` and, if it was described, `base`.
        analysis_id: Equal in the `accuracy.json` of the same analysis; None in files of earlier versions.
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
