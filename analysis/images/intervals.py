"""Intervals and tests of what a set is worth, which hold for another draw of the set and not only for these images.

How a score varies comes from `analysis.images.draws`. Two sets differ by their variances over draws, added up, and by
that over the test images, which they share. The reference is Student's t, with as many degrees of freedom as the
variances over draws are known to; a single share has Wilson's interval for as many test images as would let it vary
so. What this rule covers and tells apart, where the truth over draws is known, is in benchmarks/image_sets.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from scipy import stats

from analysis.images.draws import Resampled
from analysis.images.resampling import Part, SetImages, TestImages, measured, resampled
from analysis.images.scores import METRICS
from analysis.statistics.intervals import Estimate, IntervalSettings, newcombe, wilson_bounds, within
from analysis.statistics.paired import PairedAccuracy, paired_counts
from analysis.statistics.permutation import SAME
from reward.errors import UserError
from reward.image_sets.centers import class_centers, predict

GIVEN_TWO_SETS = "given these two sets"
"""The words that stand beside every p-value of McNemar's test of two sets: it says nothing of other draws of them."""


@dataclass(frozen=True)
class SetIntervals:
    """What one set scores, with intervals over its images and the test images; `n` counts test images.

    Attributes:
        cler: The set's centers.
        ensemble: Centers with texts; None without texts.
        text: Texts alone, whose interval is over test images only; None without texts.
        gain: Ensemble minus text, paired on the test images; None without texts.
    """

    cler: Estimate
    ensemble: Estimate | None = None
    text: Estimate | None = None
    gain: Estimate | None = None


@dataclass(frozen=True)
class SetDifference:
    """First set minus second, paired on the test images, over both sets' images and the test images.

    Attributes:
        cler: Of the centers.
        ensemble: Of the ensembles; None without texts.
        cler_p: The level at which the interval of `cler` begins to hold 0; None where it is Newcombe's.
    """

    cler: Estimate
    ensemble: Estimate | None = None
    cler_p: float | None = None


@dataclass(frozen=True)
class LabelPermutation:
    """A set's CLER among those of the same images under permuted labels.

    Attributes:
        value: CLER of the set.
        p: One-sided p-value that the set knows no more than nothing, the set counted among the permutations.
        low: Lower end of the interval of the permuted ones.
        high: Upper end.
        mean: Mean of the permuted ones.
        permutations: Their number.
    """

    value: float
    p: float
    low: float
    high: float
    mean: float
    permutations: int


def set_intervals(images: SetImages, test: TestImages, settings: IntervalSettings | None = None) -> SetIntervals:
    """Measure a set with intervals; see the head of this file for how they are made.

    Args:
        images: The set, at least two images of each class.
        test: The test images.
        settings: Confidence, number of resamples and seed.

    Raises:
        UserError: As in `analysis.images.resampling.resampled`.
    """
    chosen = settings or IntervalSettings()
    found, n = resampled(images, test, samples=chosen.samples, seed=chosen.seed), len(test.labels)
    shares = {part: share_interval(one, n, chosen.confidence) for part, one in found.items()}
    if "ensemble" not in shares:
        return SetIntervals(shares["cler"])
    gain = _difference(found, found, ("ensemble", "text"), n, chosen.confidence)
    return SetIntervals(shares["cler"], shares["ensemble"], shares["text"], gain)


def set_difference(
    first: SetImages, second: SetImages, test: TestImages, settings: IntervalSettings | None = None
) -> SetDifference:
    """Compare two sets of the same classes on the same test images. They differ where 0 is outside.

    The sets' images are resampled independently of each other; sets that share images are told apart less often than
    they could be.

    Args:
        first: A set, at least two images of each class.
        second: The other set.
        test: The test images.
        settings: Confidence, number of resamples and seed.

    Raises:
        UserError: As in `analysis.images.resampling.resampled`.
    """
    chosen = settings or IntervalSettings()
    one, other = (
        resampled(images, test, samples=chosen.samples, seed=chosen.seed, stream=stream)
        for stream, images in enumerate((first, second))
    )
    n = len(test.labels)
    cler = _difference(one, other, ("cler", "cler"), n, chosen.confidence)
    p = difference_p(one["cler"].minus(other["cler"]))
    if "ensemble" not in one:
        return SetDifference(cler, cler_p=p)
    return SetDifference(cler, _difference(one, other, ("ensemble", "ensemble"), n, chosen.confidence), p)


def difference_p(difference: Resampled) -> float | None:
    """Return the p-value of the test that belongs to a difference's interval: 0 is outside where it is below the level.

    Args:
        difference: The difference, and how it varies.

    Returns:
        Two-sided, by Student's t with the difference's degrees of freedom; 1 for sets that never differ. None where it
        does not vary and is not 0: then nothing is known of how it would.
    """
    if difference.variance < SAME**2:
        return 1.0 if abs(difference.value) < SAME else None
    return 2 * float(stats.t.sf(abs(difference.value) / math.sqrt(difference.variance), difference.freedom))


def share_interval(found: Resampled, n: int, confidence: float = 0.95) -> Estimate:
    """Return a share's interval: Wilson's, for as many independent images as would let the share vary as it does.

    A share near 0 or 1 varies less than one in between, and Wilson's interval knows it: so does a set that knows
    nothing and happens to score below chance.

    Args:
        found: The share, and how it varies.
        n: Number of test images. Where nothing varies, as where all images are right, the interval is Wilson's for n.
        confidence: Coverage, in (0, 1).

    Returns:
        The share with its interval within [0, 1].

    Source: Korn and Graubard (1998), Survey Methodology 24, for Wilson's interval in place of Clopper and Pearson's.
    """
    if found.variance < SAME**2:
        return Estimate(found.value, *wilson_bounds(found.value, n, confidence), n)
    inside = min(max(found.value, 1 / (2 * n)), 1 - 1 / (2 * n))
    effective = inside * (1 - inside) / found.variance
    shrunk = (_quantile(confidence, math.inf) / _quantile(confidence, found.freedom)) ** 2
    return Estimate(found.value, *wilson_bounds(found.value, effective * shrunk, confidence), n)


def difference_interval(difference: Resampled, confidence: float, n: int) -> Estimate:
    """Return a difference with its interval, Student's t, within [-1, 1]; one that does not vary has none.

    Args:
        difference: The difference, and how it varies.
        confidence: Coverage, in (0, 1).
        n: What the interval's own `n` is to be.
    """
    if difference.variance < SAME**2:
        return Estimate(difference.value, None, None, n)
    reach = _quantile(confidence, difference.freedom) * math.sqrt(difference.variance)
    return within(Estimate(difference.value, difference.value - reach, difference.value + reach, n), -1.0, 1.0)


def permuted_labels(
    images: SetImages, test: TestImages, settings: IntervalSettings | None = None, permutations: int = 999
) -> LabelPermutation:
    """Say whether a set knows more than nothing: more than its own images with their labels permuted.

    Args:
        images: The set.
        test: The test images.
        settings: Confidence of the permuted sets' interval, and seed.
        permutations: Number of permutations, at least 1.

    Raises:
        UserError: As in `analysis.images.resampling.measured`.
    """
    chosen, metric = settings or IntervalSettings(), METRICS[test.metric]
    value = measured(images, TestImages(test.embeddings, test.labels, test.classes, test.metric))["cler"]
    generator, labels, found = torch.Generator().manual_seed(chosen.seed), test.labels.numpy(), []
    # What `class_centers` does, without its checks: `measured` has made them.
    data = images.embeddings.to(torch.float64, copy=True)
    if images.kind != "raw":
        data.div_(data.norm(dim=1, keepdim=True).clamp(min=1e-12))
    counts = torch.bincount(images.labels, minlength=len(test.classes)).double().unsqueeze(1)
    for _ in range(permutations):
        order = torch.randperm(len(images.labels), generator=generator)
        centers = torch.zeros(len(counts), data.shape[1], dtype=torch.float64)
        centers.index_add_(0, images.labels[order], data).div_(counts)
        if images.kind == "unit":
            centers = torch.nn.functional.normalize(centers, dim=1)
        found.append(metric((test.embeddings @ centers.to(test.embeddings.dtype).T).numpy(), labels))
    permuted = np.asarray(found)
    low, high = np.quantile(permuted, _tails(chosen.confidence))
    p = (1 + int((permuted >= value - SAME).sum())) / (permutations + 1)
    return LabelPermutation(value, p, float(low), float(high), float(permuted.mean()), permutations)


def given_two_sets(first: SetImages, second: SetImages, test: TestImages, confidence: float = 0.95) -> PairedAccuracy:
    """Return McNemar's test of two sets' accuracies, which stands only beside the words `GIVEN_TWO_SETS`.

    It asks whether these very sets differ on other test images. Other draws of the sets are not asked about: two sets
    that know nothing differ by it more often than not.

    Args:
        first: A set.
        second: The other set.
        test: The test images, of one class each.
        confidence: Coverage of the interval, in (0, 1).

    Raises:
        UserError: If test images may show several classes.
    """
    if test.labels.ndim != 1:
        raise UserError(f"McNemar's test {GIVEN_TWO_SETS}: test images need one class each; use set_difference.")
    right = [
        predict(
            test.embeddings,
            class_centers(
                images.embeddings, images.labels, test.classes, images.kind, unequal=images.unequal, where=images.name
            ),
        )
        == test.labels
        for images in (first, second)
    ]
    only_first, only_second = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    return paired_counts(only_first, only_second, len(test.labels), confidence)


def _difference(
    first: Mapping[Part, Resampled],
    second: Mapping[Part, Resampled],
    parts: tuple[Part, Part],
    n: int,
    confidence: float,
) -> Estimate:
    """Return the interval of a difference, Student's t; of one that does not vary, Newcombe's from both shares' own."""
    one, other = first[parts[0]], second[parts[1]]
    difference = one.minus(other)
    if difference.variance < SAME**2:
        return newcombe(share_interval(one, n, confidence), share_interval(other, n, confidence))
    return difference_interval(difference, confidence, n)


def _quantile(confidence: float, freedom: float) -> float:
    return float(stats.t.ppf((1 + confidence) / 2, freedom))


def _tails(confidence: float) -> tuple[float, float]:
    return (1 - confidence) / 2, (1 + confidence) / 2
