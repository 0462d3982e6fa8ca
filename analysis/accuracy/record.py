"""What `accuracy.json` holds: one seed's zero-shot accuracies, read from the file and written to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from analysis.statistics.intervals import Estimate, PairedAccuracy, PairedMean
from ex2.run.directory import ANALYSIS_ID
from reward.files import JSON, read_record


@dataclass(frozen=True)
class Hits:
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
    correct_bits: str = ""

    @property
    def estimate(self) -> Estimate:
        """The accuracy with its interval."""
        return Estimate(self.accuracy, self.low, self.high, self.n)

    def to_json(self) -> JSON:
        """Return the numbers as stored, and the bits where they are kept."""
        return self._numbers() | self._bits()

    @staticmethod
    def from_json(stored: JSON) -> Hits:
        """Read numbers as stored; other keys of the object are passed over."""
        return Hits(
            stored["accuracy"],
            stored["low"],
            stored["high"],
            stored["n"],
            stored["correct"],
            stored.get("correct_bits", ""),
        )

    def _numbers(self) -> JSON:
        return {
            "accuracy": self.accuracy,
            "low": self.low,
            "high": self.high,
            "n": self.n,
            "correct": self.correct,
        }

    def _bits(self) -> JSON:
        return {"correct_bits": self.correct_bits} if self.correct_bits else {}


@dataclass(frozen=True)
class Confusion:
    """A class that is taken for another.

    Attributes:
        class_name: The true class.
        predicted: What its images are taken for.
        images: How many of them.
        of: Images of the true class.
    """

    class_name: str
    predicted: str
    images: int
    of: int

    def to_json(self) -> JSON:
        """Return the pair as stored."""
        return {"class": self.class_name, "predicted": self.predicted, "images": self.images, "of": self.of}

    @staticmethod
    def from_json(stored: JSON) -> Confusion:
        """Read a pair as stored."""
        return Confusion(stored["class"], stored["predicted"], stored["images"], stored["of"])


@dataclass(frozen=True)
class Arm:
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

    top1: Hits
    texts: int
    unique_texts: int
    fallback_classes: tuple[str, ...]
    top5: Hits | None = None
    mean_per_class: Estimate | None = None
    confusions: tuple[Confusion, ...] = ()

    def to_json(self) -> JSON:
        """Return the arm as stored."""
        mean = self.mean_per_class
        return {
            **self.top1._numbers(),
            "top5": self.top5.to_json() if self.top5 else None,
            "mean_per_class": mean and {"accuracy": mean.value, "low": mean.low, "high": mean.high, "n": mean.n},
            "confusions": [pair.to_json() for pair in self.confusions],
            "texts": self.texts,
            "unique_texts": self.unique_texts,
            "fallback_classes": list(self.fallback_classes),
            **self.top1._bits(),
        }

    @staticmethod
    def from_json(stored: JSON) -> Arm:
        """Read an arm as stored."""
        top5, mean = stored.get("top5"), stored.get("mean_per_class")
        return Arm(
            top1=Hits.from_json(stored),
            texts=stored["texts"],
            unique_texts=stored["unique_texts"],
            fallback_classes=tuple(stored["fallback_classes"]),
            top5=Hits.from_json(top5) if top5 else None,
            mean_per_class=Estimate(mean["accuracy"], mean["low"], mean["high"], mean["n"]) if mean else None,
            confusions=tuple(Confusion.from_json(pair) for pair in stored.get("confusions", ())),
        )


@dataclass(frozen=True)
class Comparison:
    """Two arms on the same images.

    Attributes:
        arm: The first.
        against: The second, whose accuracy is subtracted.
        paired: Their difference and its test.
    """

    arm: str
    against: str
    paired: PairedAccuracy

    def to_json(self) -> JSON:
        """Return the comparison as stored."""
        return {"arm": self.arm, "against": self.against, **self.paired._asdict()}

    @staticmethod
    def from_json(stored: JSON) -> Comparison:
        """Read a comparison as stored."""
        return Comparison(stored["arm"], stored["against"], paired_from_json(stored))


def paired_from_json(stored: JSON) -> PairedAccuracy:
    """Read a difference of accuracies as stored; other keys of the object are passed over."""
    return PairedAccuracy(*(stored[key] for key in PairedAccuracy._fields))


@dataclass(frozen=True)
class Covered:
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
    arms: Mapping[str, Hits] = field(default_factory=dict)
    difference: Comparison | None = None
    without: tuple[str, ...] | None = None

    def to_json(self) -> JSON:
        """Return the comparison as stored."""
        stored: JSON = {
            "groups": list(self.groups),
            "classes": self.classes,
            "arms": {arm: hits.to_json() for arm, hits in self.arms.items()},
            "difference": self.difference.to_json() if self.difference else None,
        }
        return stored if self.without is None else stored | {"without": list(self.without)}

    @staticmethod
    def from_json(stored: JSON) -> Covered:
        """Read a comparison as stored."""
        first, second = stored["groups"]
        without = stored.get("without")
        return Covered(
            groups=(first, second),
            classes=stored["classes"],
            arms={arm: Hits.from_json(hits) for arm, hits in stored["arms"].items()},
            difference=Comparison.from_json(stored["difference"]) if stored["difference"] else None,
            without=None if without is None else tuple(without),
        )


@dataclass(frozen=True)
class Control:
    """What a control arm is.

    Attributes:
        name: As shown.
        note: What its texts are, with their numbers.
    """

    name: str
    note: str


@dataclass(frozen=True)
class RewardGain:
    """Rewards of aligned and base descriptions of the same class, question and sample, in the reward's units.

    Attributes:
        aligned: Mean of the aligned model's.
        base: Mean of the base model's.
        paired: Their difference over pairs.
        unpaired: Descriptions without a partner, or whose partner has no reward.
    """

    aligned: float
    base: float
    paired: PairedMean
    unpaired: int

    def to_json(self) -> JSON:
        """Return the gain as stored."""
        return {"aligned": self.aligned, "base": self.base, **self.paired._asdict(), "unpaired": self.unpaired}

    @staticmethod
    def from_json(stored: JSON) -> RewardGain:
        """Read a gain as stored."""
        paired = PairedMean(*(stored[key] for key in PairedMean._fields))
        return RewardGain(stored["aligned"], stored["base"], paired, stored["unpaired"])


@dataclass(frozen=True, kw_only=True)
class Accuracy:
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
    vlm_fingerprint: str | None = None
    dataset: str
    split: str
    images: int
    classes: int
    confidence: float
    samples: int | None = None
    seed: int | None = None
    arms: Mapping[str, Arm | None]
    differences: tuple[Comparison, ...]
    covered_by_both: tuple[Covered, ...]
    controls: Mapping[str, Control] = field(default_factory=dict)
    reward_gain: RewardGain | None = None
    analysis_id: str | None = None

    def arm(self, name: str) -> Arm | None:
        """Return an arm; None if it was not asked for or has no texts."""
        return self.arms.get(name)

    def to_json(self) -> JSON:
        """Return the content of the file; what is None because a file lacked it is left out."""
        stored: JSON = {
            "vlm": self.vlm,
            "vlm_fingerprint": self.vlm_fingerprint,
            "dataset": self.dataset,
            "split": self.split,
            "images": self.images,
            "classes": self.classes,
            "confidence": self.confidence,
            "samples": self.samples,
            "seed": self.seed,
            "arms": {name: arm.to_json() if arm else None for name, arm in self.arms.items()},
            "differences": [part.to_json() for part in self.differences],
            "covered_by_both": [part.to_json() for part in self.covered_by_both],
            "controls": {name: {"name": said.name, "note": said.note} for name, said in self.controls.items()},
            "reward_gain": self.reward_gain.to_json() if self.reward_gain else None,
            ANALYSIS_ID: self.analysis_id,
        }
        lacking = [key for key in ("vlm_fingerprint", "samples", "seed", ANALYSIS_ID) if stored[key] is None]
        return {key: value for key, value in stored.items() if key not in lacking}

    @staticmethod
    def from_json(stored: JSON) -> Accuracy:
        """Read the content of the file.

        Raises:
            KeyError: If a key that every version has written is missing.
        """
        gain = stored.get("reward_gain")
        return Accuracy(
            vlm=stored["vlm"],
            vlm_fingerprint=stored.get("vlm_fingerprint"),
            dataset=stored["dataset"],
            split=stored["split"],
            images=stored["images"],
            classes=stored["classes"],
            confidence=stored["confidence"],
            samples=stored.get("samples"),
            seed=stored.get("seed"),
            arms={name: Arm.from_json(arm) if arm else None for name, arm in stored["arms"].items()},
            differences=tuple(Comparison.from_json(part) for part in stored["differences"]),
            covered_by_both=tuple(Covered.from_json(part) for part in stored["covered_by_both"]),
            controls={name: Control(said["name"], said["note"]) for name, said in stored.get("controls", {}).items()},
            reward_gain=RewardGain.from_json(gain) if gain else None,
            analysis_id=stored.get(ANALYSIS_ID),
        )


def read_accuracy(path: Path) -> Accuracy:
    """Read `accuracy.json`.

    Raises:
        UserError: If the file is missing, is not JSON, or lacks what every version of the stage has written.
    """
    return read_record(path, Accuracy.from_json)
