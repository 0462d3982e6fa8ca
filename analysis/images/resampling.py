"""Resamples of an image set within class, crossed with resamples of the test images.

The test images of a class fall together: one center that is off takes many of them. So test images alone say nothing of
what another draw of the set would score, and both are resampled.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from analysis.images.scores import METRICS, MetricName
from reward.errors import UserError, shortened
from reward.image_sets.centers import CenterKind, EnsembleKind, class_centers, ensemble, similarities

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]
DRAWS = 9
"""How many times as many images as it has a resample draws of a class: deviations are then a third of those of another
draw of the set, see `resampled`."""
SCALE = DRAWS**0.5
BLOCK = 1024
"""Most test images of a class that are resampled together."""
MOST = 2**23
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


@dataclass(frozen=True)
class Resampled:
    """A number with the same number of each resample.

    Attributes:
        value: Of all images.
        resamples: Shape (B,). Their deviations from their mean are `SCALE` times too small.
    """

    value: float
    resamples: Floats

    def minus(self, other: Resampled) -> Resampled:
        """Return the difference, resample by resample."""
        return Resampled(self.value - other.value, self.resamples - other.resamples)


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

    def score(rows: torch.Tensor) -> float:
        return metric(similarities(test.embeddings, rows).numpy(), labels)

    def centers(kind: CenterKind) -> torch.Tensor:
        return class_centers(
            images.embeddings, images.labels, test.classes, kind, unequal=images.unequal, where=images.name
        )

    found: dict[Part, float] = {"cler": score(centers(images.kind))}
    if test.text is not None:
        joined = "mean" if images.join == "logits" and images.kind == "unit" else images.kind
        found["ensemble"] = score(ensemble(centers(joined), test.text, images.join))
        found["text"] = score(test.text)
    return found


def resampled(
    images: SetImages, test: TestImages, *, samples: int = 2000, seed: int = 0, stream: int = 0
) -> dict[Part, Resampled]:
    """Measure a set again on resamples of its images, drawn within each class, and of the test images.

    A resample in the usual way adds to a center as much noise as it already has, and so measures a worse set: where 20
    images scored 0.71, the resamples scored 0.49, and where a set knows nothing they spread less than such sets do. So
    a resample draws `DRAWS` times as many images, which adds a ninth of the noise, and its deviations are a third of
    those that another set would have. Of a class's K images, 9 (K − 1) are drawn, not 9 K, so that the variance of a
    center is that of the sampled images and not (K − 1) / K of it. Test images are drawn in the same proportion, within
    each class where they have one.

    Args:
        images: The set, at least two images of each class.
        test: The test images.
        samples: Number of resamples, B.
        seed: Seed; two sets resampled with the same one are paired on the test images.
        stream: Which of the independent resamplings of set images: two sets that are compared need different ones.

    Returns:
        What `measured` gives, with its resamples.

    Raises:
        UserError: As in `measured`, and for a class of a single image.
    """
    values = measured(images, test)
    drawn = _set_counts(images, test.classes, samples, np.random.default_rng([seed, 1, stream]))
    scorer, draw = _Scorer(images, test, drawn), np.random.default_rng([seed, 0])
    found: dict[Part, Floats] = {part: np.zeros(samples) for part in values}
    if test.metric in ("accuracy", "mean_per_class"):  # sums over test images, so that a few are in memory at once
        present = torch.unique(test.labels).tolist()
        for label in present:
            rows = torch.nonzero(test.labels == label).flatten()
            share = 1 / (len(present) * len(rows)) if test.metric == "mean_per_class" else 1 / len(test.labels)
            parts = -(-len(rows) // BLOCK)
            for block in (rows[part::parts] for part in range(parts)):
                weights = _multinomial(DRAWS * len(block), len(block), samples, draw).T * (share / DRAWS)
                for part, chunk, scores in scorer.of(block):
                    hits = scores.argmax(0).eq(label).numpy()
                    found[part][chunk] += (hits * weights[:, chunk]).sum(0)
    else:
        metric, labels = METRICS[test.metric], test.labels.numpy()
        weights = np.stack([_test_weights(labels, draw) for _ in range(samples)])
        for part, chunk, scores in scorer.of(torch.arange(len(labels))):
            for place, number in enumerate(range(samples)[chunk]):
                of_one = scores[:, :, min(place, scores.shape[2] - 1)].numpy().T
                found[part][number] = metric(of_one, labels, weights[number])
    return {part: Resampled(values[part], resamples) for part, resamples in found.items()}


class _Scorer:
    """Scores of test images under each resample of a set, from similarities to its images that are made once."""

    def __init__(self, images: SetImages, test: TestImages, drawn: Counts) -> None:
        """Take a set, and how often each of its images is drawn, shape (B, M)."""
        self.images, self.test = images, test
        data = images.embeddings.float()
        self.data = data if images.kind == "raw" else torch.nn.functional.normalize(data, dim=1)
        count = len(test.classes)
        most = int(torch.bincount(images.labels, minlength=count).max())
        self.rows = torch.full((count, most), -1)
        for label in range(count):
            members = torch.nonzero(images.labels == label).flatten()
            self.rows[label, : len(members)] = members
        self.padding = self.rows < 0
        self.rows = self.rows.clamp(min=0)
        times = torch.from_numpy(drawn).float().T[self.rows]  # (C, K, B)
        self.times = times.masked_fill(self.padding.unsqueeze(2), 0.0)
        members = self.data[self.rows]  # (C, K, D)
        self.scale = 1 / self.times.sum(1)
        self.inverse = 1 / self._lengths(members @ members.transpose(1, 2))
        if test.text is not None:
            self.text = test.text.float()
            self.to_text = ((members @ self.text.unsqueeze(2)).transpose(1, 2) @ self.times).squeeze(1)  # (C, B)

    def of(self, rows: torch.Tensor) -> Iterator[tuple[Part, slice, torch.Tensor]]:
        """Yield, for a part and a chunk of resamples, the scores of test images, shape (C, rows, resamples of it).

        Scores of the texts are the same in all resamples: their last axis has length 1.
        """
        test = self.test.embeddings[rows].float()
        alike = (test @ self.data.T)[:, self.rows].transpose(0, 1).contiguous()  # (C, rows, K)
        samples = self.times.shape[2]
        width = max(1, MOST // (alike.shape[0] * alike.shape[1]))
        text = None if self.test.text is None else (test @ self.text.T).T.unsqueeze(2)
        if text is not None:
            yield "text", slice(0, samples), text
        for start in range(0, samples, width):
            chunk = slice(start, start + width)
            sums = alike @ self.times[:, :, chunk]
            inverse, scale = self.inverse[:, chunk].unsqueeze(1), self.scale[:, chunk].unsqueeze(1)
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


def _set_counts(images: SetImages, classes: Sequence[str], samples: int, draw: np.random.Generator) -> Counts:
    """Return how often each image is drawn in each resample, shape (B, M)."""
    labels = images.labels.numpy()
    counts = np.bincount(labels, minlength=len(classes))
    alone = [repr(classes[label]) for label, count in enumerate(counts) if count == 1]
    if alone:
        raise UserError(
            shortened(
                f"{images.name}: a single image of class {', '.join(alone[:8])} ({len(alone)} of {len(classes)} "
                "classes); an interval needs at least two, which show how much images differ; draw more."
            )
        )
    drawn = np.zeros((samples, len(labels)), dtype=np.int64)
    for label, count in enumerate(counts):
        drawn[:, labels == label] = _multinomial(DRAWS * (count - 1), count, samples, draw)
    return drawn


def _multinomial(draws: int, images: int, samples: int, draw: np.random.Generator) -> Counts:
    """Return how often each image is drawn, shape (B, images)."""
    picks = draw.integers(images, size=(samples, draws)) + np.arange(samples)[:, None] * images
    counts: Counts = np.bincount(picks.ravel(), minlength=samples * images).reshape(samples, images)
    return counts


def _test_weights(labels: Counts, draw: np.random.Generator) -> Counts:
    """Return how often each test image is drawn in one resample, in which every class is that was, shape (N,)."""
    if labels.ndim == 1:
        weights = np.zeros(len(labels), dtype=np.int64)
        for label in np.unique(labels):
            rows = np.flatnonzero(labels == label)
            weights[rows] = _multinomial(DRAWS * len(rows), len(rows), 1, draw)[0]
        return weights
    while True:
        drawn: Counts = _multinomial(DRAWS * len(labels), len(labels), 1, draw)[0]
        if (labels[drawn > 0] == 1).any(0).all():
            return drawn
