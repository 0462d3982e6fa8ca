"""An experiment as plain numbers: what a run directory leaves and what a paper prints both become one of these."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from analysis.accuracy.record import Control
from analysis.results.kl import KLReached
from analysis.results.pooling import Difference, Pooled, pool
from analysis.statistics.intervals import Estimate
from analysis.verdicts.breakdown import GROUPS, Denominator, Group, group_shares
from analysis.verdicts.record import JudgeIdentity
from analysis.verdicts.verdicts import Kind
from ex2.policy.source import PolicyName

EPSILON = 1e-9
"""Differences of accuracies below this are rounding: printed accuracies have four digits."""


@dataclass(frozen=True)
class Counts:
    """Descriptions of the aligned model by kind, of one seed.

    Attributes:
        all: Every description, unparsed ones included.
        spurious: `None` where it is not known.
        informative: `None` where it is not known.
        visual: Of the informative; `None` where it is not known.
        non_visual: Of the informative; `None` where it is not known.
    """

    all: int
    spurious: int | None
    informative: int | None
    visual: int | None
    non_visual: int | None

    @property
    def lost_information(self) -> int | None:
        """Descriptions without an answer whether they are informative."""
        if self.spurious is None or self.informative is None:
            return None
        return self.all - self.spurious - self.informative

    @property
    def lost_visibility(self) -> int | None:
        """Informative descriptions without an answer whether they are visual."""
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
        class_name: Its class.
        question_id: Number of its question.
        question: Text of its question.
        text: What the model wrote.
        kind: What the judge made of it.
        reward: In units of the VLM's logits; `None` if it has none.
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
        of_all: Of all descriptions.
        of_parent: Of the group above: visual and non-visual of the informative.
    """

    of_all: Mapping[Group, Pooled]
    of_parent: Mapping[Group, Pooled]


@dataclass(frozen=True)
class Described:
    """What the judge made of one policy's descriptions, all seeds together.

    Attributes:
        descriptions: How many there are, repeated ones included.
        empty: Empty ones, which are among the spurious.
        unparsed: By question, answers of the judge that could not be read.
        kinds: Descriptions of each kind.
        shares: By the experiment's denominator.
        by_denominator: The same by each, which differ only if some answer is unparsed.
    """

    descriptions: int
    empty: int
    unparsed: Mapping[str, int]
    kinds: Mapping[Kind, int]
    shares: Shares
    by_denominator: Mapping[Denominator, Shares]


@dataclass(frozen=True)
class Texts:
    """What an arm's texts are beside its top-1 accuracy, all seeds together.

    Attributes:
        texts: How many were used; 0 for an arm that has none.
        fallback_classes: Classes without such a text in some seed, in alphabetical order.
        top5: Top-5 accuracy; `None` where it was not measured.
        mean_per_class: Accuracy averaged over classes, `n` counts classes; `None` where it was not measured.
    """

    texts: int
    fallback_classes: tuple[str, ...]
    top5: Pooled | None
    mean_per_class: Pooled | None


@dataclass(frozen=True)
class Coverage:
    """Two groups on the classes that have texts of both.

    Attributes:
        fewest: Classes that both cover, in the seed with the fewest.
        most: The same, in the seed with the most.
        difference: Accuracy of the first group minus the second on these classes; `None` with fewer than two.
    """

    fewest: int
    most: int
    difference: Difference | None


@dataclass(frozen=True)
class Experiment:
    """One VLM on one dataset.

    What a paper prints fills the numbers it prints; the others keep their defaults.

    Attributes:
        name: Of the run, or of the source.
        vlm: As shown.
        dataset: As shown.
        accuracies: Top-1 by arm; arms without texts are absent.
        differences: By pair of arms, on the same images; absent where none was tested.
        counts: One per seed.
        denominator: What shares are of.
        confidence: Coverage of intervals.
        kl: What the training reached; `None` where it is not known.
        kl_setting: Target as the recipe gives it, which tells experiments apart; `None` with a fixed coefficient.
        cross: Accuracy of other VLMs with these descriptions, by the classifier's name, its own included.
        cross_differences: That accuracy minus the one with the classifier's own descriptions.
        examples: Aligned descriptions of the first seed.
        folder: The run's directory; `None` for numbers from elsewhere.
        textless: Arms that were to be measured and had no text.
        fallback: By arm, classes without such a text, the most of any seed: the plain template stands for them.
        classes: Of the dataset; 0 where it is not known.
        missing_seeds: Seeds of the recipe that have not been analysed.
        seeds: Seeds that the numbers are pooled over.
        images: Of the test set; 0 where it is not known.
        arms: By arm, those without texts included, in the order of `accuracy.json`.
        controls: By arm, the name and note of arms that are not those of every run.
        covered: By pair of groups, where their classes were counted.
        policies: Descriptions of each policy that was described.
        share_changes: Share of each group among all descriptions, aligned minus base.
        reward_gain: Mean reward of aligned minus base descriptions of the same class and question, in units of the
            VLM's logits; `None` without such pairs.
        reward_end: Mean reward at the end of training; `n` counts batches; `None` where it is not known.
        judge: Who sorted the descriptions; `None` where it is not known.
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
    reward_gain: Difference | None = None
    reward_end: Pooled | None = None
    judge: JudgeIdentity | None = None

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
        """Return an aligned group's share of its parent, of printed counts too; `None` where it is not known."""
        if "aligned" in self.policies:
            return self.share_of_parent("aligned", group)
        found = [(c, e) for c in self.counts if (e := c.share(group, self.denominator, self.confidence))]
        hits = sum(getattr(counts, group) or 0 for counts, _ in found)
        return pool([estimate for _, estimate in found], self.confidence, hits)

    def tested(self, arm: str, against: str) -> Difference | None:
        """Return an arm's accuracy minus another's as tested, the one way or the other; `None` if it was not."""
        other_way = self.differences.get((against, arm))
        return self.differences.get((arm, against)) or (other_way.flipped() if other_way else None)

    def difference(self, arm: str, against: str) -> Difference | None:
        """Return an arm's accuracy minus another's: as tested, or else of the bare numbers, without a test."""
        tested = self.tested(arm, against)
        first, second = self.accuracy(arm), self.accuracy(against)
        if tested or first is None or second is None:
            return tested
        return Difference(first.value - second.value, None, None, None, None, 0, 1)

    def has_texts(self, arm: str) -> bool:
        """Say whether an arm has, or may have, a text to measure; its accuracy may be unknown all the same."""
        return arm not in self.textless and (arm not in GROUPS or self.total(arm) != 0)

    def total(self, name: str) -> int | None:
        """Return a count (`all`, a group, or one of the lost) summed over seeds; `None` if a seed lacks it."""
        values = [getattr(counts, name) for counts in self.counts]
        return sum(values) if values and None not in values else None


def improves(experiment: Experiment) -> bool | None:
    """Say whether EX2's descriptions are more accurate than the templates; `None` if that was not measured."""
    gain = experiment.difference("aligned", "templates")
    return None if gain is None else gain.value > EPSILON


def datasets_of(experiments: Iterable[Experiment]) -> tuple[str, ...]:
    """Return the datasets in order of appearance."""
    return tuple(dict.fromkeys(experiment.dataset for experiment in experiments))


def by_row(experiments: Sequence[Experiment]) -> dict[str, dict[str, Experiment]]:
    """Arrange experiments as rows of VLMs, so that no two share a place.

    Args:
        experiments: Any; several of one VLM and dataset are told apart by their KL target, else by name.

    Returns:
        For each row label, the experiments by dataset, both in order of appearance, KL targets ascending.
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
        experiments: Any; the second of a VLM, dataset and target opens a second row of that VLM.

    Returns:
        For each row label, the experiments by dataset and target. A VLM's only row bears its name; several name what
        they hold.
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
