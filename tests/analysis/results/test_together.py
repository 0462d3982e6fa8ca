"""Means over seeds tested together: by hand, against scipy, and by simulation where seeds drift."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from pages import seed_result
from scipy import stats

from analysis.figures.breakdown import breakdown_figure
from analysis.paper.one_run import run_tables
from analysis.report.findings import findings
from analysis.report.overview import seed_table
from analysis.results.changes import change_of, changes_note, leaf_changes
from analysis.results.experiment import Experiment
from analysis.results.headline import headline
from analysis.results.pooling import Difference
from analysis.results.seeds import pool_seeds
from analysis.results.wording import points, verdict_words
from analysis.statistics.together import least_detectable, means_together
from analysis.tables.rules import Rules
from analysis.verdicts.breakdown import Leaf


def test_holm_and_bonferroni_by_scipy() -> None:
    families = [[0.30, 0.34, 0.29, 0.33], [-0.10, -0.02, -0.09, -0.15], [0.01, -0.03, 0.02, 0.04]]
    found = means_together(families, 0.95)
    raw = [stats.ttest_1samp(values, 0).pvalue for values in families]
    assert raw[0] < raw[1] < raw[2]
    assert [each.p for each in found] == pytest.approx([3 * raw[0], 2 * raw[1], raw[2]])
    for values, each in zip(families, found, strict=True):
        interval = stats.ttest_1samp(values, 0).confidence_interval(1 - 0.05 / 3)
        assert (each.value, each.low, each.high) == pytest.approx((np.mean(values), interval.low, interval.high))
    with pytest.raises(ValueError, match="a test over seeds needs at least two that differ"):
        means_together([[0.1, 0.1]], 0.95)


def test_where_holm_finds_more_than_bonferroni_the_interval_ends_at_zero() -> None:
    families = [[0.30, 0.34, 0.29, 0.33], [-0.10, -0.04, -0.09, -0.12], [-0.10, -0.03, -0.08, -0.12]]
    first, second, third = means_together(families, 0.95)
    raw = [stats.ttest_1samp(values, 0).pvalue for values in families]
    assert 0.05 / 3 < raw[2] < 0.05, "by itself below the level, not by a third of it"
    assert max(first.p, second.p, third.p) < 0.05
    assert third.high == 0.0
    assert first.low > 0


def drawn(means: Sequence[float], drift: float, rng: np.random.Generator, seeds: int = 3) -> list[list[float]]:
    """Changes of three shares that drift from seed to seed; the three add up to 0, as shares do."""
    free = np.asarray(means) + drift * rng.standard_normal((seeds, 3))
    return [column.tolist() for column in (free - free.mean(1, keepdims=True)).T]


@pytest.mark.parametrize("means", [(0.0, 0.0, 0.0), (0.4, -0.2, -0.2), (0.6, 0.0, -0.6)])
def test_all_three_intervals_hold_together(means: tuple[float, float, float]) -> None:
    """Of 600 studies with 3 seeds and 8 points of drift: at least 93 % have all three true changes inside."""
    rng = np.random.default_rng(11)
    held = false = 0
    for _ in range(600):
        found = means_together(drawn(means, 0.08, rng), 0.95)
        held += all(each.low <= mean <= each.high for each, mean in zip(found, means, strict=True))
        false += any(each.p < 0.05 for each, mean in zip(found, means, strict=True) if mean == 0)
        for each in found:
            assert (each.p < 0.05) is not (each.low < 0 < each.high)
    assert held / 600 >= 0.93
    assert false / 600 <= 0.06


def test_the_smallest_that_could_be_found_is_found_in_four_of_five() -> None:
    """3 seeds with a standard deviation of 8 points, at a third of 5 %: by simulated t-tests."""
    error = 0.08 / math.sqrt(3)
    least = least_detectable(error, 2, 0.05 / 3)
    rng = np.random.default_rng(5)
    values = least + 0.08 * rng.standard_normal((20_000, 3))
    assert (stats.ttest_1samp(values, 0, axis=1).pvalue < 0.05 / 3).mean() == pytest.approx(0.8, abs=0.01)
    assert 0.40 < least < 0.50, "40 points are found less often: in about three of four"
    assert least_detectable(error, 4, 0.05 / 3) < 0.6 * least, "with this error, five seeds find much less"


@pytest.mark.parametrize(("change", "power"), [(0.1, 0.09), (0.2, 0.30), (0.4, 0.78)])
def test_three_seeds_find_a_change_as_rarely_as_the_noncentral_t_says(change: float, power: float) -> None:
    """8 points of drift between seeds: of studies in which visual rises so much, in how many Holm's test finds it.

    The other two kinds fall by half of it each. Holm's first step alone, at a third of 5 %, is a bound from below.
    """
    rng = np.random.default_rng(3)
    found = 0
    for _ in range(3000):
        tested = means_together(
            (np.array([[1.0], [-0.5], [-0.5]]) * change + 0.08 * rng.standard_normal((3, 3))).tolist()
        )
        found += tested[0].p < 0.05
    error = 0.08 / math.sqrt(3)
    first_step = float(stats.nct.sf(stats.t.isf(0.05 / 6, 2), 2, change / error))
    assert found / 3000 >= first_step - 0.02
    assert found / 3000 == pytest.approx(power, abs=0.03)


def experiment(changes: dict[Leaf, Sequence[float]]) -> Experiment:
    """As many seeds as each kind has values."""
    seeds = len(next(iter(changes.values())))
    results = [seed_result(seed) for seed in range(seeds)]
    for result in results:  # the KL of the last ten batches is on its target
        result.train[:] = [row | {"kl": 10.0} for row in result.train]
    made = pool_seeds("tiny", results)
    shares = {
        leaf: Difference(
            float(np.mean(values)),
            -0.01,
            0.5,
            True,
            None,
            40 * seeds,
            seeds,
            by_seed=tuple(values) if seeds > 1 else (),
        )
        for leaf, values in changes.items()
    }
    spread = np.linspace(-0.02, 0.02, 6)  # all six classes change much alike
    classes = {leaf: tuple(float(np.mean(values) + each) for each in spread) for leaf, values in changes.items()}
    return replace(made, share_changes=shares, class_changes=classes)


@pytest.mark.parametrize(
    ("visual", "answer"),
    [
        ([0.5], "toy-visual: visual wording became more frequent in this run"),
        ([0.5, 0.51], "toy-visual: visual wording became more frequent in this run"),
        ([0.5, 0.51, 0.49], "toy-visual rewards visual wording"),
        ([0.5, 0.3, 0.1], "toy-visual: over 3 seeds no kind of wording rose for certain"),
        ([0.14, 0.10, 0.08], "toy-visual: over 3 seeds no kind of wording rose for certain"),
        ([0.11, 0.10, 0.10], "toy-visual rewards visual wording"),
    ],
)
def test_what_the_vlm_rewards_takes_three_seeds_and_holm(visual: list[float], answer: str) -> None:
    """0.14, 0.10, 0.08 alone has p = 0.026, and as the first of three 0.079. The others fall, each with a spread."""
    other = [-value / 2 + (-1) ** seed * 0.03 for seed, value in enumerate(visual)]
    spurious = [-value - rest for value, rest in zip(visual, other, strict=True)]
    made = experiment({"visual": visual, "non_visual": other, "spurious": spurious})
    said = headline(made)
    assert said.answer == answer
    assert (said.kind == "visual") is ("more frequent" in answer or "rewards" in answer)
    text = {finding.topic: finding.text for finding in findings(made)}
    if len(visual) < 3:
        assert said.caution.startswith("This is of this run, with ")
        assert said.caution.endswith("what the VLM does in other runs takes 3 seeds.")
        assert ("One seed" in text, "Two seeds" in text) == (len(visual) == 1, len(visual) == 2)
        assert leaf_changes(made)["visual"] == made.share_changes["visual"]
        return
    reach = float(stats.t.ppf(1 - 0.05 / 6, 2)) * np.std(visual, ddof=1) / math.sqrt(3)
    change = leaf_changes(made)["visual"]
    assert (change.low, change.high) == pytest.approx(
        (max(np.mean(visual) - reach, -1.0), min(np.mean(visual) + reach, 1.0))
    )
    worst = max(np.std(values, ddof=1) for values in (visual, other, spurious)) / math.sqrt(3)
    least = 100 * least_detectable(worst, 2, 0.05 / 3)
    found = f"changes of {least:.0f}\u00a0points or more" if least < 100 else "not even a change of all descriptions"
    assert said.caution == "", "nothing limits it: three seeds, an exact judge, the KL on its target"
    assert "(t over 3 seeds, Holm)" in said.evidence
    assert found in said.evidence
    assert "(t over 3 seeds, Holm)" in text["What alignment changed"]


def test_kinds_that_are_equal_in_all_seeds_take_no_part() -> None:
    made = experiment({"visual": [0.1, 0.1, 0.1], "spurious": [-0.1, -0.1, -0.1]})
    assert leaf_changes(made) == {leaf: made.share_changes[leaf] for leaf in ("visual", "spurious")}
    assert "(t over 3 seeds, Holm)" not in headline(made).evidence


def test_every_place_shows_the_intervals_that_hold_together() -> None:
    """Visual by itself has p = 0.026 over three seeds, and as the first of three 0.079."""
    changes: dict[Leaf, list[float]] = {"visual": [0.14, 0.10, 0.08], "spurious": [-0.1, -0.04, -0.06]}
    made = experiment({**changes, "non_visual": [-0.04, -0.06, -0.02]})
    alone = dict(made.share_changes) | {"informative": replace(made.share_changes["visual"], value=0.06, low=0.02)}
    made = replace(made, share_changes=alone)
    joint = leaf_changes(made)["visual"]
    assert joint.low is not None
    assert joint.low < 0 < 0.14 < (joint.high or 0)
    assert (made.share_changes["visual"].significant, joint.significant) == (True, False)
    assert change_of(made, "visual") == joint
    assert change_of(made, "informative") == made.share_changes["informative"], "no member of the family"
    shown = f"{points(joint)}, {verdict_words(joint)}"
    assert dict(seed_table([made]))["visual, aligned; change"][0].endswith(shown)
    own = next(table for table in run_tables(made, Rules()) if table.key.endswith("-breakdown"))
    cell = next(row.cells[-1] for row in own.rows if row.names == ("visual",))
    assert (cell.low, cell.significant) == (pytest.approx(100 * joint.low), False)
    note = "Changes of visual, non-visual and spurious hold together (Holm over 3 seeds); that of informative stands"
    assert f"{note} alone." in own.notes
    figure = breakdown_figure(made, "aligned")
    assert figure
    assert all(f"{points(joint)}, n.s." in drawing for drawing in figure)
    two = experiment({leaf: values[:2] for leaf, values in changes.items()})
    assert change_of(two, "visual") == two.share_changes["visual"]
    assert changes_note(two).startswith("Each change stands alone: ")
    assert changes_note(replace(two, share_changes={})) == ""
