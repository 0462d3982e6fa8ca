"""Confusion, κ and α: by hand, against other libraries and by simulation."""

from __future__ import annotations

import itertools
import math

import krippendorff
import numpy as np
import pytest
from scipy import stats

from analysis.agreement.raters import Confusion, cohen_kappa, krippendorff_alpha

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


def kappas(shares: np.ndarray) -> np.ndarray:
    """κ of tables of shares, written out for two answers."""
    both, first, second, neither = shares.T
    chance = (both + first) * (both + second) + (second + neither) * (first + neither)
    return np.asarray((both + neither - chance) / (1 - chance))


def test_kappas_interval_is_that_of_tables_drawn_around_the_counts() -> None:
    """Each table's shares as normalised gamma variables, by other draws: half a count is added to each cell."""
    drawn = stats.gamma.rvs(np.array([8, 3, 1, 6]) + 0.5, size=(200_000, 4), random_state=4)
    expected = np.quantile(kappas(drawn / drawn.sum(1, keepdims=True)), [0.05, 0.95])
    found = cohen_kappa([[8, 3], [1, 6]], 0.9)
    assert found is not None
    assert (found.low, found.high) == pytest.approx(tuple(expected), abs=0.015)


def test_kappas_interval_has_a_width_and_no_impossible_end() -> None:
    for n in range(1, 8):
        for cells in itertools.product(range(n + 1), repeat=4):
            if sum(cells) != n:
                continue
            found = cohen_kappa([cells[:2], cells[2:]])
            if max(cells[0], cells[3]) == n:
                assert found is None
                continue
            assert found is not None
            assert found.low is not None
            assert found.high is not None
            assert -1 <= found.low <= found.value <= found.high <= 1
            assert found.high - found.low > 0.3, "no seven descriptions tell more"


@pytest.mark.parametrize("n", [10, pytest.param(20, marks=pytest.mark.slow), pytest.param(30, marks=pytest.mark.slow)])
def test_kappas_coverage_by_enumeration(n: int) -> None:
    """At 95 %, over all tables: at least 93 % on average over prevalences and κ, at least 88 % in each."""
    tables = [
        (both, first, second, n - both - first - second)
        for both in range(n)
        for first in range(n + 1 - both)
        for second in range(n + 1 - both - first)
        if n - both - first - second < n
    ]
    found = [cohen_kappa([cells[:2], cells[2:]]) for cells in tables]
    ends = np.array([(one.low, one.high) for one in found if one], dtype=np.float64)
    assert len(ends) == len(tables)
    inside = []
    for prevalence in (0.5, 0.8, 0.9):
        for truth in (0.0, 0.4, 0.7, 0.9):
            chance = prevalence**2 + (1 - prevalence) ** 2
            apart = (1 - truth) * (1 - chance) / 2
            shares = [prevalence - apart, apart, apart, 1 - prevalence - apart]
            assert kappas(np.array([shares]))[0] == pytest.approx(truth)
            weights = stats.multinomial.pmf(np.array(tables), n, shares)
            covered = (ends[:, 0] <= truth + 1e-9) & (truth - 1e-9 <= ends[:, 1])
            inside.append(float(weights[covered].sum() / weights.sum()))
    assert np.mean(inside) >= 0.93, inside
    assert min(inside) >= 0.88, inside


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
        alpha = krippendorff_alpha(units)
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
    agreed = krippendorff_alpha([[True, True], [False, False, False]])
    assert agreed is not None
    assert (agreed.value, agreed.high, agreed.n) == (1.0, 1.0, 2)
    assert agreed.low is not None
    assert agreed.low < 0.1, "two descriptions on which all agree tell little"
    assert krippendorff_alpha([[True, True], [True, True]]) is None
    assert krippendorff_alpha([[True], [False]]) is None


@pytest.mark.parametrize("n", [12, 40])
def test_alphas_interval_covers_with_three_raters_and_missing_answers(n: int) -> None:
    """Each answer is right in 85 of 100; a fifth are missing. The truth is α of very many descriptions."""
    rng = np.random.default_rng(7)

    def drawn(count: int) -> np.ndarray:
        truth = rng.random(count) < 0.6
        answers = np.where(rng.random((3, count)) < 0.85, truth, ~truth).astype(float)
        answers[rng.random(answers.shape) < 0.2] = np.nan
        return answers.T

    large = krippendorff.alpha(drawn(100_000).T, level_of_measurement="nominal")
    inside = seen = 0
    for _ in range(300):
        alpha = krippendorff_alpha([[value == 1 for value in row if not np.isnan(value)] for row in drawn(n)])
        if alpha is None:
            continue
        assert alpha.low is not None
        assert alpha.high is not None
        seen += 1
        inside += alpha.low <= large <= alpha.high
    assert seen > 290
    assert inside / seen >= 0.92, inside / seen
