"""Reweighting by exp(score / β) on numbers that can be worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from theory import predict_shares, sample_kl, tilted_weights


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
