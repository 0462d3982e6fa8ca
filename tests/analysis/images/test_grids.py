"""Grids of strategies and data sets: means, best counts with ties, exact tests, correlations."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import stats

from analysis.images.grids import (
    BestCount,
    Correlation,
    Grid,
    Row,
    RowMean,
    best_counts,
    compare_rows,
    correlation,
    oracle_mean,
    row_means,
    sign_p,
    signed_rank_p,
)

A, B, C = Row("toy", "name"), Row("toy", "simple"), Row("toy", "defined")


def grid(*lines: tuple[float | None, ...]) -> Grid:
    return Grid((A, B, C)[: len(lines)], tuple("wxyz")[: len(lines[0])], lines)


def test_rows_are_averaged_over_the_data_sets_that_all_have() -> None:
    # B lacks x, so no row's mean has x: A (1 + 3) / 2, B (5 + 2) / 2.
    assert row_means(grid((1.0, 9.0, 3.0), (5.0, None, 2.0))) == (RowMean(A, 2.0, 2), RowMean(B, 3.5, 2))


def test_equal_rows_share_being_best() -> None:
    # w: A and B at 0.1 + 0.2 and 0.3, equal but in binary. x: C alone. y: A alone. z is left out.
    made = best_counts(grid((0.1 + 0.2, 1.0, 5.0, 9.0), (0.3, 1.0, 4.0, None), (0.2, 2.0, 4.0, 1.0)))
    assert made == (BestCount(A, 1, 1), BestCount(B, 0, 1), BestCount(C, 1, 0))


def test_the_best_of_each_data_set_is_averaged() -> None:
    assert oracle_mean(grid((1.0, 5.0, 7.0), (3.0, 2.0, None))) == 4.0  # (3 + 5) / 2


def test_a_grid_without_a_complete_column_compares_nothing() -> None:
    empty = grid((1.0, None), (None, 1.0))
    for function in (row_means, best_counts, oracle_mean):
        with pytest.raises(ValueError, match="no data set has a value in every row"):
            function(empty)
    with pytest.raises(ValueError, match="'toy name' and 'toy simple' have no data set in common"):
        compare_rows(empty)


@pytest.mark.parametrize(
    ("rows", "columns", "values", "message"),
    [
        ((A, B), ("x",), ((1.0,),), r"a grid of 2 rows and 1 columns has 1 lines of 1 values"),
        ((A,), ("x", "y"), ((1.0,),), r"a grid of 1 rows and 2 columns has 1 lines of 1 values"),
        ((A, A), ("x",), ((1.0,), (2.0,)), "the row 'toy name' stands twice"),
        ((A,), ("x", "x"), ((1.0, 2.0),), "the column 'x' stands twice"),
    ],
)
def test_a_grid_that_does_not_fit_is_refused(
    rows: tuple[Row, ...], columns: tuple[str, ...], values: tuple[tuple[float, ...], ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Grid(rows, columns, values)


def test_a_grid_is_stored_and_read() -> None:
    stored = grid((1.0, None), (2.0, 3.0))
    assert Grid.from_json(stored.to_json()) == stored
    with pytest.raises(ValueError, match="no row 'toy defined' in a grid of toy name, toy simple"):
        stored.line(C)


def by_enumeration(differences: list[float]) -> float:
    """Sum the ranks over every choice of signs: the definition of the exact test."""
    left = np.array([value for value in differences if value != 0])
    ranks = stats.rankdata(np.abs(left))
    observed = ranks[left > 0].sum()
    sums = np.array([ranks[list(signs)].sum() for signs in product((False, True), repeat=len(left))])
    return min(1.0, 2 * min(float((sums <= observed).mean()), float((sums >= observed).mean())))


def test_signed_ranks_equal_the_enumeration_of_all_signs_with_ties_and_zeros() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        drawn = [float(value) for value in rng.integers(-4, 6, 9)]
        assert signed_rank_p(drawn) == pytest.approx(by_enumeration(drawn))
    assert signed_rank_p([3.0, 1.0, 2.0]) == 0.25  # both of 8 choices that are as far out
    assert signed_rank_p([0.0, 0.0]) == signed_rank_p([]) == 1.0


def test_signed_ranks_equal_scipy_where_nothing_ties() -> None:
    drawn = np.random.default_rng(1).normal(0.5, 1, 30).tolist()
    assert signed_rank_p(drawn) == pytest.approx(stats.wilcoxon(drawn, method="exact").pvalue)


def test_signed_ranks_tie_where_only_binary_rounding_differs() -> None:
    assert signed_rank_p([0.1 + 0.2, -0.3, 0.4]) == signed_rank_p([3.0, -3.0, 4.0]) == 0.75


def test_a_fair_coin() -> None:
    assert sign_p(5, 0) == pytest.approx(2 / 32)
    assert sign_p(0, 0) == 1.0


def test_rows_are_compared_where_both_have_a_value() -> None:
    made = compare_rows(grid((5.0, 3.0, 0.1 + 0.2, None), (1.0, 1.0, 0.3, 7.0)), [(A, B)])[0]
    assert (made.better, made.worse, made.equal) == (2, 0, 1)
    assert made.difference == (2.0, None, None, 3)  # an interval only from five data sets on
    assert made.p_wilcoxon == made.p_sign == 0.5
    assert made.p_t == pytest.approx(stats.ttest_rel([5, 3, 2], [1, 1, 2]).pvalue)


def test_the_difference_has_students_interval() -> None:
    columns = tuple("abcdef")
    first, second = (1.0, 2.0, 4.0, 3.0, 9.0, 5.0), (0.0, 2.5, 1.0, 1.0, 3.0, 4.5)
    made = compare_rows(Grid((A, B), columns, (first, second)))[0]
    expected = stats.ttest_rel(first, second).confidence_interval(0.95)
    assert (made.difference.low, made.difference.high) == pytest.approx((expected.low, expected.high))


def test_all_pairs_are_corrected_as_one_family() -> None:
    rng = np.random.default_rng(2)
    base = rng.normal(0, 1, 12)
    lines = (tuple(base), tuple(base + rng.normal(1.0, 0.3, 12)), tuple(base + rng.normal(0.1, 1, 12)))
    made = compare_rows(Grid((A, B, C), tuple("abcdefghijkl"), lines))
    assert [(one.first, one.second) for one in made] == [(A, B), (A, C), (B, C)]
    smallest, middle, largest = sorted(made, key=lambda one: one.p_wilcoxon)
    assert smallest.p_holm == pytest.approx(3 * smallest.p_wilcoxon)
    assert middle.p_holm == pytest.approx(min(1.0, max(smallest.p_holm, 2 * middle.p_wilcoxon)))
    assert largest.p_holm == pytest.approx(min(1.0, max(middle.p_holm, largest.p_wilcoxon)))


def test_correlations_equal_scipys() -> None:
    rng = np.random.default_rng(3)
    first = rng.normal(0, 1, 18)
    second = np.exp(first) + rng.normal(0, 0.5, 18).round(1)
    first = first.round(1)  # with ties
    assert correlation(first.tolist(), second.tolist()).value == pytest.approx(stats.spearmanr(first, second)[0])
    pearson = correlation(first.tolist(), second.tolist(), kind="pearson").value
    assert pearson == pytest.approx(stats.pearsonr(first, second)[0])


def test_a_correlations_interval_is_the_bootstraps_over_units() -> None:
    rng = np.random.default_rng(4)
    first = rng.normal(0, 1, 20)
    second = first + rng.normal(0, 1, 20)
    made = correlation(first.tolist(), second.tolist(), kind="pearson", samples=4000)
    peer = stats.bootstrap(
        (first, second), lambda a, b, axis: stats.pearsonr(a, b, axis=axis)[0], paired=True, vectorized=True,
        n_resamples=4000, method="percentile", rng=np.random.default_rng(9),
    ).confidence_interval  # fmt: skip
    assert (made.low, made.high) == pytest.approx((peer.low, peer.high), abs=0.03)
    assert made == correlation(first.tolist(), second.tolist(), kind="pearson", samples=4000)


def test_a_correlation_that_is_not_defined_has_no_value_and_few_units_have_no_interval() -> None:
    assert correlation([1.0, 2.0, 3.0], [4.0, 4.0, 4.0]) == Correlation(None, None, None, 3)
    assert correlation([1.0], [2.0]) == Correlation(None, None, None, 1)
    nine = [float(at) for at in range(9)]
    assert correlation(nine, [-value for value in nine]) == Correlation(-1.0, None, None, 9)
    ten = [*nine, 9.0]
    assert correlation(ten, ten) == Correlation(1.0, 1.0, 1.0, 10)
    for first, second in (([1.0], [1.0, 2.0]), ([1.0, float("nan")], [1.0, 2.0])):
        with pytest.raises(ValueError, match="needs as many, all of them finite"):
            correlation(first, second)
