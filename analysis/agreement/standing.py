"""How far a run's judge can be trusted, in words: exact, calibrated on people's labels, or uncalibrated."""

from __future__ import annotations

from analysis.agreement.stored import QUESTION_WORDS, JudgeAgreement, read_judge_agreement
from analysis.results.experiment import Experiment
from analysis.results.headline import UNCALIBRATED
from analysis.results.runs import Run
from analysis.results.wording import listing
from reward.errors import UserError


def judge_standing(experiment: Experiment, agreement: JudgeAgreement | None = None) -> str:
    """Return whether the judge is `exact`, `calibrated on …`, naming each question's labels, or `uncalibrated`.

    By `JudgeAgreement.shortfalls`, a judge may be calibrated on one question only: `calibrated on 50 labelled
    descriptions (informative or not), not on visual or not`.
    """
    if _is_exact(experiment):
        return "exact"
    if agreement is None or agreement.lacking:
        return "uncalibrated"
    questions, short = agreement.content.used.questions, agreement.shortfalls
    on = [f"{questions[one].n:,} ({QUESTION_WORDS[one]})" for one, why in short.items() if not why]
    missing = [QUESTION_WORDS[one] for one, why in short.items() if why]
    return f"calibrated on labelled descriptions: {listing(on)}" + (f"; not on {listing(missing)}" if missing else "")


def judge_caution(experiment: Experiment, agreement: JudgeAgreement | None = None) -> str:
    """Return what stands beside a headline on the judge; "" if it is exact, or calibrated on both questions."""
    if _is_exact(experiment):
        return ""
    if agreement is None or agreement.lacking:
        return UNCALIBRATED
    missing = [QUESTION_WORDS[one] for one, why in agreement.shortfalls.items() if why]
    return f"The judge is not calibrated on {listing(missing)}." if missing else ""


def run_agreement(run: Run) -> tuple[JudgeAgreement | None, str]:
    """Read how far a run's judge agrees with people, and why that cannot be read: then the run's numbers stay.

    Args:
        run: The run.

    Returns:
        The agreement, `None` if nobody labelled the run or it cannot be read; and why it cannot be read, or "".
    """
    try:
        return read_judge_agreement(run.directory.root, run.results, complete=not run.missing), ""
    except UserError as error:
        return None, str(error)


def _is_exact(experiment: Experiment) -> bool:
    return experiment.judge is not None and experiment.judge.exact
