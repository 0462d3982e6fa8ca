"""Resamples of an image set, from which come the variances of its scores: see `analysis.images.draws`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from analysis.images.draws import Draws, Floats, Resampled, doubt_of, extrapolated, within_class
from analysis.images.scores import METRICS, MetricName
from reward.errors import UserError, shortened
from reward.image_sets.centers import CenterKind, EnsembleKind, class_centers, ensemble, similarities

BLOCK = 1024
"""Most test images of a class that are scored together."""
MOST = 2**22
"""Scores in memory at once, as float32."""


@dataclass(frozen=True)
class TestImages:
    """What sets are measured on.

    Attributes:
        embeddings: Unit embeddings, shape (N, D).
        labels: Shape (N,); in shape (N, C) where an image may show several classes: 1, 0, or -1 where it counts for
            neither.
        classes: The C class names.
        metric: The data set's own metric.
        text: Unit text embedding of each class, shape (C, D), if the VLM has texts.
    """

    __test__ = False

    embeddings: torch.Tensor
    labels: torch.Tensor
    classes: tuple[str, ...]
    metric: MetricName = "accuracy"
    text: torch.Tensor | None = None


@dataclass(frozen=True)
class SetImages:
    """A set.

    Attributes:
        embeddings: Embeddings, shape (M, D).
        labels: Each image's class, shape (M,).
        kind: Kind of the centers.
        join: Kind of the ensemble.
        unequal: Whether classes may have different numbers of images.
        name: The set, for messages.
    """

    embeddings: torch.Tensor
    labels: torch.Tensor
    kind: CenterKind = "unit"
    join: EnsembleKind = "centers"
    unequal: bool = False
    name: str = "image set"


Part = Literal["cler", "ensemble", "text"]


def measured(images: SetImages, test: TestImages) -> dict[Part, float]:
    """Return the metric of the set's centers, of their ensemble with the texts and of the texts alone.

    Args:
        images: The set.
        test: The test images; `ensemble` and `text` need their texts.

    Raises:
        UserError: As in `reward.image_sets.centers.class_centers` and the metrics of `analysis.images.scores`.
    """
    metric, labels = METRICS[test.metric], test.labels.numpy()
    return {part: metric(scores, labels) for part, scores in scored(images, test).items()}


def scored(images: SetImages, test: TestImages) -> dict[Part, NDArray[np.float32]]:
    """Return the scores of each class that `measured` measures, shape (N, C). Takes and raises what it does."""

    def score(rows: torch.Tensor) -> NDArray[np.float32]:
        found: NDArray[np.float32] = similarities(test.embeddings, rows).numpy()
        return found

    def centers(kind: CenterKind) -> torch.Tensor:
        return class_centers(
            images.embeddings, images.labels, test.classes, kind, unequal=images.unequal, where=images.name
        )

    found: dict[Part, NDArray[np.float32]] = {"cler": score(centers(images.kind))}
    if test.text is not None:
        joined = "mean" if images.join == "logits" and images.kind == "unit" else images.kind
        found["ensemble"] = score(ensemble(centers(joined), test.text, images.join))
        found["text"] = score(test.text)
    return found


@dataclass(frozen=True)
class TestVariation:
    """How a metric varies over test images.

    Attributes:
        metric: The metric.
        labels: As the metric takes them.
        shares: What each test image counts in a score that is a sum over them, shape (N,); empty for other metrics.
        weights: For other metrics, how often each test image counts in each of B resamples, shape (B, N).
    """

    __test__ = False

    metric: MetricName
    labels: NDArray[np.int64]
    shares: Floats
    weights: Floats

    @classmethod
    def of(cls, test: TestImages, *, number: int = 250, seed: int = 0) -> TestVariation:
        """Choose resamples of test images, the same ones for all scores.

        Args:
            test: The test images.
            number: Resamples, for metrics that are no sums over test images.
            seed: Seed.
        """
        labels, none = test.labels.numpy(), np.zeros(0)
        if test.metric == "accuracy":
            return cls(test.metric, labels, np.full(len(labels), 1 / len(labels)), none)
        if test.metric == "mean_per_class":
            counts = np.bincount(labels, minlength=len(test.classes))
            return cls(test.metric, labels, 1 / (np.count_nonzero(counts) * counts[labels]), none)
        draw = np.random.default_rng([seed, 0])
        return cls(test.metric, labels, none, np.array([_test_weights(labels, draw) for _ in range(number)]))

    def of_scores(self, scores: NDArray[np.floating[Any]]) -> Floats:
        """Return deviations of a score over test images, whose squares add up to its variance over them.

        Args:
            scores: Score of each class, shape (N, C).
        """
        if len(self.shares):
            return self.of_hits((scores.argmax(1) == self.labels).astype(np.float64))
        again = np.array([METRICS[self.metric](scores, self.labels, weights) for weights in self.weights])
        fewest = max(2, int(np.bincount(self.labels).min()) if self.labels.ndim == 1 else len(self.labels))
        spread: Floats = (again - again.mean()) * math.sqrt((fewest + 1) / (fewest - 1) / (len(again) - 1))
        return spread

    def of_hits(self, hits: Floats) -> Floats:
        """Return the same of a score that is a sum over test images.

        Args:
            hits: 1 for each test image that is right, else 0, shape (N,).
        """
        found: Floats = self.shares * within_class(hits, self.labels)
        return found


def resampled(
    images: SetImages,
    test: TestImages,
    *,
    samples: int = 2000,
    seed: int = 0,
    stream: int = 0,
    variation: TestVariation | None = None,
) -> dict[Part, Resampled]:
    """Measure a set with how far each score varies; see the head of `analysis.images.draws`.

    Metrics that are no sums over test images are measured again under random weights of these, which are exponential
    so that no class is ever without an image (Rubin, 1981, The Annals of Statistics 9). Their variance over draws holds
    some of that over test images twice.

    Args:
        images: The set, at least two images of each class.
        test: The test images.
        samples: Number of resamples of the set.
        seed: Seed.
        stream: Which of the independent resamplings of set images: two sets that are compared need different ones.
        variation: Resamples of the test images; by default those of `seed`. Scores that are averaged or compared need
            the same ones: else what test images do to all of them would count as if it were independent.

    Returns:
        What `measured` gives, with how it varies.

    Raises:
        UserError: As in `measured`, and for a class of a single image.
    """
    values = measured(images, test)
    _check_enough(images, test.classes)
    draws = Draws.of(samples)
    scorer = _Scorer(images, test, draws, torch.Generator().manual_seed(2 * (seed * 1000 + stream)))
    over_test = variation or TestVariation.of(test, number=draws.twice, seed=seed)
    vary = _of_sums if len(over_test.shares) else _of_ranks
    return vary(values, scorer, test, draws, over_test)


def _of_sums(
    values: dict[Part, float], scorer: _Scorer, test: TestImages, draws: Draws, variation: TestVariation
) -> dict[Part, Resampled]:
    """Return how scores vary that are sums over test images, a few of which are in memory at once."""
    resamples = draws.number
    right = {part: np.zeros(len(test.labels)) for part in values}
    sums = {part: np.zeros(resamples) for part in values}
    own = {part: np.zeros(3) for part in values}  # of each variance, what test images do not have in common
    for label in torch.unique(test.labels).tolist():
        rows = torch.nonzero(test.labels == label).flatten()
        count, share = len(rows), variation.shares[int(rows[0])]
        of_class = {part: np.zeros(resamples) for part in values}
        single = {part: np.zeros(3) for part in values}
        for block in torch.split(rows, BLOCK):
            for part, hits in scorer.hits(block, label):
                right[part][block.numpy()] = hits[:, -1]
                if part != "text":
                    of_class[part] += share * hits[:, :-1].sum(0)
                    single[part] += [
                        share**2 * (kind**2).reshape(len(block), -1).mean(1).sum()
                        for kind in draws.deviations(hits[:, :-1])
                    ]
        for part, series in of_class.items():
            sums[part] += series
            if count > 1:
                joint = np.array([(kind**2).mean() for kind in draws.deviations(series)])
                own[part] += (count * single[part] - joint) / (count - 1)
    found: dict[Part, Resampled] = {}
    for part, value in values.items():
        kinds = draws.deviations(sums[part])
        small, once, twice = (float((kind**2).mean() - less) for kind, less in zip(kinds, own[part], strict=True))
        variance = extrapolated(small, once, twice)
        doubt = doubt_of(variance, len(test.classes))
        found[part] = Resampled(value, variation.of_hits(right[part]), variance, doubt)
    return found


def _of_ranks(
    values: dict[Part, float], scorer: _Scorer, test: TestImages, draws: Draws, variation: TestVariation
) -> dict[Part, Resampled]:
    """Return how scores vary that rank all test images."""
    metric, labels = METRICS[test.metric], test.labels.numpy()
    sums = {part: np.zeros(draws.number) for part in values}
    of_set: dict[Part, NDArray[np.float32]] = {}
    for part, chunk, scores in scorer.of(torch.arange(len(labels))):
        numbers = range(len(sums[part]) + 1)[chunk]
        for place, number in enumerate(numbers):
            of_one = scores[:, :, min(place, scores.shape[2] - 1)].numpy().T
            if number == len(sums[part]):
                of_set[part] = of_one.copy()
            elif part != "text":
                sums[part][number] = metric(of_one, labels)
    found: dict[Part, Resampled] = {}
    for part, value in values.items():
        kinds = draws.deviations(sums[part])
        small, once, twice = (float((kind**2).mean()) for kind in kinds)
        variance = extrapolated(small, once, twice)
        doubt = doubt_of(variance, len(test.classes))
        found[part] = Resampled(value, variation.of_scores(of_set[part]), variance, doubt)
    return found


class _Scorer:
    """Scores of test images under each resample of a set, and last of the set itself.

    They come from similarities to its images that are made once; or, where classes have more images than embeddings
    have dimensions, from the resampled sums of each class, so that memory does not grow with the images.
    """

    def __init__(self, images: SetImages, test: TestImages, draws: Draws, generator: torch.Generator) -> None:
        """Take a set, and how it is resampled."""
        self.images, self.test = images, test
        count, dim = len(test.classes), images.embeddings.shape[1]
        rows = [torch.nonzero(images.labels == label).flatten() for label in range(count)]
        most = max(map(len, rows))
        self.scale = 1 / torch.tensor([[len(members)] for members in rows]).float()
        if most > dim:
            self._take_sums(rows, draws, generator)
        else:
            self.data = self._prepared(images.embeddings)
            self.rows = torch.full((count, most), -1)
            for label, of_class in enumerate(rows):
                self.rows[label, : len(of_class)] = of_class
            shown = (self.rows >= 0).float()
            self.rows = self.rows.clamp(min=0)
            self.times = torch.cat([draws.noise(shown, generator), shown.unsqueeze(2)], 2)  # (C, K, resamples + 1)
        members = self.data[self.rows]  # (C, K, D)
        self.inverse = 1 / self._lengths(members @ members.transpose(1, 2))
        if test.text is not None:
            self.text = test.text.float()
            self.to_text = ((members @ self.text.unsqueeze(2)).transpose(1, 2) @ self.times).squeeze(1)

    def _take_sums(self, rows: Sequence[torch.Tensor], draws: Draws, generator: torch.Generator) -> None:
        """Take each class's resampled sums for its images, as coefficients of the axes, of which there are fewer.

        A score is linear in them, so that nothing else changes.
        """
        dim = self.images.embeddings.shape[1]
        self.data = torch.eye(dim)
        self.rows = torch.arange(dim).expand(len(rows), dim)
        sums = []
        for of_class in rows:
            shown = torch.ones(1, len(of_class))
            weights = torch.cat([draws.noise(shown, generator), shown.unsqueeze(2)], 2)[0]  # (K, resamples + 1)
            sums.append(self._prepared(self.images.embeddings[of_class]).T @ weights)
        self.times = torch.stack(sums)  # (C, D, resamples + 1)

    def _prepared(self, embeddings: torch.Tensor) -> torch.Tensor:
        data = embeddings.float()
        return data if self.images.kind == "raw" else torch.nn.functional.normalize(data, dim=1)

    def hits(self, rows: torch.Tensor, label: int) -> Iterator[tuple[Part, Floats]]:
        """Yield, for a part, whether test images of one class are taken for it, shape (rows, resamples + 1).

        As everywhere, the first of equally near classes is taken.
        """
        found: dict[Part, list[torch.Tensor]] = {}
        for part, _, scores in self.of(rows):
            hits = torch.ones(scores.shape[1:], dtype=torch.bool)
            if label > 0:
                hits &= scores[label] > scores[:label].amax(0)
            if label + 1 < len(scores):
                hits &= scores[label] >= scores[label + 1 :].amax(0)
            found.setdefault(part, []).append(hits)
        for part, parts in found.items():
            yield part, torch.cat(parts, 1).double().numpy()

    def of(self, rows: torch.Tensor) -> Iterator[tuple[Part, slice, torch.Tensor]]:
        """Yield, for a part and a chunk of resamples, the scores of test images, shape (C, rows, resamples of it).

        Scores of the texts are the same in all resamples: their last axis has length 1, and the chunk is the last one.
        """
        test = self.test.embeddings[rows].float()
        alike = (test @ self.data.T)[:, self.rows].transpose(0, 1).contiguous()  # (C, rows, K)
        samples = self.times.shape[2]
        width = max(1, MOST // (alike.shape[0] * alike.shape[1]))
        text = None if self.test.text is None else (test @ self.text.T).T.unsqueeze(2)
        if text is not None:
            yield "text", slice(samples - 1, samples), text
        for start in range(0, samples, width):
            chunk = slice(start, start + width)
            sums = alike @ self.times[:, :, chunk]
            inverse, scale = self.inverse[:, chunk].unsqueeze(1), self.scale.unsqueeze(1)
            if text is not None:
                yield "ensemble", chunk, self._joined(sums, inverse, scale, text, chunk)
            yield "cler", chunk, sums.mul_(inverse if self.images.kind == "unit" else scale)

    def _joined(
        self, sums: torch.Tensor, inverse: torch.Tensor, scale: torch.Tensor, text: torch.Tensor, chunk: slice
    ) -> torch.Tensor:
        """Return the scores of the ensemble; `logits` without its factor of a half."""
        if self.images.join == "logits":
            return sums * scale + text
        cosine = self.to_text[:, chunk].unsqueeze(1) * inverse
        own = self.text.square().sum(1).view(-1, 1, 1)
        return (sums * inverse + text) / (1 + own + 2 * cosine).clamp(min=1e-12).sqrt()

    def _lengths(self, gram: torch.Tensor) -> torch.Tensor:
        """Return the length of each class's sum in each resample, shape (C, B)."""
        return ((gram @ self.times) * self.times).sum(1).clamp(min=1e-12).sqrt()


def _check_enough(images: SetImages, classes: Sequence[str]) -> None:
    """Refuse a class of a single image."""
    counts = np.bincount(images.labels.numpy(), minlength=len(classes))
    alone = [repr(classes[label]) for label, count in enumerate(counts) if count == 1]
    if alone:
        raise UserError(
            shortened(
                f"{images.name}: a single image of class {', '.join(alone[:8])} ({len(alone)} of {len(classes)} "
                "classes); an interval needs at least two, which show how much images differ; draw more."
            )
        )


def _test_weights(labels: NDArray[np.int64], draw: np.random.Generator) -> Floats:
    """Return how much each test image counts in one resample, shape (N,): within each class where they have one."""
    weights = draw.exponential(size=len(labels))
    if labels.ndim == 1:
        for label in np.unique(labels):
            rows = labels == label
            weights[rows] *= rows.sum() / weights[rows].sum()
    return weights
