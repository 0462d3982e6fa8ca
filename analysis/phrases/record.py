"""What `phrases.json` holds: mined phrases and the tests of their templates, read from the file and written to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated

from analysis.phrases.mining import Phrase
from analysis.results.kl import StoredKL
from analysis.statistics.intervals import Estimate, PairedAccuracy
from reward.files import JSON
from reward.records import Always, Flat, Keyed, Omitted, Record

FORMAT = 2

CORRECTION = "Holm over all tests of this file"

Accuracy = Annotated[Estimate, Keyed(value="accuracy")]
"""An accuracy as stored."""


@dataclass(frozen=True, kw_only=True)
class PhraseRun(Record):
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
    kl: StoredKL

    def as_written(self, stored: JSON) -> JSON:
        """Put null where nothing was mined: the KL was not looked for."""
        return stored if self.texts is not None else stored | {"kl": None}


@dataclass(frozen=True)
class Hypothesis(Record):
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


@dataclass(frozen=True)
class PlainAccuracy(Record):
    """What the plain template reaches with one VLM.

    Attributes:
        vlm: As shown.
        accuracy: On the tested classes, n images.
    """

    vlm: str
    accuracy: Annotated[Accuracy, Flat()]


@dataclass(frozen=True)
class TemplateTest(Record):
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
    accuracy: Annotated[Accuracy, Flat()]
    paired: Annotated[PairedAccuracy, Keyed(low="difference_low", high="difference_high"), Flat()]
    p_holm: Annotated[float | None, Always()] = None
    significant: Annotated[bool | None, Always()] = None


@dataclass(frozen=True, kw_only=True)
class DatasetPhrases(Record):
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
    phrases: Mapping[str, tuple[Annotated[Phrase, Keyed()], ...]]
    templates: tuple[Hypothesis, ...]
    plain_template: str
    plain: tuple[PlainAccuracy, ...]
    results: tuple[TemplateTest, ...]


@dataclass(frozen=True, kw_only=True)
class Phrases(Record):
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
    correction: Annotated[str, Always()] = CORRECTION
    datasets: tuple[DatasetPhrases, ...]
    own: Annotated[str | None, Omitted()] = None

    def part_of(self, run: str) -> Phrases:
        """Return what concerns one run: its dataset's part, under the run's name."""
        datasets = tuple(part for part in self.datasets if run in [one.run for one in part.runs])
        return replace(self, own=run, datasets=datasets)

    def as_written(self, stored: JSON) -> JSON:
        """Tell the format first."""
        return {"format": FORMAT, **stored}
