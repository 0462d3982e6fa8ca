"""What `attributes.json` holds: what runs' descriptions mention, read from the file and written to it."""

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
"""A run's name and the digest of its descriptions: what tells its results from others', whichever file holds them."""

Share = Annotated[Pooled, Keyed(value="share", count=None, shared=None)]
"""A share over seeds as stored."""


@dataclass(frozen=True)
class AttributeShares(Record):
    """How often a run's descriptions mention one attribute.

    Attributes:
        mentions: Descriptions that mention it, of all seeds together.
        of_mentions: Share of all mentions that are of it, over seeds; None if nothing is mentioned.
        of_descriptions: Share of the descriptions that mention it, over seeds; None without descriptions.
        by_seed: Each seed's share of mentions; None for a seed that mentions nothing.
    """

    mentions: int
    of_mentions: Share | None
    of_descriptions: Share | None
    by_seed: tuple[float | None, ...]


@dataclass(frozen=True)
class Mentioned(Record):
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


@dataclass(frozen=True, kw_only=True)
class Group(Record):
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
        texts: From `answers.judged_digest`, of these seeds.
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
    p_holm: Annotated[float, Always()] = 1.0
    significant: Annotated[bool, Always()] = False


@dataclass(frozen=True, kw_only=True)
class RunsCompared(Record):
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
    p_holm: Annotated[float, Always()] = 1.0
    significant: Annotated[bool, Always()] = False


@dataclass(frozen=True, kw_only=True)
class Attributes(Record):
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

    def as_written(self, stored: JSON) -> JSON:
        """Tell the format first."""
        return {"format": FORMAT, **stored}
