"""Means of several classifiers on the same images: by hand, as McNemar's test, and by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from analysis.statistics.paired import mcnemar_p, paired_accuracy, paired_averages, paired_counts, paired_steps


def test_one_classifier_each_is_mcnemar() -> None:
    first, second = [True] * 60 + [False] * 40, [True] * 45 + [False] * 30 + [True] * 10 + [False] * 15
    assert paired_averages(first, second) == pytest.approx(paired_accuracy(first, second))
    assert paired_averages(second, first) == pytest.approx(paired_accuracy(second, first))


def test_a_step_of_half_an_image_is_half_a_count() -> None:
    """Ten images at half a step: as ten counts, all of half the size."""
    first = [0.5] * 9 + [0.0] + [1.0] * 40
    second = [0.0] * 9 + [0.5] + [1.0] * 40
    found, whole = paired_averages(first, second), paired_counts(9, 1, 50)
    assert found[:4] == pytest.approx((0.08, whole.low / 2, whole.high / 2, whole.p))
    assert (found.only_first, found.only_second) == (4, 0)  # Σ a(1 − b): 9 · 0.5; Σ b(1 − a): 0.5, rounded to even


def test_steps_of_two_sizes_by_hand() -> None:
    # Steps 1, 1, 1/3, 1/3, 1/3 and −1/3: size (2 + 4/9) / (3 + 1/3) = 11/15, so 45/11 steps up and 5/11 down.
    found = paired_steps(3.0, 1 / 3, 2 + 4 / 9, 30)
    assert found.p == pytest.approx(mcnemar_p(45 / 11, 5 / 11))
    assert found.difference == pytest.approx((3 - 1 / 3) / 30)
    # Between 4:0 (p 1/16) and 5:1 (p 0.125): the beta distribution continues the binomial one.
    more, fewer = 45 / 11, 5 / 11
    assert found.p == pytest.approx(stats.beta.cdf(0.5, more + 1, fewer) + stats.beta.cdf(0.5, more, fewer + 1))
    assert 1 / 16 < found.p < 1 / 8


def test_classifiers_that_never_differ_and_those_that_always_do() -> None:
    assert paired_averages([0.5, 1.0, 0.0], [0.5, 1.0, 0.0]) == pytest.approx(paired_counts(0, 0, 3))
    every = paired_averages([1 / 3] * 7, [0.0] * 7)
    assert (every.difference, every.high) == (pytest.approx(1 / 3), pytest.approx(1 / 3))
    assert every.p == pytest.approx(2**-7)


def test_further_variance_widens_and_weakens() -> None:
    plain = paired_steps(20, 8, 28, 400)
    wide = paired_steps(20, 8, 28 + 30, 400)
    assert wide.difference == plain.difference
    assert wide.low < plain.low
    assert plain.high < wide.high
    assert plain.p < 0.05 < wide.p
    # The normal interval of the sum is narrower by a little: about 14 steps of two images leave some skewness.
    assert 1 < (wide.high - wide.low) / (2 * 1.96 * math.sqrt(58 - 0.36) / 400) < 1.15


@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_interval_and_p_never_contradict(confidence: float) -> None:
    rng = np.random.default_rng(2)
    for _ in range(300):
        first, second = rng.integers(0, 4, size=(2, 12)) / 3
        found = paired_averages(first.tolist(), second.tolist(), confidence=confidence)
        assert (found.p < 1 - confidence) is (found.low > 0 or found.high < 0), found
        assert -1 <= found.low <= found.difference <= found.high <= 1, found


def test_agrees_with_resampling_images() -> None:
    rng = np.random.default_rng(3)
    first, second = rng.random((3, 90)) < 0.7, rng.random((3, 90)) < 0.6
    result = paired_averages(first.mean(0).tolist(), second.mean(0).tolist(), confidence=0.9)
    draws = rng.integers(0, 90, size=(20_000, 90))
    resampled = first[:, draws].mean((0, 2)) - second[:, draws].mean((0, 2))
    assert (result.low, result.high) == pytest.approx(tuple(np.quantile(resampled, [0.05, 0.95])), abs=0.006)


@pytest.mark.parametrize("side", [0.5, 0.8])
def test_few_images_that_differ_are_covered(side: float) -> None:
    """Three seeds, three images expected to differ, each in one seed: the percentile bootstrap covers 84 % at 0.8."""
    rng = np.random.default_rng(4)
    sums = rng.multinomial(200, [0.05 * side, 0.05 * (1 - side), 0.95], size=2000)
    truth, inside = 0.05 * (2 * side - 1) / 3, 0
    for up, down, _ in sums:
        found = paired_steps(up / 3, down / 3, (up + down) / 9, 200)
        inside += found.low <= truth <= found.high
    assert inside / 2000 >= 0.94


def test_unpaired_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="paired samples of 1 and 2 images"):
        paired_averages([1.0], [1.0, 0.0])
