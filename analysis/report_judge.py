"""What the report says of the judge: shares by both denominators, agreement with people, a panel's votes, the cost."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from analysis.agreement_tables import SECOND_QUESTION, SHARE_NAMES, kinds_table
from analysis.breakdown import DENOMINATORS, GROUPS
from analysis.judging import KINDS
from analysis.labelling.sample import frame_digest, read_frame
from analysis.pooling import Policy, SeedResult, as_denominator, share_of
from analysis.wording import KIND_NAMES, NBSP, count, percent
from ex2.run_dir import JSON, read_json

POLICIES: tuple[Policy, ...] = ("aligned", "base")

QUESTION_NAMES = {"informative": "Is it informative?", "visual": "Is it visual?"}


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
    judge, labelled = results[0].breakdown["judge"], content["judge"]
    again = "run `ex2 agreement` again"
    if labelled["settings"] != judge["settings"] or labelled["rubric"] != judge["rubric"]:
        answered = [rubric for rubric in content["rubrics"] if rubric != judge["rubric"]]
        if answered:  # what people say does not depend on the judge, only on what they were asked
            again = (
                f"people answered rubric {', '.join(answered)}, the judge {judge['rubric']}: if its questions differ, "
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
    parts = [result.breakdown["policies"].get(policy, {}).get("kinds", {}) for result in results]
    return {kind: sum(part.get(kind, 0) for part in parts) for kind in KINDS}
