"""The planted truths of image sets: what is counted, by hand, and twins that must fail."""

from __future__ import annotations

import image_set_truths as truths
import pytest
import torch
from image_sets import correlation_claim, flattery_claim, order_claim, rule_claim

from analysis.images.resampling import SetImages, TestImages
from analysis.statistics.intervals import Estimate

CLASSES, DIMENSIONS = truths.CLASSES, 24


def pool(per_class: int, noise: float, seed: int) -> SetImages:
    """Draw images around a direction of their class."""
    labels = torch.arange(len(CLASSES)).repeat_interleave(per_class)
    random = torch.Generator().manual_seed(seed)
    rows = torch.eye(len(CLASSES), DIMENSIONS)[labels]
    rows = rows + noise * torch.randn(len(labels), DIMENSIONS, generator=random)
    return SetImages(torch.nn.functional.normalize(rows, dim=1), labels)


def test_an_order_is_strict() -> None:
    assert truths.in_order([0.9, 0.8, 0.1])
    assert not truths.in_order([0.9, 0.9, 0.1])
    assert not truths.in_order([0.8, 0.9, 0.1])
    claim = order_claim([[0.9, 0.8], [0.7, 0.6]], [[0.1, 0.2], [0.2, 0.1]])
    assert claim.holds
    assert claim.twin_fails
    assert not order_claim([[0.9, 0.8], [0.6, 0.7]], [[0.2, 0.1]]).holds
    assert not order_claim([[0.9, 0.8]], [[0.2, 0.1]]).twin_fails


def test_two_sets_of_a_pool_share_no_image() -> None:
    numbered = SetImages(torch.arange(16 * 10.0).unsqueeze(1), torch.arange(16).repeat_interleave(10))
    first, second = truths.two_of_pool(numbered, 4, seed=0)
    for images in (first, second):
        assert torch.bincount(images.labels).tolist() == [4] * 16
        assert (images.embeddings.flatten() // 10).tolist() == images.labels.tolist()
    assert len(set(first.embeddings.flatten().tolist()) | set(second.embeddings.flatten().tolist())) == 16 * 8
    again, _ = truths.two_of_pool(numbered, 4, seed=1)
    assert again.embeddings.tolist() != first.embeddings.tolist()


def test_permuted_and_constant_sets_keep_their_size() -> None:
    images = pool(5, 0.2, 0)
    mixed = truths.permuted(images, 3)
    assert mixed.embeddings is images.embeddings
    assert torch.bincount(mixed.labels).tolist() == [5] * 16
    assert mixed.labels.tolist() != images.labels.tolist()
    test = TestImages(images.embeddings, images.labels, CLASSES)
    assert truths.cler(images, test) > 0.9
    assert truths.cler(truths.constant(images), test) == 1 / 16


def test_an_interval_tells_apart_where_zero_is_outside() -> None:
    assert truths.tells_apart(Estimate(0.1, 0.01, 0.2, 9))
    assert truths.tells_apart(Estimate(-0.1, -0.2, -0.01, 9))
    assert not truths.tells_apart(Estimate(0.1, 0.0, 0.2, 9))
    assert not truths.tells_apart(Estimate(0.1, None, None, 9))


def test_a_rule_that_tells_all_apart_fails_its_claim() -> None:
    """Of pairs that do differ all are counted, of equal ones none."""
    many = pool(20, 0.3, 1)
    test = TestImages(*(lambda images: (images.embeddings, images.labels))(pool(10, 0.3, 2)), CLASSES)
    equal = [truths.two_of_pool(many, 5, seed) for seed in range(3)]
    different = [(one, truths.permuted(other, seed)) for seed, (one, other) in enumerate(equal)]
    assert truths.rejections(different, test, samples=60) == truths.Rejections(3, 3, 3)
    assert truths.rejections(equal, test, samples=60).interval == 0
    assert not rule_claim("different", different, test, 60).holds


def test_correlation_and_flattery_by_hand() -> None:
    claim = correlation_claim([0.9, 0.5, 0.1], [0.8, 0.6, 0.2], [0.1, 0.0, 0.2])
    assert claim.found == "1.000"
    assert claim.twin.endswith("-0.500")
    assert claim.holds
    assert claim.twin_fails
    good = pool(10, 0.3, 3)
    text = torch.eye(len(CLASSES), DIMENSIONS)
    test = TestImages(good.embeddings, good.labels, CLASSES, text=text)
    flattered = flattery_claim(truths.permuted(good, 0), good, test)
    assert flattered.holds
    assert flattered.twin_fails
    assert not flattery_claim(good, good, test).holds


@pytest.mark.parametrize(("name", "shares"), [("0 %", (0, 0, 0)), ("two facets", (0, 0.75, 0.75))])
def test_levels_are_what_their_names_say(name: str, shares: tuple[float, ...]) -> None:
    assert tuple(truths.LEVELS[name].get(facet, 0) for facet in ("colour", "shape", "pattern")) == shares
    assert len(truths.GRADED) >= 12
