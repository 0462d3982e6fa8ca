"""Resamples of sets whose classes have many images, or a single test image, against what is written out here."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from small_embeddings import QUICK, small

from analysis.images.draws import Draws
from analysis.images.intervals import set_intervals
from analysis.images.resampling import _Scorer, measured, resampled


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
