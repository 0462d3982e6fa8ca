"""Fréchet and kernel distance: against scipy, by brute force, and against stored numbers of torchmetrics."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from reward.errors import UserError
from reward.image_sets import distances
from reward.image_sets.distances import HalfSplit, frechet, half_split, kid


def drawn(seed: int, rows: int, dimensions: int, scale: float) -> torch.Tensor:
    """Return Gaussian rows from numpy's Philox, which gives the same numbers in every version."""
    draw = np.random.Generator(np.random.Philox(seed))
    return torch.from_numpy(draw.normal(size=(rows, dimensions)) * scale + draw.random(dimensions))


GOLDEN = [
    (300, 250, 16, 4.78105104, 1.12268025),
    (120, 120, 64, 40.32184764, 0.89610904),
    (40, 50, 64, 77.93028718, 0.96093717),
]
"""Rows of the first and second set, dimensions, Fréchet distance, kernel distance of all rows of the smaller number.
Made with torchmetrics 1.9.0: `_compute_fid` of means and `torch.cov` in float64, and `poly_mmd`, on `drawn(1, n, d,
1.0)` and `drawn(2, m, d, 1.3)`."""


@pytest.mark.parametrize(("n", "m", "dimensions", "fid", "kernel"), GOLDEN)
def test_equal_to_torchmetrics(n: int, m: int, dimensions: int, fid: float, kernel: float) -> None:
    first, second = drawn(1, n, dimensions, 1.0), drawn(2, m, dimensions, 1.3)
    assert frechet(first, second) == pytest.approx(fid, rel=1e-5)
    fewest = min(n, m)
    assert kid(first[:fewest], second[:fewest]).value == pytest.approx(kernel, abs=1e-5)


@pytest.mark.parametrize(("n", "m", "rows"), [(60, 80, 4096), (60, 80, 7), (5, 6, 4096), (5, 80, 16)])
def test_frechet_is_the_formula_with_a_matrix_square_root(
    n: int, m: int, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distances, "ROWS", rows)
    first, second = drawn(3, n, 12, 1.0), drawn(4, m, 12, 2.0)
    one, other = np.cov(first.numpy().T), np.cov(second.numpy().T)
    root = np.trace(sqrtm(one @ other)).real
    expected = ((first.mean(0) - second.mean(0)) ** 2).sum() + np.trace(one) + np.trace(other) - 2 * root
    assert frechet(first, second) == pytest.approx(float(expected), rel=1e-6)


def test_frechet_of_shifted_rows_is_the_shift_and_of_equal_ones_nothing() -> None:
    first = drawn(5, 40, 6, 1.0)
    assert frechet(first, first) == pytest.approx(0, abs=1e-9)
    assert frechet(first, first + 2) == pytest.approx(24, rel=1e-9)  # 6 dimensions, each moved by 2: 6 · 2²


@pytest.mark.parametrize("rows", [4096, 3])
def test_kid_by_brute_force_over_pairs(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distances, "ROWS", rows)
    first, second = drawn(6, 7, 4, 1.0), drawn(7, 9, 4, 1.5)

    def kernel(x: torch.Tensor, y: torch.Tensor) -> float:
        return (float((x * y).sum()) / 4 + 1) ** 3

    def within(data: torch.Tensor) -> float:
        pairs = [(i, j) for i in range(len(data)) for j in range(len(data)) if i != j]
        return sum(kernel(data[i], data[j]) for i, j in pairs) / len(pairs)

    across = sum(kernel(x, y) for x in first for y in second) / 63
    assert kid(first, second).value == pytest.approx(within(first) + within(second) - 2 * across, abs=1e-10)


def test_kid_over_subsets_varies_around_that_of_all() -> None:
    first, second = drawn(8, 60, 4, 1.0), drawn(9, 60, 4, 1.5)
    found, again = (kid(first, second, subset_size=30, subsets=50, seed=1) for _ in range(2))
    assert found == again
    assert found.deviation is not None
    assert abs(found.value - kid(first, second).value) < 3 * found.deviation / 50**0.5
    with pytest.raises(UserError, match=r"kernel distance: subset_size 61; from 2 to 60 images are allowed\."):
        kid(first, second, subset_size=61)


def test_halves_of_one_set_are_apart_by_as_much_as_few_images_make() -> None:
    """At 40 images in 16 dimensions the distance of equal Gaussians is several times that at 400."""
    reference = drawn(10, 800, 16, 1.0)
    few, many = (half_split(reference, frechet, n=n) for n in (40, 5000))
    assert (few.n, many.n, few.splits) == (40, 400, 10)
    assert few.value > 5 * many.value > 0
    one = half_split(torch.arange(4.0).unsqueeze(1), lambda x, y: float(abs(x.sum() + y.sum())), n=2, splits=1)
    assert one == HalfSplit(6.0, None, 2, 1)  # the halves are disjoint: 0 + 1 + 2 + 3


def test_what_is_refused_and_what_it_is_called() -> None:
    bad = torch.tensor([[1.0, torch.inf]])
    with pytest.raises(UserError) as caught:
        frechet(torch.ones(1, 2), bad)
    assert str(caught.value).splitlines() == [
        "distance: the first set has 1 images; at least 2 are needed.",
        "distance: the second set has 1 images; at least 2 are needed.",
        "distance: the second set has 1 of 1 embeddings that are not finite; look at these images, and at the "
        "precision of the encoder.",
    ]
    with pytest.raises(UserError, match=r"half split: 3 images, 2 wanted in each half; at least 4 images"):
        half_split(torch.ones(3, 2), frechet, n=2)
