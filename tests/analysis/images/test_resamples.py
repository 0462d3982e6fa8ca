"""Resamples of sets whose classes have many images, or a single test image, against what is written out here."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from small_embeddings import QUICK, small

from analysis.images.draws import Draws
from analysis.images.intervals import set_intervals
from analysis.images.resampling import SetImages, TestImages, TestVariation, _Scorer, measured, resampled
from analysis.images.seeds import pooled


def test_classes_of_a_single_test_image_are_measured_too() -> None:
    """Its row was taken for a place, and the hit of one image for those of several."""
    images, test = small()
    first = [int((test.labels == label).nonzero()[0]) for label in torch.unique(test.labels).tolist()]
    for rows in (first, [*first, *(test.labels == 0).nonzero().flatten().tolist()[1:]]):
        few = dataclasses.replace(test, embeddings=test.embeddings[rows], labels=test.labels[rows])
        found = set_intervals(images, few, QUICK).cler
        assert found.value == pytest.approx(measured(images, few)["cler"])
        assert found.low is not None
        assert found.low < found.value or found.value == 0


@pytest.mark.parametrize("kind", ["unit", "mean", "raw"])
@pytest.mark.parametrize("join", ["centers", "logits"])
def test_many_images_of_few_dimensions_are_resampled_as_few_are(kind: str, join: str) -> None:
    """With more images of a class than dimensions, sums stand for images: other random numbers, but the same scores."""
    images, test = small(kind, join)
    dim = images.embeddings.shape[1]
    repeats = dim // 2 + 1
    many = dataclasses.replace(
        images, embeddings=images.embeddings.repeat(repeats, 1), labels=images.labels.repeat(repeats), unequal=True
    )
    assert int(torch.bincount(many.labels).min()) > dim
    few, found = (resampled(one, test, samples=80) for one in (images, many))
    for part, value in measured(images, test).items():
        assert (found[part].value, few[part].value) == pytest.approx((value, value))
        assert np.sort(found[part].over_test) == pytest.approx(np.sort(few[part].over_test))
    draws = Draws.of(80)
    generator = torch.Generator().manual_seed(0)
    scorer = _Scorer(many, test, draws, generator)
    generator = torch.Generator().manual_seed(0)
    data = many.embeddings if kind == "raw" else torch.nn.functional.normalize(many.embeddings, dim=1)
    centers = []
    for label in range(len(test.classes)):
        members = data[many.labels == label]
        shown = torch.ones(1, len(members))
        weights = torch.cat([draws.noise(shown, generator), shown.unsqueeze(2)], 2)[0]
        sums = members.T @ weights
        centers.append(sums / (sums.norm(dim=0) if kind == "unit" else len(members)))
    wanted = torch.stack([test.embeddings @ center for center in centers])
    parts = [scores for part, _, scores in scorer.of(torch.arange(len(test.labels))) if part == "cler"]
    torch.testing.assert_close(torch.cat(parts, 2), wanted, atol=1e-5, rtol=1e-5)


def test_a_mean_of_rankings_varies_over_test_images_as_one_of_them_does() -> None:
    """What other test images do to a ranking they do to all seeds: random weights are drawn once. Were they drawn for
    each seed, a mean over three would seem to vary a third as much (benchmarks/image_set_ranks.py)."""
    generator = torch.Generator().manual_seed(1)
    middles = torch.nn.functional.normalize(torch.randn(2, 8, generator=generator), dim=1)

    def drawn(labels: torch.Tensor) -> torch.Tensor:
        noise = 0.6 * torch.randn(len(labels), 8, generator=generator)
        return torch.nn.functional.normalize(middles[labels] + noise, dim=1)

    labels = torch.arange(2).repeat_interleave(100)
    test = TestImages(drawn(labels), labels, ("a", "b"), "roc_auc")
    own = torch.arange(2).repeat_interleave(50)
    sets = [SetImages(drawn(own), own) for _ in range(3)]
    shared = TestVariation.of(test)
    together = [resampled(one, test, samples=80, seed=at, variation=shared)["cler"] for at, one in enumerate(sets)]
    apart = [resampled(one, test, samples=80, seed=at)["cler"] for at, one in enumerate(sets)]
    one = float(np.mean([found.over_test @ found.over_test for found in together]))
    mean, wrong = (float(found.over_test @ found.over_test) for found in (pooled(together), pooled(apart)))
    assert mean > 0.9 * one
    assert wrong < 0.5 * one
    assert one == pytest.approx(hanley_mcneil(together[0].value, 100, 100), rel=0.35)


def hanley_mcneil(area: float, positives: int, negatives: int) -> float:
    """Variance of an area under the ROC curve (Hanley and McNeil, 1982, Radiology 143)."""
    first, second = area / (2 - area), 2 * area**2 / (1 + area)
    above = area * (1 - area) + (positives - 1) * (first - area**2) + (negatives - 1) * (second - area**2)
    return above / (positives * negatives)
