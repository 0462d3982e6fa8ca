"""What people and judge said about the same descriptions of a run, read from the run's folder."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from analysis.agreement.corrected_shares import OUTCOMES, Outcome
from analysis.judge.base import Question
from analysis.labeling.log import Asked, Label, label_path, raters_of, read_labels, standing
from analysis.labeling.sample import Sample, read_sample, seeds_of
from analysis.verdicts.breakdown import LEAVES, Leaf
from analysis.verdicts.record import read_breakdown
from analysis.verdicts.verdicts import KINDS, Kind, Verdicts, read_verdicts
from ex2.run.descriptions import DescribedClass, stored_descriptions
from ex2.run.directory import RunDirectory
from ex2.run.made import require_stored
from reward.errors import UserError

UNPARSED: tuple[Kind, ...] = ("informative_unparsed", "unparsed")

JUDGE_QUESTIONS: tuple[Question, ...] = ("informative", "visual")


class JudgeId(NamedTuple):
    """The judge that gave the verdicts: its name, the version of its rubric and the `judge_digest` of its settings."""

    name: str
    rubric: str
    settings: str


class TwoAnswers(NamedTuple):
    """Yes or no to each question; None where there is no answer.

    Attributes:
        informative: Answer to the first question.
        visual: Answer to the second question.
    """

    informative: bool | None
    visual: bool | None

    def to(self, question: Question) -> bool | None:
        """Return the answer to a question."""
        return self.informative if question == "informative" else self.visual


@dataclass(frozen=True)
class Labeled:
    """One description of the sample: people's answer and the judge's to each question.

    Attributes:
        class_name: The description's class.
        text: The description.
        people: People's answers, settled by `settle`; `None` if a question was not asked, skipped or not reached.
        judge: The judge's answers; `None` if a question was not asked or its answer could not be read.
        kind: What the judge made of the description.
    """

    class_name: str
    text: str
    people: TwoAnswers
    judge: TwoAnswers
    kind: Kind

    @property
    def described(self) -> DescribedClass:
        """Class and text, which identify what people and judge were asked about."""
        return DescribedClass(self.class_name, self.text)

    @property
    def truth(self) -> Leaf | None:
        """What people made of the description; `None` while an answer is missing."""
        if self.people.informative is False:
            return "spurious"
        if self.people.informative is None or self.people.visual is None:
            return None
        return "visual" if self.people.visual else "non_visual"

    @property
    def judged(self) -> Outcome | None:
        """What the judge made of the description; `None` if its first answer could not be read."""
        return next((outcome for outcome in OUTCOMES if outcome == self.kind), None)


@dataclass(frozen=True)
class JudgedCounts:
    """Numbers of one policy's descriptions by what the judge made of them.

    Attributes:
        kinds: All descriptions by kind; empty ones are among the spurious.
        unlabeled: Descriptions that people did not label, by verdict; empty ones, and those whose first answer could
            not be read, are not counted.
        known: Descriptions with a verdict that people labelled, by what people made of them.
        empty: Number of empty descriptions, which are spurious without having been judged.
    """

    kinds: Mapping[Kind, int]
    unlabeled: Mapping[Outcome, int]
    known: Mapping[Leaf, int]
    empty: int

    @property
    def unparsed(self) -> int:
        """Number of descriptions that lack a verdict because an answer could not be read."""
        return sum(count for kind, count in self.kinds.items() if kind in UNPARSED)


@dataclass(frozen=True)
class RunLabels:
    """What the comparison of a run's judge with people needs to know of the run.

    Attributes:
        run: The run's folder.
        seeds: Seeds that were described and judged.
        sample: The descriptions that people were asked about.
        raters: Who labelled, in the order of their first answers.
        answers: For each rater, the answers that stand: the latest to each question, if it was not withdrawn.
        labeled: The descriptions of the sample; a text that was drawn twice is in it twice.
        judge: The judge that gave the verdicts.
        rubrics: Versions of the wording that people answered.
        policies: For each policy, what the judge made of its descriptions, all seeds together.
    """

    run: Path
    seeds: tuple[int, ...]
    sample: Sample
    raters: tuple[str, ...]
    answers: Mapping[str, Mapping[Asked, Label]]
    labeled: tuple[Labeled, ...]
    judge: JudgeId
    rubrics: tuple[str, ...]
    policies: Mapping[str, JudgedCounts]

    def votes(self, question: Question) -> dict[DescribedClass, dict[str, bool]]:
        """Return for each distinct description rater → answer to a question, in the order of `raters`."""
        described = dict.fromkeys(row.described for row in self.labeled)
        return {one: votes(self.answers, Asked(question, *one)) for one in described}


def distinct(runs: Sequence[RunLabels]) -> list[Labeled]:
    """Return the labelled descriptions of several runs, each text once.

    Runs share descriptions: those of the base model depend on the seed alone, and people answer for all runs at once. A
    text that is in several samples is taken from the first run in which both people's and the judge's answers are
    known.
    """
    found: dict[DescribedClass, Labeled] = {}
    for row in (row for run in runs for row in run.labeled):
        kept = found.setdefault(row.described, row)
        if _completeness(row) > _completeness(kept):
            found[row.described] = row
    return list(found.values())


def votes_by_text(runs: Sequence[RunLabels], question: Question) -> dict[DescribedClass, list[bool]]:
    """Return the raters' answers on each distinct description of all runs, one answer for each rater."""
    found: dict[DescribedClass, dict[str, bool]] = {}
    for run in runs:
        for text, given in run.votes(question).items():
            found[text] = given | found.get(text, {})
    return {text: [*given.values()] for text, given in found.items()}


def pooled_votes(runs: Sequence[RunLabels], question: Question) -> list[list[bool]]:
    """Return the answers of `votes_by_text` alone."""
    return [*votes_by_text(runs, question).values()]


def votes(answers: Mapping[str, Mapping[Asked, Label]], asked: Asked) -> dict[str, bool]:
    """Return rater → answer to a question, in the raters' order; raters who skipped or did not reach it are absent."""
    given = {rater: labels[asked].answer for rater, labels in answers.items() if asked in labels}
    return {rater: answer == "yes" for rater, answer in given.items() if answer in ("yes", "no")}


def settle(given: Sequence[bool]) -> bool | None:
    """Return the majority's answer, or the first rater's if yes and no are equally many; `None` without answers."""
    if not given:
        return None
    yes = sum(given)
    return given[0] if 2 * yes == len(given) else 2 * yes > len(given)


def read_run(run: Path, only: str | None = None) -> RunLabels:
    """Read a run's labels and verdicts.

    Args:
        run: The run's folder.
        only: Name of the one rater whose answers are read; `None` reads those of all.

    Raises:
        UserError: If the run has not been labelled or judged, or if its files cannot be read or do not fit together.
    """
    sample = read_sample(run)
    verdicts, judges = _verdicts(run)
    if len(set(judges)) > 1:
        named = ", ".join(sorted({f"{judge.name} ({judge.settings})" for judge in judges}))
        raise UserError(f"{run}: its seeds were judged by different judges: {named}; run `ex2 analyze RECIPE` again.")
    answers = _answers(run, only)
    _tell_of_strangers(run, answers, {(item.class_name, item.text) for item in sample.items})
    labeled = []
    for item in sample.items:
        kind = _kind(run, item.seed, verdicts[item.seed], item.class_name, item.text)
        said = TwoAnswers(
            None if kind == "unparsed" else kind != "spurious",
            kind == "visual" if kind in ("visual", "non_visual") else None,
        )
        first, second = (
            settle([*votes(answers, Asked(question, item.class_name, item.text)).values()])
            for question in JUDGE_QUESTIONS
        )
        people = TwoAnswers(first, second if first else None)  # else the majority would not have been asked
        labeled.append(Labeled(item.class_name, item.text, people, said, kind))
    rubrics = {label.rubric for labels in answers.values() for label in labels.values()}
    return RunLabels(
        run,
        tuple(verdicts),
        sample,
        tuple(answers),
        answers,
        tuple(labeled),
        judges[0],
        tuple(sorted(rubrics)),
        _policies(run, verdicts, sample, labeled),
    )


def _verdicts(run: Path) -> tuple[dict[int, Verdicts], list[JudgeId]]:
    verdicts, judges = {}, []
    for seed in seeds_of(run):
        where = RunDirectory(run).seed(seed)
        if not where.breakdown.exists():
            raise UserError(f"{where.breakdown}: not found: seed {seed} is not judged; run `ex2 analyze RECIPE` first.")
        require_stored(RunDirectory(run), seed, "describe", "analyze")
        judge = read_breakdown(where.breakdown).judge
        judges.append(JudgeId(judge.name, judge.rubric, judge.settings))
        verdicts[seed] = read_verdicts(where.verdicts, digest=judge.settings)
    return verdicts, judges


def _answers(run: Path, only: str | None) -> dict[str, dict[Asked, Label]]:
    logs = {rater: read_labels(label_path(run, rater)) for rater in raters_of(run)}
    if only is not None and only not in logs:
        named = f"raters here: {', '.join(logs)}" if logs else "nobody has labelled here"
        raise UserError(f"--rater: '{only}' has not labelled {run}; {named}.")
    chosen = [rater for rater, log in logs.items() if log and only in (None, rater)]
    if not chosen:
        raise UserError(f"{run}: nobody has labelled this run; run `ex2 label {run}` first.")
    for rater in [rater for rater, log in logs.items() if not log and only in (None, rater)]:
        print(f"note: {label_path(run, rater)}: holds no answer: left out", file=sys.stderr)
    chosen.sort(key=lambda rater: logs[rater][0].time)
    return {rater: standing(logs[rater]) for rater in chosen}


def _tell_of_strangers(
    run: Path, answers: Mapping[str, Mapping[Asked, Label]], sampled: Collection[tuple[str, str]]
) -> None:
    """Say of how many of a rater's answers the descriptions are not in the sample: of another run, or an older one."""
    for rater, own in answers.items():
        strangers = sum((asked.class_name, asked.text) not in sampled for asked in own)
        if strangers:
            print(
                f"note: {label_path(run, rater)}: {strangers:,} of {len(own):,} answers are on descriptions that the "
                "sample does not have: left out",
                file=sys.stderr,
            )


def _policies(
    run: Path, verdicts: Mapping[int, Verdicts], sample: Sample, labeled: Sequence[Labeled]
) -> dict[str, JudgedCounts]:
    places = {(item.seed, item.line): row for item, row in zip(sample.items, labeled, strict=True)}
    kinds: Counter[tuple[str, Kind]] = Counter()
    unlabeled: Counter[tuple[str, Kind]] = Counter()
    known: Counter[tuple[str, Leaf]] = Counter()
    empty: Counter[str] = Counter()
    policies: dict[str, None] = {}
    for seed, said in verdicts.items():
        for number, one in enumerate(stored_descriptions(RunDirectory(run).seed(seed)), start=1):
            policy = one.policy
            policies[policy] = None
            kind, people = _kind(run, seed, said, *one.of_class), places.get((seed, number))
            kinds[policy, kind] += 1
            if one.is_empty:
                empty[policy] += 1
            elif people and people.truth and people.judged:
                known[policy, people.truth] += 1
            else:
                unlabeled[policy, kind] += 1
    return {
        policy: JudgedCounts(
            {kind: kinds[policy, kind] for kind in KINDS},
            {outcome: unlabeled[policy, outcome] for outcome in OUTCOMES},
            {leaf: known[policy, leaf] for leaf in LEAVES},
            empty[policy],
        )
        for policy in policies
    }


def _completeness(row: Labeled) -> tuple[bool, bool]:
    return row.truth is not None and row.judged is not None, row.truth is not None


def _kind(run: Path, seed: int, verdicts: Verdicts, class_name: str, text: str) -> Kind:
    try:
        return verdicts.kind(class_name, text)
    except KeyError as error:
        raise UserError(
            f"{run}: seed {seed}: a description of '{class_name}' has no verdict: descriptions changed since the "
            "analysis; run `ex2 analyze RECIPE` again."
        ) from error
