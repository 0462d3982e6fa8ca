"""Intervals over images: against written-out formulas, and by how often they hold the truth."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from analysis.statistics.clustered import clustered_pairs, clustered_share, mean_of_shares, shift
from analysis.statistics.intervals import newcombe, wilson

Drawn = tuple[list[int], list[int]]


def drawn(random: np.random.Generator, share: float, together: float, images: int = 50) -> Drawn:
    """Hits and questions of images whose own shares are beta distributed: `together` is the intra-class correlation."""
    counts = random.integers(3, 8, images)
    if together == 0:
        shares = np.full(images, share)
    else:
        size = (1 - together) / together
        shares = random.beta(share * size, (1 - share) * size, images)
    return random.binomial(counts, shares).tolist(), counts.tolist()


def said(random: np.random.Generator, counts: np.ndarray[Any, Any], together: float) -> list[bool]:
    """Whether each answer is right, 77 % of them."""
    size = (1 - together) / max(together, 1e-9)
    shares = random.beta(0.77 * size, 0.23 * size, len(counts)) if together else np.full(len(counts), 0.77)
    right: list[bool] = (random.random(counts.sum()) < np.repeat(shares, counts)).tolist()
    return right


def test_a_share_is_as_written_out() -> None:
    hits, counts = [5, 5, 0, 4, 1, 5, 5, 2, 0, 5] * 4, [5, 5, 5, 5, 5, 5, 5, 4, 4, 6] * 4
    found = clustered_share(hits, counts)
    total, share = sum(counts), sum(hits) / sum(counts)
    assert found.estimate.value == share == 32 / 49
    assert (found.estimate.n, found.clusters) == (196, 40)
    # With two clusters of mean size, 4.9, of hits only and of misses only.
    more, many = [*hits, 4.9, 0.0], [*counts, 4.9, 4.9]
    p, n, m = sum(more) / sum(many), sum(many), len(many)
    variance = m / (m - 1) * sum((h - p * k) ** 2 for h, k in zip(more, many, strict=True)) / n**2
    effect = variance / (p * (1 - p) / n)
    assert found.design_effect == pytest.approx(effect)
    assert effect > 2
    z, t = stats.norm.ppf(0.975), stats.t.ppf(0.975, 39)
    effective = total / effect * (z / t) ** 2
    middle = (share + z**2 / (2 * effective)) / (1 + z**2 / effective)
    reach = z / (1 + z**2 / effective) * math.sqrt(share * (1 - share) / effective + z**2 / (4 * effective**2))
    assert found.estimate.low == pytest.approx(middle - reach)
    assert found.estimate.high == pytest.approx(middle + reach)


def test_it_is_wider_than_wilsons_where_answers_of_an_image_agree_and_hardly_where_they_do_not() -> None:
    agreeing = clustered_share([5] * 30 + [0] * 20, [5] * 50)
    alone = wilson(150, 250)
    assert agreeing.design_effect == pytest.approx(5 * 51 / 50, rel=0.02), "as if each image were one answer"
    assert agreeing.estimate.low is not None
    assert agreeing.estimate.high is not None
    assert alone.low is not None
    assert alone.high is not None
    assert agreeing.estimate.high - agreeing.estimate.low > 2 * (alone.high - alone.low)
    spread = clustered_share([3] * 50, [5] * 50)
    assert spread.design_effect == 1.0, "never narrower than Wilson's by chance"
    assert spread.estimate.low is not None
    assert spread.estimate.high is not None
    assert (spread.estimate.high - spread.estimate.low) / (alone.high - alone.low) == pytest.approx(1.025, abs=0.01)


def test_edges() -> None:
    assert clustered_share([5, 5, 0], [5, 5, 0]).clusters == 2, "images without a readable answer are left out"
    one = clustered_share([3], [5])
    assert (one.estimate.low, one.estimate.high) == (None, None)
    sure = clustered_share([5] * 50, [5] * 50).estimate
    assert sure.high == 1.0
    assert sure.low == pytest.approx(0.025 ** (1 / 50), abs=0.01), "50 images, not 250 answers, were all right"
    for hits, counts in (([], []), ([0], [0]), ([6], [5]), ([1, 2], [3])):
        with pytest.raises(ValueError, match=r"hits|nothing"):
            clustered_share(hits, counts)


@pytest.mark.parametrize("share", [0.6, 0.77, 0.9, 0.97])
@pytest.mark.parametrize("together", [0.0, 0.3, 0.7])
def test_a_share_is_held_as_often_as_it_says(share: float, together: float) -> None:
    random = np.random.default_rng(0)
    held = alone = 0
    for _ in range(400):
        hits, counts = drawn(random, share, together)
        found, naive = clustered_share(hits, counts).estimate, wilson(sum(hits), sum(counts))
        assert found.low is not None
        assert found.high is not None
        assert naive.low is not None
        assert naive.high is not None
        held += found.low <= share <= found.high
        alone += naive.low <= share <= naive.high
    assert held / 400 >= 0.93
    if together == 0.7:
        assert alone / 400 < 0.75, "Wilson's covers far less"


@pytest.mark.parametrize("together", [0.0, 0.5])
def test_differences_and_means_are_held_as_often_as_they_say(together: float) -> None:
    random = np.random.default_rng(1)
    apart = mean = paired = rejected = 0
    times = 300
    for _ in range(times):
        first, second = drawn(random, 0.77, together), drawn(random, 0.9, together)
        tested = shift(first, second)
        assert tested is not None
        assert tested.difference.low is not None
        assert tested.difference.high is not None
        apart += tested.difference.low <= -0.13 <= tested.difference.high
        assert (tested.p < 0.05) == (not tested.difference.low <= 0 <= tested.difference.high), "one inversion"
        both = mean_of_shares(first, second)
        assert both.low is not None
        assert both.high is not None
        mean += both.low <= (0.77 + 0.9) / 2 <= both.high
        counts = random.integers(3, 8, 50)
        places = np.repeat(np.arange(50), counts).tolist()
        pair = clustered_pairs(said(random, counts, together), said(random, counts, together), places)
        paired += pair.low <= 0 <= pair.high
        rejected += pair.p < 0.05
    assert apart / times >= 0.93
    assert mean / times >= 0.93
    assert paired / times >= 0.93
    assert rejected / times <= 0.07


def test_pairs_count_an_image_as_one_step() -> None:
    # Two images on which all five answers differ, for the first: 10 questions, and yet two images.
    first, second = [True] * 50, [False] * 10 + [True] * 40
    places = [number // 5 for number in range(50)]
    found = clustered_pairs(first, second, places)
    assert (found.difference, found.only_first, found.only_second, found.n) == (0.2, 10, 0, 50)
    assert found.p > 0.2, "two images tell nothing"
    apart = clustered_pairs(first, second, list(range(50)))
    assert apart.p == pytest.approx(2 * 0.5**10 / 2, rel=0.2), "McNemar's mid-p, were each question an image"
    with pytest.raises(ValueError, match="2 and 1 answers in 2 places"):
        clustered_pairs([True, False], [True], [0, 1])


def test_the_mean_of_shares_is_newcombes_where_they_do_not_go_together() -> None:
    # Sensitivity on the one half of the images and specificity on the other: independent, so that the interval of their
    # mean is that of their difference with one of them turned round, halved.
    random = np.random.default_rng(2)
    (hits, counts), (others, numbers) = drawn(random, 0.8, 0.2, 40), drawn(random, 0.6, 0.2, 40)
    none = [0] * 40
    found = mean_of_shares((hits + none, counts + none), (none + others, none + numbers))
    wrong = [n - h for h, n in zip(others, numbers, strict=True)]
    turned = newcombe(clustered_share(hits, counts).estimate, clustered_share(wrong, numbers).estimate)
    assert turned.low is not None
    assert turned.high is not None
    assert found.low is not None
    assert found.high is not None
    assert found.value == pytest.approx((turned.value + 1) / 2)
    assert (found.low, found.high) == pytest.approx(((turned.low + 1) / 2, (turned.high + 1) / 2))
