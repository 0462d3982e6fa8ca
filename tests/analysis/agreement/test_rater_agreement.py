"""Confusion, κ and α: by hand, against other libraries and by simulation."""

from __future__ import annotations

import itertools
import math

import krippendorff
import numpy as np
import pytest

from analysis.agreement.raters import Confusion, cohen_kappa, kappa_error, krippendorff_alpha

# --- rates and κ ---


def test_rates_by_hand() -> None:
    found = Confusion.of([(True, True)] * 20 + [(True, False)] * 5 + [(False, True)] * 10 + [(False, False)] * 15)
    assert found == (20, 5, 10, 15)
    # Cohen (1960), the usual example: agreement 35/50; by chance .5·.6 + .5·.4 = .5; κ = .2/.5.
    agreement, sensitivity, specificity, kappa = (
        found.agreement(),
        found.sensitivity(),
        found.specificity(),
        found.kappa(),
    )
    assert agreement
    assert sensitivity
    assert specificity
    assert kappa
    assert (agreement.value, agreement.n) == (0.7, 50)
    assert (sensitivity.value, sensitivity.n) == (0.8, 25)
    assert (specificity.value, specificity.n) == (0.6, 25)
    assert kappa.value == pytest.approx(0.4)
    # Wilson at 35/50 by the formula: (p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n), z² = 3.8414588.
    z2 = 3.8414588
    half = math.sqrt(z2 * (0.7 * 0.3 / 50 + z2 / (4 * 50**2)))
    assert (agreement.low, agreement.high) == pytest.approx(
        ((0.7 + z2 / 100 - half) / (1 + z2 / 50), (0.7 + z2 / 100 + half) / (1 + z2 / 50)), abs=1e-7
    )
    nothing = Confusion.of([])
    assert (nothing.agreement(), nothing.sensitivity(), nothing.specificity(), nothing.kappa()) == (None,) * 4


def test_kappa_is_scikit_learns() -> None:
    from sklearn.metrics import cohen_kappa_score

    rng = np.random.default_rng(0)
    for kinds in (2, 3):
        first = rng.integers(kinds, size=80)
        second = np.where(rng.random(80) < 0.6, first, rng.integers(kinds, size=80))
        table = np.zeros((kinds, kinds), dtype=int)
        np.add.at(table, (first, second), 1)
        kappa = cohen_kappa(table)
        assert kappa is not None
        assert kappa.value == pytest.approx(cohen_kappa_score(first, second))


def test_kappas_error_is_the_delta_methods() -> None:
    """κ's gradient by finite differences, with the multinomial covariance: another way to the same number."""
    table = np.array([[20.0, 5, 3], [10, 15, 2], [1, 4, 9]])
    n, shares = table.sum(), table.ravel() / table.sum()

    def kappa(p: np.ndarray) -> float:
        square = p.reshape(3, 3)
        chance = square.sum(axis=1) @ square.sum(axis=0)
        return float((np.trace(square) - chance) / (1 - chance))

    step = 1e-6
    gradient = np.array([(kappa(shares + step * e) - kappa(shares - step * e)) / (2 * step) for e in np.eye(9)])
    covariance = (np.diag(shares) - np.outer(shares, shares)) / n
    assert kappa_error(table) == pytest.approx(math.sqrt(gradient @ covariance @ gradient), rel=1e-6)


def test_kappas_interval_covers_and_never_pretends() -> None:
    rng = np.random.default_rng(1)
    shares = np.array([[0.45, 0.06], [0.09, 0.4]])
    chance = shares.sum(axis=1) @ shares.sum(axis=0)
    truth = (np.trace(shares) - chance) / (1 - chance)
    inside = 0
    for counts in rng.multinomial(60, shares.ravel(), size=600):
        kappa = cohen_kappa(counts.reshape(2, 2))
        assert kappa is not None
        assert kappa.low is not None
        assert kappa.high is not None
        inside += kappa.low <= truth <= kappa.high
    assert 0.93 <= inside / 600 <= 0.98
    perfect = cohen_kappa([[5, 0], [0, 5]])
    assert perfect is not None
    assert (perfect.value, perfect.high) == (1.0, 1.0)
    assert perfect.low is not None
    assert 0.2 < perfect.low < 0.8
    assert cohen_kappa([[7, 0], [0, 0]]) is None, "chance agreement is 1"
    with pytest.raises(ValueError, match=r"table of shape \(2, 3\); allowed: square"):
        cohen_kappa(np.ones((2, 3)))


# --- Krippendorff's α ---


def test_alpha_is_the_packages() -> None:
    rng = np.random.default_rng(2)
    for raters, missing in itertools.product((2, 3, 5), (0.0, 0.3)):
        truth = rng.random(40) < 0.6
        data = np.where(rng.random((raters, 40)) < 0.8, truth, ~truth).astype(float)
        data[rng.random(data.shape) < missing] = np.nan
        units = [[value == 1 for value in column if not np.isnan(value)] for column in data.T]
        alpha = krippendorff_alpha(units, samples=200)
        assert alpha is not None
        assert alpha.value == pytest.approx(krippendorff.alpha(data, level_of_measurement="nominal"))
        assert alpha.low is not None
        assert alpha.high is not None
        assert alpha.low < alpha.value < alpha.high
        assert alpha.n == sum(len(unit) > 1 for unit in units)


def test_alpha_by_hand() -> None:
    # Krippendorff's two coders, ten units: 0 1 0 0 0 0 0 0 1 0 and 1 1 1 0 0 1 0 0 0 0; α = 0.095.
    pairs = zip([0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0], strict=True)
    units = [[bool(a), bool(b)] for a, b in pairs]
    alpha = krippendorff_alpha([*units, [True], []])
    assert alpha is not None
    assert alpha.value == pytest.approx(1 - 19 * 8 / (2 * 14 * 6))  # 4 units differ; 14 zeros and 6 ones
    assert alpha.n == 10
    assert krippendorff_alpha([[True, True], [False, False, False]]) == (1.0, None, None, 2)
    assert krippendorff_alpha([[True, True], [True, True]]) is None
    assert krippendorff_alpha([[True], [False]]) is None
