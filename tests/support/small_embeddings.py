"""A set of few embeddings of unequal classes, and test images with texts."""

from __future__ import annotations

from typing import Any

import torch

from analysis.images.resampling import SetImages, TestImages
from analysis.statistics.intervals import IntervalSettings

QUICK = IntervalSettings(samples=200)


def small(kind: Any = "unit", join: Any = "centers", metric: Any = "accuracy") -> tuple[SetImages, TestImages]:
    """Return a set of unequal classes and lengths, and test images with texts."""
    draw = torch.Generator().manual_seed(0)
    middles = torch.randn(3, 8, generator=draw)
    labels, test_labels = torch.tensor([0] * 4 + [1] * 6 + [2] * 3), torch.arange(3).repeat(30)
    images = middles[labels] + torch.randn(13, 8, generator=draw) * 2
    test, text = (
        torch.nn.functional.normalize(rows, dim=1)
        for rows in (middles[test_labels] + 1.5 * torch.randn(90, 8, generator=draw), middles + 1.0)
    )
    if metric == "map_11_point":
        test_labels = torch.nn.functional.one_hot(test_labels, 3)
    if metric == "roc_auc":
        keep, members = test_labels < 2, labels < 2
        test_of_two = TestImages(test[keep], test_labels[keep], ("a", "b"), metric, text[:2])
        return SetImages(images[members], labels[members], kind, join, True), test_of_two
    return SetImages(images, labels, kind, join, True), TestImages(test, test_labels, ("a", "b", "c"), metric, text)
