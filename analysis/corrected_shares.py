"""Shares of spurious and visual descriptions, corrected for the judge's errors.

A calibration table counts descriptions that people labelled: what they are (rows) × what the judge made of them
(columns). Its rows give the judge's error rates, which are taken to be the same wherever the table is used. Labelled
descriptions count as what people say; for the others, the mix of kinds is sought that, with these errors, makes the
judge's verdicts most likely: Rogan and Gladen's estimate for three kinds. Three, because being visual takes two yeses,
so that an error of the first question is also one about "visual", and because merging two kinds would carry the mix of
them among the labelled over to descriptions with another mix.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from analysis.statistics import Estimate

Leaf = Literal["spurious", "non_visual", "visual"]
LEAVES: tuple[Leaf, ...] = ("spurious", "non_visual", "visual")
"""Order of rows and columns of a calibration table."""

DRAWS = 4000
DRAW_STEPS = 300
"""Of the iteration in each draw; what is slower to settle is what the verdicts hardly tell."""
PRIOR = 1 / 3
"""Pseudo-count of a cell: a row of three cells weighs one description."""


class CorrectedShares(NamedTuple):
    """Corrected shares; `None` where the labels do not suffice.

    Attributes:
        spurious: Of all descriptions.
        visual: Of all descriptions.
        visual_of_informative: Of those that are not spurious.
    """

    spurious: Estimate | None
    visual: Estimate | None
    visual_of_informative: Estimate | None


def calibration_table(pairs: Sequence[tuple[Leaf, Leaf]]) -> np.ndarray:
    """Count pairs of (what it is, what the judge made of it); rows and columns in the order of `LEAVES`."""
    table = np.zeros((len(LEAVES), len(LEAVES)), dtype=np.int64)
    for truth, judged in pairs:
        table[LEAVES.index(truth), LEAVES.index(judged)] += 1
    return table


def most_likely_mix(
    judged: np.ndarray, errors: np.ndarray, known: np.ndarray, *, tolerance: float = 1e-9, steps: int = 10_000
) -> np.ndarray:
    """Find the mix of kinds that makes verdicts and labels most likely.

    Args:
        judged: Descriptions without a label by verdict, shape (…, J); counts or weights.
        errors: Probability of each verdict given the kind, shape (…, K, J), rows summing to 1.
        known: Labelled descriptions by kind, shape (…, K). They also decide between mixes that the verdicts cannot
            tell apart.
        tolerance: Change of a share at which the iteration (EM) ends.
        steps: Most iterations.

    Returns:
        Shares of the kinds, shape (…, K), summing to 1. Without `known` the solution of judged shares = mix · errors,
        with two kinds Rogan and Gladen's; where that has negative shares, the most likely mix without them. A verdict
        that no kind leads to is left out.

    Source: Rogan and Gladen (1978), American Journal of Epidemiology 107; as a mixture with known components:
        Dempster, Laird and Rubin (1977), section 4.3.
    """
    mix: np.ndarray = known + 1.0  # 1: every kind is possible at first
    mix = mix / mix.sum(axis=-1, keepdims=True)
    for _ in range(steps):
        expected = np.einsum("...k,...kj->...j", mix, errors)
        ratio = np.divide(judged, expected, out=np.zeros_like(expected), where=expected > 0)
        update = known + mix * np.einsum("...kj,...j->...k", errors, ratio)
        update /= update.sum(axis=-1, keepdims=True)
        change, mix = float(np.abs(update - mix).max()), update
        if change < tolerance:
            break
    return mix


def correct(
    judged: Mapping[Leaf, int],
    table: np.ndarray,
    *,
    known: Mapping[Leaf, int],
    empty: int = 0,
    confidence: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
) -> CorrectedShares:
    """Correct the shares of one set of descriptions.

    Args:
        judged: Descriptions without a label by verdict; without unparsed and without empty ones.
        table: Calibration table, shape (3, 3), see `calibration_table`.
        known: The set's labelled descriptions by kind: a simple random sample of it.
        empty: Descriptions that are spurious without having been judged: they enter as certain.
        confidence: Coverage of the intervals.
        draws: Weights of all three samples, from their Dirichlet posteriors: intervals are quantiles of the mixes that
            follow, and so carry the chance in the calibration too.
        seed: Of the draws.

    Returns:
        Shares with intervals. A kind that was never labelled is taken to be absent in the value, not in the interval.
        `None` where spurious (or visual) descriptions or others were never labelled, where the judge is no better than
        chance at telling them apart, or where no mix of kinds explains the verdicts: clipping would look certain.

    Source: weighted likelihood bootstrap, Newton and Raftery (1994), Journal of the Royal Statistical Society B 56.
    """
    verdicts, labels = (np.array([counts.get(leaf, 0) for leaf in LEAVES]) for counts in (judged, known))
    n = int(verdicts.sum() + labels.sum())
    if not n or not table.any():
        return CorrectedShares(None, None, None)
    seen = np.flatnonzero(table.sum(axis=1))
    mix = np.zeros(len(LEAVES))
    mix[seen] = most_likely_mix(verdicts, table[seen] / table[seen].sum(axis=1, keepdims=True), labels[seen])

    rng = np.random.default_rng(seed)
    cells = rng.gamma(table + PRIOR, size=(draws, *table.shape))
    errors = cells / cells.sum(axis=-1, keepdims=True)
    weights = rng.gamma(verdicts + PRIOR, size=(draws, len(LEAVES)))
    mixes = most_likely_mix(
        weights, errors, rng.gamma(labels + PRIOR, size=weights.shape), tolerance=1e-4, steps=DRAW_STEPS
    )
    shares = weights / weights.sum(axis=1, keepdims=True)
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]

    def estimate(value: float, drawn: np.ndarray, *, certain: int, total: int) -> Estimate:
        low, high = np.quantile(drawn, tails)
        low, value, high = ((certain + n * end) / total for end in (min(value, low), value, max(value, high)))
        return Estimate(value, float(low), float(high), total)

    def is_usable(leaf: Leaf) -> bool:
        here = LEAVES.index(leaf)
        others = np.delete(table, here, axis=0)
        if not table[here].any() or not others.any():
            return False
        if table[here, here] / table[here].sum() <= others[:, here].sum() / others.sum():
            return False
        column = errors[:, :, here]
        impossible = (shares[:, here] < column.min(axis=1)) | (shares[:, here] > column.max(axis=1))
        return not verdicts.any() or bool(impossible.mean() < tails[1])

    spurious = visual = ratio = None
    if is_usable("spurious"):
        spurious = estimate(float(mix[0]), mixes[:, 0], certain=empty, total=n + empty)
        if is_usable("visual"):
            visual = estimate(float(mix[2]), mixes[:, 2], certain=0, total=n + empty)
            if mix[0] < 1 - 1e-6:
                drawn = np.minimum(mixes[:, 2] / np.maximum(1 - mixes[:, 0], 1e-9), 1)
                ratio = estimate(float(mix[2] / (1 - mix[0])), drawn, certain=0, total=n)
    return CorrectedShares(spurious, visual, ratio)
