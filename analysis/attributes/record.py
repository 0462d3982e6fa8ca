"""What `attributes.json` holds: which attributes runs' descriptions mention. It is read and written here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from analysis.results.kl import StoredKL
from analysis.results.pooling import Pooled
from reward.files import JSON
from reward.records import Always, Keyed, Record

FORMAT = 2

Identity = tuple[str, str]
"""A run's name and the digest of its descriptions. Results with the same pair are of the same run, whichever file holds
them."""

Share = Annotated[Pooled, Keyed(value="share", count=None, shared=None, fewest=None)]
"""A share pooled over seeds, as it is stored."""


@dataclass(frozen=True)
class AttributeShares(Record):
    """How often a run's descriptions mention one attribute.

    Attributes:
        mentions: Number of descriptions that mention the attribute, in all seeds together.
        of_mentions: Share of this attribute among all mentions, pooled over seeds; None if nothing is mentioned.
        of_descriptions: Share of the descriptions that mention the attribute, pooled over seeds; None without
            descriptions.
        by_seed: The attribute's share of mentions in each seed; None for a seed that mentions nothing.
    """

    mentions: int
    of_mentions: Share | None
    of_descriptions: Share | None
    by_seed: tuple[float | None, ...]


@dataclass(frozen=True)
class Mentioned(Record):
    """What a set of a run's descriptions mentions: all informative ones, or a random sample of each seed.

    Attributes:
        descriptions: Number of descriptions that the judge was asked about.
        unparsed: Number of descriptions whose answer could not be read.
        without_attribute: Number of descriptions whose answer names no attribute.
        mentions: Number of attributes named, summed over the descriptions.
        attributes: The numbers of each attribute by name, in the order of the question, attributes never mentioned
            included.
    """

    descriptions: int
    unparsed: int
    without_attribute: int
    mentions: int
    attributes: Mapping[str, AttributeShares]


@dataclass(frozen=True, kw_only=True)
class Group(Record):
    """One run's attributes.

    Attributes:
        label: Shown name, which no other group of the file has on the same dataset.
        vlm: Shown name of the reward's VLM.
        dataset: Name of the dataset.
        run: Name of the run.
        seeds: Seeds that have been analysed.
        missing_seeds: Seeds of the recipe that have not been analysed.
        judge: Name of the judge that named the attributes.
        exact: True if the answers are true by construction, False if they are a model's.
        texts: `answers.judged_digest` of these seeds.
        kl: The KL that the run reached; None if it is not known.
        all: What all informative descriptions mention.
        sample: What a random sample of each seed's informative descriptions mentions.
        own_names: Names outside the list of attributes, with the number of descriptions that mention them, most
            frequent first.
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
    kl: StoredKL
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


@dataclass(frozen=True, kw_only=True)
class Gap(Record):
    """One attribute's shares of mentions in two runs, in the classes that both describe.

    Attributes:
        attribute: Name of the attribute.
        difference: Share in the first run minus share in the second, in [-1, 1]; None if a run mentions nothing.
        low: Lower end of the difference's interval; None if the difference is None.
        high: Upper end of the difference's interval; None if the difference is None.
        mentions: Numbers of mentions of any attribute, in the first and in the second run.
        over_seeds: True if the interval says how other seeds would differ; False if it holds only for these seeds.
        p: p-value of the test, not corrected.
        p_holm: p-value corrected by Holm's method over the attributes of all comparisons of the file; 1 until that is
            done.
        significant: Whether the corrected p-value is below the level of the tests; False until it has been corrected.
    """

    attribute: str
    difference: float | None
    low: float | None
    high: float | None
    mentions: tuple[int, int]
    over_seeds: bool
    p: float
    p_holm: Annotated[float, Always()] = 1.0
    significant: Annotated[bool, Always()] = False


@dataclass(frozen=True, kw_only=True)
class RunsCompared(Record):
    """Whether two runs on one dataset mention attributes alike.

    Attributes:
        dataset: Name of the dataset.
        first: Label of the first run's group.
        second: Label of the second run's group.
        runs: Identities of the two runs.
        seeds: Number of seeds of each run.
        unit: What was exchanged between the runs in the test: whole seeds, or single descriptions of these seeds.
        statistic: χ² of the mentions, summed over attributes, against their expected numbers given the classes.
        p: p-value of the test, not corrected.
        permutations: Number of relabellings computed.
        least_p: The smallest p that the test could have given.
        shared_classes: Number of classes that both runs describe.
        classes: Number of classes that each run describes.
        attributes: Differences of the attributes that a run mentions in the shared classes.
        p_holm: p-value corrected by Holm's method over all comparisons of the file; 1 until that is done.
        significant: Whether the corrected p-value is below the level of the tests; False until it has been corrected.
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
    p_holm: Annotated[float, Always()] = 1.0
    significant: Annotated[bool, Always()] = False


@dataclass(frozen=True, kw_only=True)
class Attributes(Record):
    """Content of `attributes.json`.

    Attributes:
        question: Version of the question that the judge is asked.
        attributes: Names in the order of the question, `others` last.
        confidence: Coverage of every interval, in (0, 1). Tests are made at the level 1 − `confidence`.
        sample: Number of descriptions in each seed's random sample; a seed with fewer has all of them in it.
        seed: Seed of the samples and the tests.
        intervals: How the intervals are made, in words.
        test: How runs are compared, in words.
        groups: The attributes of each run.
        comparisons: A comparison for each pair of runs on one dataset that share a class.
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
        """Return the part that concerns one run: its group, and the comparisons that it is in."""
        own = tuple(row for row in self.comparisons if group.identity in row.runs)
        return replace(self, groups=(group,), comparisons=own)

    def as_written(self, stored: JSON) -> JSON:
        """Store the format as the first key."""
        return {"format": FORMAT, **stored}
