"""What people say of the judge, for the report: `agreement.json` as stored, and its tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from analysis.agreement.tables import SECOND_QUESTION, SHARE_NAMES, kinds_table
from analysis.judge.base import Question
from analysis.labelling.sample import frame_digest, read_frame
from analysis.results.load import SeedResult
from analysis.results.pooling import Policy
from analysis.results.wording import NBSP
from analysis.verdicts.verdicts import KINDS
from reward.files import JSON, read_json

POLICIES: tuple[Policy, ...] = ("aligned", "base")


QUESTION_NAMES: dict[Question, str] = {"informative": "Is it informative?", "visual": "Is it visual?"}


class Calibration(NamedTuple):
    """The judge's agreement with people.

    Attributes:
        content: Of `agreement.json`.
        stale: Why it does not hold for this report; empty if it does.
    """

    content: JSON
    stale: str = ""

    @property
    def lacking(self) -> str:
        """Why it does not make the judge a calibrated one; empty if it does."""
        if self.stale:
            return f"agreement.json does not count: {self.stale}"
        first = self.used["questions"]["informative"]
        yes, no = first["both_yes"] + first["only_people"], first["only_judge"] + first["both_no"]
        if yes and no:
            return ""
        only = "none" if not yes + no else f"{yes + no} of them, all {'spurious' if no else 'informative'}"
        return f"people labelled {only}: label until both answers occur, with `ex2 label --n`, then run `ex2 agreement`"

    @property
    def used(self) -> JSON:
        """The comparison that the corrected shares rest on."""
        part: JSON = self.content["pooled"] or self.content["own"]
        return part


def read_calibration(run: Path, results: Sequence[SeedResult], *, complete: bool) -> Calibration | None:
    """Read what `ex2 agreement` left in a run's folder.

    Args:
        run: The folder.
        results: Its analysed seeds.
        complete: Whether these are all seeds.

    Returns:
        `None` if the run has not been labelled; marked as stale if the judge, the descriptions or the verdicts are
        others now.

    Raises:
        UserError: If the file is not JSON, or descriptions cannot be read.
    """
    path = run / "agreement.json"
    if not path.exists():
        return None
    content = read_json(path)
    return Calibration(content, _stale(content, run, results, complete=complete))


def _stale(content: JSON, run: Path, results: Sequence[SeedResult], *, complete: bool) -> str:
    judge, labelled = results[0].breakdown.judge, content["judge"]
    again = "run `ex2 agreement` again"
    if labelled["settings"] != judge.settings or labelled["rubric"] != judge.rubric:
        answered = [rubric for rubric in content["rubrics"] if rubric != judge.rubric]
        if answered:  # what people say does not depend on the judge, only on what they were asked
            again = (
                f"people answered rubric {', '.join(answered)}, the judge {judge.rubric}: if its questions differ, "
                f"label again with `ex2 label --rubric`, then {again}"
            )
        return f"it was made for {labelled['name']} with rubric {labelled['rubric']}; {again}"
    frame = content["sample"].get("frame")
    if frame is None:
        return f"it does not tell which descriptions it was made for; {again}"
    if frame != frame_digest(read_frame(run)):
        return f"the descriptions changed since; label those drawn anew with `ex2 label`, then {again}"
    seeds = sorted(result.seed for result in results)
    if content["seeds"] != seeds:  # where some wait for their analysis, the page says so itself
        made = ", ".join(str(seed) for seed in content["seeds"])
        return f"it covers the seeds {made}, not those of this page; name the same in the recipe" if complete else ""
    kinds = {policy: part["kinds"] for policy, part in content["policies"].items()}
    if kinds != {policy: _kinds(results, policy) for policy in kinds}:
        return f"the judge's verdicts changed since; {again}"
    return ""


def calibration_tables(calibration: Calibration | None) -> dict[str, Any] | None:
    """Lay out the agreement and the corrected shares; `None` without a calibration that holds."""
    if calibration is None or calibration.stale:
        return None
    content, used = calibration.content, calibration.used
    verdicts, table = kinds_table(used)
    others = [rubric for rubric in content["rubrics"] if rubric != content["judge"]["rubric"]]
    return {
        "runs": used["runs"],
        "labelled": used["labelled"],
        "raters": len(content["raters"]),
        "truth": content["truth"],
        "confidence": f"{100 * content['confidence']:g}",
        "rubrics": others,
        "verdicts": verdicts,
        "table": table,
        "second": f"{SECOND_QUESTION[0].upper()}{SECOND_QUESTION[1:]}.",
        "questions": [
            {
                "name": QUESTION_NAMES[question],
                "agreement": share_text(rates["agreement"]),
                "kappa": number_text(rates["kappa"]),
                "sensitivity": share_text(rates["sensitivity"]),
                "specificity": share_text(rates["specificity"]),
                "alpha": number_text(rates["alpha"]),
                "paper": f"{100 * rates['paper']['agreement']:.1f}{NBSP}% (n{NBSP}={NBSP}{rates['paper']['n']})",
            }
            for question, rates in used["questions"].items()
        ],
        "shares": [
            {
                "policy": policy,
                "name": SHARE_NAMES[name],
                "judged": share_text(shares["judged"]),
                "corrected": share_text(shares["corrected"]) if shares["corrected"] else f"– ({shares['reason']})",
            }
            for policy in POLICIES
            if policy in content["policies"]
            for name, shares in content["policies"][policy]["shares"].items()
        ],
    }


def share_text(estimate: JSON | None) -> str:
    """Return `86.0 % [73.8–93.0] (n = 50)`, or a dash for what is unknown."""
    if estimate is None:
        return "–"
    ends = "" if estimate["low"] is None else f"{NBSP}[{100 * estimate['low']:.1f}–{100 * estimate['high']:.1f}]"
    return f"{100 * estimate['value']:.1f}{NBSP}%{ends} (n{NBSP}={NBSP}{estimate['n']:,})"


def number_text(estimate: JSON | None) -> str:
    """Return `0.71 [0.52, 0.90] (n = 50)`, or a dash for what is unknown."""
    if estimate is None:
        return "–"
    ends = "" if estimate["low"] is None else f"{NBSP}[{estimate['low']:.2f},{NBSP}{estimate['high']:.2f}]"
    return f"{estimate['value']:.2f}{ends}".replace("-", "−") + f" (n{NBSP}={NBSP}{estimate['n']:,})"


def _kinds(results: Sequence[SeedResult], policy: str) -> dict[str, int]:
    parts = [part for result in results if (part := result.breakdown.policy(policy))]
    return {kind: sum(part.kinds[kind] for part in parts) for kind in KINDS}
