"""What `agreement.json` holds: the judge against people and a run's corrected shares, read from and written to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from analysis.agreement.corrected_shares import Leaf, Outcome
from analysis.agreement.labels import JudgeId
from analysis.agreement.raters import Confusion
from analysis.judge.base import Question
from analysis.statistics.intervals import Estimate
from analysis.verdicts.verdicts import Kind
from reward.files import JSON, read_record


@dataclass(frozen=True)
class LabelledSample:
    """Which descriptions people were asked about.

    Attributes:
        n: Descriptions drawn.
        population: Descriptions they were drawn from.
        inclusion_probability: Chance of each of these to be drawn, in (0, 1].
        seed: Of the drawing.
        frame: `frame_digest` of the population; None in files of earlier versions.
    """

    n: int
    population: int
    inclusion_probability: float
    seed: int
    frame: str | None

    def to_json(self) -> JSON:
        """Return the sample as stored; a hash that the file lacked is left out."""
        stored: JSON = {
            "n": self.n,
            "population": self.population,
            "inclusion_probability": self.inclusion_probability,
            "seed": self.seed,
        }
        return stored if self.frame is None else stored | {"frame": self.frame}

    @staticmethod
    def from_json(stored: JSON) -> LabelledSample:
        """Read a sample as stored."""
        return LabelledSample(
            stored["n"], stored["population"], stored["inclusion_probability"], stored["seed"], stored.get("frame")
        )


class Effort(NamedTuple):
    """How many distinct descriptions one rater labelled.

    Attributes:
        yes: Called informative.
        no: Called not informative.
        skipped: Skipped, at either question.
    """

    yes: int
    no: int
    skipped: int


class PaperAgreement(NamedTuple):
    """What the paper reports of its judge.

    Attributes:
        agreement: Share of descriptions on which judge and people agree, in [0, 1].
        n: Descriptions compared.
    """

    agreement: float
    n: int


@dataclass(frozen=True)
class QuestionAgreement:
    """The judge against people on one question, and the raters against each other.

    Attributes:
        confusion: People's answers and the judge's, on the descriptions where both gave one.
        agreement: Share of equal answers; None without descriptions.
        kappa: Cohen's κ; None where chance agreement is 1.
        sensitivity: Share of the judge's yes where people say yes; None where they never do.
        specificity: Share of the judge's no where people say no; None where they never do.
        alpha: Krippendorff's α among raters; None with one rater, or where only one answer occurs.
        paper: The paper's judge on this question.
    """

    confusion: Confusion
    agreement: Estimate | None
    kappa: Estimate | None
    sensitivity: Estimate | None
    specificity: Estimate | None
    alpha: Estimate | None
    paper: PaperAgreement

    @property
    def n(self) -> int:
        """Descriptions on which both people and judge answered."""
        return sum(self.confusion)

    @property
    def rates(self) -> dict[str, Estimate | None]:
        """The numbers with an interval, by name."""
        return {
            "agreement": self.agreement,
            "kappa": self.kappa,
            "sensitivity": self.sensitivity,
            "specificity": self.specificity,
            "alpha": self.alpha,
        }

    def to_json(self) -> JSON:
        """Return the comparison as stored."""
        return {
            "n": self.n,
            **self.confusion._asdict(),
            **{name: _estimate_to_json(rate) for name, rate in self.rates.items()},
            "paper": self.paper._asdict(),
        }

    @staticmethod
    def from_json(stored: JSON) -> QuestionAgreement:
        """Read a comparison as stored."""
        return QuestionAgreement(
            confusion=Confusion(*(stored[key] for key in Confusion._fields)),
            agreement=_estimate_from_json(stored["agreement"]),
            kappa=_estimate_from_json(stored["kappa"]),
            sensitivity=_estimate_from_json(stored["sensitivity"]),
            specificity=_estimate_from_json(stored["specificity"]),
            alpha=_estimate_from_json(stored["alpha"]),
            paper=PaperAgreement(*(stored["paper"][key] for key in PaperAgreement._fields)),
        )


@dataclass(frozen=True, kw_only=True)
class PeopleComparison:
    """The judge against people on the labelled descriptions of some runs.

    Attributes:
        runs: Names of the runs.
        labelled: Descriptions with all answers that they need: of one run as often as they were drawn, of several each
            text once.
        unparsed: Those among the labelled that lack the judge's first verdict, and do not count below.
        kinds: What people may call a description: the rows of `table`.
        verdicts: What the judge may make of it: the columns of `table`.
        table: Labelled descriptions by kind and verdict.
        kind_agreement: Share of descriptions that people and judge call the same kind, among those whose verdicts
            could both be read; None without any.
        kind_kappa: Cohen's κ of the same; None where chance agreement is 1.
        questions: Each question alone.
    """

    runs: tuple[str, ...]
    labelled: int
    unparsed: int
    kinds: tuple[Leaf, ...]
    verdicts: tuple[Outcome, ...]
    table: tuple[tuple[int, ...], ...]
    kind_agreement: Estimate | None
    kind_kappa: Estimate | None
    questions: Mapping[Question, QuestionAgreement]

    def to_json(self) -> JSON:
        """Return the comparison as stored."""
        return {
            "runs": list(self.runs),
            "labelled": self.labelled,
            "unparsed": self.unparsed,
            "kinds": list(self.kinds),
            "verdicts": list(self.verdicts),
            "table": [list(row) for row in self.table],
            "kind_agreement": _estimate_to_json(self.kind_agreement),
            "kind_kappa": _estimate_to_json(self.kind_kappa),
            "questions": {question: part.to_json() for question, part in self.questions.items()},
        }

    @staticmethod
    def from_json(stored: JSON) -> PeopleComparison:
        """Read a comparison as stored; where earlier versions wrote no `verdicts`, the kinds were all there are."""
        kinds: tuple[Leaf, ...] = tuple(stored["kinds"])
        verdicts: Sequence[Outcome] = stored.get("verdicts", kinds)
        return PeopleComparison(
            runs=tuple(stored["runs"]),
            labelled=stored["labelled"],
            unparsed=stored["unparsed"],
            kinds=kinds,
            verdicts=tuple(verdicts),
            table=tuple(tuple(row) for row in stored["table"]),
            kind_agreement=_estimate_from_json(stored["kind_agreement"]),
            kind_kappa=_estimate_from_json(stored["kind_kappa"]),
            questions={question: QuestionAgreement.from_json(part) for question, part in stored["questions"].items()},
        )


@dataclass(frozen=True)
class Share:
    """One share of a policy's descriptions.

    Attributes:
        judged: By the judge's verdicts, of the descriptions whose verdicts could be read; None without any.
        corrected: Corrected for the judge's errors; None where the labels cannot give it.
        reason: Why they cannot; empty where they can, and in files of earlier versions.
    """

    judged: Estimate | None
    corrected: Estimate | None
    reason: str = ""

    def to_json(self) -> JSON:
        """Return the share as stored."""
        return {
            "judged": _estimate_to_json(self.judged),
            "corrected": _estimate_to_json(self.corrected),
            "reason": self.reason,
        }

    @staticmethod
    def from_json(stored: JSON) -> Share:
        """Read a share as stored."""
        return Share(
            _estimate_from_json(stored["judged"]), _estimate_from_json(stored["corrected"]), stored.get("reason", "")
        )


@dataclass(frozen=True)
class PolicyShares:
    """One policy's descriptions, all seeds together.

    Attributes:
        descriptions: All of them.
        empty: Empty ones, which count as spurious without having been judged.
        kinds: Descriptions by what the judge made of them; None in files of earlier versions.
        unparsed: Descriptions that lack one of the verdicts.
        shares: By name: `spurious` and `visual` of all descriptions, `visual_of_informative`.
    """

    descriptions: int
    empty: int
    kinds: Mapping[Kind, int] | None
    unparsed: int
    shares: Mapping[str, Share]

    def to_json(self) -> JSON:
        """Return the shares as stored; counts that the file lacked are left out."""
        return {
            "descriptions": self.descriptions,
            "empty": self.empty,
            **({} if self.kinds is None else {"kinds": dict(self.kinds)}),
            "unparsed": self.unparsed,
            "shares": {name: share.to_json() for name, share in self.shares.items()},
        }

    @staticmethod
    def from_json(stored: JSON) -> PolicyShares:
        """Read shares as stored."""
        return PolicyShares(
            stored["descriptions"],
            stored["empty"],
            stored.get("kinds"),
            stored["unparsed"],
            {name: Share.from_json(share) for name, share in stored["shares"].items()},
        )


@dataclass(frozen=True)
class Disagreement:
    """A description that people and judge see differently.

    Attributes:
        class_name: Its class.
        description: Its text.
        people: What people made of it.
        judge: What the judge made of it.
    """

    class_name: str
    description: str
    people: Leaf
    judge: Outcome

    def to_json(self) -> JSON:
        """Return the description as stored."""
        names = {"class": self.class_name, "description": self.description}
        return names | {"people": self.people, "judge": self.judge}

    @staticmethod
    def from_json(stored: JSON) -> Disagreement:
        """Read a description as stored."""
        return Disagreement(stored["class"], stored["description"], stored["people"], stored["judge"])


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Content of `agreement.json`.

    Attributes:
        run: Name of the run's folder.
        confidence: Coverage of every interval, in (0, 1).
        judge: Whose verdicts were compared.
        rubrics: Versions of the wording that people answered.
        truth: How several raters' answers become one.
        sample: What people were asked about.
        seeds: Those described and judged; None in files of earlier versions.
        raters: What each rater did, in the order of their first answers.
        own: The judge against people on this run's labels.
        pooled: The same on the labels of all runs given; None where each run stands for itself.
        policies: Shares of each policy's descriptions.
        disagreements: Distinct descriptions that people and judge see differently.
    """

    run: str
    confidence: float
    judge: JudgeId
    rubrics: tuple[str, ...]
    truth: str
    sample: LabelledSample
    seeds: tuple[int, ...] | None
    raters: Mapping[str, Effort]
    own: PeopleComparison
    pooled: PeopleComparison | None
    policies: Mapping[str, PolicyShares]
    disagreements: tuple[Disagreement, ...]

    @property
    def used(self) -> PeopleComparison:
        """The comparison that the corrected shares rest on."""
        return self.pooled or self.own

    @property
    def corrected_with(self) -> Literal["own", "pooled"]:
        """Which comparison that is."""
        return "pooled" if self.pooled else "own"

    def to_json(self) -> JSON:
        """Return the content of the file; seeds that a file lacked are left out."""
        return {
            "run": self.run,
            "confidence": self.confidence,
            "judge": self.judge._asdict(),
            "rubrics": list(self.rubrics),
            "truth": self.truth,
            "sample": self.sample.to_json(),
            **({} if self.seeds is None else {"seeds": list(self.seeds)}),
            "raters": {rater: effort._asdict() for rater, effort in self.raters.items()},
            "own": self.own.to_json(),
            "pooled": self.pooled.to_json() if self.pooled else None,
            "corrected_with": self.corrected_with,
            "policies": {policy: part.to_json() for policy, part in self.policies.items()},
            "disagreements": [row.to_json() for row in self.disagreements],
        }

    @staticmethod
    def from_json(stored: JSON) -> Agreement:
        """Read the content of the file.

        Raises:
            KeyError: If a key that every version has written is missing.
        """
        pooled, seeds = stored["pooled"], stored.get("seeds")
        efforts = stored["raters"].items()
        return Agreement(
            run=stored["run"],
            confidence=stored["confidence"],
            judge=JudgeId(*(stored["judge"][key] for key in JudgeId._fields)),
            rubrics=tuple(stored["rubrics"]),
            truth=stored["truth"],
            sample=LabelledSample.from_json(stored["sample"]),
            seeds=None if seeds is None else tuple(seeds),
            raters={rater: Effort(*(effort[key] for key in Effort._fields)) for rater, effort in efforts},
            own=PeopleComparison.from_json(stored["own"]),
            pooled=PeopleComparison.from_json(pooled) if pooled else None,
            policies={policy: PolicyShares.from_json(part) for policy, part in stored["policies"].items()},
            disagreements=tuple(Disagreement.from_json(row) for row in stored["disagreements"]),
        )


def read_agreement(path: Path) -> Agreement:
    """Read `agreement.json`.

    Raises:
        UserError: If the file is missing, is not JSON, or lacks what every version of `ex2 agreement` has written.
    """
    return read_record(path, Agreement.from_json)


def _estimate_to_json(estimate: Estimate | None) -> JSON | None:
    return None if estimate is None else estimate._asdict()


def _estimate_from_json(stored: JSON | None) -> Estimate | None:
    return None if stored is None else Estimate(*(stored[key] for key in Estimate._fields))
