"""What `breakdown.json` holds: one seed's shares of kinds, and who judged, read from the file and written to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from analysis.judge.base import Question, Usage
from analysis.judge.panel import JudgeUsage, PanelVotes
from analysis.verdicts.breakdown import Denominator, PolicyBreakdown
from ex2.run.directory import ANALYSIS_ID
from reward.files import JSON, read_record


@dataclass(frozen=True)
class JudgeIdentity:
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

    def to_json(self) -> JSON:
        """Return the judge as stored."""
        return {"name": self.name, "exact": self.exact, "rubric": self.rubric, "settings": self.settings}

    @staticmethod
    def from_json(stored: JSON) -> JudgeIdentity:
        """Read a judge as stored."""
        return JudgeIdentity(stored["name"], stored["exact"], stored["rubric"], stored["settings"])


@dataclass(frozen=True)
class JudgingCost:
    """What all verdicts took.

    Attributes:
        spent: Requests and tokens.
        cost: In the currency of the prices; None without prices, or if that of a panel's judge is unknown.
        judges: Of a panel, the part of each judge; None if the judge is no panel.
    """

    spent: Usage
    cost: float | None
    judges: tuple[JudgeUsage, ...] | None = None

    def to_json(self) -> JSON:
        """Return the usage as stored."""
        stored: JSON = {**self.spent._asdict(), "cost": self.cost}
        return stored if self.judges is None else stored | {"judges": [part.to_json() for part in self.judges]}

    @staticmethod
    def from_json(stored: JSON) -> JudgingCost:
        """Read a usage as stored."""
        judges = stored.get("judges")
        return JudgingCost(
            Usage(*(stored[key] for key in Usage._fields)),
            stored["cost"],
            None if judges is None else tuple(JudgeUsage.from_json(part) for part in judges),
        )


@dataclass(frozen=True, kw_only=True)
class Breakdown:
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
    analysis_id: str | None = None

    def policy(self, name: str) -> PolicyBreakdown | None:
        """Return the breakdown of one policy's descriptions; None if it was not described."""
        return self.policies.get(name)

    def to_json(self) -> JSON:
        """Return the content of the file."""
        stored: JSON = {
            "judge": self.judge.to_json(),
            "usage": self.usage.to_json() if self.usage else None,
            "panel": {question: votes.to_json() for question, votes in self.panel.items()} if self.panel else None,
            "denominator": self.denominator,
            "confidence": self.confidence,
            "policies": {policy: part.to_json() for policy, part in self.policies.items()},
        }
        return stored if self.analysis_id is None else stored | {ANALYSIS_ID: self.analysis_id}

    @staticmethod
    def from_json(stored: JSON) -> Breakdown:
        """Read the content of the file.

        Raises:
            KeyError: If a key that every version has written is missing.
        """
        usage, panel = stored.get("usage"), stored.get("panel")
        return Breakdown(
            judge=JudgeIdentity.from_json(stored["judge"]),
            usage=JudgingCost.from_json(usage) if usage else None,
            panel={question: PanelVotes.from_json(votes) for question, votes in panel.items()} if panel else None,
            denominator=stored["denominator"],
            confidence=stored["confidence"],
            policies={policy: PolicyBreakdown.from_json(part) for policy, part in stored["policies"].items()},
            analysis_id=stored.get(ANALYSIS_ID),
        )


def read_breakdown(path: Path) -> Breakdown:
    """Read `breakdown.json`.

    Raises:
        UserError: If the file is missing, is not JSON, or lacks what every version of the stage has written.
    """
    return read_record(path, Breakdown.from_json)
