"""What `attributes.json` holds: what runs' descriptions mention, read from the file and written to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from analysis.results.kl import KLReached
from analysis.results.kl import from_json as kl_from_json
from analysis.results.kl import to_json as kl_to_json
from analysis.results.pooling import Pooled
from reward.files import JSON

FORMAT = 2

Identity = tuple[str, str]
"""A run's name and the digest of its descriptions: what tells its results from others', whichever file holds them."""


def share_to_json(share: Pooled | None) -> JSON | None:
    """Return a share as it is stored; None if nothing was observed."""
    if share is None:
        return None
    return {"share": share.value, "low": share.low, "high": share.high, "n": share.n, "seeds": share.seeds}


def share_from_json(stored: JSON | None) -> Pooled | None:
    """Read a share as `share_to_json` stores it."""
    if stored is None:
        return None
    return Pooled(stored["share"], stored["low"], stored["high"], stored["n"], stored["seeds"])


@dataclass(frozen=True)
class AttributeShares:
    """How often a run's descriptions mention one attribute.

    Attributes:
        mentions: Descriptions that mention it, of all seeds together.
        of_mentions: Share of all mentions that are of it, over seeds; None if nothing is mentioned.
        of_descriptions: Share of the descriptions that mention it, over seeds; None without descriptions.
        by_seed: Each seed's share of mentions; None for a seed that mentions nothing.
    """

    mentions: int
    of_mentions: Pooled | None
    of_descriptions: Pooled | None
    by_seed: tuple[float | None, ...]

    def to_json(self) -> JSON:
        """Return the shares as stored."""
        return {
            "mentions": self.mentions,
            "of_mentions": share_to_json(self.of_mentions),
            "of_descriptions": share_to_json(self.of_descriptions),
            "by_seed": list(self.by_seed),
        }

    @staticmethod
    def from_json(stored: JSON) -> AttributeShares:
        """Read shares as stored."""
        return AttributeShares(
            stored["mentions"],
            share_from_json(stored["of_mentions"]),
            share_from_json(stored["of_descriptions"]),
            tuple(stored["by_seed"]),
        )


@dataclass(frozen=True)
class Mentioned:
    """What some of a run's descriptions mention: all informative ones, or a random sample of each seed.

    Attributes:
        descriptions: How many were asked about.
        unparsed: Those whose answer could not be read.
        without_attribute: Those whose answer names no attribute.
        mentions: Attributes named in all of them together.
        attributes: By name, in the order of the question; those never mentioned are there too.
    """

    descriptions: int
    unparsed: int
    without_attribute: int
    mentions: int
    attributes: Mapping[str, AttributeShares]

    def to_json(self) -> JSON:
        """Return the counts and shares as stored."""
        return {
            "descriptions": self.descriptions,
            "unparsed": self.unparsed,
            "without_attribute": self.without_attribute,
            "mentions": self.mentions,
            "attributes": {name: shares.to_json() for name, shares in self.attributes.items()},
        }

    @staticmethod
    def from_json(stored: JSON) -> Mentioned:
        """Read counts and shares as stored."""
        return Mentioned(
            stored["descriptions"],
            stored["unparsed"],
            stored["without_attribute"],
            stored["mentions"],
            {name: AttributeShares.from_json(shares) for name, shares in stored["attributes"].items()},
        )


@dataclass(frozen=True, kw_only=True)
class Group:
    """One run's attributes.

    Attributes:
        label: As shown; no other group of the file has it on the same dataset.
        vlm: Shown name of the reward's VLM.
        dataset: Its name.
        run: Name of the run.
        seeds: Those that are analyzed.
        missing_seeds: Seeds of the recipe that are not.
        judge: Who named the attributes.
        exact: True if the answers are true by construction, False if they are a model's.
        texts: From `answers.texts_digest`, of these seeds.
        kl: What the run reached; None if it is not known.
        all: Of all informative descriptions.
        sample: Of a random sample of each seed.
        own_names: Attributes outside the list, with the number of descriptions that mention them, most frequent first.
    """

    label: str
    vlm: str
    dataset: str
    run: str
    seeds: tuple[int, ...]
    missing_seeds: tuple[int, ...]
    judge: str
    exact: bool
    texts: str
    kl: KLReached | None
    all: Mentioned
    sample: Mentioned
    own_names: Mapping[str, int]

    @property
    def identity(self) -> Identity:
        """The run's name and the digest of its descriptions."""
        return self.run, self.texts

    def part(self, name: Literal["all", "sample"]) -> Mentioned:
        """Return what all informative descriptions mention, or a random sample of each seed."""
        return self.all if name == "all" else self.sample

    def to_json(self) -> JSON:
        """Return the group as stored."""
        return {
            "label": self.label,
            "vlm": self.vlm,
            "dataset": self.dataset,
            "run": self.run,
            "seeds": list(self.seeds),
            "missing_seeds": list(self.missing_seeds),
            "judge": self.judge,
            "exact": self.exact,
            "texts": self.texts,
            "kl": kl_to_json(self.kl),
            "all": self.all.to_json(),
            "sample": self.sample.to_json(),
            "own_names": dict(self.own_names),
        }

    @staticmethod
    def from_json(stored: JSON) -> Group:
        """Read a group as stored."""
        return Group(
            label=stored["label"],
            vlm=stored["vlm"],
            dataset=stored["dataset"],
            run=stored["run"],
            seeds=tuple(stored["seeds"]),
            missing_seeds=tuple(stored["missing_seeds"]),
            judge=stored["judge"],
            exact=stored["exact"],
            texts=stored["texts"],
            kl=kl_from_json(stored["kl"]),
            all=Mentioned.from_json(stored["all"]),
            sample=Mentioned.from_json(stored["sample"]),
            own_names=stored["own_names"],
        )


@dataclass(frozen=True, kw_only=True)
class Gap:
    """One attribute's shares of mentions in two runs, in the classes that both describe.

    Attributes:
        attribute: Its name.
        difference: Share of the first minus that of the second, in [-1, 1]; None if a side mentions nothing.
        low: Lower end of its interval; None with it.
        high: Upper end of its interval; None with it.
        mentions: Of any attribute, on both sides.
        over_seeds: True if the interval is over seeds, False if it is given these seeds.
        p: Of the test, not corrected.
        p_holm: Corrected by Holm's method over the attributes of all comparisons of the file; 1 until that is done.
        significant: Whether the corrected one is below the level; False until that is done.
    """

    attribute: str
    difference: float | None
    low: float | None
    high: float | None
    mentions: tuple[int, int]
    over_seeds: bool
    p: float
    p_holm: float = 1.0
    significant: bool = False

    def to_json(self) -> JSON:
        """Return the difference and its test as stored."""
        return {
            "attribute": self.attribute,
            "difference": self.difference,
            "low": self.low,
            "high": self.high,
            "mentions": list(self.mentions),
            "over_seeds": self.over_seeds,
            "p": self.p,
            "p_holm": self.p_holm,
            "significant": self.significant,
        }

    @staticmethod
    def from_json(stored: JSON) -> Gap:
        """Read a difference and its test as stored."""
        first, second = stored["mentions"]
        return Gap(
            attribute=stored["attribute"],
            difference=stored["difference"],
            low=stored["low"],
            high=stored["high"],
            mentions=(first, second),
            over_seeds=stored["over_seeds"],
            p=stored["p"],
            p_holm=stored["p_holm"],
            significant=stored["significant"],
        )


@dataclass(frozen=True, kw_only=True)
class RunsCompared:
    """Whether two runs on one dataset mention attributes alike.

    Attributes:
        dataset: Its name.
        first: Label of the first run's group.
        second: Label of the second's.
        runs: Identities of the two.
        seeds: How many each has.
        unit: What changed sides in the test: whole seeds, or single descriptions given these seeds.
        statistic: χ² of the mentions, about their expectation within classes.
        p: Of the test, not corrected.
        permutations: Relabellings looked at.
        least_p: The smallest p that the test could have given.
        shared_classes: Classes that both describe.
        classes: Classes that each describes.
        attributes: Of those that a side mentions in the shared classes.
        p_holm: Corrected by Holm's method over all comparisons of the file; 1 until that is done.
        significant: Whether the corrected one is below the level; False until that is done.
    """

    dataset: str
    first: str
    second: str
    runs: tuple[Identity, Identity]
    seeds: tuple[int, int]
    unit: Literal["seeds", "descriptions"]
    statistic: float
    p: float
    permutations: int
    least_p: float
    shared_classes: int
    classes: tuple[int, int]
    attributes: tuple[Gap, ...]
    p_holm: float = 1.0
    significant: bool = False

    def to_json(self) -> JSON:
        """Return the comparison as stored."""
        return {
            "dataset": self.dataset,
            "first": self.first,
            "second": self.second,
            "runs": [list(run) for run in self.runs],
            "seeds": list(self.seeds),
            "unit": self.unit,
            "statistic": self.statistic,
            "p": self.p,
            "permutations": self.permutations,
            "least_p": self.least_p,
            "shared_classes": self.shared_classes,
            "classes": list(self.classes),
            "attributes": [gap.to_json() for gap in self.attributes],
            "p_holm": self.p_holm,
            "significant": self.significant,
        }

    @staticmethod
    def from_json(stored: JSON) -> RunsCompared:
        """Read a comparison as stored."""
        (one, its_texts), (other, other_texts) = stored["runs"]
        seeds, other_seeds = stored["seeds"]
        classes, other_classes = stored["classes"]
        return RunsCompared(
            dataset=stored["dataset"],
            first=stored["first"],
            second=stored["second"],
            runs=((one, its_texts), (other, other_texts)),
            seeds=(seeds, other_seeds),
            unit=stored["unit"],
            statistic=stored["statistic"],
            p=stored["p"],
            permutations=stored["permutations"],
            least_p=stored["least_p"],
            shared_classes=stored["shared_classes"],
            classes=(classes, other_classes),
            attributes=tuple(Gap.from_json(gap) for gap in stored["attributes"]),
            p_holm=stored["p_holm"],
            significant=stored["significant"],
        )


@dataclass(frozen=True, kw_only=True)
class Attributes:
    """Content of `attributes.json`.

    Attributes:
        question: Version of the question that the judge is asked.
        attributes: Names in the order of the question, `others` last.
        confidence: Coverage of every interval; tests are at one minus it.
        sample: Descriptions of each seed's random sample; fewer where there are fewer.
        seed: Of the samples and the tests.
        intervals: How they are made, in words.
        test: How runs are compared, in words.
        groups: One for each run.
        comparisons: One for each pair of runs on one dataset that share a class.
    """

    question: str
    attributes: tuple[str, ...]
    confidence: float
    sample: int
    seed: int
    intervals: str
    test: str
    groups: tuple[Group, ...]
    comparisons: tuple[RunsCompared, ...]

    def part_of(self, group: Group) -> Attributes:
        """Return what concerns one run: its group and the comparisons that it is in."""
        own = tuple(row for row in self.comparisons if group.identity in row.runs)
        return replace(self, groups=(group,), comparisons=own)

    def to_json(self) -> JSON:
        """Return the content of the file."""
        return {
            "format": FORMAT,
            "question": self.question,
            "attributes": list(self.attributes),
            "confidence": self.confidence,
            "sample": self.sample,
            "seed": self.seed,
            "intervals": self.intervals,
            "test": self.test,
            "groups": [group.to_json() for group in self.groups],
            "comparisons": [row.to_json() for row in self.comparisons],
        }

    @staticmethod
    def from_json(stored: JSON) -> Attributes:
        """Read the content of a file of this format."""
        return Attributes(
            question=stored["question"],
            attributes=tuple(stored["attributes"]),
            confidence=stored["confidence"],
            sample=stored["sample"],
            seed=stored["seed"],
            intervals=stored["intervals"],
            test=stored["test"],
            groups=tuple(Group.from_json(group) for group in stored["groups"]),
            comparisons=tuple(RunsCompared.from_json(row) for row in stored["comparisons"]),
        )
