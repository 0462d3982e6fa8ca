"""What `recognition.json` holds: what recognizers see on image sets and on real images, read and written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from analysis.images.recognition.rules import Rule, Standing
from analysis.images.recognition.within import Classifier
from analysis.images.record import Number
from reward.files import JSON
from reward.records import Record

FORMAT = 2
REAL = ""
"""Stands in the place of a set's name for the dataset's test images."""
Top = Literal[1, 5]


@dataclass(frozen=True, kw_only=True)
class Belonging(Record):
    """What recognition depends on of the measures that it is made with.

    Attributes:
        sets: Set → digests of its seeds, as they were measured.
        dataset: Of the test images: the recipe's section, or the name where there is no recipe.
        split: Split of the test images.
        images: Their number.
        classes: Names of the classes.
        vlm: Shown name of the VLM.
        fingerprint: SHA-256 of its fingerprint.
        text: Share of test images that the classes' texts alone get right, by which other images of a dataset without
            a recipe are told.
        settings: Keys of the recipe's section `measure` that a number depends on.
    """

    sets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    dataset: JSON | str = ""
    split: str = ""
    images: int = 0
    classes: tuple[str, ...] = ()
    vlm: str = ""
    fingerprint: str = ""
    text: float = 0.0
    settings: JSON = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class SynsetsRecord(Record):
    """The user's file of categories that predictions were judged by.

    Attributes:
        file: Where it lies.
        digest: SHA-256 of its content.
    """

    file: str
    digest: str


@dataclass(frozen=True, kw_only=True)
class RecognizerRecord(Record):
    """A recognizer.

    Attributes:
        name: As tables show it.
        vocabulary: What its classes are.
        classes: Their number.
        fingerprint: SHA-256 of its fingerprint.
    """

    name: str
    vocabulary: str
    classes: int
    fingerprint: str


@dataclass(frozen=True, kw_only=True)
class NotAnswered(Record):
    """A category that recognizers of ImageNet's classes cannot be right on, and that is in no mean.

    Attributes:
        rule: The rule under which it is so.
        recognizers: Those that it is so for.
        category: Name of the class.
        standing: Whether there is no class of it, or nobody has looked.
        note: What was decided, if the list says it.
    """

    rule: Rule
    recognizers: tuple[str, ...]
    category: str
    standing: Standing
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Recognized(Record):
    """Means of a recognizer on one kind of images.

    Attributes:
        of: The set; `REAL` for test images.
        recognizer: The recognizer.
        rule: When a prediction is right.
        categories: Number of categories that the means are over: those that all recognizers can answer.
        top1: Mean over categories of the share of images whose likeliest class is right; `n` counts different images.
        top5: Likewise of the five likeliest.
        micro1: Share of all images whose likeliest class is right.
        micro5: Likewise of the five likeliest.
        over_seeds: Whether the intervals of means are over seeds, which differ by more than their images explain.
    """

    of: str
    recognizer: str
    rule: Rule
    categories: int
    top1: Number
    top5: Number
    micro1: Number
    micro5: Number
    over_seeds: bool = False


@dataclass(frozen=True, kw_only=True)
class OfCategory(Record):
    """A recognizer on one category, with Wilson's intervals; attributes as those of `Recognized`."""

    of: str
    recognizer: str
    rule: Rule
    category: str
    top1: Number
    top5: Number


@dataclass(frozen=True, kw_only=True)
class BestOfCategory(Record):
    """The recognizers that are right most often on a category, and how often.

    They are picked by the same images, so that the share is rather too high.
    """

    of: str
    rule: Rule
    category: str
    recognizers: tuple[str, ...]
    top1: Number


@dataclass(frozen=True, kw_only=True)
class Agreement(Record):
    """On what share of images all recognizers are right, and all are wrong.

    Attributes:
        of: The set; `REAL` for test images.
        rule: When a prediction is right.
        top: How many of the likeliest classes count.
        category: Name of the class; "" for the mean over classes.
        succeed: All are right.
        fail: All are wrong.
        succeed_expected: Share if recognizers were independent within the category: the product of their rates.
        fail_expected: Likewise.
    """

    of: str
    rule: Rule
    top: Top
    category: str
    succeed: Number
    fail: Number
    succeed_expected: float
    fail_expected: float


@dataclass(frozen=True, kw_only=True)
class EqualAccuracies(Record):
    """Cochran's Q over all recognizers, top-1.

    Attributes:
        of: The set; `REAL` for test images.
        rule: When a prediction is right.
        q: The statistic.
        freedom: Its degrees of freedom.
        p: p-value.
        p_holm: The same, corrected over all kinds of images under the rule.
        images: Number of different images.
        differing: Images on which recognizers differ.
    """

    of: str
    rule: Rule
    q: float
    freedom: int
    p: float
    p_holm: float
    images: int
    differing: int


@dataclass(frozen=True, kw_only=True)
class PairOfRecognizers(Record):
    """Two recognizers on the same images, top-1, by McNemar's test; `p_holm` is over all pairs under the rule."""

    of: str
    rule: Rule
    first: str
    second: str
    difference: Number
    p: float
    p_holm: float


@dataclass(frozen=True, kw_only=True)
class ShiftOfSet(Record):
    """Mean top-1 on a set minus that on test images of the same categories: what a set loses beyond real images.

    Attributes:
        name: The set.
        recognizer: The recognizer.
        rule: When a prediction is right.
        made: On the set.
        real: On test images.
        difference: Newcombe's.
        p: p-value that belongs to the interval.
        p_holm: The same, corrected over all sets and recognizers under the rule.
    """

    name: str
    recognizer: str
    rule: Rule
    made: Number
    real: Number
    difference: Number
    p: float
    p_holm: float

    def told(self, confidence: float) -> bool:
        """Say whether the difference is told from none by its interval and its corrected p-value."""
        low, high = self.difference.low, self.difference.high
        beyond = low is not None and high is not None and (low > 0 or high < 0)
        return beyond and self.p_holm < 1 - confidence


@dataclass(frozen=True, kw_only=True)
class WithinSet(Record):
    """A classifier trained and tested within a set, on the recipe's VLM.

    Attributes:
        name: The set.
        accuracy: Share of the set's images that the classifier gets right, trained on others; None if it cannot
            be trained.
        over_seeds: Whether the interval is over seeds.
        folds: What was left out in turn: seeds or images; "" if nothing was.
        count: Number of folds.
        classifier: What was trained: a linear probe, or class centers where images are too few for it.
        why: Why there is no number.
        cler: CLER of the set on test images, for comparison; None if it was not measured.
    """

    name: str
    accuracy: Number | None = None
    over_seeds: bool = False
    folds: str = ""
    count: int = 0
    classifier: Classifier = "probe"
    why: str = ""
    cler: Number | None = None


@dataclass(frozen=True, kw_only=True)
class Seen(Record):
    """One image of a set, and what recognizers see on it.

    Attributes:
        of: The set; `REAL` for test images.
        seed: The first seed that has it.
        image: Its file in the seed's folder, or the test image's name.
        category: What it is to show.
        top: Of each recognizer in order, numbers of the likeliest classes, separated by spaces.
    """

    of: str
    seed: int
    image: str
    category: str
    top: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Failure(Record):
    """An image on which the set's best recognizer names the category not even among its five likeliest classes.

    Attributes:
        of: The set.
        seed: The first seed that has it.
        image: Its file in the seed's folder.
        category: What it is to show.
        predictions: The likeliest classes in words, the likeliest first.
    """

    of: str
    seed: int
    image: str
    category: str
    predictions: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Failures(Record):
    """The failures of a set's best recognizer, by the mean top-1 over categories.

    Attributes:
        of: The set.
        recognizer: The best one.
        rule: When a prediction is right.
        images: Number of its different images of categories that can be answered.
        failed: Number of failures.
        shown: The first ones of each category in turn.
    """

    of: str
    recognizer: str
    rule: Rule
    images: int
    failed: int
    shown: tuple[Failure, ...]


@dataclass(frozen=True, kw_only=True)
class Recognition(Record):
    """Content of `recognition.json`.

    Attributes:
        name: Of the measurement.
        dataset: Name of the dataset.
        split: Split of the test images.
        vlm: The recipe's VLM.
        labels: List of ImageNet's labels by whose words predictions are judged.
        confidence: Coverage of the intervals.
        belongs: The measures that it was made with.
        synsets: The user's file of categories; None if only the packaged one was looked into.
        sets: Names of the sets, in order.
        images: Set, and `REAL` → number of different images.
        recognizers: In the recipe's order.
        not_answered: Categories in no mean.
        recognized: Means.
        categories: By category.
        best: Best recognizer of each category.
        agreements: What recognizers share.
        equal: Tests of equal accuracies.
        pairs: Recognizers compared.
        shifts: Sets against test images.
        within: Probes within sets.
        failures: Of each set's best recognizer.
        seen: Every different image.
    """

    name: str
    dataset: str
    split: str
    vlm: str
    labels: str
    confidence: float
    belongs: Belonging
    synsets: SynsetsRecord | None = None
    sets: tuple[str, ...]
    images: Mapping[str, int]
    recognizers: tuple[RecognizerRecord, ...]
    not_answered: tuple[NotAnswered, ...] = ()
    recognized: tuple[Recognized, ...] = ()
    categories: tuple[OfCategory, ...] = ()
    best: tuple[BestOfCategory, ...] = ()
    agreements: tuple[Agreement, ...] = ()
    equal: tuple[EqualAccuracies, ...] = ()
    pairs: tuple[PairOfRecognizers, ...] = ()
    shifts: tuple[ShiftOfSet, ...] = ()
    within: tuple[WithinSet, ...] = ()
    failures: tuple[Failures, ...] = ()
    seen: tuple[Seen, ...] = field(default=())

    def as_written(self, stored: JSON) -> JSON:
        """Store the format as the first key."""
        return {"format": FORMAT, **stored}
