"""An experiment as plain numbers: made from a run directory, or from numbers that a paper prints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from analysis.accuracy.record import Control
from analysis.judge.base import Question
from analysis.results.attribution import GainParts
from analysis.results.kl import KLReached
from analysis.results.pooling import SHARE, Difference, Pooled, pool
from analysis.results.wording import ARM_NAMES
from analysis.statistics.intervals import Estimate
from analysis.verdicts.breakdown import GROUPS, Denominator, Group, Leaf, group_shares
from analysis.verdicts.record import JudgeIdentity
from analysis.verdicts.verdicts import Kind
from ex2.policy.source import PolicyName

EPSILON = 1e-9
"""Differences of accuracies below this are rounding errors: printed accuracies have four digits."""


@dataclass(frozen=True)
class Counts:
    """Numbers of one seed's aligned descriptions by kind.

    Attributes:
        all: All descriptions, unparsed ones included.
        spurious: Spurious descriptions; `None` where the number is not known.
        informative: Informative descriptions; `None` where the number is not known.
        visual: Visual ones among the informative; `None` where the number is not known.
        non_visual: Non-visual ones among the informative; `None` where the number is not known.
    """

    all: int
    spurious: int | None
    informative: int | None
    visual: int | None
    non_visual: int | None

    @property
    def lost_information(self) -> int | None:
        """Number of descriptions without a readable answer on whether they are informative."""
        if self.spurious is None or self.informative is None:
            return None
        return self.all - self.spurious - self.informative

    @property
    def lost_visibility(self) -> int | None:
        """Number of informative descriptions without a readable answer on whether they are visual."""
        if self.informative is None or self.visual is None or self.non_visual is None:
            return None
        return self.informative - self.visual - self.non_visual

    def share(self, group: Group, denominator: Denominator, confidence: float) -> Estimate | None:
        """Return a group's share: informative and spurious of all, visual and non-visual of the informative."""
        lost = self.lost_information
        if self.spurious is None or self.informative is None or lost is None:
            return None
        visual, non_visual = self.visual, self.non_visual
        if visual is None or non_visual is None:
            if group in ("visual", "non_visual"):
                return None
            visual = non_visual = 0
        kinds: dict[Kind, int] = {
            "spurious": self.spurious,
            "visual": visual,
            "non_visual": non_visual,
            "informative_unparsed": self.informative - visual - non_visual,
            "unparsed": lost,
        }
        return group_shares(kinds, denominator, confidence)[group].of_parent


@dataclass(frozen=True)
class Example:
    """One aligned description, to be shown.

    Attributes:
        class_name: The description's class.
        question_id: Number of the question that the description answers.
        question: Text of this question.
        text: What the model wrote.
        kind: What the judge made of the description.
        reward: Reward in units of the VLM's logits; `None` if the description has none.
    """

    class_name: str
    question_id: int
    question: str
    text: str
    kind: Kind
    reward: float | None


@dataclass(frozen=True)
class Shares:
    """Shares of one policy's descriptions by group, between 0 and 1; a group whose denominator is 0 is absent.

    Attributes:
        of_all: Shares of all descriptions.
        of_parent: Shares of the group above: visual and non-visual are shares of the informative descriptions.
    """

    of_all: Mapping[Group, Pooled]
    of_parent: Mapping[Group, Pooled]


@dataclass(frozen=True)
class Described:
    """What the judge made of one policy's descriptions, all seeds together.

    Attributes:
        descriptions: How many there are, repeated ones included.
        empty: Number of empty descriptions, which are among the spurious.
        unparsed: Number of the judge's answers that could not be read, by question.
        kinds: Number of descriptions of each kind.
        shares: Shares by the experiment's denominator.
        by_denominator: Shares by each denominator; they differ only if an answer could not be read.
    """

    descriptions: int
    empty: int
    unparsed: Mapping[str, int]
    kinds: Mapping[Kind, int]
    shares: Shares
    by_denominator: Mapping[Denominator, Shares]


class Unread(NamedTuple):
    """Answers of a judge of which under half could be read.

    Attributes:
        policy: The policy whose descriptions were asked about.
        question: The question.
        read: Number of descriptions with a readable answer.
        asked: Number of descriptions asked about.
    """

    policy: PolicyName
    question: Question
    read: int
    asked: int


@dataclass(frozen=True)
class Texts:
    """What is known of an arm beside its top-1 accuracy, all seeds together.

    Attributes:
        texts: Number of texts used; 0 for an arm that has none.
        fallback_classes: Classes that have no text of the arm in at least one seed, in alphabetical order.
        top5: Top-5 accuracy; `None` where it was not measured.
        mean_per_class: Accuracy averaged over classes, where `n` counts classes; `None` where it was not measured.
    """

    texts: int
    fallback_classes: tuple[str, ...]
    top5: Pooled | None
    mean_per_class: Pooled | None


@dataclass(frozen=True)
class Coverage:
    """Two groups compared on the classes that have texts of both.

    Attributes:
        fewest: Number of classes that both groups cover, in the seed with the fewest.
        most: Number of classes that both groups cover, in the seed with the most.
        difference: Accuracy of the first group minus the second on these classes; `None` with fewer than two.
    """

    fewest: int
    most: int
    difference: Difference | None


@dataclass(frozen=True)
class Experiment:
    """One VLM on one dataset.

    An experiment from a paper has the numbers that the paper prints; the others keep their defaults.

    Attributes:
        name: Name of the run, or of the source.
        vlm: Shown name of the VLM.
        dataset: Shown name of the dataset.
        accuracies: Top-1 accuracy by arm; arms without texts are absent.
        differences: Differences of accuracies on the same images by pair of arms, first minus second; pairs that were
            not tested are absent.
        counts: Counts of each seed.
        denominator: Which descriptions the shares are of.
        confidence: Coverage of intervals.
        kl: The KL that training reached; `None` where it is not known.
        kl_setting: KL target as the recipe gives it, by which experiments are told apart; `None` with a fixed
            coefficient.
        cross: Accuracy of VLMs with these descriptions, by the VLM's shown name; the experiment's own VLM is included.
        cross_differences: For each of these VLMs, its accuracy with these descriptions minus that with its own
            descriptions.
        examples: Aligned descriptions of the first seed.
        folder: The run's directory; `None` for numbers from elsewhere.
        textless: Arms that were to be measured but had no text.
        fallback: Number of classes without a text of the arm, by arm, in the seed with the most; the plain template
            stands for them.
        classes: Number of classes of the dataset; 0 where it is not known.
        missing_seeds: Seeds of the recipe that have not been analysed.
        seeds: Seeds that the numbers are pooled over.
        images: Number of images of the test set; 0 where it is not known.
        arms: What is known of each arm's texts, by arm in the order of `accuracy.json`; arms without texts are
            included.
        controls: Name and note, by arm, of the further arms that not every run has.
        covered: Comparison on common classes by pair of groups; pairs whose classes were not counted are absent.
        policies: What the judge made of the descriptions of each policy that has some.
        share_changes: Share of each group among all descriptions, aligned minus base.
        class_changes: The same in each class, as the mean over seeds; empty where it is not known.
        reward_gain: Mean reward of aligned minus base descriptions of the same class and question, in units of the
            VLM's logits; `None` without such pairs.
        reward_end: Mean reward at the end of training, where `n` counts batches; `None` where it is not known.
        judge: The judge that sorted the descriptions; `None` where it is not known.
        gain_parts: What the gain over the templates is made of; `None` where it was not measured.
        unread: Answers that could hardly be read. If there are any, the experiment has no shares, see
            `unread.without_shares`.
    """

    name: str
    vlm: str
    dataset: str
    accuracies: Mapping[str, Pooled]
    differences: Mapping[tuple[str, str], Difference] = field(default_factory=dict)
    counts: tuple[Counts, ...] = ()
    denominator: Denominator = "parsed"
    confidence: float = 0.95
    kl: KLReached | None = None
    kl_setting: float | None = None
    cross: Mapping[str, Pooled] = field(default_factory=dict)
    cross_differences: Mapping[str, Difference] = field(default_factory=dict)
    examples: tuple[Example, ...] = ()
    folder: Path | None = None
    textless: frozenset[str] = frozenset()
    fallback: Mapping[str, int] = field(default_factory=dict)
    classes: int = 0
    missing_seeds: tuple[int, ...] = ()
    seeds: tuple[int, ...] = ()
    images: int = 0
    arms: Mapping[str, Texts] = field(default_factory=dict)
    controls: Mapping[str, Control] = field(default_factory=dict)
    covered: Mapping[tuple[str, str], Coverage] = field(default_factory=dict)
    policies: Mapping[PolicyName, Described] = field(default_factory=dict)
    share_changes: Mapping[Group, Difference] = field(default_factory=dict)
    class_changes: Mapping[Leaf, tuple[float, ...]] = field(default_factory=dict)
    reward_gain: Difference | None = None
    reward_end: Pooled | None = None
    judge: JudgeIdentity | None = None
    gain_parts: GainParts | None = None
    unread: tuple[Unread, ...] = ()

    def accuracy(self, arm: str) -> Pooled | None:
        """Return an arm's accuracy; `None` where it is not known."""
        return self.accuracies.get(arm)

    def share_of_all(self, policy: PolicyName, group: Group) -> Pooled | None:
        """Return a group's share of all of a policy's descriptions; `None` where it is not known."""
        described = self.policies.get(policy)
        return described.shares.of_all.get(group) if described else None

    def share_of_parent(self, policy: PolicyName, group: Group) -> Pooled | None:
        """Return a group's share of the group above it; `None` where it is not known."""
        described = self.policies.get(policy)
        return described.shares.of_parent.get(group) if described else None

    def share(self, group: Group) -> Pooled | None:
        """Return an aligned group's share of its parent, if need be from the counts; `None` where it is not known."""
        if "aligned" in self.policies:
            return self.share_of_parent("aligned", group)
        found = [(c, e) for c in self.counts if (e := c.share(group, self.denominator, self.confidence))]
        hits = sum(getattr(counts, group) or 0 for counts, _ in found)
        return pool([estimate for _, estimate in found], self.confidence, hits, SHARE)

    def tested(self, arm: str, against: str) -> Difference | None:
        """Return an arm's accuracy minus another's as tested, in either direction; `None` if it was not tested."""
        other_way = self.differences.get((against, arm))
        return self.differences.get((arm, against)) or (other_way.flipped() if other_way else None)

    def difference(self, arm: str, against: str) -> Difference | None:
        """Return an arm's accuracy minus another's: as it was tested, or else the bare difference, without a test."""
        tested = self.tested(arm, against)
        first, second = self.accuracy(arm), self.accuracy(against)
        if tested or first is None or second is None:
            return tested
        return Difference(first.value - second.value, None, None, None, None, 0, 1)

    def has_texts(self, arm: str) -> bool:
        """Say whether an arm has, or may have, texts; even then its accuracy may be unknown."""
        return arm not in self.textless and (arm not in GROUPS or self.total(arm) != 0)

    def mostly_template(self, arm: str) -> bool:
        """Say whether the plain template stands for more than half of an arm's classes, in the seed with the most.

        What such an arm reaches is the template's accuracy more than that of its texts: nothing follows from it.
        """
        return 2 * self.fallback.get(arm, 0) > self.classes > 0

    def arm_name(self, arm: str) -> str:
        """Return an arm's name; `non-visual, 11 of 73 classes`, not "only", where it is mostly the template."""
        control = self.controls.get(arm)
        name = control.name if control else ARM_NAMES.get(arm, arm.replace("_", " "))
        if not self.mostly_template(arm):
            return name
        return f"{name.removesuffix(' only')}, {self.classes - self.fallback[arm]} of {self.classes} classes"

    def total(self, name: str) -> int | None:
        """Return a number of `Counts`, by its name there, summed over seeds; `None` if it is not known for a seed."""
        values = [getattr(counts, name) for counts in self.counts]
        return sum(values) if values and None not in values else None


def improves(experiment: Experiment) -> bool | None:
    """Say whether EX2's descriptions are more accurate than the templates; `None` if that was not measured."""
    gain = experiment.difference("aligned", "templates")
    return None if gain is None else gain.value > EPSILON


def datasets_of(experiments: Iterable[Experiment]) -> tuple[str, ...]:
    """Return the experiments' datasets, each once, in order of appearance."""
    return tuple(dict.fromkeys(experiment.dataset for experiment in experiments))


def by_row(experiments: Sequence[Experiment]) -> dict[str, dict[str, Experiment]]:
    """Arrange experiments as rows of VLMs, so that no two share a place.

    Args:
        experiments: Any experiments. Several with the same VLM and dataset are told apart by their KL target, or else
            by name.

    Returns:
        For each row label, the experiments by dataset. Labels and datasets are in order of appearance, KL targets
        ascending.
    """
    rows: dict[str, dict[str, Experiment]] = {}
    for own in _by_vlm(experiments):
        for label in (lambda e: e.vlm, _with_target, lambda e: f"{e.vlm} · {e.name}", _with_folder):
            places = [(label(experiment), experiment.dataset) for experiment in own]
            if len(set(places)) == len(places):
                break
        for (row, dataset), experiment in zip(places, own, strict=True):
            rows.setdefault(row, {})[dataset] = experiment
    return rows


def by_target(experiments: Sequence[Experiment]) -> dict[str, dict[tuple[str, float | None], Experiment]]:
    """Arrange experiments as rows of VLMs with a place for each dataset and KL target.

    Args:
        experiments: Any experiments. A second one with the same VLM, dataset and target opens a second row for that
            VLM.

    Returns:
        For each row label, the experiments by dataset and target. A VLM's only row has its name as label; if it has
        several rows, their labels also say which experiments they hold.
    """
    rows: dict[str, dict[tuple[str, float | None], Experiment]] = {}
    for own in _by_vlm(experiments):
        of_vlm: list[dict[tuple[str, float | None], Experiment]] = []
        for experiment in own:
            place = (experiment.dataset, experiment.kl_setting)
            free = next((row for row in of_vlm if place not in row), None)
            if free is None:
                free = {}
                of_vlm.append(free)
            free[place] = experiment
        for number, row in enumerate(of_vlm, 1):
            names = ", ".join(dict.fromkeys(experiment.name for experiment in row.values()))
            label = own[0].vlm if len(of_vlm) == 1 else f"{own[0].vlm} · {names}"
            rows[label if label not in rows else f"{label} ({number})"] = row
    return rows


def _by_vlm(experiments: Sequence[Experiment]) -> list[list[Experiment]]:
    """Group by VLM in order of appearance, KL targets ascending."""
    groups: dict[str, list[Experiment]] = {}
    for experiment in experiments:
        groups.setdefault(experiment.vlm, []).append(experiment)
    return [sorted(own, key=lambda experiment: experiment.kl_setting or 0.0) for own in groups.values()]


def _with_target(experiment: Experiment) -> str:
    target = "no KL target" if experiment.kl_setting is None else f"KL {experiment.kl_setting:g}"
    return f"{experiment.vlm} · {target}"


def _with_folder(experiment: Experiment) -> str:
    return f"{experiment.vlm} · {experiment.folder or experiment.name}"
