"""Shares of attributes, of one seed and over seeds, and the test of two VLMs: by hand, by brute force, by scipy."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from analysis.attributes.comparison import compare, least_p, shared_classes
from analysis.attributes.record import AttributeShares
from analysis.attributes.shares import mention_share, over_seeds, welch
from analysis.statistics.intervals import Estimate, wilson, wilson_bounds

# ---------------------------------------------------------------- shares of one seed


def test_single_mentions_give_wilsons_interval() -> None:
    hits, mentions = np.array([1] * 7 + [0] * 23), np.ones(30, dtype=np.int64)
    assert mention_share(hits, mentions) == pytest.approx(wilson(7, 30))
    low, high = wilson_bounds(7 / 30, 30, 0.99)
    assert (low, high) == pytest.approx(wilson(7, 30, 0.99)[1:3])


def test_clusters_widen_the_interval() -> None:
    """p = 2/8; residuals ±0.75, their squares sum to 2.25; variance 2.25/64; n = (3/16)/(2.25/64) = 16/3."""
    share = mention_share(np.array([1, 1, 0, 0]), np.array([1, 1, 3, 3]))
    assert share is not None
    assert (share.value, share.n) == (0.25, 8)
    # 4/3 hits and 4 misses: Clopper and Pearson's ends are quantiles of beta distributions.
    assert share.low == pytest.approx(stats.beta.ppf(0.025, 4 / 3, 4 + 1))
    assert share.high == pytest.approx(stats.beta.ppf(0.975, 4 / 3 + 1, 4))


def test_clusters_widen_wilsons_interval_too() -> None:
    """Five times as many: n = 80/3, of which 20/3 hits."""
    share = mention_share(np.tile([1, 1, 0, 0], 5), np.tile([1, 1, 3, 3], 5))
    assert share is not None
    for bound in (share.low, share.high):  # Wilson's ends solve |p − x| = z·sqrt(x(1 − x)/n)
        assert bound is not None
        assert abs(0.25 - bound) == pytest.approx(1.959964 * math.sqrt(bound * (1 - bound) / (80 / 3)), rel=1e-5)


def test_unanimous_mentions_are_not_certain() -> None:
    """Six mentions of one attribute in three descriptions: as three out of three."""
    share = mention_share(np.array([1, 1, 1, 0]), np.array([1, 1, 1, 0]))
    assert share == pytest.approx((1.0, 0.025 ** (1 / 3), 1.0, 3))
    assert mention_share(np.zeros(3, dtype=np.int64), np.zeros(3, dtype=np.int64)) is None


def test_coverage_of_clustered_shares() -> None:
    """60 descriptions that mention one of three attributes, or two of them together: 95 % ± 3 sd of 400 trials."""
    draw = np.random.default_rng(0)
    rows = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 1], [0, 0, 1]])
    true = 2 / 6  # of the first attribute, rows equally likely
    inside = 0
    for _ in range(400):
        drawn = rows[draw.integers(0, 4, size=60)]
        share = mention_share(drawn[:, 0], drawn.sum(1))
        assert share is not None
        assert share.low is not None
        assert share.high is not None
        inside += share.low <= true <= share.high
    assert abs(inside / 400 - 0.95) < 3 * math.sqrt(0.95 * 0.05 / 400)


# ---------------------------------------------------------------- descriptions exchanged, given these seeds


def one_hot(*columns: int, width: int = 3) -> np.ndarray[Any, Any]:
    return np.eye(width, dtype=np.int64)[list(columns)]


def test_one_class_and_single_mentions_give_pearsons_chi_square() -> None:
    first, second = one_hot(*[0] * 12, *[1] * 5, *[2] * 3), one_hot(*[0] * 6, *[1] * 14, *[2] * 10)
    test = compare([(first, np.zeros(20, dtype=int))], [(second, np.zeros(30, dtype=int))], permutations=4000)
    assert test is not None
    table = stats.chi2_contingency([[12, 5, 3], [6, 14, 10]], correction=False)
    assert test.statistic == pytest.approx(table.statistic)
    assert test.p == pytest.approx(table.pvalue, abs=0.01)
    fisher = stats.fisher_exact([[12, 8], [6, 24]]).pvalue  # of the first attribute against the rest
    assert test.attribute_p[0] == pytest.approx(fisher, abs=0.01)


def test_p_against_every_relabeling() -> None:
    """Two classes, descriptions with several mentions: all 6 · 10 relabellings counted by brute force."""
    first = np.array([[1, 1, 0], [1, 0, 0], [1, 1, 1], [0, 1, 0]])
    second = np.array([[0, 0, 1], [0, 1, 1], [0, 0, 1], [1, 0, 1], [0, 1, 0]])
    first_class, second_class = np.array([0, 0, 1, 1]), np.array([0, 0, 1, 1, 1])
    rows = {label: np.concatenate([first[first_class == label], second[second_class == label]]) for label in (0, 1)}
    sums = [
        sum(rows[label][list(chosen[label])].sum(0) for label in (0, 1))
        for chosen in itertools.product(itertools.combinations(range(4), 2), itertools.combinations(range(5), 2))
    ]
    assert len(sums) == 60
    mean = np.mean(sums, axis=0)
    rest = first.sum(0) + second.sum(0) - mean
    values = [(((drawn - mean) ** 2) * (1 / mean + 1 / rest)).sum() for drawn in sums]
    observed = (((first.sum(0) - mean) ** 2) * (1 / mean + 1 / rest)).sum()
    exact = np.mean([value >= observed - 1e-9 for value in values])
    test = compare([(first, first_class)], [(second, second_class)], permutations=5000)
    assert test is not None
    assert test.statistic == pytest.approx(observed)
    assert test.p == pytest.approx(exact, abs=0.03)


def test_unequal_numbers_of_classes_are_no_difference() -> None:
    """Within each class both say the same; χ² over the sums would see a difference."""
    first, second = one_hot(*[0] * 30, *[1] * 5), one_hot(*[0] * 5, *[1] * 30)
    classes = np.array([0] * 30 + [1] * 5), np.array([0] * 5 + [1] * 30)
    assert stats.chi2_contingency([[30, 5], [5, 30]], correction=False).pvalue < 1e-8
    test = compare([(first, classes[0])], [(second, classes[1])], permutations=200)
    assert test is not None
    assert (test.statistic, test.p) == (0.0, 1.0)
    assert compare([(first, classes[0])], [(second, classes[1] + 2)]) is None, "no class in common"


def test_mentions_of_one_description_are_no_evidence_of_their_own() -> None:
    """Under no difference the p-values are uniform although each description mentions three attributes or one."""
    draw = np.random.default_rng(1)
    kinds = np.array([[1, 1, 1, 0], [0, 0, 0, 1]])
    small = 0
    for trial in range(60):
        rows = kinds[draw.integers(0, 2, size=40)]
        classes = np.repeat([0, 1], 10)
        test = compare([(rows[:20], classes)], [(rows[20:], classes)], permutations=100, seed=trial)
        assert test is not None
        small += test.p <= 0.1
    assert small <= 13  # 6 expected, 3 sd of 2.3


def test_seeds_are_put_together_where_they_are_too_few() -> None:
    """Two and three seeds: 1 of 10 choices is no p below 0.05, so the test is that of all descriptions together."""
    draw = np.random.default_rng(2)
    parts = [(np.eye(3, dtype=np.int64)[draw.integers(0, 3, 12)], np.repeat([0, 1], 6)) for _ in range(5)]
    test = compare(parts[:2], parts[2:], permutations=300, seed=4)
    joined = [tuple(np.concatenate(arrays) for arrays in zip(*side, strict=True)) for side in (parts[:2], parts[2:])]
    one = compare([joined[0]], [joined[1]], permutations=300, seed=4)
    assert test is not None
    assert test == one
    assert test.unit == "descriptions"


# ---------------------------------------------------------------- over seeds


def test_two_seeds_by_hand() -> None:
    """0.29 and 0.31: standard error 0.01, t of one degree of freedom at 97.5 % = tan(0.475π) = 12.7062."""
    pooled = over_seeds([Estimate(0.29, 0.1, 0.3, 50), None, Estimate(0.31, 0.3, 0.5, 30)])
    assert pooled is not None
    assert (pooled.value, pooled.n, pooled.seeds) == (pytest.approx(0.3), 80, 2)
    reach = 0.127062
    assert (pooled.low, pooled.high) == (pytest.approx(0.3 - reach, abs=1e-5), pytest.approx(0.3 + reach, abs=1e-5))
    wide = over_seeds([Estimate(0.2, 0.1, 0.3, 50), Estimate(0.4, 0.3, 0.5, 30)])
    assert wide is not None
    assert (wide.low, wide.high) == (0.0, 1.0), "0.3 ± 1.27, cut to what a share can be"


def test_three_seeds_by_hand() -> None:
    """0.2, 0.25, 0.3: standard error 0.05/√3; t of two degrees of freedom at 97.5 % is 4.30265."""
    pooled = over_seeds([Estimate(value, 0.0, 1.0, 10) for value in (0.2, 0.25, 0.3)])
    assert pooled is not None
    assert pooled.low == pytest.approx(0.25 - 4.30265 * 0.05 / math.sqrt(3), abs=1e-6)
    shares = AttributeShares(7, of_mentions=pooled, of_descriptions=None, by_seed=(0.1, None))
    numbers = {"share": pooled.value, "low": pooled.low, "high": pooled.high, "n": 30, "seeds": 3}
    assert shares.to_json() == {"mentions": 7, "of_mentions": numbers, "of_descriptions": None, "by_seed": [0.1, None]}
    assert AttributeShares.from_json(shares.to_json()) == shares
    assert over_seeds([None, None]) is None


def test_one_seed_and_seeds_that_agree_keep_the_first_seeds_interval() -> None:
    one = Estimate(0.2, 0.1, 0.3, 50)
    for seeds in ([one], [one, Estimate(0.2, 0.05, 0.4, 10)]):
        pooled = over_seeds(seeds)
        assert pooled is not None
        assert (pooled.low, pooled.high, pooled.seeds) == (0.1, 0.3, len(seeds))


def test_welch_against_scipy() -> None:
    draw = np.random.default_rng(0)
    for sizes, spread in (((2, 2), 1.0), ((2, 2), 0.05), ((2, 3), 0.1), ((5, 3), 1.0)):
        first, second = ((spread * draw.random(size)).tolist() for size in sizes)
        ours = welch(first, second, 0.9)
        theirs = stats.ttest_ind(first, second, equal_var=False).confidence_interval(0.9)
        assert (ours.low, ours.high) == pytest.approx((max(theirs.low, -1.0), min(theirs.high, 1.0)))
        assert ours.value == pytest.approx(np.mean(first) - np.mean(second))
    for one, other in (([0.5], [0.1, 0.2]), ([0.0, 0.0], [1.0, 1.0])):
        with pytest.raises(ValueError, match="a variance over seeds needs two of them that differ"):
            welch(one, other)


# ---------------------------------------------------------------- whole seeds exchanged


def test_the_least_p_value_of_seeds() -> None:
    """3 + 3: 20 choices in 10 pairs of opposites; 3 + 4: 35 choices; 4 + 4: 70 in pairs."""
    assert [least_p(*sizes) for sizes in ((1, 1), (2, 2), (3, 3), (3, 4), (4, 4), (1, 20))] == pytest.approx(
        [1.0, 2 / 6, 0.1, 1 / 35, 2 / 70, 1 / 21]
    )


def seeds_of(draw: np.random.Generator, weights: list[list[float]], classes: int = 2) -> list[Any]:
    made = []
    for share in weights:
        mentions = np.eye(3, dtype=np.int64)[draw.choice(3, 20, p=share)]
        mentions[:5, 2] = 1
        made.append((mentions, draw.integers(0, classes, 20)))
    return made


def test_seeds_against_brute_force() -> None:
    """All 35 choices of three seeds out of seven, the statistic computed class by class in plain Python."""
    draw = np.random.default_rng(5)
    parts = seeds_of(draw, [[0.5, 0.3, 0.2]] * 3 + [[0.2, 0.4, 0.4]] * 4)

    def statistic(chosen: tuple[int, ...]) -> list[float]:
        found, expected, whole = [0.0] * 3, [0.0] * 3, [0.0] * 3
        for label in (0, 1):
            inside = [(place in chosen, row) for place, (m, c) in enumerate(parts) for row in m[c == label].tolist()]
            share = sum(ours for ours, _ in inside) / len(inside)
            for column in range(3):
                total = sum(row[column] for _, row in inside)
                whole[column] += total
                expected[column] += share * total
                found[column] += sum(row[column] for ours, row in inside if ours)
        return [(found[k] - expected[k]) ** 2 * (1 / expected[k] + 1 / (whole[k] - expected[k])) for k in range(3)]

    choices = [statistic(chosen) for chosen in itertools.combinations(range(7), 3)]
    observed = statistic((0, 1, 2))
    test = compare(parts[:3], parts[3:], permutations=5000)
    assert test is not None
    assert (test.unit, test.permutations) == ("seeds", 35)
    assert test.statistic == pytest.approx(sum(observed))
    assert test.p == pytest.approx(sum(sum(parts) >= sum(observed) - 1e-9 for parts in choices) / 35)
    for column in range(3):
        extreme = sum(parts[column] >= observed[column] - 1e-9 for parts in choices)
        assert test.attribute_p[column] == pytest.approx(extreme / 35)


def test_with_many_comparisons_seeds_are_no_longer_enough() -> None:
    draw = np.random.default_rng(6)
    parts = seeds_of(draw, [[0.4, 0.3, 0.3]] * 7)
    units = [compare(parts[:3], parts[3:], tests=tests, permutations=20) for tests in (1, 2)]
    assert [test.unit for test in units if test] == ["seeds", "descriptions"]


def test_choices_are_drawn_where_there_are_too_many() -> None:
    """8 + 8 seeds have 12,870 choices; with seeds that differ clearly none of 400 drawn reaches the observed one."""
    draw = np.random.default_rng(7)
    parts = seeds_of(draw, [[0.8, 0.1, 0.1]] * 8 + [[0.1, 0.8, 0.1]] * 8)
    test = compare(parts[:8], parts[8:], permutations=400)
    assert test is not None
    assert (test.unit, test.permutations, test.p) == ("seeds", 400, pytest.approx(1 / 401))


def test_seeds_that_vary_are_no_difference_of_vlms() -> None:
    """Every seed prefers an attribute of its own; neither VLM does. Descriptions alone would see a difference."""
    draw = np.random.default_rng(8)
    by_seeds, by_descriptions = 0, 0
    for trial in range(40):
        weights = [draw.dirichlet([1.0, 1.0, 1.0]).tolist() for _ in range(8)]
        parts = seeds_of(draw, weights)
        whole = compare(parts[:4], parts[4:], permutations=200, seed=trial)
        given = compare(parts[:4], parts[4:], tests=100, permutations=200, seed=trial)
        assert whole is not None
        assert given is not None
        by_seeds += whole.p <= 0.1
        by_descriptions += given.p <= 0.1
    assert by_seeds <= 10  # 4 expected, 3 sd of 1.9
    assert by_descriptions >= 20


def test_classes_of_one_side_alone_tell_nothing() -> None:
    first, second = one_hot(*[0] * 6, *[1] * 4), one_hot(*[0] * 3, *[1] * 2, *[2] * 5)
    classes = np.array([0] * 6 + [1] * 4), np.array([0] * 3 + [1] * 2 + [2] * 5)
    sides = [(first, classes[0])], [(second, classes[1])]
    assert shared_classes(*sides).tolist() == [0, 1]
    test = compare(*sides, permutations=50)
    assert test is not None
    assert (test.statistic, test.classes) == (0.0, 2), "in both shared classes both say the same"
