"""`ex2 agreement`: how far the judge agrees with people, and what its errors do to the shares.

People's answers are taken as the truth. The shares of every policy are corrected with the judge's error rates among the
labelled descriptions, of all runs given or of each run alone. Within one run, a description counts as often as it was
drawn: the labelled descriptions are a simple random sample of the run, or one of each stratum, and are then weighted,
see `analysis.agreement.strata`. Where runs are pooled, each text counts once,
however many runs share it. The error rates allow this, because they are conditional on what people say and so do not
depend on how often a run repeats a text. Agreement and κ then refer to the distinct texts of the pool, or, where labels
have weights, to the descriptions of all runs, each run counting by its labels.

If under half of a run's answers to a question could be read, its shares would be those of the few that could be, and
none is given.
"""

from __future__ import annotations

from argparse import Namespace
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from analysis.agreement.corrected_shares import OUTCOMES, DrawTable, Outcome, Unknown, correct_shares, error_table
from analysis.agreement.labels import (
    JUDGE_QUESTIONS,
    JudgedCounts,
    Labeled,
    RunLabels,
    distinct,
    read_run,
    votes_by_text,
)
from analysis.agreement.raters import Confusion, cohen_kappa, krippendorff_alpha
from analysis.agreement.record import (
    Agreement,
    Disagreement,
    Effort,
    LabeledSample,
    PaperAgreement,
    PeopleComparison,
    PolicyShares,
    QuestionAgreement,
    Share,
    StratumSample,
)
from analysis.agreement.strata import Design
from analysis.agreement.tables import print_agreement, to_csv
from analysis.agreement.weighted import kinds_table, question_table, weighted_alpha, weighted_kinds, weighted_rates
from analysis.judge.base import Question
from analysis.statistics.intervals import Estimate
from analysis.statistics.shares import share_interval
from analysis.verdicts.breakdown import LEAVES, Leaf, group_shares
from ex2.run.descriptions import DescribedClass
from ex2.run.directory import find_runs
from ex2.run.lock import writing_into
from ex2.run.sealed import write_sealed
from reward.errors import UserError
from reward.files import write_text
from reward.terminal import PlainConsole

RULE = "majority of the raters; where they are even, the first rater to label"

PAPER: dict[Question, PaperAgreement] = {
    "informative": PaperAgreement(0.858, n=500),
    "visual": PaperAgreement(0.866, n=500),
}
"""Agreement of the paper's judge with people. Source: arXiv 2403.16442."""


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
    with writing_into([run.run for run in runs], "agreement"):
        for run, result in zip(runs, results, strict=True):
            write_sealed(run.run / "agreement.json", result.to_json())
            write_text(run.run / "agreement.csv", to_csv(result))
    print_agreement(results, PlainConsole())
    return 0


def read_runs(options: Namespace) -> list[RunLabels]:
    """Read the labels and verdicts of all runs.

    Args:
        options: The same as for `main`.

    Raises:
        UserError: If a run cannot be read; the message lists the problems of all runs.
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


def agreement(runs: Sequence[RunLabels], *, pooled: bool = True, confidence: float = 0.95) -> list[Agreement]:
    """Compute what `agreement.json` holds, for each run.

    Args:
        runs: At least one run.
        pooled: True corrects every run with the labels of all runs, False each run with its own labels.
        confidence: Coverage of all intervals.
    """
    together = compare_with_people(runs, confidence) if pooled and len(runs) > 1 else None
    errors = _errors(runs, together) if together else None
    results = []
    for run in runs:
        own = compare_with_people([run], confidence)
        used = errors or _errors([run], own)
        found = Agreement(
            run=run.run.resolve().name,
            confidence=confidence,
            judge=run.judge,
            rubrics=run.rubrics,
            truth=RULE,
            sample=_sample(run),
            seeds=run.seeds,
            raters={rater: _effort(run, rater) for rater in run.raters},
            own=own,
            pooled=together,
            policies={policy: _policy_shares(judged, *used, confidence) for policy, judged in run.policies.items()},
            disagreements=_disagreements(run),
        )
        results.append(_without_shares(found) if found.unread else found)
    return results


def _without_shares(found: Agreement) -> Agreement:
    return replace(found, policies={policy: replace(part, shares={}) for policy, part in found.policies.items()})


def compare_with_people(runs: Sequence[RunLabels], confidence: float = 0.95) -> PeopleComparison:
    """Compare the judge with people on the labelled descriptions of some runs.

    Args:
        runs: At least one run.
        confidence: Coverage of all intervals.
    """
    rows, design = _rows(runs), Design.of(runs)
    truths = [row for row in rows if row.truth is not None]
    table = error_table([(row.truth, row.judged) for row in rows if row.truth and row.judged])
    read = table[:, : len(LEAVES)]
    if design:
        kinds = kinds_table(design, rows)
        of_kinds = weighted_kinds(kinds, int(read.sum()), confidence)
        weighted = tuple(tuple(row) for row in kinds.value().reshape(table.shape).tolist())
    else:
        same = share_interval(int(read.trace()), int(read.sum()), confidence) if read.any() else None
        of_kinds, weighted = (same, cohen_kappa(read, confidence)), None
    return PeopleComparison(
        runs=tuple(run.run.resolve().name for run in runs),
        labeled=len(truths),
        unparsed=sum(row.judged is None for row in truths),
        kinds=LEAVES,
        verdicts=OUTCOMES,
        table=tuple(tuple(row) for row in table.tolist()),
        kind_agreement=of_kinds[0],
        kind_kappa=of_kinds[1],
        questions={
            question: _question(rows, votes_by_text(runs, question), question, confidence, design)
            for question in JUDGE_QUESTIONS
        },
        weighted_table=weighted,
    )


def _rows(runs: Sequence[RunLabels]) -> Sequence[Labeled]:
    return distinct(runs) if len(runs) > 1 else runs[0].labeled


def _errors(runs: Sequence[RunLabels], compared: PeopleComparison) -> tuple[np.ndarray, DrawTable | None]:
    """Return the error table of some runs' labels, and what draws such tables where labels have weights."""
    design = Design.of(runs)
    if design is None or compared.weighted_table is None:
        return np.array(compared.table), None
    kinds = kinds_table(design, _rows(runs))

    def draw(prior: float, draws: int, rng: np.random.Generator) -> np.ndarray:
        return kinds.draw(prior, draws, rng).reshape(draws, len(LEAVES), len(OUTCOMES))

    return np.array(compared.weighted_table), draw


def _question(
    rows: Sequence[Labeled],
    votes: Mapping[DescribedClass, Sequence[bool]],
    question: Question,
    confidence: float,
    design: Design | None,
) -> QuestionAgreement:
    """Compare people's and the judge's answers to one question, where both gave one.

    The second question counts only where both called the description informative.
    """
    confusion = Confusion.of(
        (people, judge)
        for row in rows
        if (people := row.people.to(question)) is not None and (judge := row.judge.to(question)) is not None
    )
    if design:
        rates = weighted_rates(question_table(design, rows, question), confusion, confidence)
        alpha = weighted_alpha(design, [*votes.items()], confidence)
        return QuestionAgreement(confusion, *rates[:4], alpha, PAPER[question], rates.youden)
    return QuestionAgreement(
        confusion,
        agreement=confusion.agreement(confidence),
        kappa=confusion.kappa(confidence),
        sensitivity=confusion.sensitivity(confidence),
        specificity=confusion.specificity(confidence),
        alpha=krippendorff_alpha([*votes.values()], confidence=confidence),
        paper=PAPER[question],
    )


def _sample(run: RunLabels) -> LabeledSample:
    sample = run.sample
    labeled = Counter(
        kind for row, kind in zip(run.labeled, sample.verdicts, strict=bool(sample.verdicts)) if row.truth is not None
    )
    return LabeledSample(
        len(sample.items),
        sample.population,
        sample.inclusion_probability,
        sample.seed,
        sample.frame,
        {kind: StratumSample(n, sample.strata[kind], labeled[kind]) for kind, n in sample.drawn.items()},
    )


def _policy_shares(
    judged: JudgedCounts, table: np.ndarray, draw_table: DrawTable | None, confidence: float
) -> PolicyShares:
    """Count one policy's descriptions, and correct their shares with the error rates of `table`."""
    groups = group_shares(dict(judged.kinds), "parsed", confidence)
    corrected = correct_shares(
        judged.unlabeled,
        table,
        known=judged.known,
        empty=judged.empty,
        confidence=confidence,
        draw_table=draw_table,
    )
    return PolicyShares(
        descriptions=sum(judged.kinds.values()),
        empty=judged.empty,
        kinds=dict(judged.kinds),
        unparsed=judged.unparsed,
        shares={
            "spurious": _share(groups["spurious"].of_parent, corrected.spurious),
            "visual": _share(groups["visual"].of_all, corrected.visual),
            "visual_of_informative": _share(groups["visual"].of_parent, corrected.visual_of_informative),
        },
    )


def _share(judged: Estimate | None, corrected: Estimate | Unknown) -> Share:
    if isinstance(corrected, Unknown):
        return Share(judged, None, corrected.reason)
    return Share(judged, corrected)


def _effort(run: RunLabels, rater: str) -> Effort:
    """Count a rater's distinct descriptions by the first answer; `skipped` are those with a skip of either question."""
    texts = {(row.class_name, row.text) for row in run.labeled}
    given = Counter(
        (asked.question, label.answer)
        for asked, label in run.answers[rater].items()
        if (asked.class_name, asked.text) in texts
    )
    return Effort(
        yes=given["informative", "yes"],
        no=given["informative", "no"],
        skipped=given["informative", "skip"] + given["visual", "skip"],
    )


def _disagreements(run: RunLabels) -> tuple[Disagreement, ...]:
    """List the distinct descriptions that people and judge see differently, if the judge's verdicts could be read."""
    differing = {
        (row.class_name, row.text): (row.truth, row.judged)
        for row in run.labeled
        if row.truth and row.judged and not _is_compatible(row.truth, row.judged)
    }
    return tuple(
        Disagreement(class_name, text, truth, judged) for (class_name, text), (truth, judged) in differing.items()
    )


def _is_compatible(truth: Leaf, judged: Outcome) -> bool:
    return truth != "spurious" if judged == "informative_unparsed" else truth == judged
