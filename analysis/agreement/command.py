"""`ex2 agreement`: how far the judge agrees with people, and what its errors do to the shares.

People's answers are taken as the truth. The judge's error rates among the labelled descriptions, of all runs given or
of each run alone, correct the shares of every policy. A run's own descriptions count as often as they were drawn: they
are a simple random sample of it. Where runs are pooled each text counts once, however many runs share it: error rates,
being given what people say, do not depend on how often a run says something; agreement and κ then are those of the
pool's texts.
"""

from __future__ import annotations

from argparse import Namespace
from collections import Counter
from collections.abc import Sequence

import numpy as np
from rich.console import Console

from analysis.agreement.corrected_shares import LEAVES, OUTCOMES, Leaf, Outcome, Unknown, calibration_table, correct
from analysis.agreement.labels import QUESTIONS, Labelled, RunLabels, distinct, pooled_votes, read_run
from analysis.agreement.raters import Confusion, cohen_kappa, krippendorff_alpha
from analysis.agreement.tables import print_agreement, to_csv
from analysis.judge.base import Question
from analysis.statistics.intervals import Estimate, wilson
from analysis.verdicts.breakdown import group_shares
from ex2.run.directory import find_runs
from reward.errors import UserError
from reward.files import JSON, write_json, write_text

RULE = "majority of the raters; where they are even, the first rater to label"

PAPER: dict[Question, float] = {"informative": 0.858, "visual": 0.866}
"""Agreement of the paper's judge with people on `PAPER_N` descriptions. Source: arXiv 2403.16442."""
PAPER_N = 500


def main(options: Namespace) -> int:
    """Write `agreement.json` and `agreement.csv` of each run, and print them.

    Args:
        options: `runs`, `per_run`, `rater` and `confidence`.

    Raises:
        UserError: If a run has not been labelled and judged, or runs of different judges are pooled.
        EnvironmentFault: If a run's folder cannot be written.
    """
    runs = read_runs(options)
    results = agreement(runs, pooled=not options.per_run, confidence=options.confidence)
    for run, result in zip(runs, results, strict=True):
        write_json(run.run / "agreement.json", result)
        write_text(run.run / "agreement.csv", to_csv(result))
    print_agreement(results, Console())
    return 0


def read_runs(options: Namespace) -> list[RunLabels]:
    """Read all runs.

    Args:
        options: As of `main`.

    Raises:
        UserError: Every run's problem at once.
    """
    problems, runs = [], []
    if not 0 < options.confidence < 1:
        problems.append(f"--confidence: {options.confidence} is no coverage; give a number between 0 and 1.")
    try:
        folders = find_runs(options.runs)
    except UserError as error:
        folders = []
        problems.append(str(error))
    for folder in folders:
        try:
            runs.append(read_run(folder, options.rater))
        except UserError as error:
            problems.append(str(error))
    judges = {run.judge: run.run for run in runs}
    if len(judges) > 1 and not options.per_run:
        named = ", ".join(f"{judge.name} with rubric {judge.rubric} ({run})" for judge, run in judges.items())
        problems.append(f"different judges cannot be pooled: {named}; add --per-run, or name runs of one judge.")
    if problems:
        raise UserError("\n".join(problems))
    return runs


def agreement(runs: Sequence[RunLabels], *, pooled: bool = True, confidence: float = 0.95) -> list[JSON]:
    """Compute what `agreement.json` holds, for each run.

    Args:
        runs: At least one.
        pooled: Correct with the labels of all runs; else each run with its own.
        confidence: Coverage of all intervals.
    """
    together = calibration(runs, confidence) if pooled and len(runs) > 1 else None
    results = []
    for run in runs:
        own = calibration([run], confidence)
        table = np.array((together or own)["table"])
        results.append(
            {
                "run": run.run.resolve().name,
                "confidence": confidence,
                "judge": run.judge._asdict(),
                "rubrics": list(run.rubrics),
                "truth": RULE,
                "sample": {
                    "n": len(run.sample.items),
                    "population": run.sample.population,
                    "inclusion_probability": run.sample.inclusion_probability,
                    "seed": run.sample.seed,
                    "frame": run.sample.frame,
                },
                "seeds": list(run.seeds),
                "raters": {rater: _effort(run, rater) for rater in run.raters},
                "own": own,
                "pooled": together,
                "corrected_with": "pooled" if together else "own",
                "policies": _policies(run, table, confidence),
                "disagreements": _disagreements(run),
            }
        )
    return results


def calibration(runs: Sequence[RunLabels], confidence: float = 0.95) -> JSON:
    """Compare the judge with people on the labelled descriptions of some runs.

    Args:
        runs: At least one.
        confidence: Coverage of all intervals.

    Returns:
        `runs`, `labelled` (descriptions with all answers that they need: of one run as often as they were drawn, of
        several each text once), `unparsed` (those among the labelled that lack the first verdict, and do not count),
        `questions`, the `table` of people's `kinds` × the judge's `verdicts`, and `kind_agreement` and `kind_kappa` of
        those whose verdicts could both be read.
    """
    rows = distinct(runs) if len(runs) > 1 else runs[0].labelled
    truths = [row for row in rows if row.truth is not None]
    table = calibration_table([(row.truth, row.judged) for row in rows if row.truth and row.judged])
    read = table[:, : len(LEAVES)]
    return {
        "runs": [run.run.resolve().name for run in runs],
        "labelled": len(truths),
        "unparsed": sum(row.judged is None for row in truths),
        "kinds": list(LEAVES),
        "verdicts": list(OUTCOMES),
        "table": table.tolist(),
        "kind_agreement": _json(wilson(int(read.trace()), int(read.sum()), confidence) if read.any() else None),
        "kind_kappa": _json(cohen_kappa(read, confidence)),
        "questions": {
            question: _question(rows, pooled_votes(runs, question), question, confidence) for question in QUESTIONS
        },
    }


def _question(rows: Sequence[Labelled], votes: Sequence[Sequence[bool]], question: Question, confidence: float) -> JSON:
    """Compare the answers where both people and judge gave one: to the second, where both said that it informs."""
    pairs = [
        (people, judge)
        for row in rows
        if (people := row.people[question]) is not None and (judge := row.judge[question]) is not None
    ]
    confusion = Confusion.of(pairs)
    return {
        "n": len(pairs),
        **confusion._asdict(),
        "agreement": _json(confusion.agreement(confidence)),
        "kappa": _json(confusion.kappa(confidence)),
        "sensitivity": _json(confusion.sensitivity(confidence)),
        "specificity": _json(confusion.specificity(confidence)),
        "alpha": _json(krippendorff_alpha(votes, confidence=confidence)),
        "paper": {"agreement": PAPER[question], "n": PAPER_N},
    }


def _policies(run: RunLabels, table: np.ndarray, confidence: float) -> JSON:
    result: JSON = {}
    for policy, judged in run.policies.items():
        groups = group_shares(dict(judged.kinds), "parsed", confidence)
        raw = {
            "spurious": groups["spurious"].of_parent,
            "visual": groups["visual"].of_all,
            "visual_of_informative": groups["visual"].of_parent,
        }
        corrected = correct(
            judged.unlabelled, table, known=judged.known, empty=judged.empty, confidence=confidence
        )._asdict()
        result[policy] = {
            "descriptions": sum(judged.kinds.values()),
            "empty": judged.empty,
            "kinds": dict(judged.kinds),
            "unparsed": judged.kinds["unparsed"] + judged.kinds["informative_unparsed"],
            "shares": {
                name: {
                    "judged": share and share._asdict(),
                    **_corrected(corrected[name]),
                }
                for name, share in raw.items()
            },
        }
    return result


def _corrected(found: Estimate | Unknown) -> JSON:
    if isinstance(found, Unknown):
        return {"corrected": None, "reason": found.reason}
    return {"corrected": _json(found), "reason": ""}


def _effort(run: RunLabels, rater: str) -> JSON:
    """Count a rater's distinct descriptions by the answer to the first question; `skipped` counts both questions."""
    texts = {(row.class_name, row.text) for row in run.labelled}
    given = Counter(
        (asked.question, label.answer)
        for asked, label in run.answers[rater].items()
        if (asked.class_name, asked.text) in texts
    )
    return {
        "yes": given["informative", "yes"],
        "no": given["informative", "no"],
        "skipped": given["informative", "skip"] + given["visual", "skip"],
    }


def _disagreements(run: RunLabels) -> list[JSON]:
    """List the distinct descriptions that people and judge see differently, as far as the judge can be read."""
    differing = {
        (row.class_name, row.text): (row.truth, row.judged)
        for row in run.labelled
        if row.truth and row.judged and not _is_compatible(row.truth, row.judged)
    }
    return [
        {"class": class_name, "description": text, "people": truth, "judge": judged}
        for (class_name, text), (truth, judged) in differing.items()
    ]


def _is_compatible(truth: Leaf, judged: Outcome) -> bool:
    return truth != "spurious" if judged == "informative_unparsed" else truth == judged


def _json(estimate: Estimate | None) -> JSON | None:
    return None if estimate is None else estimate._asdict()
