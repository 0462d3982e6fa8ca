"""From image sets and a VLM to `Measures`: every number with its interval, sets compared, metrics correlated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from tqdm import tqdm

from analysis.images.comparisons import compared, correlations
from analysis.images.draws import Resampled
from analysis.images.embedded import EmbeddedSeed, TestSide, embed_seed, embed_split, open_split
from analysis.images.given import GivenSet, ReadSet, common_number, failures, read_sets
from analysis.images.intervals import difference_interval, set_intervals, share_interval
from analysis.images.recognition.loading import check_loading
from analysis.images.record import Measures, Quantity, SeedMeasures, SetMeasures, ShotMeasures
from analysis.images.resampling import SetImages, TestVariation, resampled
from analysis.images.seeds import pooled, seeds_alone, seeds_alone_difference
from analysis.images.similarity import text_similarity
from analysis.images.values import Clock, CutSeed, OverTest, SeedsOfSet, Values, clip_scores, cut, knowledge, values_of
from analysis.images.words import STRATEGY, read_analyses, source_of, words_of_arms
from analysis.statistics.intervals import Estimate, IntervalSettings, mean_t
from analysis.statistics.together import FEWEST_SEEDS
from ex2.banks import bank_cache
from ex2.checks.sets import lacking_weights, recognizing_problems, synsets_problems
from ex2.data.datasets.base import ImageDataset
from ex2.data.datasets.image_sets import is_set, lost_records, raise_first
from ex2.recipe import Component
from ex2.set_recipe import Measure, SetRecipe
from ex2.sets.cost import images_for_shots
from ex2.sets.overlap import LISTED, hashed
from ex2.sets.plans import set_folders
from reward.errors import UserError
from reward.images import LabeledImage
from reward.presets import load_vlm, shown_name
from reward.vlm import VLM

FEWEST_SAMPLES = 200
"""Fewest resamples of the images of a seed."""
SHARES = frozenset({"text", "cler", "ensemble", "probe", "precision_at_5", "recall_at_5"})


@dataclass(frozen=True)
class Measuring:
    """What is to be measured on what.

    Attributes:
        name: Of the recipe, or of what was measured.
        vlm: The encoder.
        dataset: The dataset, whose own settings stand beside its name.
        split: Of the test images.
        sets: In the order of tables.
        measure: What is measured, and how.
    """

    name: str
    vlm: Component
    dataset: Component
    split: str
    sets: tuple[GivenSet, ...]
    measure: Measure

    @classmethod
    def of(cls, recipe: SetRecipe) -> Measuring:
        """Return what a recipe asks for.

        Raises:
            UserError: If its sets cannot be drawn, or are not; a line for each.
        """
        sets = []
        missing = []
        for name, folders in set_folders(recipe).items():
            for folder in folders:
                if not is_set(folder):
                    not_drawn = f"{folder}: set '{name}' is not drawn yet; run: ex2 draw RECIPE"
                    missing += lost_records([folder]) or [not_drawn]
            asked = recipe.images.sets[name]
            run = str(asked.strategy.settings.get("run", "")) if asked.strategy.name == STRATEGY else ""
            sets.append(GivenSet(name, tuple(folders), asked.usd_per_hour, asked.usd_per_image, asked.licence, run))
        raise_first(missing)
        dataset = Component(name=recipe.dataset.name, **recipe.dataset.settings)
        return cls(recipe.name, recipe.vlm, dataset, recipe.dataset.test_split, tuple(sets), recipe.measure)

    @property
    def against(self) -> str:
        """The set that others are compared with."""
        return self.measure.against or self.sets[0].name

    def check(self) -> None:
        """Refuse what does not go together.

        Raises:
            UserError: If it does not; a line for each problem.
        """
        names, problems = [one.name for one in self.sets], []
        if self.against not in names:
            problems.append(f"measure.against: '{self.against}' is none of the sets ({', '.join(names)}).")
        if "probe" in self.measure.metrics and 1 in self.measure.shots:
            problems.append(
                "measure.shots: 1 image of a class leaves the probe none to choose its penalty on; give 2 or more, or "
                "leave probe out of measure.metrics."
            )
        problems += recognizing_problems(self.measure)
        if problems:
            raise UserError("\n".join(problems))


@dataclass(frozen=True)
class Prepared:
    """What measuring begins from: everything read, checked and embedded.

    Attributes:
        opened: The dataset.
        images: The test images.
        digests: Their content hashes.
        sets: The sets, read.
        per_class: Images of each class that are measured.
        encoder: The VLM.
        side: The test images, embedded.
        embedded: Name of a set → its seeds, embedded.
    """

    opened: ImageDataset
    images: Sequence[LabeledImage]
    digests: Sequence[str]
    sets: Sequence[ReadSet]
    per_class: int
    encoder: VLM
    side: TestSide
    embedded: Mapping[str, Sequence[EmbeddedSeed]]


def measure_sets(what: Measuring, *, vlm: VLM | None = None, progress: bool = True) -> Measures:
    """Measure sets. Arguments and errors are those of `prepare`."""
    return measured_sets(what, prepare(what, vlm=vlm, progress=progress), progress=progress)


def prepare(what: Measuring, *, vlm: VLM | None = None, progress: bool = True) -> Prepared:
    """Read and check everything, then embed it.

    Args:
        what: Sets, VLM, dataset and settings.
        vlm: The encoder, if it is loaded already.
        progress: Whether to show bars.

    Raises:
        UserError: If a set, the dataset or the VLM is not there or cannot be measured; all problems that are found
            before anything is embedded at once.
    """
    what.check()
    opened, images = open_split(what.dataset, what.split, "dataset.test_split")
    names, measure = tuple(opened.class_names), what.measure
    raise_first([*lacking_weights(measure), *synsets_problems(measure, names)])
    known = hashed(images, cache=bank_cache(), progress=progress)
    sets = read_sets(what.sets, names, known, overlap=measure.overlap, missing=measure.missing)
    filled = [one.given.name for one in sets if one.filled]
    if filled and measure.centers != "unit":
        raise UserError(
            f"{', '.join(filled)}: measure.missing=text with measure.centers={measure.centers}: a text's length is not "
            "comparable with theirs; give centers unit, or draw what is missing."
        )
    number = common_number(sets, names, measure.shots)
    if number == 1 and "probe" in measure.metrics:
        raise UserError(
            "measure.metrics: probe needs two images of each class, one to choose its penalty on, and the sets have "
            "one; draw more, or leave probe out."
        )
    encoder = vlm or load_vlm(what.vlm.name, what.vlm.settings)
    check_loading(measure.recognizers, names, what.vlm, encoder)
    side = embed_split(encoder, opened, images, what.dataset.name, what.split)
    embedded = {one.given.name: [embed_seed(encoder, seed, side, one.given.name) for seed in one.seeds] for one in sets}
    return Prepared(opened, images, known.digests, sets, number, encoder, side, embedded)


def measured_sets(what: Measuring, prepared: Prepared, *, progress: bool = True) -> Measures:
    """Measure what is prepared.

    Args:
        what: Sets, VLM, dataset and settings.
        prepared: The same, read and embedded.
        progress: Whether to show bars.
    """
    names, measure = tuple(prepared.opened.class_names), what.measure
    number, sets = prepared.per_class, prepared.sets
    encoder, side, embedded = prepared.encoder, prepared.side, prepared.embedded
    settings = IntervalSettings(measure.confidence, measure.bootstrap_samples)
    clock = Clock()
    shots = sorted(count for count in measure.shots if count < number)
    found: list[SetMeasures] = []

    def taken(name: str, place: int = 0, count: int = number) -> CutSeed:
        """Return the first images of each class of a seed, which are in memory no longer than they are needed."""
        return cut(embedded[name][place], count, side, measure, name)

    text = text_estimate(side, settings)
    of_sets = dict[str, SeedsOfSet]()
    several = any(len(one.seeds) >= FEWEST_SEEDS for one in sets)
    variation = TestVariation.of(side.test) if several else None
    with tqdm(total=len(sets) * (1 + len(shots)), desc="measure", unit="set", disable=not progress) as bar:
        for one in sets:
            seeds = embedded[one.given.name]
            take = partial(taken, one.given.name)
            own = [read.image_set.record.seed for read in one.seeds]
            numbers, of_set = _numbers(take, own, one.overlap, side, measure, text, clock, variation)
            of_sets[one.given.name] = of_set
            bar.update()
            fewer = []
            for count in shots:
                of_fewer = partial(take, count=count)
                fewer.append((count, _numbers(of_fewer, own, one.overlap, side, measure, text, clock, variation)[0]))
                bar.update()
            found.append(
                _set_measures(one, seeds, take, [*of_set.numbers.values()], numbers, fewer, side, measure, clock)
            )
    measured = Measures(
        name=what.name,
        vlm=shown_name(what.vlm.name, encoder),
        fingerprint=encoder.fingerprint(),
        dataset=what.dataset.name,
        split=what.split,
        images=len(prepared.images),
        classes=names,
        metric=side.test.metric,
        settings=measure.model_dump(mode="json"),
        against=what.against if len(sets) > 1 else "",
        text=text,
        texts=side.texts,
        sets=tuple(found),
        comparisons=compared(found, taken, what.against, side.test, settings, of_sets),
        correlations=correlations(found, settings),
        timings=dict(clock.seconds),
        similarity=None if measure.text_similarity is None else text_similarity(measure.text_similarity, names),
        per_class=number,
    )
    sources = {one.given.name: source for one in sets if (source := source_of(one.records[0]))}
    runs = {one.given.name: one.given.run for one in sets if one.given.run}
    return replace(measured, words=words_of_arms(measured, sources, read_analyses(runs, sources)))


def text_estimate(side: TestSide, settings: IntervalSettings) -> Estimate:
    """Return zero-shot classification by the classes' texts alone, with an interval over test images."""
    assert side.test.text is not None
    classes = torch.arange(len(side.test.classes))
    texts_as_set = SetImages(side.test.text.repeat(2, 1), classes.repeat(2))  # its own centers are not looked at
    found = set_intervals(texts_as_set, side.test, settings).text
    assert found is not None
    return found


def _numbers(
    take: Callable[[int], CutSeed],
    seeds: Sequence[int],
    overlap: float,
    side: TestSide,
    measure: Measure,
    text: Estimate,
    clock: Clock,
    variation: TestVariation | None,
) -> tuple[dict[Quantity, Estimate], SeedsOfSet]:
    """Return the numbers of a set with their intervals, and those of each seed.

    Intervals are over seeds and test images, or over the images of the first seed and test images.
    """
    several = len(seeds) >= FEWEST_SEEDS
    numbers: dict[int, Values] = {}
    vary = OverTest()
    again: dict[str, dict[int, Resampled]] = {}
    for place, seed in enumerate(seeds):
        one = take(place)
        numbers[seed], over_test = values_of(one, side, measure, clock, variation if several else None)
        for quantity, deviations in over_test.items():
            vary[quantity] = vary.get(quantity, 0.0) + deviations / len(seeds)
        if several and "cler" in measure.metrics and one.shots > 1:
            with clock.timed("intervals"):
                samples = max(FEWEST_SAMPLES, measure.bootstrap_samples // len(seeds))
                found = resampled(one.images, side.test, samples=samples, seed=place, variation=variation)
            for name, score in found.items():
                again.setdefault(name, {})[seed] = score
            again.setdefault("gain", {})[seed] = found["ensemble"].minus(found["text"])
    of_set = SeedsOfSet(numbers, vary, again, overlap)
    if several:
        first = numbers[seeds[0]]
        shown = {name: _over_seeds(name, of_set, len(side.main), measure.confidence) for name in first}
    else:
        shown = _over_images(take(0), numbers[seeds[0]], side, measure, clock)
    return shown | {"text": text}, of_set


def _over_seeds(quantity: Quantity, of_set: SeedsOfSet, n: int, confidence: float) -> Estimate:
    values, vary = [*of_set.values(quantity).values()], of_set.over_test.get(quantity)
    if quantity in of_set.resampled:
        found = pooled([*of_set.resampled[quantity].values()], of_set.overlap)
        if quantity in SHARES:
            one = share_interval(found, n, confidence)
            return one._replace(n=len(values))
        return difference_interval(found, confidence, len(values))
    if vary is not None and quantity not in SHARES:
        texts: dict[int, float] = dict.fromkeys(range(len(values)), 0.0)
        return seeds_alone_difference(dict(enumerate(values)), texts, vary, confidence, (of_set.overlap, 0.0))[0]
    return seeds_alone(values, confidence, vary, n, of_set.overlap)


def _over_images(
    one: CutSeed, values: Values, side: TestSide, measure: Measure, clock: Clock
) -> dict[Quantity, Estimate]:
    """Return the numbers of one seed; those that would have to be fitted again on each resample have no interval."""
    numbers = {quantity: Estimate(value, None, None, len(side.main)) for quantity, value in values.items()}
    if "cler" in values and one.shots > 1:
        with clock.timed("intervals"):
            settings = IntervalSettings(measure.confidence, measure.bootstrap_samples)
            found = set_intervals(one.images, side.test, settings)
        assert found.ensemble is not None
        assert found.gain is not None
        numbers |= {"cler": found.cler, "ensemble": found.ensemble, "gain": found.gain}
    if "clip_score" in values:
        numbers |= {"clip_score": mean_t(clip_scores(one, side.test).tolist(), measure.confidence)}
    return numbers


def _set_measures(
    one: ReadSet,
    embedded: Sequence[EmbeddedSeed],
    take: Callable[[int], CutSeed],
    values: Sequence[Values],
    numbers: Mapping[Quantity, Estimate],
    fewer: Sequence[tuple[int, Mapping[Quantity, Estimate]]],
    side: TestSide,
    measure: Measure,
    clock: Clock,
) -> SetMeasures:
    records, cost = one.records, one.cost()
    seeds = []
    for place, (read, of_seed) in enumerate(zip(one.seeds, values, strict=True)):
        settings = IntervalSettings(measure.confidence)
        tested = knowledge(take(place), side, settings, measure.permutations, clock) if "cler" in of_seed else None
        seeds.append(
            SeedMeasures(
                seed=read.image_set.record.seed,
                folder=str(read.image_set.folder),
                digest=read.digest,
                values={str(quantity): value for quantity, value in of_seed.items()},
                knowledge_p=tested.p if tested else None,
                nothing=tested.mean if tested else None,
            )
        )
    an_image = None if cost.usd is None or not cost.images else cost.usd / cost.images
    classes = side.test.classes
    return SetMeasures(
        name=one.given.name,
        generator=records[0].generator,
        strategy=records[0].strategy,
        licence=one.given.licence or records[0].license,
        sandbox=records[0].sandbox,
        per_class=records[0].per_class,
        asked=sum(record.asked for record in records),
        made=sum(record.made for record in records),
        failed=failures(one.seeds),
        truncated=sum(row.truncated for seed in one.seeds for row in seed.image_set.rows),
        dropped=sum(seed.dropped for seed in one.seeds),
        near=sum(seed.near for seed in embedded),
        nearest=tuple(
            sorted((near for seed in embedded for near in seed.nearest), key=lambda near: -near.cosine)[:LISTED]
        ),
        filled=tuple(classes[label] for label in one.filled),
        repeated=one.repeated,
        shared=one.shared,
        seeds=tuple(seeds),
        over="seeds" if len(seeds) >= FEWEST_SEEDS else "images",
        numbers={str(quantity): number for quantity, number in numbers.items()},
        shots=tuple(
            ShotMeasures(
                shots=count,
                numbers={str(quantity): number for quantity, number in of_fewer.items()},
                usd=None if an_image is None else an_image * images_for_shots(len(classes), count),
            )
            for count, of_fewer in fewer
        ),
        seconds=cost.seconds or 0.0,
        usd=cost.usd,
        bytes=cost.bytes or 0,
    )
