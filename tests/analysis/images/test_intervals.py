"""Intervals over another draw of a set: the parts against other routes, and what they hold in a world with a truth."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from gaussian_sets import GaussianWorld

from analysis.images import resampling
from analysis.images.intervals import (
    GIVEN_TWO_SETS,
    given_two_sets,
    over_seeds,
    permuted_labels,
    set_difference,
    set_intervals,
    share_interval,
)
from analysis.images.resampling import Resampled, SetImages, TestImages, measured, resampled
from analysis.statistics.intervals import IntervalSettings, wilson
from reward.errors import UserError
from reward.image_sets.centers import class_centers, ensemble

QUICK = IntervalSettings(samples=200)


def small(kind: str = "unit", join: str = "centers", metric: str = "accuracy") -> tuple[SetImages, TestImages]:
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


@pytest.mark.parametrize("kind", ["unit", "mean", "raw"])
@pytest.mark.parametrize("join", ["centers", "logits"])
@pytest.mark.parametrize("metric", ["accuracy", "mean_per_class", "map_11_point", "roc_auc"])
def test_a_resample_scores_as_a_set_with_its_images_repeated(
    kind: str, join: str, metric: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The counts of images are caught on their way, and each resample's set is built of them and measured."""
    images, test = small(kind, join, metric)
    caught: list[np.ndarray] = []
    counts = resampling._set_counts

    def kept(*arguments: object) -> np.ndarray:
        caught.append(counts(*arguments))
        return caught[0]

    monkeypatch.setattr(resampling, "_set_counts", kept)
    # Each test image is drawn as often as any other, so that only the set is resampled.
    real = resampling._multinomial
    monkeypatch.setattr(
        resampling,
        "_multinomial",
        lambda draws, n, samples, draw: np.full((samples, n), 9) if draws == 9 * n else real(draws, n, samples, draw),
    )
    found = resampled(images, test, samples=5)
    for number in range(5):
        rows = torch.from_numpy(np.repeat(np.arange(len(images.labels)), caught[0][number]))
        repeated = dataclasses.replace(images, embeddings=images.embeddings[rows], labels=images.labels[rows])
        for part, value in measured(repeated, test).items():
            assert found[part].resamples[number] == pytest.approx(value, abs=1e-6), part
    per_class = [caught[0][:, images.labels.numpy() == label].sum(1).tolist() for label in range(len(test.classes))]
    assert per_class == [[9 * (number - 1)] * 5 for number in (4, 6, 3)[: len(test.classes)]]


def test_what_is_measured_are_centers_texts_and_their_ensemble() -> None:
    images, test = small("unit", "logits")
    mean = class_centers(images.embeddings, images.labels, test.classes, "mean", unequal=True)
    assert test.text is not None
    joined = (test.embeddings @ ensemble(mean, test.text, "logits").T).argmax(1)
    assert measured(images, test)["ensemble"] == float((joined == test.labels).double().mean())


def test_resamples_of_test_images_alone_spread_as_a_share_does() -> None:
    """Of the texts only test images are resampled: a third of √(p (1 − p) / n) within each class."""
    images, test = small()
    found = resampled(images, test, samples=4000)["text"]
    right = (test.embeddings @ test.text.T).argmax(1) == test.labels  # type: ignore[union-attr]
    shares = [float(right[test.labels == label].double().mean()) for label in range(3)]
    expected = sum(share * (1 - share) / 30 for share in shares) ** 0.5 / 3 / 3
    assert found.resamples.mean() == pytest.approx(found.value, abs=0.002)
    assert found.resamples.std() == pytest.approx(expected, rel=0.05)


def test_blocks_of_test_images_change_the_draws_only(monkeypatch: pytest.MonkeyPatch) -> None:
    images, test = small()
    whole = set_intervals(images, test).cler
    monkeypatch.setattr(resampling, "BLOCK", 7)
    monkeypatch.setattr(resampling, "MOST", 1000)
    parts = set_intervals(images, test).cler
    assert parts == pytest.approx(whole, abs=0.03)
    assert parts != whole


def test_an_interval_is_moved_to_the_value_and_stretched() -> None:
    resamples = np.linspace(0.40, 0.50, 1001)  # mean 0.45; quantiles 0.4025 and 0.4975
    assert share_interval(Resampled(0.6, resamples), 100) == pytest.approx((0.6, 0.4575, 0.7425, 100))
    assert share_interval(Resampled(0.95, resamples), 100).high == 1.0
    assert share_interval(Resampled(1.0, np.ones(9)), 100) == wilson(100, 100)


def test_gain_is_paired_on_the_test_images() -> None:
    """With K large the set hardly varies: what remains are test images, and ensemble and text share them."""
    images, test = small()
    found = set_intervals(images, test, QUICK)
    assert found.gain is not None
    assert found.ensemble is not None
    assert found.text is not None
    assert found.gain.value == pytest.approx(found.ensemble.value - found.text.value)
    alone = set_intervals(images, dataclasses.replace(test, text=None), QUICK)
    assert (alone.cler, alone.gain) == (found.cler, None)
    same = set_difference(images, images, test, QUICK)
    assert same.cler.value == 0
    assert same.cler.low is not None
    assert same.cler.low < 0


def test_t_needs_three_seeds() -> None:
    assert over_seeds([0.5, 0.7]) == (pytest.approx(0.6), None, None, 2)
    found = over_seeds([0.5, 0.6, 0.7])  # t(0.975, 2) = 4.3027, times 0.1 / √3
    assert found == pytest.approx((0.6, 0.6 - 0.248414, 0.6 + 0.248414, 3), abs=1e-5)


def test_a_class_of_one_image_has_no_interval() -> None:
    images, test = small()
    with pytest.raises(UserError) as caught:
        set_intervals(dataclasses.replace(images, embeddings=images.embeddings[3:], labels=images.labels[3:]), test)
    assert str(caught.value) == (
        "image set: a single image of class 'a' (1 of 3 classes); an interval needs at least two, which show how much "
        "images differ; draw more."
    )
    several = dataclasses.replace(test, labels=torch.ones(90, 3), metric="map_11_point")
    with pytest.raises(UserError, match=f"McNemar's test {GIVEN_TWO_SETS}: test images need one class each"):
        given_two_sets(images, images, several)


def test_a_set_that_knows_is_beyond_its_permuted_labels_and_one_that_does_not_is_within() -> None:
    world = GaussianWorld(0, per_class=20)
    test = world.test()
    knows = permuted_labels(world.set(), test, permutations=199)
    assert knows.p == 1 / 200
    assert knows.value > 0.7 > 0.2 > knows.high
    assert knows.mean == pytest.approx(1 / 16, abs=0.01)
    p = [permuted_labels(world.permuted(), test, permutations=39).p for _ in range(30)]
    assert sum(value <= 0.05 for value in p) <= 4  # expected 1.5; more than 4 has a chance of 0.02
    assert 0.35 < np.mean(p) < 0.75


def rejections(world: GaussianWorld, pairs: int, permuted: bool, settings: IntervalSettings) -> tuple[float, float]:
    """Return in which share of pairs of equal sets the interval excludes 0, and McNemar's test says p < 0.05."""
    told, mcnemar = 0, 0
    for number in range(pairs):
        test = world.test()
        first, second = (world.permuted() if permuted else world.set() for _ in range(2))
        found = set_difference(first, second, test, settings._replace(seed=number)).cler
        assert found.low is not None
        assert found.high is not None
        told += not found.low <= 0 <= found.high
        mcnemar += given_two_sets(first, second, test).p < 0.05
    return told / pairs, mcnemar / pairs


def separated(world: GaussianWorld, times: int, settings: IntervalSettings) -> int:
    """Count how often a set is told from one of which half the images are wrong."""
    low = [
        set_difference(world.set(), world.set(wrong=0.5), world.test(), settings._replace(seed=number)).cler.low
        for number in range(times)
    ]
    return sum(end is not None and end > 0 for end in low)


def test_test_images_of_a_class_fall_together() -> None:
    """CLERs of sets that know nothing spread several times as much as independent images would let them."""
    world = GaussianWorld(1)
    test = world.test()
    scores = [measured(world.permuted(), test)["cler"] for _ in range(100)]
    assert np.mean(scores) == pytest.approx(1 / 16, abs=0.012)
    assert np.std(scores) > 4 * (1 / 16 * 15 / 16 / 960) ** 0.5


def test_the_rule_does_not_tell_apart_what_knows_nothing_where_mcnemar_does() -> None:
    """A quick look; the slow test has the numbers."""
    told, mcnemar = rejections(GaussianWorld(2, per_class=20), 20, True, QUICK)
    assert told <= 0.1
    assert mcnemar >= 0.4
    assert separated(GaussianWorld(3, per_class=20), 4, QUICK) >= 3


@pytest.mark.slow
def test_rejections_coverage_and_power_of_the_rule() -> None:
    """Power is the world's as well as the rule's: sets of 20 images at half wrong differ from each other too.

    Here a good set and a half-wrong one are about four standard deviations of their difference apart. In the world of
    the other tests, where they are 2.8 apart, the rule told 16 of 30 such pairs, and even a test that knew the spread
    would tell four of five.
    """
    settings = IntervalSettings(samples=400)
    world = GaussianWorld(4, shots=10, test_noise=1.5, set_noise=3.0)
    told, mcnemar = rejections(world, 200, True, settings)
    assert told <= 0.07
    assert mcnemar >= 0.5
    told, _ = rejections(world, 200, False, settings)
    assert told <= 0.07
    for draw in (world.set, world.permuted):
        truth = np.mean([measured(draw(), world.test())["cler"] for _ in range(1000)])
        held = 0
        for number in range(300):
            found = set_intervals(draw(), world.test(), settings._replace(seed=number)).cler
            assert found.low is not None
            assert found.high is not None
            held += found.low <= truth <= found.high
        assert held / 300 >= 0.93
    assert separated(world, 30, settings) >= 27
