"""Labels with weights: by hand, as unweighted ones where all is labelled, and by simulation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from analysis.agreement.corrected_shares import Leaf, Outcome, correct_shares
from analysis.agreement.labels import JudgeId, Labeled, RunLabels, TwoAnswers
from analysis.agreement.raters import Confusion, cohen_kappa, krippendorff_alpha
from analysis.agreement.stored import FEWEST_LABELS
from analysis.agreement.strata import Design
from analysis.agreement.weighted import (
    WeightedRates,
    kinds_table,
    question_table,
    weighted_alpha,
    weighted_kinds,
    weighted_rates,
)
from analysis.judge.base import Question
from analysis.labeling.sample import Drawn, Sample
from analysis.labeling.strata import shares_of_labels
from analysis.statistics.intervals import Estimate
from analysis.statistics.shares import share_interval
from analysis.verdicts.breakdown import LEAVES
from analysis.verdicts.verdicts import Kind
from ex2.run.descriptions import DescribedClass

ANSWERS: dict[Kind | None, TwoAnswers] = {
    "visual": TwoAnswers(True, True),
    "non_visual": TwoAnswers(True, False),
    "spurious": TwoAnswers(False, None),
    "informative_unparsed": TwoAnswers(True, None),
    "unparsed": TwoAnswers(None, None),
    None: TwoAnswers(None, None),
}


class Cell(NamedTuple):
    """Drawn descriptions of one stratum: what people say (None: nothing), what the judge says, and how many."""

    people: Leaf | None
    judge: Kind
    count: int


def run_of(
    cells: Sequence[Cell], strata: dict[Kind, int], *, prefix: str = "", drawn_by: dict[Kind, Kind] | None = None
) -> RunLabels:
    """A run's labels in memory; `drawn_by` gives the stratum of a verdict where another judge judged since."""
    listed = [(cell.people, cell.judge) for cell in cells for _ in range(cell.count)]
    rows = [
        Labeled("pug", f"{prefix}{number}", ANSWERS[people], ANSWERS[judge], judge)
        for number, (people, judge) in enumerate(listed)
    ]
    items = tuple(Drawn(0, number, row.class_name, row.text) for number, row in enumerate(rows))
    verdicts = tuple((drawn_by or {}).get(row.kind, row.kind) for row in rows)
    sample = Sample(0, sum(strata.values()), "f", items, "d", strata, verdicts)
    if not strata:
        sample = Sample(0, len(items), "f", items)
    return RunLabels(Path(prefix or "run"), (0,), sample, ("a",), {}, tuple(rows), JudgeId("j", "r", "d"), ("r",), {})


def rates(*runs: RunLabels, question: Question = "informative", confidence: float = 0.95) -> WeightedRates:
    design = Design.of(runs)
    assert design is not None
    rows = [row for run in runs for row in run.labeled]
    table = question_table(design, rows, question)
    counted = Confusion.of(
        (people, judge)
        for row in rows
        if (people := row.people.to(question)) is not None and (judge := row.judge.to(question)) is not None
    )
    return weighted_rates(table, counted, confidence)


def value(estimate: Estimate | None) -> float:
    assert estimate is not None
    return estimate.value


BY_HAND = [
    Cell("visual", "visual", 18),
    Cell("spurious", "visual", 2),
    Cell("visual", "spurious", 3),
    Cell("spurious", "spurious", 7),
]
"""20 of 900 descriptions judged visual, and 10 of 100 judged spurious, are labelled: a label stands for 45, or 10."""


def test_rates_by_hand() -> None:
    found = rates(run_of(BY_HAND, {"visual": 900, "spurious": 100}))
    # Both yes 810, only people 30, only the judge 90, both no 70.
    assert value(found.agreement) == pytest.approx(0.88)
    assert value(found.sensitivity) == pytest.approx(810 / 840)
    assert value(found.specificity) == pytest.approx(70 / 160)
    assert value(found.youden) == pytest.approx(810 / 840 + 70 / 160 - 1)
    chance = 0.84 * 0.9 + 0.16 * 0.1
    assert value(found.kappa) == pytest.approx((0.88 - chance) / (1 - chance))
    n = [estimate.n for estimate in found if estimate]
    assert n == [30, 30, 21, 9, 9], "labels, of people's yes and no"
    naive = Confusion(18, 3, 2, 7)
    assert value(naive.specificity()) == pytest.approx(7 / 9), "what the labels would say without weights"


def test_an_unlabeled_description_changes_the_weight_of_its_stratum() -> None:
    """Whoever stops early has labelled a random sample of each stratum: 900 is shared among those labelled."""
    more = [*BY_HAND, Cell(None, "visual", 5), Cell(None, "spurious", 9)]
    sizes: dict[Kind, int] = {"visual": 900, "spurious": 100}
    assert rates(run_of(more, sizes)) == rates(run_of(BY_HAND, sizes))


def test_the_second_question_is_weighted_by_all_labels_of_a_stratum() -> None:
    cells = [
        Cell("visual", "visual", 15),
        Cell("non_visual", "visual", 3),
        Cell("spurious", "visual", 2),
        Cell("visual", "non_visual", 2),
        Cell("non_visual", "non_visual", 6),
        Cell("spurious", "non_visual", 2),
        Cell("visual", "spurious", 4),
    ]
    found = rates(run_of(cells, {"visual": 800, "non_visual": 50, "spurious": 150}), question="visual")
    # A label stands for 40 among the visual ones and for 5 among the non-visual: 600, 120, 10, 30 of 760.
    assert value(found.agreement) == pytest.approx(630 / 760)
    assert value(found.sensitivity) == pytest.approx(600 / 610)
    assert value(found.specificity) == pytest.approx(30 / 150)
    assert found.agreement
    assert found.agreement.n == 26


def test_kinds_and_their_table_by_hand() -> None:
    run = run_of(BY_HAND, {"visual": 900, "spurious": 100})
    design = Design.of([run])
    assert design is not None
    table = kinds_table(design, run.labeled)
    # In the order of LEAVES × OUTCOMES, summing to 30 labels: 70, 90, 30 and 810 of 1,000.
    expected = np.zeros((3, 4))
    expected[0, 0], expected[0, 2], expected[2, 0], expected[2, 2] = 2.1, 2.7, 0.9, 24.3
    assert table.value().reshape(3, 4) == pytest.approx(expected)
    same, kappa = weighted_kinds(table, 30, 0.95)
    assert value(same) == pytest.approx(0.88)
    assert value(kappa) == pytest.approx((0.88 - 0.772) / 0.228)


def test_another_judges_verdicts_keep_the_weights_of_the_drawing() -> None:
    """Drawn by a judge who called 900 visual; judged since by one who calls other ones spurious."""
    cells = [Cell("visual", "visual", 18), Cell("spurious", "unparsed", 2), Cell("spurious", "spurious", 10)]
    run = run_of(cells, {"visual": 900, "spurious": 100}, drawn_by={"unparsed": "visual"})
    found = rates(run)
    # 810 both yes, 100 both no; 90 could not be read and are outside.
    assert value(found.agreement) == 1
    assert value(found.kappa) == 1
    mixed = rates(
        run_of(
            [*cells, Cell("visual", "non_visual", 10)],
            run.sample.strata,
            drawn_by={"non_visual": "spurious", "unparsed": "visual"},
        )
    )
    # The spurious stratum holds both answers now, 5 each: 810 + 50 both yes, 50 both no.
    assert value(mixed.sensitivity) == 1
    assert value(mixed.specificity) == 1
    assert mixed.kappa
    assert mixed.kappa.low is not None
    assert mixed.kappa.low > 0


def test_where_every_stratum_is_labeled_alike_intervals_are_those_of_a_simple_sample() -> None:
    """40 of 4,000 and 60 of 6,000: all weights are 100, so that strata hardly tell more."""
    cells = [
        Cell("visual", "visual", 50),
        Cell("spurious", "visual", 10),
        Cell("visual", "spurious", 8),
        Cell("spurious", "spurious", 32),
    ]
    found = rates(run_of(cells, {"visual": 6000, "spurious": 4000}))
    simple = Confusion(50, 8, 10, 32)
    for weighted, plain in (
        (found.agreement, simple.agreement()),
        (found.kappa, simple.kappa()),
        (found.sensitivity, simple.sensitivity()),
        (found.specificity, simple.specificity()),
    ):
        assert weighted is not None
        assert plain is not None
        assert weighted.value == pytest.approx(plain.value)
        assert (weighted.low, weighted.high) == pytest.approx((plain.low, plain.high), abs=0.05)


def test_alpha_weighs_each_description() -> None:
    """A label stands for 45 or 10: α is that of each description repeated so often, up to the finite sample's term."""
    run = run_of(BY_HAND, {"visual": 900, "spurious": 100})
    design = Design.of([run])
    assert design is not None
    votes = [[row.people.informative is True, number % 4 != 0] for number, row in enumerate(run.labeled)]
    weights = [45 if row.kind == "visual" else 10 for row in run.labeled]
    repeated = [unit for unit, weight in zip(votes, weights, strict=True) for _ in range(weight)]
    expected = krippendorff_alpha(repeated)
    found = weighted_alpha(design, [(row.described, unit) for row, unit in zip(run.labeled, votes, strict=True)], 0.95)
    assert found is not None
    assert expected is not None
    # 1 − α has the factor (n − 1)/n, n values: 59/60 for 30 descriptions, 1,999/2,000 for 1,000.
    assert 1 - found.value == pytest.approx((1 - expected.value) * (59 / 60) / (1999 / 2000))
    assert found.n == 30
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.value < found.high
    assert weighted_alpha(design, [(row.described, [True]) for row in run.labeled], 0.95) is None
    assert weighted_alpha(design, [(row.described, [True, True]) for row in run.labeled], 0.95) is None


def test_pooled_runs_count_by_their_labels_and_a_shared_text_once() -> None:
    first = run_of(BY_HAND, {"visual": 900, "spurious": 100}, prefix="a")
    second = run_of(
        [Cell("visual", "visual", 8), Cell("spurious", "spurious", 2)], {"visual": 8, "spurious": 992}, prefix="b"
    )
    found = rates(first, second)
    # 30 labels of the first run, 10 of the second, which is nearly all spurious: agreement (30 · .88 + 10) / 40.
    assert value(found.agreement) == pytest.approx(36.4 / 40)
    # The same run under two names: every text is one label, so that intervals are as those of one run.
    design = Design.of([first, replace(first, run=Path("b"))])
    assert design is not None
    assert design.by_text[DescribedClass("pug", "a0")] == (0, 2)
    table = question_table(design, first.labeled, "informative")
    twice, once = weighted_rates(table, Confusion(18, 3, 2, 7), 0.95), rates(first)
    for pooled, alone in zip(twice, once, strict=True):
        assert pooled is not None
        assert alone is not None
        assert pooled.value == pytest.approx(alone.value)
        assert (pooled.low, pooled.high) == pytest.approx((alone.low, alone.high), abs=0.04)


def test_a_simple_sample_joins_a_weighted_one_with_weight_one() -> None:
    first = run_of(BY_HAND, {"visual": 900, "spurious": 100}, prefix="a")
    plain = run_of([Cell("visual", "visual", 6), Cell("spurious", "visual", 4)], {}, prefix="b")
    assert Design.of([plain]) is None
    found = rates(first, plain)
    assert value(found.agreement) == pytest.approx((30 * 0.88 + 6) / 40)


# --- simulation ---

Mix = tuple[float, float, float]

NEARLY_ALL_VISUAL: Mix = (0.02, 0.01, 0.97)
STRICT = np.array([[0.8, 0.05, 0.15], [0.1, 0.75, 0.15], [0.1, 0.05, 0.85]])
"""A judge by truth × verdict: sensitivity .9 and specificity .8 on the first question."""
GOOD = np.array([[0.9, 0.05, 0.05], [0.05, 0.85, 0.1], [0.01, 0.02, 0.97]])
GUESSING = np.array([[0.1, 0.1, 0.8]] * 3)


def study(
    mix: Mix, errors: np.ndarray, n: int, rng: np.random.Generator, size: int = 2000
) -> tuple[RunLabels, np.ndarray]:
    """A run of `size` descriptions of which `n` are labelled, stratified; and all counts, truth × verdict."""
    cells = rng.multinomial(size, (np.array(mix)[:, None] * errors).ravel()).reshape(3, 3)
    strata: dict[Kind, int] = {leaf: int(count) for leaf, count in zip(LEAVES, cells.sum(axis=0), strict=True) if count}
    shares, taken = shares_of_labels(strata), dict.fromkeys(strata, 0)
    for _ in range(n):
        left = [kind for kind in shares if taken[kind] < strata[kind]]
        taken[max(left, key=lambda kind: shares[kind] / (taken[kind] + 0.5))] += 1
    drawn = [
        Cell(truth, leaf, int(count))
        for place, leaf in enumerate(LEAVES)
        if leaf in strata
        for truth, count in zip(LEAVES, rng.multivariate_hypergeometric(cells[:, place], taken[leaf]), strict=True)
    ]
    return run_of(drawn, strata), cells


def holds(estimate: object, truth: float) -> list[bool]:
    """Whether an interval holds the truth; nothing where no number was given."""
    if not isinstance(estimate, Estimate) or estimate.low is None or estimate.high is None:
        return []
    return [estimate.low - 1e-9 <= truth <= estimate.high + 1e-9]


def truths(mix: Mix, errors: np.ndarray) -> tuple[float, float, float]:
    """κ, sensitivity and specificity on the first question, of very many descriptions."""
    table = np.array(mix)[:, None] * errors
    yes, hit, right = table[1:].sum(), table[1:, 1:].sum(), table[0, 0]
    chance = yes * table[:, 1:].sum() + (1 - yes) * table[:, 0].sum()
    return float((hit + right - chance) / (1 - chance)), float(hit / yes), float(right / (1 - yes))


@pytest.mark.parametrize(("mix", "errors"), [(NEARLY_ALL_VISUAL, STRICT), ((0.02, 0.03, 0.95), GOOD)])
def test_intervals_cover_where_nearly_all_is_visual(mix: Mix, errors: np.ndarray) -> None:
    """Over 2,000 studies of each of 15 worlds and numbers of labels the means are 95 to 98 %, the least 92 %."""
    rng = np.random.default_rng(17)
    kappa, sensitivity, specificity = truths(mix, errors)
    inside: dict[str, list[bool]] = {}
    for _ in range(150):
        run, cells = study(mix, errors, 100, rng)
        found, design = rates(run), Design.of([run])
        assert design is not None
        table = kinds_table(design, run.labeled)

        def draw(prior: float, draws: int, source: np.random.Generator, table=table) -> np.ndarray:  # type: ignore[no-untyped-def]
            drawn: np.ndarray = table.draw(prior, draws, source)
            return drawn.reshape(draws, 3, 4)

        known = {leaf: sum(row.truth == leaf for row in run.labeled) for leaf in LEAVES}
        labeled = [sum(row.kind == leaf for row in run.labeled) for leaf in LEAVES]
        judged: dict[Outcome, int] = {
            leaf: int(count) for leaf, count in zip(LEAVES, cells.sum(axis=0) - labeled, strict=True)
        }
        weighted = table.value().reshape(3, 4)
        shares = correct_shares(judged, weighted, known=known, draws=200, draw_table=draw)
        for name, estimate, truth in (
            ("kappa", found.kappa, kappa),
            ("sensitivity", found.sensitivity, sensitivity),
            ("specificity", found.specificity, specificity),
            ("spurious", shares.spurious, mix[0]),
            ("visual", shares.visual, mix[2]),
            ("visual of informative", shares.visual_of_informative, mix[2] / (1 - mix[0])),
        ):
            inside.setdefault(name, []).extend(holds(estimate, truth))
    covered = {name: float(np.mean(held)) for name, held in inside.items()}
    assert min(map(len, inside.values())) >= 120, "nearly always a number is given"
    assert np.mean([*covered.values()]) >= 0.93, covered
    assert min(covered.values()) >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / 120), covered


def test_specificity_is_known_better_than_from_a_simple_sample() -> None:
    """The same number of labels; specificity of no label counts as [0, 1]. Measured over 2,000 studies: .77 and .88."""
    rng = np.random.default_rng(23)
    widths = []
    for _ in range(100):
        run, cells = study(NEARLY_ALL_VISUAL, STRICT, 100, rng)
        found = rates(run).specificity
        simple = rng.multivariate_hypergeometric(cells.ravel(), 100).reshape(3, 3)
        no = int(simple[0].sum())
        plain = share_interval(int(simple[0, 0]), no) if no else Estimate(0.0, 0.0, 1.0, 0)
        widths.append([1.0 if e is None else (e.high or 0) - (e.low or 0) for e in (found, plain)])
    stratified, plain_width = np.mean(widths, axis=0)
    assert stratified < 0.93 * plain_width


def is_calibrated(found: WeightedRates, counted: tuple[int, int]) -> bool:
    """The three thresholds of `JudgeAgreement.shortfalls`, written out."""
    lows = [estimate.low for estimate in (found.kappa, found.youden) if estimate and estimate.low is not None]
    return min(counted) >= FEWEST_LABELS and len(lows) == 2 and min(lows) > 0


@pytest.mark.parametrize("mix", [(0.3, 0.1, 0.6), (0.1, 0.1, 0.8)])
def test_a_guessing_judge_is_hardly_ever_calibrated(mix: Mix) -> None:
    rng = np.random.default_rng(29)
    badges = []
    for _ in range(200):
        run, _ = study(mix, GUESSING, 100, rng)
        spurious = sum(row.truth == "spurious" for row in run.labeled)
        badges.append(is_calibrated(rates(run), (100 - spurious, spurious)))
    assert np.mean(badges) <= 0.025 + 3 * np.sqrt(0.025 * 0.975 / 200)


def test_a_judge_that_knows_is_calibrated() -> None:
    rng = np.random.default_rng(31)
    found = [is_calibrated(rates(study((0.3, 0.1, 0.6), GOOD, 100, rng)[0]), (70, 30)) for _ in range(20)]
    assert all(found)


def test_kappa_of_a_simple_table_is_as_before() -> None:
    """What has weights 1 is computed as it was: the same draws from the same seed."""
    found = cohen_kappa([[20, 4], [0, 54]])
    drawn = np.random.default_rng(0).dirichlet(np.array([20, 4, 0, 54]) + 0.5, size=4000)
    chance = (drawn[:, 0] + drawn[:, 1]) * (drawn[:, 0] + drawn[:, 2])
    chance += (drawn[:, 2] + drawn[:, 3]) * (drawn[:, 1] + drawn[:, 3])
    kappas = (drawn[:, 0] + drawn[:, 3] - chance) / (1 - chance)
    assert found is not None
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(kappas, [0.025, 0.975])), abs=1e-12)
