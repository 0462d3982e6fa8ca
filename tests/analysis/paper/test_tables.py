"""Tables over experiments: gates, marks, notes, places in a row, and comparisons side by side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter
from scipy import stats
from table_samples import place, tables_of

from analysis.paper.comparisons import cross_tables, kl_table
from analysis.results.experiment import Counts, Experiment, by_row
from analysis.results.kl import KLReached, StoredKL
from analysis.results.pooling import Difference, Pooled
from analysis.tables.rules import NOT_ABOVE, Rules
from analysis.verdicts.breakdown import GROUPS, group_shares

OPEN = "no significant difference: between −5.0 and +1.0\u00a0points are possible"


def experiment(name: str = "e", vlm: str = "A", dataset: str = "d", **settings: Any) -> Experiment:
    accuracies = settings.pop("accuracies", {"templates": 0.6, "aligned": 0.7})
    numbers = {arm: Pooled(value, None, None, 100, 1) for arm, value in accuracies.items()}
    return Experiment(name, vlm, dataset, numbers, **settings)


@pytest.mark.parametrize("denominator", ["parsed", "all"])
def test_shares_are_those_of_the_breakdown(denominator: Any) -> None:
    counts = Counts(100, 40, 57, 30, 20)
    kinds: Any = {"spurious": 40, "visual": 30, "non_visual": 20, "informative_unparsed": 7, "unparsed": 3}
    expected = group_shares(kinds, denominator)
    for group in GROUPS:
        share = counts.share(group, denominator, 0.95)
        assert share is not None
        assert (share.value, share.n) == (expected[group].of_parent.value, expected[group].of_parent.n)
    visual = counts.share("visual", denominator, 0.95)
    assert visual is not None
    assert visual.value == (30 / 57 if denominator == "all" else 30 / 50)
    wilson = stats.binomtest(30, visual.n).proportion_ci(method="wilson")
    assert (visual.low, visual.high) == pytest.approx((wilson.low, wilson.high))
    assert (counts.lost_information, counts.lost_visibility) == (3, 7)


def test_cells_of_the_breakdown_are_empty_where_ex2_is_not_above_the_templates() -> None:
    counts = (Counts(10, 4, 6, 3, 3),)
    same = experiment("same", "A", accuracies={"templates": 0.7, "aligned": 0.7}, counts=counts)
    # 0.1 + 0.2 exceeds 0.3 by rounding alone.
    rounding = experiment("r", "B", accuracies={"templates": 0.3, "aligned": 0.1 + 0.2}, counts=counts)
    better = experiment("better", "C", counts=counts)
    unknown = experiment("unknown", "D", accuracies={"templates": 0.7}, counts=counts)
    made = tables_of([same, rounding, better, unknown])["table-02-informative"]
    assert [row.cells[0].empty for row in made.rows] == [NOT_ABOVE, NOT_ABOVE, "", "not measured"]
    filled = tables_of([same, rounding, better, unknown], Rules(every_cell=True))["table-02-informative"]
    assert [row.cells[0].value for row in filled.rows] == [60.0] * 4


@pytest.mark.parametrize(("kl", "off"), [(8.0, False), (7.9, True), (12.0, False), (12.1, True), (None, None)])
def test_a_kl_more_than_20_percent_off_its_target_is_flagged(kl: float | None, off: bool | None) -> None:
    reached = None if kl is None else KLReached(Pooled(kl, None, None, 2, 1), 10.0)
    cell = tables_of([experiment(kl=reached)])["table-01-accuracy"].rows[0].cells[0]
    assert (cell.kl, cell.kl_target, cell.kl_off_target) == (kl, reached and 10.0, off)
    assert ("more than 20 %" in cell.kl_note) is bool(off)
    if reached is not None:
        assert reached.off(0.2) is off
        assert KLReached(reached.mean, None).off(0.2) is None


def test_a_mean_on_target_does_not_hide_seeds_off_it() -> None:
    reached = KLReached(Pooled(10.0, None, None, 6, 3), 10.0, {0: 5.0, 1: 15.0, 2: 10.0})
    assert reached.off(0.2) is True
    assert reached.distance == 0.5
    stored: TypeAdapter[KLReached | None] = TypeAdapter(StoredKL)
    assert json.loads(stored.dump_json(reached, by_alias=True)) == {
        "reached": {"value": 10.0, "low": None, "high": None, "n": 6, "seeds": 3},
        "by_seed": {"0": 5.0, "1": 15.0, "2": 10.0},
        "target": 10.0,
        "off_target": True,
    }
    assert stored.validate_json(stored.dump_json(reached, by_alias=True)) == reached
    unknown = {"reached": None, "by_seed": {}, "target": None, "off_target": None}
    assert json.loads(stored.dump_json(None)) == unknown
    assert stored.validate_python(unknown) is None
    made = experiment(kl=reached)
    said = "KL 10.0 on average; more than 20 % off its target 10: 5.0 in seed 0, below; 15.0 in seed 1, above"
    assert reached.words(0.2) == said
    for table in tables_of([made]).values():
        assert all((cell.kl, cell.kl_off_target, cell.kl_note) == (10.0, True, said) for cell in table.rows[0].cells)
        kl = "A, d: 10.0 (target 10; seeds 5.0, 15.0, 10.0; n = 6 batches, 3 seeds, fewer than 10 in a seed)"
        assert any(kl in note.replace("\u00a0", " ") for note in table.notes)
    assert reached.words(0.5) == ""


def test_every_grid_says_which_seeds_are_missing() -> None:
    for table in tables_of([experiment("left", missing_seeds=(3, 5)), experiment("full", "B")]).values():
        assert "Seeds not analysed, and left out of every number: left: 3, 5." in table.notes


def test_counts_are_gated_but_for_all() -> None:
    counts = (Counts(10, 4, 6, 3, 2),)
    worse = experiment("worse", "A", accuracies={"templates": 0.7, "aligned": 0.6}, counts=counts)
    better = experiment("better", "B", counts=counts)
    made = tables_of([worse, better])["table-13-counts"]
    assert {row.names[1]: row.cells[0].empty for row in made.rows if row.names[0] == "A"} == {
        "all": "",
        **dict.fromkeys([row.names[1] for row in made.rows if row.names[1] != "all"], NOT_ABOVE),
    }
    assert [row.cells[0].value for row in made.rows if row.names[0] == "B"] == [10, 4, 6, 0, 2, 3, 1]
    assert any("visual: 1 in 1 experiment." in note for note in made.notes), "lost answers of what is shown"
    filled = tables_of([worse, better], Rules(every_cell=True))["table-13-counts"]
    assert not any(cell.empty for row in filled.rows for cell in row.cells)


def test_classes_by_template_are_said_in_the_cells() -> None:
    accuracies = {"templates": 0.6, "aligned": 0.7, "spurious": 0.65, "informative": 0.68, "visual": 0.66}
    counts = (Counts(10, 4, 6, 6, 0),)
    made = tables_of([experiment(accuracies=accuracies, counts=counts, fallback={"spurious": 3}, classes=10)])
    third = made["table-03-accuracy-by-information"]
    said = {row.names[1]: row.cells[0].notes for row in third.rows}
    assert said == {
        "80 generic templates": (),
        "spurious only": ("3 of 10 classes by template",),
        "spurious only − templates": ("3 of 10 classes by template",),
        "informative only": (),
        "informative only − templates": (),
        "informative only − spurious only": ("spurious: 3 of 10 classes by template",),
    }
    fifth = made["table-05-accuracy-by-visibility"]
    assert place(fifth, ("A", "non-visual only"), "d").empty == "no such descriptions"


def test_experiments_of_one_place_are_told_apart() -> None:
    one, two = experiment("one", kl_setting=20.0), experiment("two", kl_setting=10.0)
    assert list(by_row([one, two])) == ["A · KL 10", "A · KL 20"]
    again = experiment("three", kl_setting=10.0)
    assert list(by_row([two, again])) == ["A · two", "A · three"]
    copies = [experiment("x", kl_setting=10.0, folder=Path(name)) for name in ("p", "q")]
    assert list(by_row(copies)) == ["A · p", "A · q"]
    assert list(by_row([one, experiment("other", dataset="e", kl_setting=10.0)])) == ["A"]


def test_cross_differences_have_their_test() -> None:
    other = Difference(-0.02, -0.05, 0.01, False, 0.3, 100, 1, True)
    cross = {"A": Pooled(0.7, 0.6, 0.8, 100, 1), "B": Pooled(0.68, 0.6, 0.7, 100, 1)}
    made = experiment(cross=cross, cross_differences={"B": other})
    [table] = cross_tables([made], Rules())
    assert place(table, ("A", "minus that with its own"), "descriptions of A").empty == "its own descriptions"
    cell = place(table, ("B", "minus that with its own"), "descriptions of A")
    assert (cell.value, cell.p, cell.notes) == (
        pytest.approx(-2),
        0.3,
        (OPEN,),
    )


def test_two_runs_of_a_target_share_rows_with_those_of_the_other() -> None:
    made = [
        experiment(name, dataset=dataset, kl_setting=target)
        for dataset in ("d", "e")
        for name, target in (("ten", 10.0), ("ten-again", 10.0), ("twenty", 20.0))
    ]
    # A third target of another VLM, tried alone, opens no column.
    table = kl_table([*made, experiment("other", "B", kl_setting=5.0)], Rules())
    assert table is not None
    assert len(table.columns) == 4
    accuracy = [row for row in table.rows if row.names[1] == "accuracy of EX2"]
    assert [row.names[0] for row in accuracy] == ["A · ten, twenty", "A · ten-again"]
    assert [cell.empty for cell in accuracy[0].cells] == [""] * 4
    assert [cell.empty for cell in accuracy[1].cells] == ["", "no run"] * 2


def test_a_comparison_is_found_whichever_way_round_it_was_tested() -> None:
    gain = Difference(0.05, 0.01, 0.09, True, 0.02, 100, 1, True)
    made = experiment(differences={("aligned", "base"): gain})
    swapped = made.tested("base", "aligned")
    assert swapped is not None
    assert (swapped.value, swapped.low, swapped.high, swapped.p) == (-0.05, -0.09, -0.01, 0.02)
    assert made.tested("base", "templates") is None
