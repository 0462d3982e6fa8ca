"""What `accuracy.json` holds: one seed's zero-shot accuracies, read from the file and written to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import Annotated

from pydantic import Field

from analysis.accuracy.draws import Draws
from analysis.statistics.intervals import Estimate, PairedMean
from analysis.statistics.paired import PairedAccuracy
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
        correct_bits: Which images are right, from `pack_correct`. Empty for top-5 accuracies, which do not keep it, and
            in files of earlier versions.
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
        predicted: The class that its images are taken for.
        images: Number of images of the true class that are taken for `predicted`.
        of: Number of all images of the true class.
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
        texts: Number of texts, repeated ones included.
        unique_texts: Number of distinct texts.
        fallback_classes: Classes without a text, recognized by the plain template.
        top5: Images whose true class is among the five nearest; None with 5 classes or fewer, and in files of earlier
            versions.
        mean_per_class: Mean over the classes of their accuracies; `n` counts classes. None in files of earlier
            versions.
        confusions: The most frequent confusions; empty in files of earlier versions, and in averages.
        assignments: How many assignments of texts to classes `top1` is averaged over; then its interval is Student's t
            over images, and the numbers of texts are those of the first.
        draws: What several draws of the texts tell of the top-1 accuracy; None where there is one, where the texts are
            no draws, and in files of earlier versions.
    """

    top1: Annotated[Hits, Flat()]
    texts: int
    unique_texts: int
    fallback_classes: tuple[str, ...]
    top5: Hits | None = None
    mean_per_class: Annotated[Estimate, Keyed(value="accuracy")] | None = None
    confusions: tuple[Confusion, ...] = ()
    assignments: Annotated[int, Omitted()] = 1
    draws: Annotated[Draws | None, Omitted()] = None


@dataclass(frozen=True)
class Comparison(Record):
    """Two arms compared on the same images.

    Attributes:
        arm: Name of the first arm.
        against: Name of the second arm, whose accuracy is subtracted.
        paired: Difference of the two accuracies, with its test: both for these texts, over images.
        draws: What several draws of the texts tell of the difference; None where there is one, where an arm's texts are
            no draws of the policies, and in files of earlier versions.
    """

    arm: str
    against: str
    paired: Annotated[PairedAccuracy, Keyed(), Flat()]
    draws: Annotated[Draws | None, Omitted()] = None


@dataclass(frozen=True)
class Covered(Record):
    """Two groups compared on the classes for which both have texts.

    Attributes:
        groups: Names of the two groups.
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
        name: Shown name.
        note: What its texts are, with how many there are.
    """

    name: str
    note: str


@dataclass(frozen=True)
class RewardGain(Record):
    """Rewards of aligned and base descriptions of the same class, question and sample, in the reward's units.

    Attributes:
        aligned: Mean reward of the aligned model's descriptions.
        base: Mean reward of the base model's descriptions.
        paired: Mean over pairs of aligned minus base.
        unpaired: Descriptions without a partner, or whose partner has no reward.
    """

    aligned: float
    base: float
    paired: Annotated[PairedMean, Keyed(), Flat()]
    unpaired: int


@dataclass(frozen=True)
class NamesInTexts(Record):
    """Which names the aligned descriptions hold.

    Attributes:
        own: Texts that name their class, by its name or a part of it, singular or plural.
        other: Texts that name another class and not their own.
        none: Texts that name no class.
        describing: Class names that are themselves descriptions, such as "striped texture".
    """

    own: int
    other: int
    none: int
    describing: tuple[str, ...] = ()

    @property
    def texts(self) -> int:
        """Number of texts."""
        return self.own + self.other + self.none


@dataclass(frozen=True)
class Permuted(Record):
    """An arm's accuracy beside those of its texts given to classes by chance.

    Attributes:
        accuracies: Accuracy of each assignment.
        error: Standard error over images of the arm's accuracy minus their mean.
    """

    accuracies: tuple[float, ...]
    error: float

    @property
    def mean(self) -> float:
        """Their mean."""
        return mean(self.accuracies)


@dataclass(frozen=True)
class Attribution(Record):
    """What a gain is made of, by the texts that name their class: see `analysis.accuracy.attribution`.

    Accuracies of the arms `everyone`, `exchanged` and `masked` are among the other arms'.

    Attributes:
        names: Which names the descriptions hold.
        texts: Number of texts that take part.
        left_out: Texts that name their class but were left out, to encode fewer texts.
        pool: Number of texts that the arm `everyone` gives to every class.
        mask: What stands in the place of the name in the arm `masked`.
        own: Accuracy with the texts as they are.
        above_everyone: `own` minus the arm `everyone`.
        exchanged: `own` beside the texts permuted over classes within each question, with the class's own name.
        whole: `own` beside the texts of each class given to one class, with its name.
        masked: Accuracy without the name.
        masked_shuffled: `masked` beside the same texts permuted over classes.
        masked_whole: `masked` beside the same texts of each class given to one class.
    """

    names: NamesInTexts
    texts: int
    left_out: int
    pool: int
    mask: str
    own: Hits
    above_everyone: Annotated[PairedAccuracy, Keyed()]
    exchanged: Permuted
    whole: Permuted
    masked: Hits
    masked_shuffled: Permuted
    masked_whole: Permuted


@dataclass(frozen=True, kw_only=True)
class Accuracy(Record):
    """Content of `accuracy.json`.

    Attributes:
        vlm: Shown name of the classifier.
        vlm_fingerprint: Fingerprint of the classifier's weights; None in files that lack it.
        dataset: Name of the dataset.
        split: Split that the test images are from.
        images: Number of test images.
        classes: Number of classes.
        confidence: Coverage of every interval.
        samples: Number of bootstrap resamples; None in files that lack it.
        seed: Seed of the resampling; None in files that lack it.
        arms: Result of each arm, by name; None where an arm has no texts.
        differences: Comparisons of two arms on the same images.
        covered_by_both: Comparisons of two groups on the classes for which both have texts.
        controls: What the further arms are that not every run has, by the arm's name.
        reward_gain: How far the aligned model's rewards exceed the base model's; None without pairs of descriptions.
        attribution: What the gain over the templates is made of; None if it was not asked for, where fewer than two
            classes have texts that name them, and in files of earlier versions.
        analysis_id: Identifier that the `breakdown.json` of the same analysis has too; None in files of earlier
            versions.
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
    attribution: Annotated[Attribution | None, Omitted()] = None
    analysis_id: Annotated[str | None, Omitted()] = None

    def arm(self, name: str) -> Arm | None:
        """Return an arm's result; None if the arm was not asked for or has no texts."""
        return self.arms.get(name)


def read_accuracy(path: Path) -> Accuracy:
    """Read `accuracy.json`.

    Raises:
        UserError: If the file is missing, is not JSON, or lacks what every version of the stage has written.
    """
    return read_record(path, Accuracy.from_json)
