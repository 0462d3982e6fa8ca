"""Cochran's Q against a hand-computed example, McNemar's statistic, and a permutation test."""

from __future__ import annotations

import math

import numpy as np
import pytest

from analysis.statistics.cochran import cochran_q


def test_six_images_and_three_classifiers() -> None:
    """Right 5, 3 and 2 times; images have 3, 2, 1, 2, 0 and 2 right classifiers.

    Q = 2 (3 (25 + 9 + 4) - 10²) / (3 · 10 - (9 + 4 + 1 + 4 + 0 + 4)) = 28 / 8 = 3.5, and with two degrees of freedom
    p = exp(-Q / 2).
    """
    right = np.array([[1, 1, 1], [1, 1, 0], [1, 0, 0], [1, 1, 0], [0, 0, 0], [1, 0, 1]])
    found = cochran_q(right)
    assert (found.q, found.freedom, found.n, found.differing) == (3.5, 2, 6, 4)
    assert found.p == pytest.approx(math.exp(-1.75), abs=1e-12)
    same = np.vstack([right, np.ones((5, 3)), np.zeros((7, 3))])
    assert cochran_q(same)[:3] == found[:3]  # images on which all agree tell nothing


def test_two_classifiers_are_mcnemar_s() -> None:
    right = np.array([[1, 0]] * 9 + [[0, 1]] * 4 + [[1, 1]] * 20)
    assert cochran_q(right).q == pytest.approx((9 - 4) ** 2 / (9 + 4), abs=1e-12)


@pytest.mark.parametrize(("rates", "told"), [((0.5, 0.5, 0.5, 0.5), False), ((0.3, 0.5, 0.5, 0.75), True)])
def test_p_is_that_of_a_permutation_test(rates: tuple[float, ...], told: bool) -> None:
    """Under the null hypothesis an image's answers can be exchanged; the spread of the sums is the statistic."""
    random = np.random.default_rng(12)
    right = (random.random((80, 4)) < np.array(rates)).astype(int)
    observed = right.sum(0).var()
    exchanged = [random.permuted(right, axis=1).sum(0).var() for _ in range(4000)]
    wanted = float(np.mean(np.array(exchanged) >= observed - 1e-9))
    found = cochran_q(right).p
    assert found == pytest.approx(wanted, abs=0.03)
    assert (found < 0.05) is told


def test_nothing_differs() -> None:
    assert cochran_q(np.ones((4, 3)))[:3] == (0.0, 2, 1.0)
    with pytest.raises(ValueError, match="at least two classifiers"):
        cochran_q(np.ones((4, 1)))
    with pytest.raises(ValueError, match="several images"):
        cochran_q(np.ones((0, 3)))
