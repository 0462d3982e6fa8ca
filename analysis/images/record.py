"""What `measures.json` holds: image sets measured through one VLM on one dataset, read and written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from analysis.statistics.intervals import Estimate
from reward.files import JSON
from reward.records import Keyed, Record

FORMAT = 1

Quantity = Literal[
    "text",
    "cler",
    "ensemble",
    "gain",
    "probe",
    "probe_gain",
    "clip_score",
    "frechet",
    "kid",
    "precision_at_5",
    "recall_at_5",
]
"""Numbers of a set. `text`, `cler`, `ensemble` and `probe` are in the dataset's own metric; `gain` is ensemble minus
text, `probe_gain` probe minus text."""

Number = Annotated[Estimate, Keyed()]
"""A number with its interval, as it is stored; `n` counts seeds or test images, as `over` says."""


@dataclass(frozen=True, kw_only=True)
class SeedMeasures(Record):
    """One seed of a set.

    Attributes:
        seed: Seed that the set was drawn from.
        folder: Where it lay when it was measured.
        digest: `set.json`'s seal, which changes with any image or row.
        values: The seed's own numbers.
        knowledge_p: p-value of the permutation of the set's labels for CLER: does the set know more than nothing?
        nothing: Mean CLER over the permutations; 1 / classes is not it.
    """

    seed: int
    folder: str
    digest: str
    values: Mapping[str, float]
    knowledge_p: float | None = None
    nothing: float | None = None


@dataclass(frozen=True, kw_only=True)
class ShotMeasures(Record):
    """A set cut to its first images of each class.

    Attributes:
        shots: Images of each class.
        numbers: Quantity → number with interval.
        usd: Cost of so many images of all classes; None if no price is known.
    """

    shots: int
    numbers: Mapping[str, Number]
    usd: float | None = None


@dataclass(frozen=True, kw_only=True)
class NearTest(Record):
    """An image of a set that is nearly a test image.

    Attributes:
        seed: Seed of the set.
        image: Its file in the seed's folder.
        test: Name of the nearest test image.
        cosine: Of their embeddings.
    """

    seed: int
    image: str
    test: str
    cosine: float


@dataclass(frozen=True, kw_only=True)
class SetMeasures(Record):
    """One set over its seeds.

    Attributes:
        name: Name in the recipe, or of the folder.
        generator: Who drew it.
        strategy: How classes became prompts; "" for a folder without a record.
        licence: Terms of the images.
        sandbox: What kept code that drew apart from the machine; empty where none was run.
        per_class: Images asked for of each class.
        asked: Images asked for, over all seeds.
        made: Images made.
        failed: Kind of failure → requests that got no image.
        truncated: Images whose prompt was seen in part.
        dropped: Test images taken out of the set.
        near: Images that are nearly a test image (cosine above the threshold).
        nearest: The nearest of them, over all seeds.
        filled: Classes without images, which take their texts.
        repeated: Seeds left out, since their images are those of an earlier one.
        shared: Images that stand in several of the seeds.
        seeds: What was measured on each seed.
        over: What the intervals are over: seeds, or the images of one seed and the test images.
        numbers: Quantity → number with interval.
        shots: The same with fewer images.
        seconds: Time of drawing, over all seeds.
        usd: Cost of all images; None if no price is known.
        bytes: Size of all images.
    """

    name: str
    generator: str
    strategy: str
    licence: str = ""
    sandbox: str = ""
    per_class: int
    asked: int
    made: int
    failed: Mapping[str, int]
    truncated: int
    dropped: int
    near: int
    filled: tuple[str, ...]
    seeds: tuple[SeedMeasures, ...]
    over: Literal["seeds", "images"]
    numbers: Mapping[str, Number]
    shots: tuple[ShotMeasures, ...] = ()
    seconds: float
    usd: float | None = None
    bytes: int
    nearest: tuple[NearTest, ...] = ()
    repeated: tuple[int, ...] = ()
    shared: int = 0

    def number(self, quantity: Quantity) -> Estimate | None:
        """Return one number, `None` if it was not measured."""
        return self.numbers.get(quantity)

    @property
    def knows(self) -> bool | None:
        """Whether every seed's CLER is above what permuted labels give, at the 5 % level; `None` if not tested."""
        p_values = [one.knowledge_p for one in self.seeds if one.knowledge_p is not None]
        return all(p < 0.05 for p in p_values) if p_values else None


@dataclass(frozen=True, kw_only=True)
class SetComparison(Record):
    """One set against another on the same classes and test images.

    Attributes:
        name: The set.
        against: The other one.
        quantity: What is compared.
        difference: The set's number minus the other's, with its interval.
        over: What the interval is over.
        p: p-value that belongs to the interval; None if there is none.
        p_holm: The same, corrected by Holm's method over the comparisons of this file.
        given_sets_p: McNemar's p-value on the first seeds, true only of these two sets of images.
    """

    name: str
    against: str
    quantity: str
    difference: Number
    over: Literal["seeds", "images"]
    p: float | None = None
    p_holm: float | None = None
    given_sets_p: float | None = None

    def significant(self, confidence: float) -> bool | None:
        """Whether the corrected p-value is below the level; `None` if there is no test."""
        return None if self.p_holm is None else self.p_holm < 1 - confidence


@dataclass(frozen=True, kw_only=True)
class MetricCorrelation(Record):
    """How a number goes with the linear probe over sets.

    Attributes:
        quantity: The number.
        rho: Spearman's rank correlation with the probe, with its interval; `n` counts sets.
    """

    quantity: str
    rho: Number


@dataclass(frozen=True, kw_only=True)
class TextSimilarity(Record):
    """How near the captions of a pool are to the names of the classes (mean text similarity, MTS).

    Attributes:
        value: Mean over classes.
        by_class: Mean cosine of each class's nearest captions, in the order of the classes.
        k: Captions of each class.
        pool: Name of the pool's list.
        captions: Number of captions in it.
        encoder: What embeds captions and names.
    """

    value: float
    by_class: tuple[float, ...]
    k: int
    pool: str
    captions: int
    encoder: str


@dataclass(frozen=True)
class ArmSource(Record):
    """Which texts a set was drawn from.

    Attributes:
        run: Name of the run.
        seed: Name of its seed's folder, such as `seed-0`.
        arm: `base`, `aligned`, or another arm of the run's `accuracy.json`.
    """

    run: str
    seed: str
    arm: str


@dataclass(frozen=True, kw_only=True)
class WordsOfArm(Record):
    """What is known of one arm's texts.

    Attributes:
        source: The arm.
        vlm: VLM that rewards in that run; empty if the run's analysis is not at hand.
        text: Accuracy of zero-shot classification by the texts, under that VLM; None if it is not at hand.
        reward: Mean reward of the texts, in the units of that run's reward; None for an arm without rewards.
        cler: CLER of the pictures drawn from the texts; None if it was not measured.
        knows: Whether every seed's CLER is above that of the same pictures with their labels permuted; None if it was
            not tested.
    """

    source: ArmSource
    vlm: str = ""
    text: Number | None = None
    reward: float | None = None
    cler: Number | None = None
    knows: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Measures(Record):
    """Content of `measures.json`.

    Attributes:
        name: Name of the recipe, or of the folder that was measured.
        vlm: Shown name of the VLM.
        fingerprint: The VLM's fingerprint.
        dataset: Name of the dataset.
        split: Split of the test images.
        images: Number of test images.
        classes: Names of the classes.
        metric: The dataset's own metric: accuracy, mean_per_class, map_11_point or roc_auc.
        settings: The recipe's section `measure`, as it was used.
        against: The set that others are compared with; "" if there is one set.
        text: Zero-shot classification by the classes' texts alone, over test images.
        texts: What those texts are, such as the 80 generic templates.
        sets: In the recipe's order.
        comparisons: Each other set against `against`.
        correlations: Over the sets, if there are at least five.
        words: The arms of runs that sets were drawn from, in the order of the sets; empty if none was.
        timings: Metric → seconds that it took for all sets, embedding apart.
        similarity: How near a pool's captions are to the classes' names; None if it was not asked for.
        per_class: Images of each class that all numbers but those of fewer shots are of: the first ones of every set.
        recipe: The sections of the recipe that the numbers depend on; empty for folders without a recipe, and for
            measures of before it was stored.
    """

    name: str
    vlm: str
    fingerprint: str
    dataset: str
    split: str
    images: int
    classes: tuple[str, ...]
    metric: str
    settings: JSON
    against: str
    text: Number
    texts: str
    sets: tuple[SetMeasures, ...]
    comparisons: tuple[SetComparison, ...] = ()
    correlations: tuple[MetricCorrelation, ...] = ()
    words: tuple[WordsOfArm, ...] = ()
    timings: Mapping[str, float]
    similarity: TextSimilarity | None = None
    per_class: int | None = None
    recipe: JSON = field(default_factory=dict)

    def as_written(self, stored: JSON) -> JSON:
        """Store the format as the first key."""
        return {"format": FORMAT, **stored}

    def of(self, name: str) -> SetMeasures:
        """Return one set.

        Raises:
            KeyError: If there is none of this name.
        """
        return {one.name: one for one in self.sets}[name]
