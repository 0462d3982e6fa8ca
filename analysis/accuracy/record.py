"""What `accuracy.json` holds: one seed's zero-shot accuracies, read from the file and written to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import Field

from analysis.statistics.intervals import Estimate, PairedAccuracy, PairedMean
from reward.files import read_record
from reward.records import Always, Flat, Keyed, Omitted, Record


@dataclass(frozen=True)
class Hits(Record):
    """How many test images are classified rightly.

    Attributes:
        accuracy: Share of the images that are right, in [0, 1].
        low: Lower end of its interval.
        high: Upper end of its interval.
        n: Images.
        correct: Images that are right.
        correct_bits: Which images are right, from `pack_correct`; empty where that is not kept: of top-5 accuracies,
            and in files of earlier versions.
    """

    accuracy: float
    low: float
    high: float
    n: int
    correct: int
    correct_bits: Annotated[str, Omitted()] = ""

    @property
    def estimate(self) -> Estimate:
        """The accuracy with its interval."""
        return Estimate(self.accuracy, self.low, self.high, self.n)


@dataclass(frozen=True)
class Confusion(Record):
    """A class that is taken for another.

    Attributes:
        class_name: The true class.
        predicted: What its images are taken for.
        images: How many of them.
        of: Images of the true class.
    """

    class_name: Annotated[str, Field(alias="class")]
    predicted: str
    images: int
    of: int


@dataclass(frozen=True)
class Arm(Record):
    """Accuracy with one set of texts.

    Attributes:
        top1: Images whose nearest class is the true one.
        texts: Texts, repeated ones included.
        unique_texts: Distinct texts.
        fallback_classes: Classes without a text, recognized by the plain template.
        top5: Images whose true class is among the five nearest; None with 5 classes or fewer, and in files of earlier
            versions.
        mean_per_class: Mean over the classes of their accuracies, n classes; None in files of earlier versions.
        confusions: The most frequent ones; empty in files of earlier versions.
    """

    top1: Annotated[Hits, Flat()]
    texts: int
    unique_texts: int
    fallback_classes: tuple[str, ...]
    top5: Hits | None = None
    mean_per_class: Annotated[Estimate, Keyed(value="accuracy")] | None = None
    confusions: tuple[Confusion, ...] = ()


@dataclass(frozen=True)
class Comparison(Record):
    """Two arms on the same images.

    Attributes:
        arm: The first.
        against: The second, whose accuracy is subtracted.
        paired: Their difference and its test.
    """

    arm: str
    against: str
    paired: Annotated[PairedAccuracy, Keyed(), Flat()]


@dataclass(frozen=True)
class Covered(Record):
    """Two groups on the classes for which both have texts.

    Attributes:
        groups: The two.
        classes: How many classes both cover.
        arms: Accuracy of both and of the templates on these classes; empty with fewer than two classes.
        difference: The first group minus the second; None with fewer than two classes.
        without: Classes that are left out; None where nothing was measured, and in files of earlier versions.
    """

    groups: tuple[str, str]
    classes: int
    arms: Annotated[Mapping[str, Hits], Always()] = field(default_factory=dict)
    difference: Annotated[Comparison | None, Always()] = None
    without: Annotated[tuple[str, ...] | None, Omitted()] = None


@dataclass(frozen=True)
class Control(Record):
    """What a control arm is.

    Attributes:
        name: As shown.
        note: What its texts are, with their numbers.
    """

    name: str
    note: str


@dataclass(frozen=True)
class RewardGain(Record):
    """Rewards of aligned and base descriptions of the same class, question and sample, in the reward's units.

    Attributes:
        aligned: Mean of the aligned model's.
        base: Mean of the base model's.
        paired: Their difference over pairs.
        unpaired: Descriptions without a partner, or whose partner has no reward.
    """

    aligned: float
    base: float
    paired: Annotated[PairedMean, Keyed(), Flat()]
    unpaired: int


@dataclass(frozen=True, kw_only=True)
class Accuracy(Record):
    """Content of `accuracy.json`.

    Attributes:
        vlm: Shown name of the classifier.
        vlm_fingerprint: Of its weights; None in files that lack it.
        dataset: Its name.
        split: Of the test images.
        images: Test images.
        classes: Classes.
        confidence: Coverage of every interval.
        samples: Bootstrap resamples; None in files that lack it.
        seed: Of the resampling; None in files that lack it.
        arms: By name; None where an arm has no texts.
        differences: Pairs of arms on the same images.
        covered_by_both: Pairs of groups on the classes that both have texts for.
        controls: By name, the arms that are not those of every run.
        reward_gain: None without pairs of descriptions.
        analysis_id: Equal in the `breakdown.json` of the same analysis; None in files of earlier versions.
    """

    vlm: str
    vlm_fingerprint: Annotated[str | None, Omitted()] = None
    dataset: str
    split: str
    images: int
    classes: int
    confidence: float
    samples: Annotated[int | None, Omitted()] = None
    seed: Annotated[int | None, Omitted()] = None
    arms: Mapping[str, Arm | None]
    differences: tuple[Comparison, ...]
    covered_by_both: tuple[Covered, ...]
    controls: Mapping[str, Control] = field(default_factory=dict)
    reward_gain: RewardGain | None = None
    analysis_id: Annotated[str | None, Omitted()] = None

    def arm(self, name: str) -> Arm | None:
        """Return an arm; None if it was not asked for or has no texts."""
        return self.arms.get(name)


def read_accuracy(path: Path) -> Accuracy:
    """Read `accuracy.json`.

    Raises:
        UserError: If the file is missing, is not JSON, or lacks what every version of the stage has written.
    """
    return read_record(path, Accuracy.from_json)
