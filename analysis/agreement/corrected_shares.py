"""Shares of spurious and visual descriptions, corrected for the judge's errors.

An error table counts the descriptions that people labelled: what people say they are (rows) × what the judge made of
them (columns). Its rows give the judge's error rates, which are assumed to be the same wherever the table is used.
Labelled descriptions count as what people say. For the others, the mix of kinds is estimated under which the judge's
verdicts, with these error rates, are most likely: Rogan and Gladen's estimate for three kinds. There are three for two
reasons. A description is visual only after two yeses, so an error in the first answer is also an error about "visual".
And merging two kinds would assume that they are mixed in the other descriptions as they are among the labelled ones. If
a kind was never labelled, nothing is known of the judge's errors on it. If the judge calls descriptions this kind all
the same, the visual share is unknown, and the spurious share is estimated from the first question alone, for which the
two informative kinds are merged.

Labels of a sample that is stratified by verdict come with weights. The error table is then a weighted one, drawn within
strata. The labelled descriptions of a set and the verdicts on the others need no weights: how likely they are given the
mix and the errors does not depend on how many of each verdict were labelled.

An informative description whose second answer could not be read counts by its first answer alone. This assumes that
whether a second answer can be read does not depend on the description's kind.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from analysis.statistics.intervals import Estimate
from analysis.verdicts.breakdown import LEAVES, Leaf

Outcome = Literal["spurious", "non_visual", "visual", "informative_unparsed"]
OUTCOMES: tuple[Outcome, ...] = (*LEAVES, "informative_unparsed")
"""What the judge made of a description: the columns of an error table. `informative_unparsed` is a description that was
judged informative and whose second answer could not be read."""

DRAWS = 4000
DRAW_STEPS = 300
"""Most steps of the iteration (EM) in each draw. Shares that would need more are hardly determined by the verdicts."""
PRIOR = 1.0
"""Pseudo-count that is added to each cell in the draws, as for a uniform prior. With a smaller one, intervals around a
kind of which only a handful was labelled contain the truth less often than their confidence says."""
SPARSE = 1 / 3
"""Pseudo-count for the draws that test whether the verdicts contradict the error rates. It is smaller than `PRIOR`,
because a judge without errors on the labelled descriptions may well make none at all."""


STRATUM_PRIORS = (0.5, 0.05)
"""Pseudo-counts of each kind in each stratum, where labels have weights; intervals are the hull of the draws with
either. In a stratum of frequent verdicts a label weighs much, so that a pseudo-count by itself looks like many errors
of the judge; without it, a kind that was not met there would be taken to be absent."""

DrawTable = Callable[[float, int, np.random.Generator], np.ndarray]
"""Draws error tables, shape (D, 3, 4), given a pseudo-count, the number of draws D and their source."""


class Unknown(NamedTuple):
    """A share that the labels do not determine.

    Attributes:
        reason: Why it is unknown, in words that need no context.
    """

    reason: str


class CorrectedShares(NamedTuple):
    """Shares of descriptions, corrected for the judge's errors, in [0, 1].

    Attributes:
        spurious: Spurious descriptions among all.
        visual: Visual descriptions among all.
        visual_of_informative: Visual descriptions among those that are not spurious.
    """

    spurious: Estimate | Unknown
    visual: Estimate | Unknown
    visual_of_informative: Estimate | Unknown


def error_table(pairs: Sequence[tuple[Leaf, Outcome]]) -> np.ndarray:
    """Count pairs of (what people made of a description, what the judge made of it).

    Returns:
        Counts, shape (3, 4): rows in the order of `LEAVES`, columns in the order of `OUTCOMES`.
    """
    table = np.zeros((len(LEAVES), len(OUTCOMES)), dtype=np.int64)
    for truth, judged in pairs:
        table[LEAVES.index(truth), OUTCOMES.index(judged)] += 1
    return table


def most_likely_mix(
    judged: np.ndarray, errors: np.ndarray, known: np.ndarray, *, tolerance: float = 1e-9, steps: int = 10_000
) -> np.ndarray:
    """Find the mix of kinds under which the given verdicts and labels are most likely, by EM.

    Args:
        judged: Counts or weights of the descriptions without a label, by verdict, shape (…, J).
        errors: Probability of each verdict given the kind, shape (…, K, J). Rows sum to 1, or to more if one verdict
            means "one of several others".
        known: Counts or weights of the labelled descriptions, by kind, shape (…, K). They also decide between mixes
            that the verdicts cannot tell apart.
        tolerance: The iteration ends when no share changes by more than this.
        steps: Largest number of iterations.

    Returns:
        Shares of the kinds, shape (…, K), summing to 1. If `known` is all 0, they solve judged shares = mix · errors
        (with two kinds, Rogan and Gladen's estimate); where that solution has negative shares, they are the most likely
        mix without negative ones. Verdicts that have probability 0 for every kind are ignored.

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
    draw_table: DrawTable | None = None,
) -> CorrectedShares:
    """Correct the shares of one set of descriptions.

    Args:
        judged: Number of descriptions without a label, by verdict. Empty ones, and those whose first answer could not
            be read, are not counted.
        table: Error table, shape (3, 4), see `error_table`, or a weighted one.
        known: Number of labelled descriptions of the set, by kind; they are a simple random sample of the set, or one
            that is stratified by verdict.
        empty: Number of empty descriptions, which are spurious without having been judged; they count as certain.
        confidence: Coverage of the intervals.
        draws: Number of draws. Each one draws weights for the verdicts, the labels and the error table from their
            Dirichlet posteriors and computes the mix. The intervals are quantiles of these mixes, and so reflect chance
            in the labels too.
        seed: Seed of the draws.
        draw_table: Draws error tables, where the labels have weights; `None` draws them from the counts of `table`.

    Returns:
        Shares with intervals. The spurious (or visual) share is `Unknown` if people called no labelled description
        spurious (visual), or called all of them so; if the judge is no better than chance at telling these from the
        others; or if no mix of kinds explains the verdicts, because a share clipped to 0 or 1 would look certain. If
        the spurious share is unknown, so are the others. The visual shares are also unknown if the judge gives a
        verdict that either people or the judge never gave on a labelled description; the spurious share is then
        estimated from the first question alone.

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
        low, high = np.quantile(drawn, tails, axis=1)
        low, high = low.min(), high.max()
        low, value, high = ((certain + n * end) / total for end in (min(value, low), value, max(value, high)))
        return Estimate(float(value), float(low), float(high), total)

    spurious = _blindness("spurious", table)
    if spurious:
        return CorrectedShares(*[Unknown(spurious)] * 3)
    weights = rng.gamma(verdicts + np.array([PRIOR, PRIOR, PRIOR, 0]), size=(draws, len(OUTCOMES)))
    draw = draw_table or functools.partial(_draw_counts, table)
    sparse = _errors(draw(SPARSE, draws, rng))
    spurious = _contradiction("spurious", verdicts, weights, sparse, tails[1])
    if spurious:
        return CorrectedShares(*[Unknown(spurious)] * 3)
    priors = STRATUM_PRIORS if draw_table else (PRIOR,)
    mixes = np.stack([_draw_mixes(weights, labels, draw, prior, rng) for prior in priors])
    mix = _first_question_mix(verdicts, table, labels) if gap else _mix(verdicts, table, labels)
    found = estimate(mix[0], mixes[..., 0], certain=empty, total=n + empty)
    visual = gap or _blindness("visual", table) or _contradiction("visual", verdicts, weights, sparse, tails[1])
    if visual:
        return CorrectedShares(found, Unknown(visual), Unknown(visual))
    share = estimate(mix[2], mixes[..., 2], certain=0, total=n + empty)
    if mix[0] >= 1 - 1e-6:
        return CorrectedShares(found, share, Unknown("nothing informative is left after the correction"))
    drawn = np.minimum(mixes[..., 2] / np.maximum(1 - mixes[..., 0], 1e-9), 1)
    ratio = estimate(mix[2] / (1 - mix[0]), drawn, certain=0, total=n)
    return CorrectedShares(found, share, ratio)


def _draw_mixes(
    weights: np.ndarray, labels: np.ndarray, draw: DrawTable, prior: float, rng: np.random.Generator
) -> np.ndarray:
    """Draw mixes of kinds, shape (D, 3), given drawn weights of the verdicts, shape (D, 4)."""
    errors = _errors(draw(prior, len(weights), rng))
    known = rng.gamma(labels + prior, size=(len(weights), len(LEAVES)))
    return most_likely_mix(weights, errors, known, tolerance=1e-4, steps=DRAW_STEPS)


def _gap(verdicts: np.ndarray, table: np.ndarray) -> str:
    """Name a verdict on which the labels give no information, in words; empty if there is none."""
    for place, leaf in enumerate(LEAVES):
        count, name = int(verdicts[place]), leaf.replace("_", "-")
        if count and not table[place].any():
            return f"the judge calls {count:,} descriptions {name}, people none of the labelled"
        if count and not table[:, place].any():
            return f"the judge calls {count:,} descriptions {name}, but none of the labelled"
    return ""


def _mix(verdicts: np.ndarray, table: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the most likely mix, shape (3,); the share of a kind that was never labelled is 0."""
    seen = np.flatnonzero(table.sum(axis=1))
    first, second = _answers(table)
    mix = np.zeros(len(LEAVES))
    mix[seen] = most_likely_mix(verdicts, _likelihoods(first[seen], second[seen]), labels[seen])
    return mix


def _first_question_mix(verdicts: np.ndarray, table: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the most likely mix of spurious and informative, shape (2,), with the informative kinds merged."""

    def merged(parts: np.ndarray) -> np.ndarray:
        return np.stack([parts[..., 0], parts[..., 1:].sum(axis=-1)], axis=-1)

    counts = merged(merged(table).T).T
    errors = counts / counts.sum(axis=1, keepdims=True)
    return most_likely_mix(merged(verdicts), errors, merged(labels))


def _answers(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return counts of the judge's no and yes by kind, to either question, each of shape (…, 3, 2)."""
    return np.stack([table[..., 0], table[..., 1:].sum(axis=-1)], axis=-1), table[..., 1:3]


def _draw_counts(table: np.ndarray, prior: float, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Draw error tables, shape (D, 3, 4), row by row, from their counts and a pseudo-count for each cell.

    The first and the second answer are drawn one after the other. Where no second answer is unread, this is the same as
    drawing the three cells at once.
    """
    first, second = _answers(table)
    errors = _likelihoods(
        rng.gamma(first + np.array([prior, 2 * prior]), size=(draws, *first.shape)),
        rng.gamma(second + prior, size=(draws, *second.shape)),
    )
    return np.concatenate([errors[..., :3], np.zeros((draws, len(LEAVES), 1))], axis=-1)


def _errors(tables: np.ndarray) -> np.ndarray:
    """Return the probabilities of the outcomes given the kind, shape (…, 3, 4), of error tables of that shape."""
    return _likelihoods(*_answers(tables))


def _likelihoods(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Turn weights of no and yes, to either question, into probabilities of the outcomes.

    Args:
        first: Weights of no and yes to the first question, shape (…, 2).
        second: Weights of no and yes to the second question, among those with a yes to the first, shape (…, 2). Where
            both are 0, no and yes are taken to be equally likely.

    Returns:
        Probabilities in the order of `OUTCOMES`, shape (…, 4). The last one is the probability of a yes to the first
        question, because the second answer may have been either. Rows therefore sum to more than 1.
    """
    yes = first[..., 1] / first.sum(axis=-1)
    asked = second.sum(axis=-1)
    visual = np.divide(second[..., 1], asked, out=np.full(asked.shape, 0.5), where=asked > 0)
    return np.stack([1 - yes, yes * (1 - visual), yes * visual, yes], axis=-1)


def _blindness(leaf: Literal["spurious", "visual"], table: np.ndarray) -> str:
    """Say why the labels do not show how well the judge tells a kind from the other two together; empty if they do."""
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
    """Say in words that no mix of kinds could lead to the verdicts; empty if one could.

    Args:
        leaf: The kind, which is set against the other two together.
        verdicts: Number of descriptions without a label by verdict, shape (4,).
        weights: Weights drawn from the verdicts' posterior, shape (D, 4).
        errors: Drawn probabilities of the verdicts given the kind, shape (D, 3, 4).
        most: From this share of draws without a possible mix on, the verdicts count as contradicting the error rates.
    """
    here, given = LEAVES.index(leaf), _read(weights)
    share, column = given[:, here] / given.sum(axis=1), errors[:, :, here]
    impossible = (share < column.min(axis=1)) | (share > column.max(axis=1))
    if verdicts.any() and impossible.mean() >= most:
        return f"the judge's errors among the labelled cannot lead to its share of {leaf} here"
    return ""


def _read(counts: np.ndarray) -> np.ndarray:
    """Divide unread second answers between no and yes as the read ones are: counts of shape (…, 4) become (…, 3)."""
    read = counts[..., 1:3].astype(float)
    total = read.sum(axis=-1, keepdims=True)
    parts = np.divide(read, total, out=np.full(read.shape, 0.5), where=total > 0)
    return np.concatenate([counts[..., :1], read + counts[..., 3:] * parts], axis=-1)
