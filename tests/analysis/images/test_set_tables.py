"""Tables of image sets: what stands beside what, what every caption names, and grids against GenBench's own."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import pytest
from measured_sets import around, compared, demo, measured_set, measurement
from scipy.stats import spearmanr

from analysis.images import terminal, wording
from analysis.images.published import genbench
from analysis.images.record import Measures
from analysis.images.set_grids import grid_of, grid_table, grid_tables
from analysis.images.tables import GIVEN_TWO_SETS, comparison_table, image_tables, shots_table
from analysis.images.terminal import print_measures
from analysis.tables.export import to_csv, to_json, to_latex
from analysis.tables.table import Table, number_text
from reward.terminal import PlainConsole


def by_key(found: list[Measures]) -> dict[str, Table]:
    return {table.key: table for table in image_tables(found)}


def test_the_record_is_read_as_it_was_written() -> None:
    assert Measures.from_json(json.loads(json.dumps(demo().to_json()))) == demo()


def test_texts_cler_and_gain_always_stand_side_by_side() -> None:
    tables = by_key([demo()])
    for key in ("images-worth", "images-shots"):
        assert tables[key].columns[:5] == ("texts alone", "CLER", "ensemble", "gain", "probe")
        assert {number_text(row.cells[0], 1) for row in tables[key].rows} == {"70.7"}
    first = tables["images-worth"].rows[1]
    assert [round(cell.value or 0, 3) for cell in first.cells[:6]] == [70.7, 71.2, 79.2, 8.5, 80.1, 6.25]
    assert (first.cells[1].low, first.cells[1].n, first.cells[1].seeds) == (pytest.approx(68.2), 960, 3)
    assert tables["images-worth"].rows[2].cells[6].notes == (
        "not told from nothing",
        "the ensemble flatters: 100 % of it above nothing is the texts'",
    )
    assert [row.cells[7].text for row in tables["images-worth"].rows][2:] == [
        "3 seeds and 960 test images",
        "the set's images and 960 test images",
    ]


def test_every_caption_names_metric_and_forms() -> None:
    raw = replace(demo(), settings={"centers": "raw", "ensemble": "logits"}, metric="map_11_point")
    for table in image_tables([raw, replace(raw, name="other", dataset="pets")]):
        said = " ".join(table.notes)
        assert "Metric: 11-point mAP. Centers: raw, means of unnormalized embeddings (GenBench, Eq. 1). " in said
        assert "Ensemble: logits, mean of both logits." in said


def test_mcnemar_stands_only_where_its_condition_is_named() -> None:
    assert GIVEN_TWO_SETS == "p, McNemar, given these two sets"
    table = comparison_table([demo()])
    assert [cell.text for cell in table.rows[0].cells] == [
        "original", "CLER", "", "0.0020", "0.0040", "told apart", "3 seeds and 960 test images",
        "1.0e-05",
    ]  # fmt: skip
    shown = [(table.key, column) for table in image_tables([demo()]) for column in table.columns if "McNemar" in column]
    assert shown == [("images-comparisons", GIVEN_TWO_SETS)]


@pytest.mark.parametrize(
    ("low", "p", "verdict"),
    [
        (0.01, 0.01, "told apart"),
        (-0.01, 0.01, "not told apart"),
        (0.01, 0.06, "told apart alone, not beside the 2 others"),  # its own p is 0.03
        (0.01, 0.12, "not told apart"),
        (-0.01, 0.06, "not told apart"),
    ],
)
def test_verdicts_need_interval_and_corrected_p(low: float, p: float, verdict: str) -> None:
    rows = [compared("a", "b", 0.1, 0.1 - low, p), *(compared("a", "b", 0.0, 0.1, one) for one in (1.0, 1.0, None))]
    measures = measurement(measured_set("a"), measured_set("b"), comparisons=tuple(rows))
    assert comparison_table([measures]).rows[0].cells[5].text == verdict
    assert terminal._compared(rows[0], measures).endswith(f": {verdict}")
    assert wording.beside(replace(measures, comparisons=tuple(rows[:2]))) == "beside the other"


def test_differences_of_distances_are_no_points() -> None:
    row = replace(compared("a", "b", 0.1, 0.02, 0.01), quantity="kid")
    table = comparison_table([measurement(measured_set("a"), measured_set("b"), comparisons=(row,))])
    assert (table.rows[0].cells[2].unit, table.rows[0].cells[2].value) == ("number", 0.1)


def test_shots_rise_and_end_with_the_whole_set() -> None:
    rows = shots_table([demo()]).rows
    assert [row.names for row in rows] == [("templates", "1"), ("templates", "5"), ("templates", "20")]
    assert [number_text(row.cells[1], 1) for row in rows] == ["31.0", "58.0", "71.2"]
    # 9.6 USD are of three seeds, and the others of one
    assert [row.cells[5].value for row in rows] == [0.16, 0.8, pytest.approx(3.2)]
    assert rows[0].cells[3].empty == "not measured"


def test_of_sets_that_were_cut_the_cut_is_named_and_priced() -> None:
    cut = replace(demo(), per_class=10)
    assert [row.names[1] for row in shots_table([cut]).rows] == ["1", "5", "10"]
    assert shots_table([cut]).rows[2].cells[5].value == pytest.approx(1.6)
    assert shots_table([cut]).notes[-1].endswith("The first 10 images of each class.")


def test_probe_is_sorted_by_its_gain() -> None:
    low = measured_set("low")
    low = replace(low, numbers={**low.numbers, "probe_gain": around(0.01, 0.02, 3)})
    tables = by_key([measurement(low, measured_set("high"))])
    assert [row.names for row in tables["images-probe"].rows] == [("high",), ("low",)]


def test_small_and_large_numbers_keep_their_digits() -> None:
    cells = by_key([demo()])["images-further"].rows[0].cells
    assert [number_text(cell, 1) for cell in cells] == ["0.287", "0.412", "0.0123", "66.0", "5.5"]
    assert [(cell.n, cell.seeds, cell.shared) for cell in cells] == [(954, 3, False)] * 5
    large = replace(cells[1], value=932073.4, low=None)
    assert number_text(large, 1) == "932,073"


def test_correlations_say_how_many_sets_and_whose_rule_they_do_not_follow() -> None:
    table = by_key([demo()])["images-correlations"]
    assert [(row.names[0], row.cells[0].value, row.cells[1].value) for row in table.rows] == [
        ("CLER", 0.964, 7),
        ("Fréchet distance", -0.5, 7),
    ]
    assert "These are over the sets of this run" in table.notes[0]


def test_yield_and_leakage() -> None:
    tables = by_key([demo()])
    templates = tables["images-yield"].rows[1].cells
    assert [number_text(cell, 1) for cell in templates[2:6]] == ["960", "954", "6: blank 4, timeout 2", "7"]
    assert tables["images-yield"].rows[2].cells[6].text == "class 3"
    leaks = tables["images-leakage"].rows
    assert [[cell.value for cell in row.cells[1:3]] for row in leaks] == [[0, 3], [0, 0], [2, 0], [0, 0]]
    assert leaks[0].cells[3].value == pytest.approx(100 * 3 / 960)
    assert [(row.names, *(cell.text for cell in row.cells)) for row in tables["images-near"].rows] == [
        (("original", "0", "images/class 1/00000.png"), "test/<i>0</i>.png", "0.999"),
        (("original", "1", "images/class 1/00001.png"), "test/<i>1</i>.png", "0.991"),
        (("original", "2", "images/class 1/00002.png"), "test/<i>2</i>.png", "0.980"),
    ]


def test_all_tables_can_be_written() -> None:
    tables = image_tables([demo(), replace(demo(), name="other", dataset="pets")])
    assert len({table.key for table in tables}) == len(tables) == 14
    for table in tables:
        rows = list(csv.DictReader(io.StringIO(to_csv(table))))
        assert len(rows) == len(table.rows) * len(table.columns)
        assert len(json.loads(to_json(table))["rows"]) == len(table.rows)
        assert to_latex(table).count("\\midrule") == 1
    assert tables[0].row_names == ("run", "set")
    assert {row.names[0] for row in tables[0].rows} == {"demo-sets", "other"}


def test_published_numbers_through_the_table_of_a_user() -> None:
    printed = genbench().table2
    table = grid_table(printed.grid, "table2", "GenBench")
    means = [row.cells[-2].value or 0.0 for row in table.rows]
    assert len(means) == 8
    assert means == pytest.approx(printed.means, abs=0.0051)
    assert sorted(int(row.cells[-1].value or 0) for row in table.rows) == [0, 1, 2, 2, 4, 4, 4, 5]
    assert "would give 56.00 %" in table.notes[1]


def test_grids_hold_sets_by_generator_and_strategy() -> None:
    assert grid_tables([demo()]) == []
    other = replace(demo(), dataset="pets", sets=(replace(demo().sets[0], numbers={"cler": around(0.5, 0.1, 3)}),))
    grid = grid_of([demo(), other], "cler")
    assert [str(row) for row in grid.rows] == [
        "original",
        "toy defined (templates)",
        "toy name",
        "toy defined (<i>few</i> drawings of a long name)",
    ]
    assert grid.columns == ("creatures", "pets")
    assert [round(value or -1, 1) for value in grid.values[0]] == [86.1, 50.0]
    assert grid.values[1][1] is None
    table = grid_tables([demo(), other])[0]
    assert table.rows[0].names == ("", "texts alone")
    assert table.rows[2].cells[1].empty == "not measured"
    assert table.notes[0] == "Mean and best: over the 1 of 2 datasets in which every row has a value."
    assert [cell.value for cell in table.rows[1].cells[2:]] == [pytest.approx(86.1), 1]


def test_terminal_says_all_that_a_reader_must_know(capsys: pytest.CaptureFixture[str]) -> None:
    print_measures(demo(), PlainConsole(width=250, highlight=False))
    said = capsys.readouterr().out
    for words in (
        "n = 960 test images, 95 % intervals",
        "954/960",
        "Metric: accuracy. Centers: unit",
        "templates: failed 6: blank 4, timeout 2; 7 images of a prompt seen in part",
        "nearly a test image, by a cosine above 0.98: original 3 of ",
        "permuted: 2 test images taken out; without images, so that they take their texts: class 3",
        "careful: The ensemble flatters permuted",
        "careful: Fewer than 3 generation seeds of <i>few</i> drawings of a long name",
        "careful: The sets are unequal in images a class",
        "points [",
        "p is corrected over these",
        "told apart",
    ):
        assert words in said
    head = next(line for line in said.splitlines() if "made/asked" in line)
    order = [head.index(name) for name in ("made/asked", "texts alone", "CLER", "ensemble", "gain", "probe")]
    assert order == sorted(order)


def test_ranks_over_datasets_and_over_those_that_the_papers_rule_keeps() -> None:
    """Of eight datasets the four of fewest classes go against the order of the others, and it leaves them out."""
    clers = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]
    probes = [0.9, 0.8, 0.7, 0.1, 0.5, 0.6, 0.7, 0.8]
    found = []
    for at, (cler, probe) in enumerate(zip(clers, probes, strict=True)):
        numbers = {"cler": around(cler, 0.1, 3), "probe": around(probe, 0.1, 3), "kid": around(0.1, 0.01, 3)}
        classes = tuple(f"c{number}" for number in range(2 + at))
        one = measurement(
            measured_set("a", numbers=numbers), measured_set("b", strategy="", numbers={}), classes=classes
        )
        found.append(replace(one, name=f"run {at}", dataset=f"dataset {at}"))
    table = by_key(found)["images-ranks"]
    assert [row.names for row in table.rows] == [("toy", "defined", "CLER"), ("toy", "defined", "KID")]
    every, kept = table.rows[0].cells
    assert every.value == pytest.approx(spearmanr(clers, probes).statistic)
    assert (every.n, kept.value, kept.n) == (8, pytest.approx(1.0), 4)
    assert [cell.empty for cell in table.rows[1].cells] == ["the same on all", "the same on all"]
    assert "18 of its 22 data sets" in table.notes[0]
    few = by_key(found[:5])["images-ranks"].rows[0].cells
    assert (few[0].n, few[1].empty) == (5, "5 data sets; at least 6 are needed")
    unclear = [*found[:3], *(replace(one, classes=("x",) * 9) for one in found[3:])]
    assert by_key(unclear)["images-ranks"].rows[0].cells[1].empty == (
        "data sets 3 and 4 both have 9 categories; which four have the fewest is not clear"
    )
    assert "images-ranks" not in by_key(found[:3])
    assert "images-ranks" not in by_key([*found, replace(found[0], name="again")])
