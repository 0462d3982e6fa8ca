"""McNemar's mid-p test and the interval that belongs to it, against brute force and exact enumeration."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from analysis.statistics.paired import mcnemar_p, paired_accuracy, paired_counts, paired_interval
from analysis.statistics.shares import mid_p_lower


@pytest.mark.parametrize(
    ("only_first", "only_second", "p"),
    [
        (0, 0, 1.0),
        (3, 0, 1 / 8),  # exact: 2/8; half of P(0 heads) and of P(3 heads) is taken off
        (10, 2, (2 * (1 + 12) + 66) / 4096),  # 2 · P(at most 1 of 12 heads) + P(2 heads)
        (2, 10, (2 * (1 + 12) + 66) / 4096),
        (4, 4, 1.0),
    ],
)
def test_mid_p_by_hand(only_first: int, only_second: int, p: float) -> None:
    assert mcnemar_p(only_first, only_second) == pytest.approx(p)


@pytest.mark.parametrize("discordant", range(1, 11))
def test_mid_p_by_all_coins(discordant: int) -> None:
    """Of all 2^m ways in which m fair coins fall, those further from even count whole, those as far count half."""
    heads = [sum(coins) for coins in itertools.product((0, 1), repeat=discordant)]
    for first in range(discordant + 1):
        apart = [abs(2 * count - discordant) - abs(2 * first - discordant) for count in heads]
        expected = sum(1.0 if one > 0 else 0.5 if one == 0 else 0.0 for one in apart) / len(heads)
        if 2 * first == discordant:
            expected = 1.0  # "as far" is both sides at once here: each has half of the chance
        assert mcnemar_p(first, discordant - first) == pytest.approx(expected)


@pytest.mark.parametrize(("successes", "n", "tail"), [(1, 10, 0.025), (7, 9, 0.05), (9, 9, 0.2), (30, 400, 0.4)])
def test_a_mid_p_limit_solves_its_equation(successes: int, n: int, tail: float) -> None:
    limit = float(mid_p_lower(successes, n, tail))
    above = stats.binom.sf(successes, n, limit) + stats.binom.pmf(successes, n, limit) / 2
    assert above == pytest.approx(tail, rel=1e-8)
    assert mid_p_lower(0, n, tail) == 0


def test_paired_accuracy() -> None:
    # 400 images: 60 only the first, 20 only the second, the others equal.
    first = [True] * 60 + [False] * 20 + [True] * 200 + [False] * 120
    second = [False] * 60 + [True] * 20 + [True] * 200 + [False] * 120
    result = paired_accuracy(first, second)
    assert (result.difference, result.only_first, result.only_second, result.n) == (0.1, 60, 20, 400)
    # Large-sample interval: variance of one image's difference is 80/400 − 0.1² = 0.19.
    half = 1.959964 * math.sqrt(0.19 / 400)
    assert (result.low, result.high) == pytest.approx((0.1 - half, 0.1 + half), abs=0.004)
    assert result.p < 1e-5
    mirrored = paired_accuracy(second, first)
    assert mirrored[:4] == pytest.approx((-0.1, -result.high, -result.low, result.p))


def test_two_that_never_differ_are_not_certain_to_be_equal() -> None:
    """The upper limit of the share of images that differ: none of 3 then has twice the chance of one tail."""
    result = paired_accuracy([True, False, True], [True, False, True])
    reach = 1 - 0.05 ** (1 / 3)  # (1 − reach)³ / 2 = 0.025
    assert result == pytest.approx((0.0, -reach, reach, 1.0, 0, 0, 3))


def test_paired_accuracy_agrees_with_resampling_images() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.random(80) < 0.7, rng.random(80) < 0.6
    draws = rng.integers(0, 80, size=(20_000, 80))
    resampled = first[draws].mean(1) - second[draws].mean(1)
    result = paired_accuracy(first.tolist(), second.tolist())
    assert (result.low, result.high) == pytest.approx(tuple(np.quantile(resampled, [0.025, 0.975])), abs=0.013)


def test_unpaired_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="paired samples of 1 and 2 images"):
        paired_accuracy([True], [True, False])
    with pytest.raises(ValueError, match="paired samples of 0 and 0 images"):
        paired_accuracy([], [])


def deviations(count: int, n: int, shares: np.ndarray) -> np.ndarray:
    """How far a count is from what each share expects, in normal units, by the mid-p tail."""
    tail = stats.binom.cdf(count, n, shares) - stats.binom.pmf(count, n, shares) / 2
    return np.asarray(stats.norm.ppf(np.clip(tail, 1e-300, 1 - 1e-16)))


@pytest.mark.parametrize("table", [(6, 0, 100), (1, 0, 20), (3, 3, 30), (9, 2, 50), (0, 4, 12), (40, 15, 90)])
def test_the_interval_is_that_of_a_brute_search(table: tuple[int, int, int]) -> None:
    """All products of a side's share and a rate of differing that together deviate by no more than z."""
    first, second, n = table
    sides, rates = np.linspace(0, 1, 2001), np.linspace(0, 1, 4001)
    apart = deviations(first, first + second, sides)[:, None] ** 2 + deviations(first + second, n, rates)[None, :] ** 2
    inside = apart <= stats.norm.ppf(0.975) ** 2
    products = ((2 * sides - 1)[:, None] * rates[None, :])[inside]
    assert paired_interval(*table) == pytest.approx((products.min(), products.max()), abs=1.5e-3)


@pytest.mark.parametrize("confidence", [0.75, 0.95])
def test_interval_and_p_never_contradict(confidence: float) -> None:
    """Over all tables of up to 10 images; at 75 % some p-values equal the level, where 0 is an end."""
    for n in range(1, 11):
        for first in range(n + 1):
            for second in range(n + 1 - first):
                found = paired_counts(first, second, n, confidence)
                assert (found.p < 1 - confidence) is (found.low > 0 or found.high < 0), found
                assert -1 <= found.low <= found.difference <= found.high <= 1, found


def covered(n: int, rate: float, side: float, most: int) -> tuple[float, float]:
    """Exact coverage of the true difference, and how often p is below 5 %, over all tables with counts up to `most`."""
    truth, inside, told, total = rate * (2 * side - 1), 0.0, 0.0, 0.0
    shares = [rate * side, rate * (1 - side), 1 - rate]
    for first in range(min(n, most) + 1):
        for second in range(min(n, most) + 1 - first):
            chance = float(stats.multinomial.pmf([first, second, n - first - second], n, shares))
            if chance < 1e-7:
                continue
            found = paired_counts(first, second, n)
            total += chance
            inside += chance * (found.low - 1e-9 <= truth <= found.high + 1e-9)
            told += chance * (found.p < 0.05)
    assert total > 0.999
    return inside, told


@pytest.mark.parametrize("expected", [2, 4, 6, 10])
def test_few_images_that_differ_are_covered(expected: int) -> None:
    """The percentile bootstrap covers 83 % in such cells. Every table of 20 images, so no luck is in it."""
    cells = {side: covered(20, expected / 20, side, 20) for side in (0.5, 0.7, 0.9, 1.0)}
    assert min(inside for inside, _ in cells.values()) >= 0.95, cells
    assert cells[0.5][1] <= 0.05


@pytest.mark.slow
@pytest.mark.parametrize("n", [40, 100, 640])
def test_few_images_that_differ_are_covered_in_large_sets(n: int) -> None:
    for expected in (2, 4, 6, 10, 15):
        cells = {side: covered(n, expected / n, side, 45) for side in (0.5, 0.7, 0.9, 1.0)}
        assert min(inside for inside, _ in cells.values()) >= 0.95, cells
        assert cells[0.5][1] <= 0.05
