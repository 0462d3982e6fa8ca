"""κ, α and shares corrected for the judge's errors: against other libraries, by hand and by simulation."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from analysis.corrected_shares import LEAVES, Leaf, calibration_table, correct, most_likely_mix
from analysis.rater_agreement import Confusion, cohen_kappa, kappa_error, krippendorff_alpha
from analysis.statistics import Estimate, wilson

# --- rates and κ ---


def test_rates_by_hand() -> None:
    found = Confusion.of([(True, True)] * 20 + [(True, False)] * 5 + [(False, True)] * 10 + [(False, False)] * 15)
    assert found == (20, 5, 10, 15)
    # Cohen (1960), the usual example: agreement 35/50; by chance .5·.6 + .5·.4 = .5; κ = .2/.5.
    agreement, sensitivity, specificity, kappa = (
        found.agreement(),
        found.sensitivity(),
        found.specificity(),
        found.kappa(),
    )
    assert agreement
    assert sensitivity
    assert specificity
    assert kappa
    assert (agreement.value, agreement.n) == (0.7, 50)
    assert (sensitivity.value, sensitivity.n) == (0.8, 25)
    assert (specificity.value, specificity.n) == (0.6, 25)
    assert kappa.value == pytest.approx(0.4)
    # Wilson at 35/50 by the formula: (p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n), z² = 3.8414588.
    z2 = 3.8414588
    half = math.sqrt(z2 * (0.7 * 0.3 / 50 + z2 / (4 * 50**2)))
    assert (agreement.low, agreement.high) == pytest.approx(
        ((0.7 + z2 / 100 - half) / (1 + z2 / 50), (0.7 + z2 / 100 + half) / (1 + z2 / 50)), abs=1e-7
    )
    nothing = Confusion.of([])
    assert (nothing.agreement(), nothing.sensitivity(), nothing.specificity(), nothing.kappa()) == (None,) * 4


def test_kappa_is_scikit_learns() -> None:
    from sklearn.metrics import cohen_kappa_score

    rng = np.random.default_rng(0)
    for kinds in (2, 3):
        first = rng.integers(kinds, size=80)
        second = np.where(rng.random(80) < 0.6, first, rng.integers(kinds, size=80))
        table = np.zeros((kinds, kinds), dtype=int)
        np.add.at(table, (first, second), 1)
        kappa = cohen_kappa(table)
        assert kappa is not None
        assert kappa.value == pytest.approx(cohen_kappa_score(first, second))


def test_kappas_error_is_the_delta_methods() -> None:
    """κ's gradient by finite differences, with the multinomial covariance: another way to the same number."""
    table = np.array([[20.0, 5, 3], [10, 15, 2], [1, 4, 9]])
    n, shares = table.sum(), table.ravel() / table.sum()

    def kappa(p: np.ndarray) -> float:
        square = p.reshape(3, 3)
        chance = square.sum(axis=1) @ square.sum(axis=0)
        return float((np.trace(square) - chance) / (1 - chance))

    step = 1e-6
    gradient = np.array([(kappa(shares + step * e) - kappa(shares - step * e)) / (2 * step) for e in np.eye(9)])
    covariance = (np.diag(shares) - np.outer(shares, shares)) / n
    assert kappa_error(table) == pytest.approx(math.sqrt(gradient @ covariance @ gradient), rel=1e-6)


def test_kappas_interval_covers_and_never_pretends() -> None:
    rng = np.random.default_rng(1)
    shares = np.array([[0.45, 0.06], [0.09, 0.4]])
    chance = shares.sum(axis=1) @ shares.sum(axis=0)
    truth = (np.trace(shares) - chance) / (1 - chance)
    inside = 0
    for counts in rng.multinomial(60, shares.ravel(), size=600):
        kappa = cohen_kappa(counts.reshape(2, 2))
        assert kappa is not None
        assert kappa.low is not None
        assert kappa.high is not None
        inside += kappa.low <= truth <= kappa.high
    assert 0.93 <= inside / 600 <= 0.98
    perfect = cohen_kappa([[5, 0], [0, 5]])
    assert perfect is not None
    assert (perfect.value, perfect.high) == (1.0, 1.0)
    assert perfect.low is not None
    assert 0.2 < perfect.low < 0.8
    assert cohen_kappa([[7, 0], [0, 0]]) is None, "chance agreement is 1"
    with pytest.raises(ValueError, match=r"table of shape \(2, 3\); allowed: square"):
        cohen_kappa(np.ones((2, 3)))


# --- Krippendorff's α ---


def test_alpha_is_the_packages() -> None:
    krippendorff = pytest.importorskip("krippendorff")
    rng = np.random.default_rng(2)
    for raters, missing in itertools.product((2, 3, 5), (0.0, 0.3)):
        truth = rng.random(40) < 0.6
        data = np.where(rng.random((raters, 40)) < 0.8, truth, ~truth).astype(float)
        data[rng.random(data.shape) < missing] = np.nan
        units = [[value == 1 for value in column if not np.isnan(value)] for column in data.T]
        alpha = krippendorff_alpha(units, samples=200)
        assert alpha is not None
        assert alpha.value == pytest.approx(krippendorff.alpha(data, level_of_measurement="nominal"))
        assert alpha.low is not None
        assert alpha.high is not None
        assert alpha.low < alpha.value < alpha.high
        assert alpha.n == sum(len(unit) > 1 for unit in units)


def test_alpha_by_hand() -> None:
    # Krippendorff's two coders, ten units: 0 1 0 0 0 0 0 0 1 0 and 1 1 1 0 0 1 0 0 0 0; α = 0.095.
    pairs = zip([0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0], strict=True)
    units = [[bool(a), bool(b)] for a, b in pairs]
    alpha = krippendorff_alpha([*units, [True], []])
    assert alpha is not None
    assert alpha.value == pytest.approx(1 - 19 * 8 / (2 * 14 * 6))  # 4 units differ; 14 zeros and 6 ones
    assert alpha.n == 10
    assert krippendorff_alpha([[True, True], [False, False, False]]) == (1.0, None, None, 2)
    assert krippendorff_alpha([[True, True], [True, True]]) is None
    assert krippendorff_alpha([[True], [False]]) is None


# --- corrected shares ---


def two_kinds(judged_visual: int, n: int, table: list[list[int]]) -> Estimate | None:
    """Correct where only spurious and visual occur; `table`: spurious, visual × judged spurious, visual."""
    (a, b), (c, d) = table
    full = np.array([[a, 0, b], [0, 10_000, 0], [c, 0, d]])  # non-visual ones are never confused: ruled out
    known: dict[Leaf, int] = {"spurious": 0, "visual": 0}
    return correct({"spurious": n - judged_visual, "visual": judged_visual}, full, known=known).visual


def test_with_two_kinds_it_is_rogan_and_gladens() -> None:
    # Sensitivity 36/40, specificity 48/60: (0.41 - 0.2) / 0.7 = 0.3.
    found = two_kinds(410, 1000, [[48, 12], [4, 36]])
    assert found
    assert found.value == pytest.approx(0.3, abs=1e-6)
    # 17 % yes, but a fifth of the negatives get one by error: below 0, so clipped; and above 1.
    low, high = two_kinds(17, 100, [[48, 12], [4, 36]]), two_kinds(92, 100, [[48, 12], [4, 36]])
    assert low
    assert low.high is not None
    assert (low.value, low.low) == pytest.approx((0, 0), abs=1e-4)
    assert 0.02 < low.high < 0.25
    assert high
    assert high.value == pytest.approx(1, abs=1e-4)
    assert two_kinds(20, 1000, [[48, 12], [4, 36]]) is None, "2 % where false alarms alone make 20: a contradiction"
    assert two_kinds(5, 10, [[5, 0], [0, 0]]) is None, "no visual one labelled"
    coin = np.array([[5, 0, 5], [0, 0, 0], [5, 0, 5]])
    assert correct({"spurious": 5, "visual": 5}, coin, known={}) == (None, None, None)
    nothing = two_kinds(0, 2000, [[25, 0], [0, 25]])
    assert nothing, "no yes at all is no contradiction"
    assert nothing.value == pytest.approx(0, abs=1e-6)


def lang_reiczigel(hits: int, n: int, found: int, positives: int, rejected: int, negatives: int) -> tuple[float, float]:
    """The 95 % interval of Lang and Reiczigel (2014), equations 6, 7, 16 and 17."""
    z2 = 3.841459
    se, sp, p = (found + 1) / (positives + 2), (rejected + 1) / (negatives + 2), (hits + z2 / 2) / (n + z2)
    youden = se + sp - 1
    share = (p + sp - 1) / youden
    a, b = se * (1 - se) / (positives + 2), sp * (1 - sp) / (negatives + 2)
    centre = share + 2 * z2 * (share * a - (1 - share) * b)
    half = math.sqrt(z2 * (p * (1 - p) / (n + z2) + share**2 * a + (1 - share) ** 2 * b)) / youden
    return centre - half, centre + half


@pytest.mark.parametrize(("hits", "n"), [(410, 1000), (600, 1000), (90, 200)])
def test_intervals_are_like_lang_and_reiczigels(hits: int, n: int) -> None:
    """Theirs is another approximation to the same: with a few hundred labels the two are close."""
    found = two_kinds(hits, n, [[240, 60], [20, 180]])
    assert found
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
    found = correct({leaf: round(count) for leaf, count in judged.items()}, table.round().astype(int), known={})
    assert found.spurious
    assert found.visual
    assert found.visual_of_informative
    # Judged naively: 396, 256 and 348 in 1,000, so visual of informative 57.6 %; the truth is 350/600.
    assert found.spurious.value == pytest.approx(0.4, abs=2e-3)
    assert found.visual.value == pytest.approx(0.35, abs=2e-3)
    assert found.visual_of_informative.value == pytest.approx(350 / 600, abs=5e-3)


def test_two_stages_in_one_step() -> None:
    """An easy judge lets spurious texts through to the second question, which calls many of them visual."""
    errors = np.array([[0.5, 0.1, 0.4], [0, 1.0, 0], [0, 0, 1.0]])
    truth = np.array([600, 200, 200])
    judged = dict(zip(LEAVES, (int(x) for x in truth @ errors), strict=True))
    found = correct(judged, (truth[:, None] * errors / 10).round().astype(int), known={})
    assert found.spurious
    assert found.visual
    assert found.visual_of_informative
    assert judged == {"spurious": 300, "non_visual": 260, "visual": 440}
    assert found.spurious.value == pytest.approx(0.6)
    assert found.visual.value == pytest.approx(0.2), "44 % as judged"
    assert found.visual_of_informative.value == pytest.approx(0.5), "63 % as judged"


def test_empty_descriptions_enter_as_certain() -> None:
    judged: dict[Leaf, int] = {"spurious": 25, "non_visual": 15, "visual": 40}
    known: dict[Leaf, int] = {"spurious": 5, "non_visual": 5, "visual": 10}
    table = np.array([[9, 1, 0], [1, 8, 1], [0, 1, 9]])
    plain, with_empty = correct(judged, table, known=known), correct(judged, table, known=known, empty=100)
    assert plain.spurious
    assert plain.spurious.low is not None
    assert with_empty.spurious
    assert with_empty.visual
    assert plain.visual
    assert with_empty.spurious.value == pytest.approx((100 + 100 * plain.spurious.value) / 200)
    assert with_empty.spurious.low == pytest.approx((100 + 100 * plain.spurious.low) / 200)
    assert with_empty.visual.value == pytest.approx(plain.visual.value / 2)
    assert with_empty.visual_of_informative == plain.visual_of_informative
    assert correct({}, table, known={}, empty=3) == (None, None, None)
    assert correct(judged, np.zeros((3, 3), dtype=int), known={}) == (None, None, None)


@pytest.mark.parametrize(("own", "others", "widest"), [(50, 0, 0.4), (200, 0, 0.15), (25, 300, 0.2)])
def test_corrected_intervals_cover_the_truth_at_their_rate(own: int, others: int, widest: float) -> None:
    """200 studies: of 2,000 descriptions, all judged with errors, people label a random sample.

    In the last case most labels are of other runs, where every kind is as frequent.
    """
    rng = np.random.default_rng(3)
    shares, studies = np.array([0.3, 0.15, 0.55]), 200
    truth = {"spurious": 0.3, "visual": 0.55, "visual_of_informative": 0.55 / 0.7}
    inside, as_judged, widths, errors = dict.fromkeys(truth, 0), 0, [], []
    for _ in range(studies):
        cells = rng.multinomial(2000, (shares[:, None] * ERRORS).ravel())
        labelled = rng.multivariate_hypergeometric(cells, own).reshape(3, 3)
        judged = cells.reshape(3, 3).sum(axis=0)
        elsewhere = rng.multinomial(others, ERRORS.ravel() / 3).reshape(3, 3)
        found = correct(
            by_leaf(judged - labelled.sum(axis=0)), labelled + elsewhere, known=by_leaf(labelled.sum(axis=1)), draws=300
        )
        for name, estimate in found._asdict().items():
            assert estimate is not None
            inside[name] += estimate.low <= truth[name] <= estimate.high
        assert found.visual
        assert found.visual.low is not None
        assert found.visual.high is not None
        widths.append(found.visual.high - found.visual.low)
        errors.append(found.visual.value - truth["visual"])
        uncorrected = wilson(int(judged[2]), 2000)
        assert uncorrected.low is not None
        assert uncorrected.high is not None
        as_judged += uncorrected.low <= truth["visual"] <= uncorrected.high
    rates = {name: hits / studies for name, hits in inside.items()}
    # Three standard errors of a rate of 0.95 over 200 studies are 0.046.
    assert all(0.904 <= rate <= 0.996 for rate in rates.values()), rates
    assert np.mean(widths) < widest
    assert abs(np.mean(errors)) < 0.01
    assert as_judged / studies < 0.5, "what the correction is for"


def by_leaf(counts: np.ndarray) -> dict[Leaf, int]:
    return {leaf: int(count) for leaf, count in zip(LEAVES, counts, strict=True)}


def test_table_orders_truth_by_judge() -> None:
    table = calibration_table([("visual", "spurious"), ("visual", "visual"), ("spurious", "spurious")])
    assert table.tolist() == [[1, 0, 0], [0, 0, 0], [1, 0, 1]]
