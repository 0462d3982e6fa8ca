"""Intervals over another draw of a set: the parts against other routes, and what they hold in a world with a truth."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from gaussian_sets import GaussianWorld
from small_embeddings import QUICK, small

from analysis.images import resampling
from analysis.images.draws import Draws, Resampled, doubt_of, extrapolated, steps, within_class
from analysis.images.intervals import (
    GIVEN_TWO_SETS,
    difference_p,
    given_two_sets,
    permuted_labels,
    set_difference,
    set_intervals,
    share_interval,
)
from analysis.images.resampling import SetImages, TestImages, measured, resampled
from analysis.images.scores import METRICS
from analysis.statistics.intervals import IntervalSettings, wilson
from reward.errors import UserError
from reward.image_sets.centers import class_centers, ensemble


@pytest.mark.parametrize("kind", ["unit", "mean", "raw"])
@pytest.mark.parametrize("join", ["centers", "logits"])
@pytest.mark.parametrize("metric", ["accuracy", "mean_per_class", "map_11_point", "roc_auc"])
def test_a_resample_scores_as_centers_of_weighted_images(
    kind: str, join: str, metric: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The weights of images are caught on their way, and each resample's score is written out from them."""
    images, test = small(kind, join, metric)
    assert test.text is not None
    caught: list[torch.Tensor] = []
    noise, deviations = Draws.noise, Draws.deviations
    series: list[np.ndarray] = []

    def kept(self: Draws, shown: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        caught.append(noise(self, shown, generator))
        return caught[0]

    def seen(self: Draws, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        series.append(scores)
        return deviations(self, scores)

    monkeypatch.setattr(Draws, "noise", kept)
    monkeypatch.setattr(Draws, "deviations", seen)
    resampled(images, test, samples=16)
    assert caught[0].shape[2] == 16
    totals = dict(zip(("cler", "ensemble", "text"), series[-3:], strict=True))
    unit = images.embeddings if kind == "raw" else torch.nn.functional.normalize(images.embeddings, dim=1)
    for number in range(16):
        rows = []
        for label in range(len(test.classes)):
            members = unit[images.labels == label]
            weights = caught[0][label, : len(members), number]
            assert weights.sum() == pytest.approx(len(members), abs=1e-4)
            rows.append((weights.unsqueeze(1) * members).sum(0) / len(members))
        centers = torch.stack(rows)
        taken = torch.nn.functional.normalize(centers, dim=1) if kind == "unit" else centers
        joined = ensemble(centers if join == "logits" else taken, test.text, join)
        for part, by in (("cler", taken), ("ensemble", joined)):
            value = METRICS[test.metric]((test.embeddings @ by.T).numpy(), test.labels.numpy())
            assert totals[part][number] == pytest.approx(value, abs=1e-6), part


def test_the_first_of_equal_classes_is_taken() -> None:
    """Three equal centers: only images of the first class are right, as `measured` has it."""
    same = torch.tensor([[1.0, 0.0]]).repeat(6, 1)
    images = SetImages(same, torch.arange(3).repeat_interleave(2))
    test = TestImages(same[:3], torch.arange(3), ("a", "b", "c"))
    scorer = resampling._Scorer(images, test, Draws(2, 2, 2), torch.Generator())
    for label in range(3):
        ((part, hits),) = scorer.hits(torch.tensor([label]), label)
        assert part == "cler"
        assert hits[0, -1] == (label == 0)


def test_variance_over_draws_is_of_what_different_test_images_have_in_common() -> None:
    """Over all pairs of test images of different classes, and those of one class but for an image with itself."""
    images, test = small()
    draws = Draws.of(40)
    scorer = resampling._Scorer(images, test, draws, torch.Generator().manual_seed(2000 * 5))
    hits = np.zeros((90, 40))
    for label in range(3):
        rows = torch.nonzero(test.labels == label).flatten()
        hits[rows] = dict(scorer.hits(rows, label))["cler"][:, :-1]
    found = resampled(images, test, samples=40, seed=5)["cler"]
    assert draws == Draws(10, 10, 5)
    with_noise = [9 * np.cov(hits[:, :10]), np.cov(hits[:, 10:20])]
    pairs = hits[:, 20:].reshape(90, 2, 2, 5)
    apart = (pairs[:, :, 0] - pairs[:, :, 1]).reshape(90, -1)
    with_noise.append(apart @ apart.T / apart.shape[1] / 2)
    labels, totals = test.labels.numpy(), []
    for covariances in with_noise:
        total = 0.0
        for i in range(90):
            for j in range(90):
                if i != j:
                    total += covariances[i, j] / 90**2 * (30 / 29 if labels[i] == labels[j] else 1)
        totals.append(total)
    steps_of_a_third, once, twice = totals
    expected = once**2 / max(twice, once / 2) if twice < once else min(steps_of_a_third, once)
    assert found.over_draws == pytest.approx(expected, rel=1e-4)


def test_steps_move_a_center_as_another_draw_would() -> None:
    shown = torch.tensor([[1.0, 1, 1, 1, 1], [1, 1, 0, 0, 0]])
    found = steps(shown, 4000, torch.Generator().manual_seed(0))
    assert found.sum(1).abs().max() < 1e-3
    assert (found**2).sum(1)[0].tolist() == pytest.approx([5.0] * 4000, abs=1e-3)
    assert found[1, 2:].abs().max() == 0
    assert found[1, :2].abs().flatten().tolist() == pytest.approx([1.0] * 8000, abs=1e-2)
    images = torch.tensor([0.0, 1.0, 2.0, 5.0, 7.0])  # variance 8.5, of a mean of five 1.7
    assert ((found[0] * images.unsqueeze(1)).sum(0) / 5).var() == pytest.approx(1.7, rel=0.08)


def test_variance_is_extrapolated_to_centers_without_noise() -> None:
    """With one noise 4 and with two 3, it is 16 / 3 without; with two 8, as for a good set, it stays 4."""
    assert extrapolated(5.0, 4.0, 3.0) == pytest.approx(16 / 3)
    assert extrapolated(9.0, 4.0, 8.0) == extrapolated(0.0, 4.0, 8.0) == 4.0
    assert extrapolated(3.0, 4.0, 8.0) == 3.0
    assert extrapolated(9.0, 4.0, 0.1) == 8.0
    assert extrapolated(9.0, -0.1, 3.0) == 0.0


def test_a_variance_over_draws_has_as_many_degrees_of_freedom_as_classes_but_one() -> None:
    for classes, freedom in ((16, 15), (4, 3), (2, 3)):
        only = Resampled(0.5, np.zeros(3), 0.01, doubt_of(0.01, classes))
        assert only.freedom == pytest.approx(freedom)
    assert Resampled(0.5, np.array([0.1]), 0.01, doubt_of(0.01, 16)).freedom == pytest.approx(
        60
    )  # half is not in doubt


def test_deviations_are_from_their_mean_and_of_two_noises_from_each_other() -> None:
    scores = np.array([0.0, 1.0, 1.0, 2.0, 6.0, 1, 2, 3, 6, 0, 0, 4, 4])
    small, one, pairs = Draws(2, 3, 2).deviations(scores)
    assert small.tolist() == pytest.approx([-1.5 * 2**0.5, 1.5 * 2**0.5])  # mean square 4.5, nine times the variance
    assert one.tolist() == pytest.approx([-2 * 1.5**0.5, -(1.5**0.5), 3 * 1.5**0.5])  # mean square 7, the variance
    assert pairs * 2**0.5 == pytest.approx(np.array([[-2.0, -4.0], [-4.0, -4.0]]))
    assert (Draws.of(2000), Draws.of(1), Draws.of(2000).number) == (Draws(500, 500, 250), Draws(4, 4, 2), 2000)
    shown = torch.ones(2, 3)
    noise = Draws(4, 4, 2).noise(shown, torch.Generator().manual_seed(0)) - 1
    squares = (noise**2).sum(1)
    assert squares[:, :8].flatten().tolist() == pytest.approx([*[1 / 3] * 4, *[3.0] * 4] * 2, abs=1e-4)
    # The third and fourth runs stand on the same two first noises as the first and second.
    first = torch.stack([noise[..., 8 + 2 * run + 1] for run in range(4)])
    assert (first[0] - first[3]).norm(dim=1).max() < 2 * 3**0.5 + 1e-3


def test_variance_over_test_images_is_that_within_classes() -> None:
    """Shares 3 / 4 and 1 / 2 of four and two images; an image alone in its class differs from all."""
    hits, labels = np.array([1.0, 1, 0, 1, 1, 0]), np.array([0, 0, 0, 0, 1, 1])
    assert sum(within_class(hits, labels) ** 2) == pytest.approx(4 * 0.25 + 2 * 0.5)
    assert within_class(np.array([1.0, 1, 0]), np.array([0, 0, 1]))[2] == pytest.approx(-2 / 3)


@pytest.mark.parametrize("metric", ["map_11_point", "roc_auc"])
def test_ranks_vary_with_test_images_as_their_weights_say(metric: str) -> None:
    """The variance over test images of the texts' score, against drawing test images with replacement."""
    _, test = small(metric=metric)
    images, _ = small(metric=metric)
    assert test.text is not None
    found = resampled(images, test, samples=2400)["text"]
    scores, labels = (test.embeddings @ test.text.T).numpy(), test.labels.numpy()
    draw, again = np.random.default_rng(1), []
    for _ in range(300):
        rows = draw.integers(len(labels), size=len(labels))
        if labels.ndim == 1:
            rows = np.concatenate([draw.choice(np.flatnonzero(labels == one), 30) for one in (0, 1)])
        again.append(METRICS[test.metric](scores[rows], labels[rows]))
    assert (found.over_draws, found.freedom) == (0.0, math.inf)
    assert found.variance**0.5 == pytest.approx(np.std(again), rel=0.15)


def test_what_is_measured_are_centers_texts_and_their_ensemble() -> None:
    images, test = small("unit", "logits")
    mean = class_centers(images.embeddings, images.labels, test.classes, "mean", unequal=True)
    assert test.text is not None
    joined = (test.embeddings @ ensemble(mean, test.text, "logits").T).argmax(1)
    assert measured(images, test)["ensemble"] == float((joined == test.labels).double().mean())


def test_texts_vary_with_test_images_only() -> None:
    """By √(p (1 − p) / (n − 1)) within each class."""
    images, test = small()
    found = resampled(images, test, samples=16)["text"]
    right = (test.embeddings @ test.text.T).argmax(1) == test.labels  # type: ignore[union-attr]
    shares = [float(right[test.labels == label].double().mean()) for label in range(3)]
    assert found.variance == pytest.approx(sum(share * (1 - share) / 29 for share in shares) / 9)
    assert (found.over_draws, found.freedom) == (0.0, math.inf)


def test_blocks_of_test_images_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    images, test = small()
    whole = set_intervals(images, test, QUICK).cler
    monkeypatch.setattr(resampling, "BLOCK", 7)
    monkeypatch.setattr(resampling, "MOST", 1000)
    assert set_intervals(images, test, QUICK).cler == pytest.approx(whole, abs=1e-6)


def test_a_share_has_wilsons_interval_for_what_its_variance_is_worth() -> None:
    """A variance of 0.0024 is that of 60 in 100. With ten degrees of freedom, ends are 2.2281 deviations away."""
    worth = Resampled(0.6, np.array([0.02, 0.02]), 0.0016)
    assert worth.variance == pytest.approx(0.0024)
    assert share_interval(worth, 960) == pytest.approx((*wilson(60, 100)[:3], 960))
    few = share_interval(dataclasses.replace(worth, doubt=2 * 0.0024**2 / 10), 960)
    for end in (few.low, few.high):
        assert end is not None
        assert abs(0.6 - end) == pytest.approx(2.228139 * (end * (1 - end) / 100) ** 0.5)
    assert share_interval(Resampled(1.0, np.zeros(9)), 100) == wilson(100, 100)
    none = share_interval(Resampled(0.0, np.zeros(9), 0.0001), 50)  # as 0 of 0.01 · 0.99 / 0.0001
    assert none == pytest.approx((0.0, 0.0, 1.959964**2 / (99 + 1.959964**2), 50))


def test_a_difference_has_students_interval_and_its_p(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variances over draws add up, those over test images are of the differences; t(0.975, 8) = 2.3060."""
    first = Resampled(0.8, np.array([0.03, 0.01]), 0.0010, 2e-7)
    second = Resampled(0.6, np.array([0.01, 0.01]), 0.0011, 1.08e-6)
    difference = first.minus(second)
    assert difference.variance == pytest.approx(0.0004 + 0.0021)
    assert difference.freedom == pytest.approx(2 * 0.0025**2 / 1.28e-6)
    images, test = small()
    alone = dataclasses.replace(test, text=None)
    for doubt in (0.0, 2 * 0.0025**2 / 8 - 2e-7):
        pair = iter([{"cler": first}, {"cler": dataclasses.replace(second, doubt=doubt)}])
        monkeypatch.setattr("analysis.images.intervals.resampled", lambda *_, **__: next(pair))  # noqa: B023
        found = set_difference(images, images, alone)
        if doubt:
            assert found.cler == pytest.approx((0.2, 0.2 - 2.306004 * 0.05, 0.2 + 2.306004 * 0.05, 90))
            assert found.cler_p == pytest.approx(0.003950, abs=1e-6)
    assert difference_p(Resampled(0.0, np.zeros(3), 0.01)) == 1.0
    assert difference_p(Resampled(1.959964, np.array([0.6, 0.8]))) == pytest.approx(0.05)
    assert difference_p(Resampled(0.0, np.zeros(3))) == 1.0
    assert difference_p(Resampled(0.5, np.zeros(3))) is None


def test_gain_is_paired_on_the_test_images() -> None:
    """Test images on which ensemble and texts agree add nothing to the gain's variance."""
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


@pytest.mark.parametrize("knows", [True, False])
def test_the_variance_is_that_of_scores_of_other_sets_and_test_images(knows: bool) -> None:
    """Three times too large, as small steps scaled up give it, and a third of it, that of test images, both fail."""
    world = GaussianWorld(4, per_class=20, shots=10, test_noise=1.5, set_noise=3.0)
    draw = world.set if knows else world.permuted
    truth = np.var([measured(draw(), world.test())["cler"] for _ in range(400)])
    found = [resampled(draw(), world.test(), samples=300, seed=seed)["cler"] for seed in range(25)]
    assert 0.7 < np.mean([one.variance for one in found]) / truth < 1.5
    assert np.mean([one.over_test @ one.over_test for one in found]) / truth < 0.5


def test_the_rule_does_not_tell_apart_what_knows_nothing_where_mcnemar_does() -> None:
    """A quick look; the slow test has the numbers."""
    told, mcnemar = rejections(GaussianWorld(2, per_class=20), 20, True, QUICK)
    assert told <= 0.15
    assert mcnemar >= 0.4
    assert separated(GaussianWorld(3, per_class=20, shots=10, test_noise=1.5, set_noise=3.0), 5, QUICK) >= 4


@pytest.mark.slow
def test_rejections_coverage_and_power_of_the_rule() -> None:
    """Power is the world's as well as the rule's: sets of 20 images at half wrong differ from each other too.

    Here a good set and a half-wrong one are about four standard deviations of their difference apart.
    """
    settings = IntervalSettings(samples=600)
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
