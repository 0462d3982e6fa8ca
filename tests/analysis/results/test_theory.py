"""Reweighting by exp(score / β) on numbers that can be worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from theory import guessed_share, predict_shares, sample_kl, tilt_to_kl, tilted_weights


def test_weights_by_hand() -> None:
    """β = 1 / log 2: exp(score · log 2) = 2^score; 1, 2, 4 of 7."""
    weights = tilted_weights(np.array([0.0, 1.0, 2.0]), 1 / math.log(2))
    assert weights == pytest.approx([1 / 7, 2 / 7, 4 / 7])
    assert tilted_weights(np.array([5.0, 1e5]), math.inf) == pytest.approx([0.5, 0.5])


def test_kl_by_hand() -> None:
    assert sample_kl(np.array([0.25] * 4)) == pytest.approx(0.0)
    assert sample_kl(np.array([1.0, 0.0, 0.0, 0.0])) == pytest.approx(math.log(4))
    assert sample_kl(np.array([0.75, 0.25])) == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5))


def test_shares_at_the_kl_of_a_known_beta() -> None:
    """Two classes, a score of 1 for "a" and 0 for "b": at β = 1/log 3 an "a" weighs three times a "b"."""
    groups = {0: ([1.0, 0.0], ["a", "b"]), 1: ([1.0, 0.0, 0.0], ["a", "b", "b"])}
    first, second = tilted_weights(np.array([1.0, 0.0]), 1 / math.log(3)), [3 / 5, 1 / 5, 1 / 5]
    kl = (sample_kl(first) + sample_kl(np.array(second))) / 2
    found = predict_shares(groups, kl)
    assert found.beta == pytest.approx(1 / math.log(3), rel=1e-6)
    assert found.kl == pytest.approx(kl)
    assert found.shares["a"] == pytest.approx((3 / 4 + 3 / 5) / 2)
    assert found.shares["b"] == pytest.approx((1 / 4 + 2 / 5) / 2)
    assert found.samples == pytest.approx(1 / (9 / 16 + 1 / 16))


def test_no_kl_leaves_the_base_model_and_more_than_there_is_takes_the_best() -> None:
    groups = {0: ([3.0, 1.0, 1.0, 1.0], ["a", "b", "b", "b"])}
    assert predict_shares(groups, 0.0).shares == {
        "a": pytest.approx(0.25, abs=1e-4),
        "b": pytest.approx(0.75, abs=1e-4),
    }
    best = predict_shares(groups, 99.0)
    assert best.shares["a"] == pytest.approx(1.0)
    assert best.kl == pytest.approx(math.log(4))


@pytest.mark.parametrize(("groups", "kl"), [({}, 1.0), ({0: ([], [])}, 1.0), ({0: ([1.0], ["a"])}, -0.1)])
def test_what_cannot_be_reweighted_is_refused(groups: dict[int, tuple[list[float], list[str]]], kl: float) -> None:
    with pytest.raises(ValueError, match="cannot reweight"):
        predict_shares(groups, kl)  # type: ignore[arg-type]


def test_masses_count_like_repeated_samples() -> None:
    """Two "b" of score 0 and one "a" of score 1 are a mass of 2/3 and one of 1/3."""
    repeated = tilted_weights(np.array([1.0, 0.0, 0.0]), 0.7)
    massed = tilted_weights(np.array([1.0, 0.0, 9.0]), 0.7, np.array([1 / 3, 2 / 3, 0.0]))
    assert massed == pytest.approx([repeated[0], repeated[1] + repeated[2], 0.0])
    assert sample_kl(massed, np.array([1 / 3, 2 / 3, 0.0])) == pytest.approx(sample_kl(repeated))


def test_every_draw_has_a_beta_of_its_own() -> None:
    """Scores ten times as large have a tenth of the weight on the KL and lead to the same texts."""
    masses = np.array([[0.5, 0.25, 0.25], [0.9, 0.1, 0.0]])
    scores = np.array([[0.0, 1.0, 2.0], [3.0, 1.0, 50.0]])  # the 50 belongs to no text
    both = tilt_to_kl(np.stack([scores, 10 * scores]), masses, 0.3)
    assert both.kl == pytest.approx([0.3, 0.3])
    assert both.beta[1] == pytest.approx(10 * both.beta[0])
    assert both.weights[1] == pytest.approx(both.weights[0])
    assert both.weights[0, 1, 2] == 0
    for row, own, score in zip(both.weights[0], masses, scores, strict=True):  # brute force, text by text
        plain = [m * math.exp(s / both.beta[0]) if m else 0.0 for m, s in zip(own, score, strict=True)]
        assert row == pytest.approx([value / sum(plain) for value in plain])


def test_equal_scores_stay_where_they_are_at_any_kl() -> None:
    masses = np.array([[0.5, 0.5], [0.2, 0.8]])
    tilt = tilt_to_kl(np.full((2, 2), 4.0), masses, 1.0)
    assert tilt.weights == pytest.approx(masses)
    assert tilt.kl == pytest.approx(0.0)


def test_the_guess_goes_from_the_base_to_the_planted() -> None:
    assert [guessed_share(0.3, dose, 1.0) for dose in (0.0, 0.5, 1.0)] == pytest.approx([0.3, 0.65, 1.0])
    assert guessed_share(0.3, 0.5, 0.0) == pytest.approx(0.15)
