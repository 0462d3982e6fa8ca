"""What people say of the judge, for the report: the tables of `agreement.json`."""

from __future__ import annotations

from typing import Any

from analysis.agreement.stored import JudgeAgreement
from analysis.agreement.tables import SECOND_QUESTION, SHARE_NAMES, WEIGHTED, kinds_table
from analysis.judge.base import Question
from analysis.results.wording import NBSP, UNKNOWN, percent
from analysis.statistics.intervals import Estimate
from ex2.policy.source import POLICIES
from reward.numerals import decimal

QUESTION_NAMES: dict[Question, str] = {"informative": "Is it informative?", "visual": "Is it visual?"}


def agreement_tables(found: JudgeAgreement | None) -> dict[str, Any] | None:
    """Lay out the agreement and the corrected shares; `None` if there are no labels that hold for the run."""
    if found is None or found.stale:
        return None
    content, used = found.content, found.content.used
    verdicts, table = kinds_table(used)
    others = [rubric for rubric in content.rubrics if rubric != content.judge.rubric]
    return {
        "runs": used.runs,
        "labeled": used.labeled,
        "raters": len(content.raters),
        "truth": content.truth,
        "confidence": f"{100 * content.confidence:g}",
        "rubrics": others,
        "verdicts": verdicts,
        "table": table,
        "second": " ".join(
            f"{note[0].upper()}{note[1:]}." for note in (SECOND_QUESTION, *[WEIGHTED] * bool(used.weighted_table))
        ),
        "questions": [
            {
                "name": QUESTION_NAMES[question],
                "agreement": share_text(rates.agreement),
                "kappa": number_text(rates.kappa),
                "sensitivity": share_text(rates.sensitivity),
                "specificity": share_text(rates.specificity),
                "alpha": number_text(rates.alpha),
                "paper": f"{100 * rates.paper.agreement:.1f}{NBSP}% (n{NBSP}={NBSP}{rates.paper.n})",
            }
            for question, rates in used.questions.items()
        ],
        "shares": [
            {
                "policy": policy,
                "name": SHARE_NAMES[name],
                "judged": share_text(share.judged),
                "corrected": share_text(share.corrected) if share.corrected else f"– ({share.reason})",
            }
            for policy in reversed(POLICIES)
            if policy in content.policies and not content.unread
            for name, share in content.policies[policy].shares.items()
        ],
    }


def share_text(estimate: Estimate | None) -> str:
    """Return `86.0 % [73.8–93.0] (n = 50)`, or a dash for what is unknown."""
    return UNKNOWN if estimate is None else f"{percent(estimate)} (n{NBSP}={NBSP}{estimate.n:,})"


def number_text(estimate: Estimate | None) -> str:
    """Return `0.71 [0.52, 0.90] (n = 50)`, or a dash for what is unknown."""
    if estimate is None:
        return "–"
    value, low, high, n = estimate
    ends = "" if low is None or high is None else f"{NBSP}[{decimal(low, 2)},{NBSP}{decimal(high, 2)}]"
    return f"{decimal(value, 2)}{ends} (n{NBSP}={NBSP}{n:,})"
