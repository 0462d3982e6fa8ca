"""What `phrases.json` holds: mined phrases and the tests of their templates, read from the file and written to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated

from analysis.phrases.mining import Phrase
from analysis.results.kl import StoredKL
from analysis.statistics.intervals import Estimate
from analysis.statistics.paired import PairedAccuracy
from reward.files import JSON
from reward.records import Always, Flat, Keyed, Omitted, Record

FORMAT = 2

CORRECTION = "Holm over all tests of this file"

Accuracy = Annotated[Estimate, Keyed(value="accuracy")]
"""An accuracy with its interval, as it is stored."""


@dataclass(frozen=True, kw_only=True)
class PhraseRun(Record):
    """A run that took part.

    Attributes:
        run: Name of the run, with the folder if several runs have that name.
        vlm: Name of the reward's VLM in the recipe.
        seeds: Seeds that both policies described.
        missing_seeds: Seeds of the recipe that at least one policy did not describe; empty if nothing was mined.
        texts: `stored.descriptions_digest` of these seeds; None if nothing was mined.
        kl: The KL that the run reached; None if it is not known or if nothing was mined.
    """

    run: str
    vlm: str
    seeds: tuple[int, ...]
    missing_seeds: tuple[int, ...]
    texts: str | None
    kl: StoredKL

    def as_written(self, stored: JSON) -> JSON:
        """Store null as KL if nothing was mined, because the KL was not read then."""
        return stored if self.texts is not None else stored | {"kl": None}


@dataclass(frozen=True)
class Hypothesis(Record):
    """A template that is tested, and where it comes from.

    Attributes:
        template: The template, with `{}` for the class name.
        phrase: The phrase that it was made from; None if it is only from a file.
        runs: Names of the runs that the phrase was mined from.
        from_file: Whether the template is in the user's file.
    """

    template: str
    phrase: str | None
    runs: tuple[str, ...]
    from_file: bool


@dataclass(frozen=True)
class PlainAccuracy(Record):
    """The plain template's accuracy with one VLM.

    Attributes:
        vlm: Shown name of the VLM.
        accuracy: Accuracy on the tested classes; `n` counts images.
    """

    vlm: str
    accuracy: Annotated[Accuracy, Flat()]


@dataclass(frozen=True)
class TemplateTest(Record):
    """One template against the plain one, with one VLM.

    Attributes:
        template: The template as it was tested.
        vlm: Shown name of the VLM.
        accuracy: Accuracy on the tested classes; `n` counts images.
        paired: Accuracy minus the plain template's on the same images, with its test.
        p_holm: McNemar's p-value, corrected for all tests of the file; None until it has been corrected.
        significant: Whether the corrected p-value is below the level of the tests; None until it has been corrected.
    """

    template: str
    vlm: str
    accuracy: Annotated[Accuracy, Flat()]
    paired: Annotated[PairedAccuracy, Keyed(low="difference_low", high="difference_high"), Flat()]
    p_holm: Annotated[float | None, Always()] = None
    significant: Annotated[bool | None, Always()] = None


@dataclass(frozen=True, kw_only=True)
class DatasetPhrases(Record):
    """What was mined and tested on one dataset.

    Attributes:
        dataset: Name of the dataset.
        split: Split that the test images are from.
        runs: The runs that took part.
        mined_classes: Names of the classes whose descriptions were mined; empty if nothing was mined.
        tested_classes: Names of the classes that the templates were tested on.
        phrases: For each run, the phrases that are most clearly more frequent in its aligned descriptions than in the
            base model's.
        templates: The templates tested, without the plain one.
        plain_template: The template that they are compared with.
        plain: The plain template's accuracies, one for each VLM.
        results: One test for each VLM and template.
    """

    dataset: str
    split: str
    runs: tuple[PhraseRun, ...]
    mined_classes: tuple[str, ...]
    tested_classes: tuple[str, ...]
    phrases: Mapping[str, tuple[Annotated[Phrase, Keyed()], ...]]
    templates: tuple[Hypothesis, ...]
    plain_template: str
    plain: tuple[PlainAccuracy, ...]
    results: tuple[TemplateTest, ...]


@dataclass(frozen=True, kw_only=True)
class Phrases(Record):
    """Content of `phrases.json`.

    Attributes:
        seed: Seed of the split of classes and of the resampling.
        confidence: Coverage of every interval, in (0, 1). Tests are made at the level 1 − `confidence`.
        bootstrap_samples: Number of bootstrap resamples that the run's recipe asks for. Earlier versions made the
            intervals of differences with them; today's need none.
        templates_source: Where the user's templates come from, in the words of their file; "" if it does not say.
        tests: Number of tests that the p-values are corrected for: those on all datasets of one call of the command.
        correction: How the p-values are corrected, in words.
        datasets: What was mined and tested on each dataset.
        own: Name of the run whose part this is; None for the whole result.
    """

    seed: int
    confidence: float
    bootstrap_samples: int
    templates_source: str
    tests: int
    correction: Annotated[str, Always()] = CORRECTION
    datasets: tuple[DatasetPhrases, ...]
    own: Annotated[str | None, Omitted()] = None

    def part_of(self, run: str) -> Phrases:
        """Return the part that concerns one run: that of its dataset, with the run's name as `own`."""
        datasets = tuple(part for part in self.datasets if run in [one.run for one in part.runs])
        return replace(self, own=run, datasets=datasets)

    def as_written(self, stored: JSON) -> JSON:
        """Store the format as the first key."""
        return {"format": FORMAT, **stored}
