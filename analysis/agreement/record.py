"""What `agreement.json` holds, for reading and writing: the judge against people, and a run's corrected shares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from analysis.agreement.corrected_shares import Outcome
from analysis.agreement.labels import JudgeId
from analysis.agreement.raters import Confusion
from analysis.judge.base import Question
from analysis.results.experiment import Unread
from analysis.results.unread import unread_answers
from analysis.statistics.intervals import Estimate
from analysis.verdicts.breakdown import Leaf
from analysis.verdicts.verdicts import Kind
from ex2.policy.source import POLICIES
from ex2.run.sealed import check_sealed
from reward.files import JSON, read_record
from reward.records import Flat, Keyed, Omitted, Record

Rate = Annotated[Estimate, Keyed()]
"""An estimate with its interval, as it is stored."""


class StratumSample(NamedTuple):
    """How many descriptions of a stratum were drawn.

    Attributes:
        n: Number of descriptions drawn.
        population: Number of descriptions in the stratum.
        labeled: Number of descriptions drawn that people labelled. Each stands for `population / labeled` descriptions.
    """

    n: int
    population: int
    labeled: int


@dataclass(frozen=True)
class LabeledSample(Record):
    """Which descriptions people were asked about.

    Attributes:
        n: Number of descriptions drawn.
        population: Number of descriptions that they were drawn from.
        inclusion_probability: Chance of each description of the population to be drawn, in (0, 1]; of a stratified
            sample the mean of these chances.
        seed: Seed of the drawing.
        frame: `frame_digest` of the population; None in files of earlier versions.
        strata: The strata by the judge's verdict when the sample was drawn; empty for a simple random sample.
    """

    n: int
    population: int
    inclusion_probability: float
    seed: int
    frame: Annotated[str | None, Omitted()] = None
    strata: Annotated[Mapping[Kind, Annotated[StratumSample, Keyed()]], Omitted()] = field(default_factory=dict)


class Effort(NamedTuple):
    """How many distinct descriptions one rater labelled.

    Attributes:
        yes: Descriptions called informative.
        no: Descriptions called not informative.
        skipped: Descriptions skipped, at either question.
    """

    yes: int
    no: int
    skipped: int


class PaperAgreement(NamedTuple):
    """How far the paper's judge agrees with people, as the paper reports it.

    Attributes:
        agreement: Share of descriptions on which judge and people agree, in [0, 1].
        n: Number of descriptions compared.
    """

    agreement: float
    n: int


@dataclass(frozen=True)
class QuestionAgreement(Record):
    """The judge against people on one question, and the raters against each other.

    Attributes:
        confusion: People's answers and the judge's, on the descriptions where both gave one, as plain counts of labels.
            The estimates below weigh each label by the descriptions that it stands for.
        agreement: Share of descriptions with equal answers; None without descriptions.
        kappa: Cohen's κ; None where chance agreement is 1.
        sensitivity: Share of the judge's yes where people say yes; None where they never do.
        specificity: Share of the judge's no where people say no; None where they never do.
        alpha: Krippendorff's α among raters; None with one rater, or where only one answer occurs.
        paper: The paper's judge on this question.
        youden: Sensitivity + specificity − 1, where labels have weights; None where they have none, or where people
            never give one of the answers.
    """

    confusion: Annotated[Confusion, Keyed(), Flat()]
    agreement: Rate | None
    kappa: Rate | None
    sensitivity: Rate | None
    specificity: Rate | None
    alpha: Rate | None
    paper: Annotated[PaperAgreement, Keyed()]
    youden: Annotated[Rate | None, Omitted()] = None

    @property
    def n(self) -> int:
        """Number of descriptions on which both people and judge answered."""
        return sum(self.confusion)

    @property
    def rates(self) -> dict[str, Estimate | None]:
        """The estimates that have an interval, by name."""
        return {
            "agreement": self.agreement,
            "kappa": self.kappa,
            "sensitivity": self.sensitivity,
            "specificity": self.specificity,
            "alpha": self.alpha,
        } | ({"youden": self.youden} if self.youden else {})

    def as_written(self, stored: JSON) -> JSON:
        """Store `n` too."""
        return {"n": self.n, **stored}


@dataclass(frozen=True, kw_only=True)
class PeopleComparison(Record):
    """The judge against people on the labelled descriptions of some runs.

    Attributes:
        runs: Names of the runs.
        labeled: Number of descriptions on which people gave all answers needed. With one run a description counts as
            often as it was drawn; with several each text counts once.
        unparsed: Number of labelled descriptions whose first answer of the judge could not be read. They do not count
            in the numbers below.
        kinds: What people may call a description: the rows of `table`.
        verdicts: What the judge may make of a description: the columns of `table`. For files of earlier versions, which
            lack this, the same as `kinds`.
        table: Numbers of labelled descriptions by kind (rows) and verdict (columns).
        weighted_table: The same, each label weighted by the descriptions that it stands for, and scaled to the number
            of labels; None where all weights are 1.
        kind_agreement: Share of descriptions that people and judge call the same kind, among those on which all the
            judge's answers could be read; None if there are none.
        kind_kappa: Cohen's κ of people's and the judge's kinds on the same descriptions; None where chance agreement is
            1.
        questions: The comparison on each question alone.
    """

    runs: tuple[str, ...]
    labeled: Annotated[int, Field(alias="labelled")]
    unparsed: int
    kinds: tuple[Leaf, ...]
    verdicts: Annotated[tuple[Outcome, ...], Field(default_factory=lambda read: read["kinds"])]
    table: tuple[tuple[int, ...], ...]
    kind_agreement: Rate | None
    kind_kappa: Rate | None
    questions: Mapping[Question, QuestionAgreement]
    weighted_table: Annotated[tuple[tuple[float, ...], ...] | None, Omitted()] = None


@dataclass(frozen=True)
class Share(Record):
    """One share of a policy's descriptions.

    Attributes:
        judged: Share by the judge's verdicts, among the descriptions whose verdicts could be read; None if there are
            none.
        corrected: Share corrected for the judge's errors; None where the labels do not determine it.
        reason: Why the labels do not determine the corrected share; empty where they do, and in files of earlier
            versions.
    """

    judged: Rate | None
    corrected: Rate | None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class PolicyShares(Record):
    """One policy's descriptions, all seeds together.

    Attributes:
        descriptions: Number of descriptions.
        empty: Number of empty descriptions, which count as spurious without having been judged.
        kinds: Number of descriptions by what the judge made of them; None in files of earlier versions.
        unparsed: Number of descriptions that lack one of the verdicts.
        shares: Shares by name: `spurious` and `visual` are of all descriptions, `visual_of_informative` of the
            informative ones. Empty in runs of which under half of the judge's answers could be read.
    """

    descriptions: int
    empty: int
    kinds: Annotated[Mapping[Kind, int] | None, Omitted()] = None
    unparsed: int
    shares: Mapping[str, Share]


class JudgedKinds(NamedTuple):
    """What the judge made of one policy's descriptions.

    Attributes:
        descriptions: Number of descriptions.
        empty: Number of empty descriptions.
        kinds: Number of descriptions of each kind.
    """

    descriptions: int
    empty: int
    kinds: Mapping[Kind, int]


@dataclass(frozen=True)
class Disagreement(Record):
    """A description that people and judge see differently.

    Attributes:
        class_name: The description's class.
        description: The description's text.
        people: What people made of the description.
        judge: What the judge made of the description.
    """

    class_name: Annotated[str, Field(alias="class")]
    description: str
    people: Leaf
    judge: Outcome


@dataclass(frozen=True, kw_only=True)
class Agreement(Record):
    """Content of `agreement.json`.

    Attributes:
        run: Name of the run's folder.
        confidence: Coverage of every interval, in (0, 1).
        judge: The judge whose verdicts were compared.
        rubrics: Versions of the wording that people answered.
        truth: How several raters' answers become one.
        sample: The descriptions that people were asked about.
        seeds: Seeds that were described and judged; None in files of earlier versions.
        raters: How many descriptions each rater labelled, in the order of the raters' first answers.
        own: The judge against people on this run's labels.
        pooled: The judge against people on the labels of all runs given; None where each run was corrected with its own
            labels.
        policies: Shares of each policy's descriptions.
        disagreements: Distinct descriptions that people and judge see differently.
    """

    run: str
    confidence: float
    judge: Annotated[JudgeId, Keyed()]
    rubrics: tuple[str, ...]
    truth: str
    sample: LabeledSample
    seeds: Annotated[tuple[int, ...] | None, Omitted()] = None
    raters: Mapping[str, Annotated[Effort, Keyed()]]
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
        """Which comparison the corrected shares rest on."""
        return "pooled" if self.pooled else "own"

    @property
    def unread(self) -> tuple[Unread, ...]:
        """Questions of which under half of the judge's answers could be read: then no share is given."""
        parts = {policy: self.policies[policy] for policy in POLICIES if policy in self.policies}
        return unread_answers(
            {
                policy: JudgedKinds(part.descriptions, part.empty, part.kinds)
                for policy, part in parts.items()
                if part.kinds is not None
            }
        )

    def as_written(self, stored: JSON) -> JSON:
        """Store too which comparison was used."""
        return stored | {"corrected_with": self.corrected_with}


def read_agreement(path: Path) -> Agreement:
    """Read `agreement.json`.

    Raises:
        UserError: If the file is missing, is not JSON, or lacks what every version of `ex2 agreement` has written.
    """
    agreement = read_record(path, Agreement.from_json)
    check_sealed(path, "run `ex2 agreement` again")
    return agreement
