"""The numbers of one seed of a set: each metric on the first images of every class."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import torch

from analysis.images.draws import Floats, Resampled
from analysis.images.embedded import EmbeddedSeed, TestSide
from analysis.images.intervals import LabelPermutation, permuted_labels
from analysis.images.probe import choose_l2, fit
from analysis.images.record import Quantity
from analysis.images.resampling import SetImages, TestImages, TestVariation, scored
from analysis.images.retrieval import retrieval
from analysis.images.scores import METRICS
from analysis.statistics.intervals import IntervalSettings
from ex2.set_recipe import Measure
from reward.image_sets.distances import frechet, kid

Values = dict[Quantity, float]
OverTest = dict[Quantity, Floats]
"""Quantity → what `TestVariation.of_scores` gives of it; quantities that are no score of test images are not there."""
ROWS = 4096
"""Rows of embeddings in memory as float64 at once."""
RETRIEVED = 5
"""Test images that each image of a set retrieves."""


@dataclass(frozen=True)
class SeedsOfSet:
    """The numbers of a set's seeds, and how they vary.

    Attributes:
        numbers: Seed → its numbers.
        over_test: Mean over seeds of how numbers vary over test images.
        resampled: Quantity → seed → the number and how it varies over draws and test images; empty for fewer than three
            seeds, or a single image of each class.
        overlap: Mean share of images that two of the seeds have in common.
    """

    numbers: Mapping[int, Values]
    over_test: OverTest
    resampled: Mapping[str, Mapping[int, Resampled]]
    overlap: float = 0.0

    def values(self, quantity: Quantity) -> dict[int, float]:
        """Return seed → its number."""
        return {seed: numbers[quantity] for seed, numbers in self.numbers.items()}


@dataclass
class Clock:
    """Seconds by metric."""

    seconds: Counter[str] = field(default_factory=Counter)

    @contextmanager
    def timed(self, metric: str) -> Iterator[None]:
        """Add what the block takes to a metric's time."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[metric] += time.perf_counter() - begun  # type: ignore[assignment]


@dataclass(frozen=True)
class CutSeed:
    """The first images of each class of a seed.

    Attributes:
        embeddings: Shape (M, D).
        labels: Shape (M,).
        images: The same for CLER and the probe: a class without images has its text instead, as often as others have
            images.
        shots: Images of each class.
    """

    embeddings: torch.Tensor
    labels: torch.Tensor
    images: SetImages
    shots: int


def cut(seed: EmbeddedSeed, shots: int, side: TestSide, measure: Measure, name: str) -> CutSeed:
    """Take the first images of each class.

    Args:
        seed: All images, ordered by label, then by index.
        shots: Images of each class; classes have so many or none.
        side: The test images, with the texts of classes without images.
        measure: How sets are measured.
        name: Of the set, for messages.
    """
    places = [torch.nonzero(seed.labels == label).flatten()[:shots] for label in range(len(side.test.classes))]
    filled = [label for label, rows in enumerate(places) if not len(rows)]
    rows = torch.cat(places)
    # All of them are already in this order; then the bank's file is looked at, and not copied into memory.
    embeddings, labels = (
        (seed.embeddings, seed.labels) if len(rows) == len(seed.labels) else (seed.embeddings[rows], seed.labels[rows])
    )
    with_texts, of_all = embeddings, labels
    if filled:
        assert side.test.text is not None
        with_texts = torch.cat([embeddings, side.test.text[filled].repeat_interleave(shots, 0)])
        of_all = torch.cat([labels, torch.tensor(filled).repeat_interleave(shots)])
    images = SetImages(with_texts, of_all, measure.centers, measure.ensemble, name=name)
    return CutSeed(embeddings, labels, images, shots)


def values_of(
    one: CutSeed, side: TestSide, measure: Measure, clock: Clock, variation: TestVariation | None = None
) -> tuple[Values, OverTest]:
    """Measure a seed; return its numbers, and how they vary over test images.

    Shares are the dataset's own metric. `clip_score` is the mean cosine of an image and its class's texts; Fréchet
    distance and KID are between the set's images and the test images, and belong to the VLM's embeddings; retrieval is
    of test images, by their main label.

    Args:
        one: Its images.
        side: The test images.
        measure: What is measured, and how.
        clock: Is told how long each metric takes.
        variation: How the dataset's metric varies over test images; None where it is not asked.
    """
    test, found, over_test = side.test, Values(), OverTest()
    metric, labels = METRICS[test.metric], test.labels.numpy()
    with clock.timed("cler"):
        scores = scored(one.images, test)
        parts = {part: metric(of_part, labels) for part, of_part in scores.items()}
    text, ensemble = parts["text"], parts["ensemble"]
    found |= {"text": text}
    with clock.timed("intervals"):
        vary = {part: variation.of_scores(of_part) for part, of_part in scores.items()} if variation else {}
    if "cler" in measure.metrics:
        found |= {"cler": parts["cler"], "ensemble": ensemble, "gain": ensemble - text}
        if vary:
            over_test |= {"cler": vary["cler"], "ensemble": vary["ensemble"], "gain": vary["ensemble"] - vary["text"]}
    if "probe" in measure.metrics:
        with clock.timed("probe"):
            data, own, classes = one.images.embeddings, one.images.labels, len(test.classes)
            l2 = choose_l2(data, own, classes).l2
            probe = fit(data, own, classes, l2, init=measure.probe_init, text=test.text)
            of_probe = probe.scores(test.embeddings).numpy()
            share = metric(of_probe, labels)
        found |= {"probe": share, "probe_gain": share - text}
        if variation:
            of_scores = variation.of_scores(of_probe)
            over_test |= {"probe": of_scores, "probe_gain": of_scores - vary["text"]}
    if "clip_score" in measure.metrics:
        with clock.timed("clip_score"):
            found |= {"clip_score": float(clip_scores(one, test).mean())}
    if "frechet" in measure.metrics:
        with clock.timed("frechet"):
            found |= {"frechet": frechet(one.embeddings, test.embeddings)}
    if "kid" in measure.metrics:
        with clock.timed("kid"):
            found |= {"kid": kid(one.embeddings, test.embeddings).value}
    if "retrieval" in measure.metrics:
        with clock.timed("retrieval"):
            retrieved = retrieval(one.embeddings, one.labels, test.embeddings, side.main, RETRIEVED)
        found |= {"precision_at_5": retrieved.precision, "recall_at_5": retrieved.recall}
    return found, over_test


def clip_scores(one: CutSeed, test: TestImages) -> torch.Tensor:
    """Return the cosine of each image of a set with its class's texts, float64, shape (M,)."""
    assert test.text is not None
    text = test.text.double()
    parts = [slice(start, start + ROWS) for start in range(0, len(one.labels), ROWS)]
    return torch.cat([(one.embeddings[part].double() * text[one.labels[part]]).sum(1) for part in parts])


def knowledge(
    one: CutSeed, side: TestSide, settings: IntervalSettings, permutations: int, clock: Clock
) -> LabelPermutation | None:
    """Say whether a seed knows more than nothing, by permuting its labels.

    A class that takes its texts is left out, with its test images: what texts know is not the set's.

    Args:
        one: Its images.
        side: The test images.
        settings: Confidence and seed.
        permutations: Their number.
        clock: Is told how long it takes.

    Returns:
        The test; None if fewer than two classes have images, or test images of several classes would be left out.
    """
    present = torch.unique(one.labels)
    test = side.test
    if len(present) < 2:
        return None
    images = replace(one.images, embeddings=one.embeddings, labels=one.labels)
    if len(present) < len(test.classes):
        if test.labels.ndim != 1:
            return None
        number = torch.full((len(test.classes),), -1)
        number[present] = torch.arange(len(present))
        kept = number[test.labels] >= 0
        names = tuple(test.classes[label] for label in present.tolist())
        test = TestImages(test.embeddings[kept], number[test.labels[kept]], names, test.metric)
        images = replace(images, labels=number[one.labels])
    with clock.timed("permutations"):
        return permuted_labels(images, test, settings, permutations)
