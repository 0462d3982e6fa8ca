"""The stored result of `ex2 agreement`, read from a run's folder, and whether it holds for the run as it is now."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from analysis.agreement.raters import Confusion
from analysis.agreement.record import Agreement, QuestionAgreement, read_agreement
from analysis.judge.base import Question
from analysis.labeling.sample import frame_digest, read_frame
from analysis.results.load import SeedResult
from analysis.statistics.intervals import Estimate, newcombe
from analysis.verdicts.verdicts import KINDS

FEWEST_LABELS = 10
"""How often people must have given each answer to a question, for the judge to count as calibrated on it."""

QUESTION_WORDS: dict[Question, str] = {"informative": "informative or not", "visual": "visual or not"}


class JudgeAgreement(NamedTuple):
    """The judge's agreement with people.

    Attributes:
        content: Content of `agreement.json`.
        stale: Why the result does not hold for the run as it is now; empty if it does.
    """

    content: Agreement
    stale: str = ""

    @property
    def silent(self) -> str:
        """Why the result says nothing of the judge at all; empty if it does."""
        if self.stale:
            return f"agreement.json does not count: {self.stale}"
        first = self.content.used.questions["informative"].confusion
        if first.people_yes and first.people_no:
            return ""
        total = sum(first)
        only = "none" if not total else f"{total} of them, all {'spurious' if first.people_no else 'informative'}"
        return f"people labelled {only}: label until both answers occur, with `ex2 label --n`, then run `ex2 agreement`"

    @property
    def lacking(self) -> str:
        """Why the judge does not count as calibrated on any question by this result; empty if it does on one."""
        if self.silent:
            return self.silent
        short = self.shortfalls
        return "" if "" in short.values() else "; ".join(f"{QUESTION_WORDS[one]}: {why}" for one, why in short.items())

    @property
    def shortfalls(self) -> dict[Question, str]:
        """Why the judge does not count as calibrated, by question; empty where it does."""
        used, confidence = self.content.used.questions, self.content.confidence
        return {question: _shortfall(used[question], confidence) for question in QUESTION_WORDS}


def _shortfall(rates: QuestionAgreement, confidence: float) -> str:
    """Say what a comparison with people lacks to call a judge calibrated: labels, agreement or information.

    A judge counts as calibrated if people gave each answer at least `FEWEST_LABELS` times, the interval of κ lies above
    0, and so does that of sensitivity + specificity − 1, without which its verdicts tell nothing of what people say.
    Where labels have weights, the intervals are the stored ones, which carry them.
    """
    found = rates.confusion
    if min(found.people_yes, found.people_no) < FEWEST_LABELS:
        return (
            f"people said yes {found.people_yes} and no {found.people_no} times: label until both are at least "
            f"{FEWEST_LABELS}, with `ex2 label --n`, then run `ex2 agreement`"
        )
    kappa = rates.kappa if rates.youden else found.kappa(confidence)
    if kappa is None or kappa.low is None or kappa.low <= 0:
        return "Cohen's κ cannot be told from 0"
    told = rates.youden or _youden(found, confidence)
    if told.low is None or told.low <= 0:
        return "sensitivity and specificity together cannot be told from 100 %, those of a coin"
    return ""


def _youden(found: Confusion, confidence: float) -> Estimate:
    """Return sensitivity + specificity − 1 of a simple random sample in which people gave both answers."""
    sensitivity, false_yes = found.sensitivity(confidence), found.false_yes(confidence)
    assert sensitivity, "people said yes"
    assert false_yes, "people said no"
    return newcombe(sensitivity, false_yes)


def read_judge_agreement(run: Path, results: Sequence[SeedResult], *, complete: bool) -> JudgeAgreement | None:
    """Read the result that `ex2 agreement` stored in a run's folder.

    Args:
        run: The run's folder.
        results: The analysed seeds of the run.
        complete: Whether `results` has all seeds of the run.

    Returns:
        The result; `None` if the run has none. It is marked as stale if the judge, the descriptions or the verdicts
        have changed since.

    Raises:
        UserError: If the file is not JSON or has another form, or if descriptions cannot be read.
    """
    path = run / "agreement.json"
    if not path.exists():
        return None
    content = read_agreement(path)
    return JudgeAgreement(content, _stale(content, run, results, complete=complete))


def _stale(content: Agreement, run: Path, results: Sequence[SeedResult], *, complete: bool) -> str:
    judge, labeled = results[0].breakdown.judge, content.judge
    again = "run `ex2 agreement` again"
    if (labeled.settings, labeled.rubric) != (judge.settings, judge.rubric):
        answered = [rubric for rubric in content.rubrics if rubric != judge.rubric]
        if answered:  # what people say does not depend on the judge, only on what they were asked
            again = (
                f"people answered rubric {', '.join(answered)}, the judge {judge.rubric}: if its questions differ, "
                f"label again with `ex2 label --rubric`, then {again}"
            )
        return f"it was made for {labeled.name} with rubric {labeled.rubric}; {again}"
    if content.sample.frame is None or content.seeds is None:
        return f"it does not tell which descriptions it was made for; {again}"
    if content.sample.frame != frame_digest(read_frame(run)):
        return f"the descriptions changed since; label those drawn anew with `ex2 label`, then {again}"
    seeds = sorted(result.seed for result in results)
    if list(content.seeds) != seeds:  # where some wait for their analysis, the page says so itself
        made = ", ".join(str(seed) for seed in content.seeds)
        return f"it covers the seeds {made}, not those of this page; name the same in the recipe" if complete else ""
    if any(part.kinds != _kinds(results, policy) for policy, part in content.policies.items()):
        return f"the judge's verdicts changed since; {again}"
    return ""


def _kinds(results: Sequence[SeedResult], policy: str) -> dict[str, int]:
    parts = [part for result in results if (part := result.breakdown.policy(policy))]
    return {kind: sum(part.kinds[kind] for part in parts) for kind in KINDS}
