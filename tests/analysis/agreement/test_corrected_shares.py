"""Shares corrected for the judge's errors: by hand, by other formulas and by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import ArrayLike

from analysis.agreement.corrected_shares import (
    LEAVES,
    CorrectedShares,
    Leaf,
    Outcome,
    Unknown,
    correct_shares,
    error_table,
    most_likely_mix,
)
from analysis.statistics.intervals import Estimate, wilson


def given(share: Estimate | Unknown) -> Estimate:
    assert isinstance(share, Estimate), share
    return share


def read(table: ArrayLike) -> np.ndarray:
    """An error table of three kinds and verdicts, where every second answer could be read."""
    return np.column_stack([table, np.zeros(3, dtype=int)])


def reasons(shares: CorrectedShares) -> list[str]:
    return [share.reason if isinstance(share, Unknown) else "" for share in shares]


def two_kinds(judged_visual: int, n: int, table: list[list[int]]) -> Estimate | Unknown:
    """Correct where only spurious and visual occur; `table`: spurious, visual × judged spurious, visual."""
    (a, b), (c, d) = table
    full = read([[a, 0, b], [0, 10_000, 0], [c, 0, d]])  # non-visual ones are never confused: ruled out
    known: dict[Leaf, int] = {"spurious": 0, "visual": 0}
    return correct_shares({"spurious": n - judged_visual, "visual": judged_visual}, full, known=known).visual


def test_with_two_kinds_it_is_rogan_and_gladens() -> None:
    # Sensitivity 36/40, specificity 48/60: (0.41 - 0.2) / 0.7 = 0.3.
    found = given(two_kinds(410, 1000, [[48, 12], [4, 36]]))
    assert found.value == pytest.approx(0.3, abs=1e-6)
    # 17 % yes, but a fifth of the negatives get one by error: below 0, so clipped; and above 1.
    low, high = (given(two_kinds(yes, 100, [[48, 12], [4, 36]])) for yes in (17, 92))
    assert low.high is not None
    assert (low.value, low.low) == pytest.approx((0, 0), abs=1e-4)
    assert 0.02 < low.high < 0.25
    assert high.value == pytest.approx(1, abs=1e-4)
    contradiction = "the judge's errors among the labelled cannot lead to its share of spurious here"
    assert two_kinds(20, 1000, [[48, 12], [4, 36]]) == Unknown(contradiction), "2 %, but false alarms alone make 20"
    assert two_kinds(5, 10, [[5, 0], [0, 0]]) == Unknown(
        "the judge calls 5 descriptions visual, people none of the labelled"
    )
    assert two_kinds(0, 10, [[5, 0], [0, 0]]) == Unknown("people called none of the labelled visual")
    coin = read([[5, 0, 5], [0, 0, 0], [5, 0, 5]])
    by_chance = "among the labelled, the judge tells spurious from informative no better than chance"
    assert reasons(correct_shares({"spurious": 5, "visual": 5}, coin, known={})) == [by_chance] * 3
    nothing = given(two_kinds(0, 2000, [[25, 0], [0, 25]]))
    assert nothing.value == pytest.approx(0, abs=1e-6), "no yes at all is no contradiction"


def lang_reiczigel(hits: int, n: int, found: int, positives: int, rejected: int, negatives: int) -> tuple[float, float]:
    """The 95 % interval of Lang and Reiczigel (2014), equations 6, 7, 16 and 17."""
    z2 = 3.841459
    se, sp, p = (found + 1) / (positives + 2), (rejected + 1) / (negatives + 2), (hits + z2 / 2) / (n + z2)
    youden = se + sp - 1
    share = (p + sp - 1) / youden
    a, b = se * (1 - se) / (positives + 2), sp * (1 - sp) / (negatives + 2)
    center = share + 2 * z2 * (share * a - (1 - share) * b)
    half = math.sqrt(z2 * (p * (1 - p) / (n + z2) + share**2 * a + (1 - share) ** 2 * b)) / youden
    return center - half, center + half


@pytest.mark.parametrize(("hits", "n"), [(410, 1000), (600, 1000), (90, 200)])
def test_intervals_are_like_lang_and_reiczigels(hits: int, n: int) -> None:
    """Theirs is another approximation to the same: with a few hundred labels the two are close."""
    found = given(two_kinds(hits, n, [[240, 60], [20, 180]]))
    assert (found.low, found.high) == pytest.approx(lang_reiczigel(hits, n, 180, 200, 240, 300), abs=0.02)


def test_the_mix_solves_the_equations() -> None:
    """Inside the simplex the most likely mix is the inverse matrix's; outside it has the best likelihood of a grid."""
    mix, none = np.array([[0.4, 0.25, 0.35], [0.05, 0.05, 0.9]]), np.zeros(3)
    found = most_likely_mix(mix @ ERRORS, np.broadcast_to(ERRORS, (2, 3, 3)), np.zeros((2, 3)))
    assert found == pytest.approx(mix, abs=1e-6)
    outside = np.array([0.02, 0.2, 0.78])
    assert (outside @ np.linalg.inv(ERRORS)).min() < 0
    steps = [(a / 100, b / 100, 1 - a / 100 - b / 100) for a in range(101) for b in range(101 - a)]
    by_grid = max(steps, key=lambda kinds: float(outside @ np.log(np.array(kinds) @ ERRORS + 1e-12)))
    assert most_likely_mix(outside, ERRORS, none) == pytest.approx(by_grid, abs=0.01)
    # With 30 labelled ones beside 70 verdicts, both likelihoods count.
    verdicts, labels = np.array([30, 20, 20]), np.array([6, 15, 9])
    by_grid = max(
        steps,
        key=lambda kinds: float(
            verdicts @ np.log(np.array(kinds) @ ERRORS + 1e-12) + labels @ np.log(np.array(kinds) + 1e-12)
        ),
    )
    assert most_likely_mix(verdicts, ERRORS, labels) == pytest.approx(by_grid, abs=0.01)
    assert most_likely_mix(none, ERRORS, labels) == pytest.approx(labels / 30), "all labelled: people's shares"


def test_labels_decide_what_verdicts_cannot_tell() -> None:
    """The judge calls every informative description visual: its verdicts say nothing about the kind."""
    errors = np.array([[1.0, 0, 0], [0, 0, 1.0], [0, 0, 1.0]])
    found = most_likely_mix(np.array([400, 0, 600]), errors, np.array([8, 3, 9]))
    assert found == pytest.approx([0.4, 0.15, 0.45], abs=1e-6)


ERRORS = np.array([[0.88, 0.09, 0.03], [0.12, 0.74, 0.14], [0.04, 0.1, 0.86]])
"""Truth × judge, in the order spurious, non-visual, visual."""


def test_known_errors_are_undone_exactly() -> None:
    """Without chance: counts are their expectations, and the labelled have the mix of those corrected."""
    truth = np.array([400, 250, 350])
    judged = dict(zip(LEAVES, (truth @ ERRORS).round(9), strict=True))
    table = (truth[:, None] * ERRORS).round(9)
    found = correct_shares(
        {leaf: round(count) for leaf, count in judged.items()}, read(table.round().astype(int)), known={}
    )
    # Judged naively: 396, 256 and 348 in 1,000, so visual of informative 57.6 %; the truth is 350/600.
    assert given(found.spurious).value == pytest.approx(0.4, abs=2e-3)
    assert given(found.visual).value == pytest.approx(0.35, abs=2e-3)
    assert given(found.visual_of_informative).value == pytest.approx(350 / 600, abs=5e-3)


def test_two_stages_in_one_step() -> None:
    """An easy judge lets spurious texts through to the second question, which calls many of them visual."""
    errors = np.array([[0.5, 0.1, 0.4], [0, 1.0, 0], [0, 0, 1.0]])
    truth = np.array([600, 200, 200])
    judged = dict(zip(LEAVES, (int(x) for x in truth @ errors), strict=True))
    found = correct_shares(judged, read((truth[:, None] * errors / 10).round().astype(int)), known={})
    assert judged == {"spurious": 300, "non_visual": 260, "visual": 440}
    assert given(found.spurious).value == pytest.approx(0.6)
    assert given(found.visual).value == pytest.approx(0.2), "44 % as judged"
    assert given(found.visual_of_informative).value == pytest.approx(0.5), "63 % as judged"


def test_empty_descriptions_enter_as_certain() -> None:
    judged: dict[Outcome, int] = {"spurious": 25, "non_visual": 15, "visual": 40}
    known: dict[Leaf, int] = {"spurious": 5, "non_visual": 5, "visual": 10}
    table = read([[9, 1, 0], [1, 8, 1], [0, 1, 9]])
    plain, with_empty = (
        correct_shares(judged, table, known=known),
        correct_shares(judged, table, known=known, empty=100),
    )
    alone, together = given(plain.spurious), given(with_empty.spurious)
    assert alone.low is not None
    assert together.value == pytest.approx((100 + 100 * alone.value) / 200)
    assert together.low == pytest.approx((100 + 100 * alone.low) / 200)
    assert given(with_empty.visual).value == pytest.approx(given(plain.visual).value / 2)
    assert with_empty.visual_of_informative == plain.visual_of_informative
    assert reasons(correct_shares({}, table, known={}, empty=3)) == ["no description has a verdict"] * 3
    nothing = correct_shares(judged, read(np.zeros((3, 3), dtype=int)), known={})
    assert reasons(nothing) == ["no labelled description has a verdict"] * 3


def test_a_kind_that_was_never_labeled() -> None:
    """38 spurious, 12 visual ones labelled, no non-visual one; the judge calls 500 of 2,000 non-visual.

    A perfect judge as far as the labels go: half of all are spurious. Which of the others are visual they cannot tell.
    """
    judged: dict[Outcome, int] = {"spurious": 1000, "non_visual": 500, "visual": 500}
    reason = "the judge calls 500 descriptions non-visual, people none of the labelled"
    found = correct_shares(judged, read([[38, 0, 0], [0, 0, 0], [0, 0, 12]]), known={"spurious": 38, "visual": 12})
    assert reasons(found) == ["", reason, reason]
    spurious = given(found.spurious)
    # With its labels: (1000 + 38) of 2,050.
    assert spurious.value == pytest.approx(1038 / 2050, abs=1e-6)
    assert spurious.n == 2050
    assert spurious.low is not None
    assert spurious.high is not None
    assert spurious.low < 0.45
    assert spurious.high > 0.55, "nobody knows how the judge errs on non-visual ones"
    # Labelled, but never judged so among the labelled: the verdict is as unexplained.
    unexplained = correct_shares(judged, read([[38, 0, 0], [0, 0, 1], [0, 0, 11]]), known={})
    reason = "the judge calls 500 descriptions non-visual, but none of the labelled"
    assert reasons(unexplained) == ["", reason, reason]
    assert given(unexplained.spurious).value == pytest.approx(0.5, abs=1e-6)
    # Another run's single label says nothing about verdicts that it does not explain.
    single = read([[0, 0, 0], [0, 0, 0], [0, 0, 1]])
    assert (
        reasons(correct_shares({"spurious": 50}, single, known={}))
        == ["people called none of the labelled spurious"] * 3
    )
    # What is neither labelled nor judged so is absent; and where all are labelled, nothing is open.
    absent = correct_shares({"spurious": 1000, "visual": 500}, read([[38, 0, 0], [0, 0, 0], [0, 0, 12]]), known={})
    assert given(absent.visual).value == pytest.approx(1 / 3, abs=1e-6)
    known: dict[Leaf, int] = {"spurious": 38, "visual": 12}
    complete = correct_shares({}, read([[38, 0, 0], [0, 0, 0], [0, 2, 10]]), known=known)
    assert given(complete.visual).value == pytest.approx(12 / 50)


def test_an_unread_second_answer_counts_by_its_first() -> None:
    """A judge of which every fifth second answer cannot be read: shares as if all could, from the same descriptions."""
    truth = np.array([400, 200, 400])
    cells = np.array([[0.9, 0.06, 0.04], [0.1, 0.8, 0.1], [0.05, 0.15, 0.8]]) * truth[:, None]
    unread = cells.copy()
    unread[:, 1:] *= 0.8
    unread = np.column_stack([unread, cells[:, 1:].sum(axis=1) * 0.2])
    counts = [dict(zip((*LEAVES, "informative_unparsed"), part.sum(axis=0), strict=False)) for part in (cells, unread)]
    full, partly = (
        correct_shares(judged, table, known={}, draws=2000)
        for judged, table in zip(counts, (read(cells), unread), strict=True)
    )
    for name, expected in (("spurious", 0.4), ("visual", 0.4), ("visual_of_informative", 2 / 3)):
        all_read, some = given(getattr(full, name)), given(getattr(partly, name))
        assert (all_read.value, some.value) == pytest.approx((expected, expected), abs=1e-5)
        assert some.n == all_read.n == 1000
        assert (some.low, some.high) == pytest.approx((all_read.low, all_read.high), abs=0.02)
    # Left out, as once they were, they would make the judge's first answer look stricter: 400 of 880.
    table = np.array([[50, 0, 0, 0], [0, 20, 0, 5], [0, 0, 20, 5]])
    known: dict[Leaf, int] = {"spurious": 50, "non_visual": 25, "visual": 25}
    few: dict[Outcome, int] = {"spurious": 400, "non_visual": 240, "visual": 240, "informative_unparsed": 120}
    assert given(correct_shares(few, table, known=known).spurious).value == pytest.approx(450 / 1100, abs=1e-6)


COVERED = ("spurious", "visual", "visual_of_informative")


def coverage(
    shares: tuple[float, float, float], *, own: int, others: int = 0, studies: int = 200, draws: int = 300
) -> dict[str, list[tuple[Estimate, float]]]:
    """Studies of 2,000 descriptions, all judged with `ERRORS`, of which people label `own` at random.

    Labels of `others` are of other runs, where every kind is as frequent.

    Returns:
        Per share the estimates that were given, each with the share as judged.
    """
    rng = np.random.default_rng(3)
    found: dict[str, list[tuple[Estimate, float]]] = {name: [] for name in COVERED}
    for _ in range(studies):
        cells = rng.multinomial(2000, (np.array(shares)[:, None] * ERRORS).ravel())
        labeled = rng.multivariate_hypergeometric(cells, own).reshape(3, 3)
        judged = cells.reshape(3, 3).sum(axis=0)
        elsewhere = rng.multinomial(others, ERRORS.ravel() / 3).reshape(3, 3)
        left, known = by_leaf(judged - labeled.sum(axis=0)), by_leaf(labeled.sum(axis=1))
        made = correct_shares({**left}, read(labeled + elsewhere), known=known, draws=draws)
        raw = (judged[0] / 2000, judged[2] / 2000, judged[2] / (judged[1] + judged[2]))
        for name, share, as_judged in zip(COVERED, made, raw, strict=True):
            if isinstance(share, Estimate):
                found[name].append((share, as_judged))
    return found


def rate(estimates: list[Estimate], truth: float) -> float:
    inside = [e.low is not None and e.high is not None and e.low <= truth <= e.high for e in estimates]
    return sum(inside) / len(inside)


@pytest.mark.parametrize(("own", "others", "widest"), [(50, 0, 0.4), (200, 0, 0.15), (25, 300, 0.2)])
def test_corrected_intervals_cover_the_truth_at_their_rate(own: int, others: int, widest: float) -> None:
    found = coverage((0.3, 0.15, 0.55), own=own, others=others)
    truth = dict(zip(COVERED, (0.3, 0.55, 0.55 / 0.7), strict=True))
    assert [len(made) for made in found.values()] == [200] * 3
    rates = {name: rate([share for share, _ in found[name]], truth[name]) for name in COVERED}
    # Three standard errors of a rate of 0.95 over 200 studies are 0.046; with 50 labels intervals are wider than that.
    assert all(rate >= 0.904 for rate in rates.values()), rates
    visual, judged = zip(*found["visual"], strict=True)
    assert np.mean([share.high - share.low for share in visual]) < widest
    assert abs(np.mean([share.value for share in visual]) - 0.55) < 0.01
    uncorrected = [wilson(round(2000 * share), 2000) for share in judged]
    assert rate(uncorrected, 0.55) < 0.5, "what the correction is for"


@pytest.mark.parametrize(
    ("shares", "refused"),
    [((0.4, 0.02, 0.58), 0.2), ((0.6, 0.38, 0.02), 0.2), ((0.95, 0.02, 0.03), 0.3)],
)
def test_intervals_cover_where_a_kind_is_rare(shares: tuple[float, float, float], refused: float) -> None:
    """Of 50 labels 1 or 2 are expected on a rare kind: often none, and then no visual share is given at all.

    Measured over 500 studies: 0.976 to 0.988 for spurious, 0.979 to 1 for the others; with a pseudo-count of 1/3 in the
    draws it was down to 0.92 for spurious in the last case.
    """
    found = coverage(shares, own=50, studies=150, draws=200)
    truth = dict(zip(COVERED, (shares[0], shares[2], shares[2] / (1 - shares[0])), strict=True))
    assert len(found["visual"]) < (1 - refused) * 150
    assert len(found["visual"]) > 30
    # Three standard errors of a rate of 0.95 are 0.053 over 150 studies, 0.08 over 66.
    for name in COVERED:
        rates = rate([share for share, _ in found[name]], truth[name])
        assert rates >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / len(found[name])), (name, rates)
    assert abs(np.mean([share.value for share, _ in found["spurious"]]) - shares[0]) < 0.03


def by_leaf(counts: np.ndarray) -> dict[Leaf, int]:
    return {leaf: int(count) for leaf, count in zip(LEAVES, counts, strict=True)}


def test_table_orders_truth_by_judge() -> None:
    table = error_table([("visual", "spurious"), ("visual", "visual"), ("spurious", "spurious")])
    assert table.tolist() == [[1, 0, 0, 0], [0, 0, 0, 0], [1, 0, 1, 0]]
