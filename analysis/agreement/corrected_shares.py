"""Shares of spurious and visual descriptions, corrected for the judge's errors.

An error table counts descriptions that people labelled: what they are (rows) × what the judge made of them
(columns). Its rows give the judge's error rates, which are taken to be the same wherever the table is used. Labelled
descriptions count as what people say; for the others, the mix of kinds is sought that, with these errors, makes the
judge's verdicts most likely: Rogan and Gladen's estimate for three kinds. Three, because being visual takes two yeses,
so that an error of the first question is also one about "visual", and because merging two kinds would carry the mix of
them among the labelled over to descriptions with another mix. Where a kind was never labelled nothing is known of the
judge's errors on it: visual descriptions then cannot be told from others, and spurious ones only by the first question
alone, for which the informative kinds are merged after all.

An informative description whose second answer could not be read counts by its first: which second answers can be read
is taken not to depend on what the description is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from analysis.statistics.intervals import Estimate
from analysis.verdicts.breakdown import LEAVES, Leaf

Outcome = Literal["spurious", "non_visual", "visual", "informative_unparsed"]
OUTCOMES: tuple[Outcome, ...] = (*LEAVES, "informative_unparsed")
"""What the judge made of it, the last: informative, second answer unread. The columns of an error table."""

DRAWS = 4000
DRAW_STEPS = 300
"""Of the iteration in each draw; what is slower to settle is what the verdicts hardly tell."""
PRIOR = 1.0
"""Pseudo-count of a cell in the draws, as of a uniform prior: with less, the intervals around a kind of which a handful
was labelled hold the truth less often than they claim."""
SPARSE = 1 / 3
"""The same where verdicts are tried for a contradiction to the errors: a judge without errors among the labelled may
well be one without any."""


class Unknown(NamedTuple):
    """A share that the labels cannot give.

    Attributes:
        reason: Why, in words that need no context.
    """

    reason: str


class CorrectedShares(NamedTuple):
    """Corrected shares.

    Attributes:
        spurious: Of all descriptions.
        visual: Of all descriptions.
        visual_of_informative: Of those that are not spurious.
    """

    spurious: Estimate | Unknown
    visual: Estimate | Unknown
    visual_of_informative: Estimate | Unknown


def error_table(pairs: Sequence[tuple[Leaf, Outcome]]) -> np.ndarray:
    """Count pairs of (what it is, what the judge made of it).

    Returns:
        Shape (3, 4): rows in the order of `LEAVES`, columns in that of `OUTCOMES`.
    """
    table = np.zeros((len(LEAVES), len(OUTCOMES)), dtype=np.int64)
    for truth, judged in pairs:
        table[LEAVES.index(truth), OUTCOMES.index(judged)] += 1
    return table


def most_likely_mix(
    judged: np.ndarray, errors: np.ndarray, known: np.ndarray, *, tolerance: float = 1e-9, steps: int = 10_000
) -> np.ndarray:
    """Find the mix of kinds that makes verdicts and labels most likely.

    Args:
        judged: Descriptions without a label by verdict, shape (…, J); counts or weights.
        errors: Probability of each verdict given the kind, shape (…, K, J). Rows sum to 1, or to more where a verdict
            stands for several others.
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


def correct_shares(
    judged: Mapping[Outcome, int],
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
        judged: Descriptions without a label by verdict; without those that lack the first one and without empty ones.
        table: Error table, shape (3, 4), see `error_table`.
        known: The set's labelled descriptions by kind: a simple random sample of it.
        empty: Descriptions that are spurious without having been judged: they enter as certain.
        confidence: Coverage of the intervals.
        draws: Weights of all three samples, from their Dirichlet posteriors: intervals are quantiles of the mixes that
            follow, and so carry the chance in the labels too.
        seed: Of the draws.

    Returns:
        Shares with intervals. Unknown where spurious (or visual) descriptions or others were never labelled, where the
        judge is no better than chance at telling them apart, or where no mix of kinds explains the verdicts: clipping
        would look certain. Visual ones also where the judge gives a verdict that people, or the judge itself among the
        labelled, never gave; spurious ones then follow from the first question alone.

    Source: weighted likelihood bootstrap, Newton and Raftery (1994), Journal of the Royal Statistical Society B 56.
    """
    verdicts = np.array([judged.get(outcome, 0) for outcome in OUTCOMES])
    labels = np.array([known.get(leaf, 0) for leaf in LEAVES])
    n, tails = int(verdicts.sum() + labels.sum()), ((1 - confidence) / 2, (1 + confidence) / 2)
    if not n or not table.any():
        nothing = Unknown("no description has a verdict" if not n else "no labelled description has a verdict")
        return CorrectedShares(nothing, nothing, nothing)
    rng, gap = np.random.default_rng(seed), _gap(verdicts, table)

    def estimate(value: float, drawn: np.ndarray, *, certain: int, total: int) -> Estimate:
        low, high = np.quantile(drawn, tails)
        low, value, high = ((certain + n * end) / total for end in (min(value, low), value, max(value, high)))
        return Estimate(float(value), float(low), float(high), total)

    spurious = _blindness("spurious", table)
    if spurious:
        return CorrectedShares(*[Unknown(spurious)] * 3)
    weights = rng.gamma(verdicts + np.array([PRIOR, PRIOR, PRIOR, 0]), size=(draws, len(OUTCOMES)))
    sparse = _draw_errors(table, SPARSE, draws, rng)
    spurious = _contradiction("spurious", verdicts, weights, sparse, tails[1])
    if spurious:
        return CorrectedShares(*[Unknown(spurious)] * 3)
    mixes = most_likely_mix(
        weights,
        _draw_errors(table, PRIOR, draws, rng),
        rng.gamma(labels + PRIOR, size=(draws, len(LEAVES))),
        tolerance=1e-4,
        steps=DRAW_STEPS,
    )
    mix = _first_question_mix(verdicts, table, labels) if gap else _mix(verdicts, table, labels)
    found = estimate(mix[0], mixes[:, 0], certain=empty, total=n + empty)
    visual = gap or _blindness("visual", table) or _contradiction("visual", verdicts, weights, sparse, tails[1])
    if visual:
        return CorrectedShares(found, Unknown(visual), Unknown(visual))
    share = estimate(mix[2], mixes[:, 2], certain=0, total=n + empty)
    if mix[0] >= 1 - 1e-6:
        return CorrectedShares(found, share, Unknown("nothing informative is left after the correction"))
    drawn = np.minimum(mixes[:, 2] / np.maximum(1 - mixes[:, 0], 1e-9), 1)
    ratio = estimate(mix[2] / (1 - mix[0]), drawn, certain=0, total=n)
    return CorrectedShares(found, share, ratio)


def _gap(verdicts: np.ndarray, table: np.ndarray) -> str:
    """Say which verdict the labels know nothing about; empty if there is none."""
    for place, leaf in enumerate(LEAVES):
        count, name = int(verdicts[place]), leaf.replace("_", "-")
        if count and not table[place].any():
            return f"the judge calls {count:,} descriptions {name}, people none of the labelled"
        if count and not table[:, place].any():
            return f"the judge calls {count:,} descriptions {name}, but none of the labelled"
    return ""


def _mix(verdicts: np.ndarray, table: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the most likely mix; a kind that was never labelled is absent from it."""
    seen = np.flatnonzero(table.sum(axis=1))
    first, second = _answers(table)
    mix = np.zeros(len(LEAVES))
    mix[seen] = most_likely_mix(verdicts, _likelihoods(first[seen], second[seen]), labels[seen])
    return mix


def _first_question_mix(verdicts: np.ndarray, table: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the mix of spurious and informative, the kinds of these merged for verdicts as for labels."""

    def merged(parts: np.ndarray) -> np.ndarray:
        return np.stack([parts[..., 0], parts[..., 1:].sum(axis=-1)], axis=-1)

    counts = merged(merged(table).T).T
    errors = counts / counts.sum(axis=1, keepdims=True)
    return most_likely_mix(merged(verdicts), errors, merged(labels))


def _answers(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the judge's no and yes to the first question and to the second, each of shape (3, 2)."""
    return np.stack([table[:, 0], table[:, 1:].sum(axis=1)], axis=1), table[:, 1:3]


def _draw_errors(table: np.ndarray, prior: float, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Draw the probabilities of the outcomes given the kind, shape (D, 3, 4).

    First and second answer one after the other: without unread ones the same as three cells at once.
    """
    first, second = _answers(table)
    return _likelihoods(
        rng.gamma(first + np.array([prior, 2 * prior]), size=(draws, *first.shape)),
        rng.gamma(second + prior, size=(draws, *second.shape)),
    )


def _likelihoods(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Turn weights of no and yes, to either question, into probabilities of the outcomes.

    Args:
        first: Shape (…, 2).
        second: Shape (…, 2), of those with a first yes; without any, no and yes are taken to be as likely.

    Returns:
        Shape (…, 4). The last is the probability of the first yes: the second answer was given, but could not be read.
    """
    yes = first[..., 1] / first.sum(axis=-1)
    asked = second.sum(axis=-1)
    visual = np.divide(second[..., 1], asked, out=np.full(asked.shape, 0.5), where=asked > 0)
    return np.stack([1 - yes, yes * (1 - visual), yes * visual, yes], axis=-1)


def _blindness(leaf: Literal["spurious", "visual"], table: np.ndarray) -> str:
    """Say why the labels do not tell how the judge tells a kind from both others together; empty if they do."""
    here, other = LEAVES.index(leaf), {"spurious": "informative", "visual": "anything else"}[leaf]
    counts = _read(table)
    others = np.delete(counts, here, axis=0)
    if not counts[here].any():
        return f"people called none of the labelled {leaf}"
    if not others.any():
        return f"people called none of the labelled {other}"
    if counts[here, here] / counts[here].sum() <= others[:, here].sum() / others.sum():
        return f"among the labelled, the judge tells {leaf} from {other} no better than chance"
    return ""


def _contradiction(
    leaf: Literal["spurious", "visual"], verdicts: np.ndarray, weights: np.ndarray, errors: np.ndarray, most: float
) -> str:
    """Say that no mix of kinds leads to the verdicts; empty if one does.

    Args:
        leaf: The kind, set against both others together.
        verdicts: Of the descriptions without a label.
        weights: Drawn around them, shape (D, 4).
        errors: Drawn, shape (D, 3, 4).
        most: Share of the draws that may contradict each other.
    """
    here, given = LEAVES.index(leaf), _read(weights)
    share, column = given[:, here] / given.sum(axis=1), errors[:, :, here]
    impossible = (share < column.min(axis=1)) | (share > column.max(axis=1))
    if verdicts.any() and impossible.mean() >= most:
        return f"the judge's errors among the labelled cannot lead to its share of {leaf} here"
    return ""


def _read(counts: np.ndarray) -> np.ndarray:
    """Share unread second answers, shape (…, 4), out as the read ones are, shape (…, 3)."""
    read = counts[..., 1:3].astype(float)
    total = read.sum(axis=-1, keepdims=True)
    parts = np.divide(read, total, out=np.full(read.shape, 0.5), where=total > 0)
    return np.concatenate([counts[..., :1], read + counts[..., 3:] * parts], axis=-1)
