"""What `phrases.json` holds: mined phrases and the tests of their templates, read from the file and written to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from analysis.phrases.mining import Phrase
from analysis.results.kl import KLReached
from analysis.results.kl import from_json as kl_from_json
from analysis.results.kl import to_json as kl_to_json
from analysis.statistics.intervals import Estimate, PairedAccuracy
from reward.files import JSON

FORMAT = 2

CORRECTION = "Holm over all tests of this file"


def accuracy_to_json(accuracy: Estimate) -> JSON:
    """Return an accuracy as stored."""
    return {"accuracy": accuracy.value, "low": accuracy.low, "high": accuracy.high, "n": accuracy.n}


def accuracy_from_json(stored: JSON) -> Estimate:
    """Read an accuracy as stored; other keys of the object are passed over."""
    return Estimate(stored["accuracy"], stored["low"], stored["high"], stored["n"])


@dataclass(frozen=True, kw_only=True)
class PhraseRun:
    """A run that took part.

    Attributes:
        run: Its name, with the folder where several have that name.
        vlm: Name of the reward's VLM in the recipe.
        seeds: Those that both policies described.
        missing_seeds: Seeds of the recipe that a policy did not describe; empty if nothing was mined.
        texts: From `stored.descriptions_digest`, of these seeds; None if nothing was mined.
        kl: What the run reached; None if it is not known or nothing was mined.
    """

    run: str
    vlm: str
    seeds: tuple[int, ...]
    missing_seeds: tuple[int, ...]
    texts: str | None
    kl: KLReached | None

    def to_json(self) -> JSON:
        """Return the run as stored."""
        return {
            "run": self.run,
            "vlm": self.vlm,
            "seeds": list(self.seeds),
            "missing_seeds": list(self.missing_seeds),
            "texts": self.texts,
            "kl": None if self.texts is None else kl_to_json(self.kl),
        }

    @staticmethod
    def from_json(stored: JSON) -> PhraseRun:
        """Read a run as stored."""
        return PhraseRun(
            run=stored["run"],
            vlm=stored["vlm"],
            seeds=tuple(stored["seeds"]),
            missing_seeds=tuple(stored["missing_seeds"]),
            texts=stored["texts"],
            kl=kl_from_json(stored["kl"]),
        )


@dataclass(frozen=True)
class Hypothesis:
    """A template under test and where it comes from.

    Attributes:
        template: With `{}` for the class name.
        phrase: That it was made of; None if it is from a file alone.
        runs: Names of those that it was mined from.
        from_file: Whether the user's file has it.
    """

    template: str
    phrase: str | None
    runs: tuple[str, ...]
    from_file: bool

    def to_json(self) -> JSON:
        """Return the template as stored."""
        return {
            "template": self.template,
            "phrase": self.phrase,
            "runs": list(self.runs),
            "from_file": self.from_file,
        }

    @staticmethod
    def from_json(stored: JSON) -> Hypothesis:
        """Read a template as stored."""
        return Hypothesis(stored["template"], stored["phrase"], tuple(stored["runs"]), stored["from_file"])


@dataclass(frozen=True)
class PlainAccuracy:
    """What the plain template reaches with one VLM.

    Attributes:
        vlm: As shown.
        accuracy: On the tested classes, n images.
    """

    vlm: str
    accuracy: Estimate

    def to_json(self) -> JSON:
        """Return the accuracy as stored."""
        return {"vlm": self.vlm, **accuracy_to_json(self.accuracy)}

    @staticmethod
    def from_json(stored: JSON) -> PlainAccuracy:
        """Read an accuracy as stored."""
        return PlainAccuracy(stored["vlm"], accuracy_from_json(stored))


@dataclass(frozen=True)
class TemplateTest:
    """One template with one VLM against the plain one.

    Attributes:
        template: As tested.
        vlm: As shown.
        accuracy: On the tested classes, n images.
        paired: Difference to the plain template on the same images.
        p_holm: McNemar's p-value, corrected for all tests of the file; None until that is done.
        significant: Whether the corrected one is below the level; None until that is done.
    """

    template: str
    vlm: str
    accuracy: Estimate
    paired: PairedAccuracy
    p_holm: float | None = None
    significant: bool | None = None

    def to_json(self) -> JSON:
        """Return the test as stored."""
        return {
            "template": self.template,
            "vlm": self.vlm,
            **accuracy_to_json(self.accuracy),
            "difference": self.paired.difference,
            "p": self.paired.p,
            "only_first": self.paired.only_first,
            "only_second": self.paired.only_second,
            "difference_low": self.paired.low,
            "difference_high": self.paired.high,
            "p_holm": self.p_holm,
            "significant": self.significant,
        }

    @staticmethod
    def from_json(stored: JSON) -> TemplateTest:
        """Read a test as stored."""
        paired = PairedAccuracy(
            difference=stored["difference"],
            low=stored["difference_low"],
            high=stored["difference_high"],
            p=stored["p"],
            only_first=stored["only_first"],
            only_second=stored["only_second"],
            n=stored["n"],
        )
        return TemplateTest(
            stored["template"],
            stored["vlm"],
            accuracy_from_json(stored),
            paired,
            stored["p_holm"],
            stored["significant"],
        )


@dataclass(frozen=True, kw_only=True)
class DatasetPhrases:
    """What was mined and tested on one dataset.

    Attributes:
        dataset: Its name.
        split: Of the test images.
        runs: Those that took part.
        mined_classes: Names of the classes whose descriptions were mined; empty if nothing was.
        tested_classes: Names of the classes that the templates were tested on.
        phrases: By run, the phrases that it says most clearly more often than the base model.
        templates: Under test, without the plain one.
        plain_template: What they are compared with.
        plain: Its accuracies, one for each VLM.
        results: One for each VLM and template.
    """

    dataset: str
    split: str
    runs: tuple[PhraseRun, ...]
    mined_classes: tuple[str, ...]
    tested_classes: tuple[str, ...]
    phrases: Mapping[str, tuple[Phrase, ...]]
    templates: tuple[Hypothesis, ...]
    plain_template: str
    plain: tuple[PlainAccuracy, ...]
    results: tuple[TemplateTest, ...]

    def to_json(self) -> JSON:
        """Return the dataset's part as stored."""
        return {
            "dataset": self.dataset,
            "split": self.split,
            "runs": [run.to_json() for run in self.runs],
            "mined_classes": list(self.mined_classes),
            "tested_classes": list(self.tested_classes),
            "phrases": {run: [phrase._asdict() for phrase in mined] for run, mined in self.phrases.items()},
            "templates": [template.to_json() for template in self.templates],
            "plain_template": self.plain_template,
            "plain": [plain.to_json() for plain in self.plain],
            "results": [test.to_json() for test in self.results],
        }

    @staticmethod
    def from_json(stored: JSON) -> DatasetPhrases:
        """Read a dataset's part as stored."""
        return DatasetPhrases(
            dataset=stored["dataset"],
            split=stored["split"],
            runs=tuple(PhraseRun.from_json(run) for run in stored["runs"]),
            mined_classes=tuple(stored["mined_classes"]),
            tested_classes=tuple(stored["tested_classes"]),
            phrases={
                run: tuple(Phrase(*(phrase[key] for key in Phrase._fields)) for phrase in mined)
                for run, mined in stored["phrases"].items()
            },
            templates=tuple(Hypothesis.from_json(template) for template in stored["templates"]),
            plain_template=stored["plain_template"],
            plain=tuple(PlainAccuracy.from_json(plain) for plain in stored["plain"]),
            results=tuple(TemplateTest.from_json(test) for test in stored["results"]),
        )


@dataclass(frozen=True, kw_only=True)
class Phrases:
    """Content of `phrases.json`.

    Attributes:
        seed: Of the split of classes and of the resampling.
        confidence: Coverage of every interval; tests are at one minus it.
        bootstrap_samples: Resamples.
        templates_source: Where the user's templates come from; "" if not told.
        tests: How many the p-values are corrected for: those of all datasets of the verb's call.
        correction: How, in words.
        datasets: What was found on each.
        own: Name of the run whose part this is; None of the whole.
    """

    seed: int
    confidence: float
    bootstrap_samples: int
    templates_source: str
    tests: int
    correction: str = CORRECTION
    datasets: tuple[DatasetPhrases, ...]
    own: str | None = None

    def part_of(self, run: str) -> Phrases:
        """Return what concerns one run: its dataset's part, under the run's name."""
        datasets = tuple(part for part in self.datasets if run in [one.run for one in part.runs])
        return replace(self, own=run, datasets=datasets)

    def to_json(self) -> JSON:
        """Return the content of the file; `own` is left out of the whole."""
        stored: JSON = {
            "format": FORMAT,
            "seed": self.seed,
            "confidence": self.confidence,
            "bootstrap_samples": self.bootstrap_samples,
            "templates_source": self.templates_source,
            "tests": self.tests,
            "correction": self.correction,
            "datasets": [part.to_json() for part in self.datasets],
        }
        return stored if self.own is None else stored | {"own": self.own}

    @staticmethod
    def from_json(stored: JSON) -> Phrases:
        """Read the content of a file of this format."""
        return Phrases(
            seed=stored["seed"],
            confidence=stored["confidence"],
            bootstrap_samples=stored["bootstrap_samples"],
            templates_source=stored["templates_source"],
            tests=stored["tests"],
            correction=stored["correction"],
            datasets=tuple(DatasetPhrases.from_json(part) for part in stored["datasets"]),
            own=stored.get("own"),
        )
