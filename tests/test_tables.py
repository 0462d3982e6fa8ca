"""Tables over experiments: the paper's own numbers reproduced, runs pooled, gates, marks and files."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from run_samples import write_run
from scipy import stats

from analysis.breakdown import GROUPS, group_shares
from analysis.pooling import Difference, Pooled
from analysis.tables.comparisons import cross_tables, example_tables, kl_table
from analysis.tables.experiment import Counts, Experiment, by_row, kl_off
from analysis.tables.figures import drawing_style, grid_figure, run_figures, standalone, to_png
from analysis.tables.grids import NOT_ABOVE, Rules, grid_tables
from analysis.tables.published import Published, read_published
from analysis.tables.runs import experiment_of, find_runs, read_run, read_runs
from analysis.tables.table import Cell, Table
from ex2.cli import main
from reward.errors import UserError

PAPER = Path(__file__).parent / "data" / "paper_tables.json"
PRINTED: dict[str, Any] = json.loads(PAPER.read_text())
HOSTILE = "<script>alert('x')</script> & \\input{x} 100% $a_b$ #1 ~^ {\n\"=1+1\", [a] |"


@pytest.fixture(scope="module")
def paper() -> Published:
    return read_published(PAPER)


def tables_of(experiments: list[Experiment], rules: Rules | None = None) -> dict[str, Table]:
    return {table.key: table for table in grid_tables(experiments, rules or Rules())}


def place(table: Table, row: tuple[str, ...], column: str) -> Cell:
    [found] = [r for r in table.rows if r.names == row]
    return found.cells[table.columns.index(column)]


def experiment(name: str = "e", vlm: str = "A", dataset: str = "d", **settings: Any) -> Experiment:
    accuracies = settings.pop("accuracies", {"templates": 0.6, "aligned": 0.7})
    numbers = {arm: Pooled(value, None, None, 100, 1) for arm, value in accuracies.items()}
    return Experiment(name, vlm, dataset, numbers, **settings)


@pytest.mark.parametrize(
    ("table", "printed", "cells"),
    [
        ("table-02-informative", "table2_informative_pct", 33),
        ("table-04-visual", "table4_visual_pct_of_informative", 19),
    ],
)
def test_every_printed_share_is_reproduced_to_two_decimals(
    paper: Published, table: str, printed: str, cells: int
) -> None:
    made = tables_of(paper.experiments)[table]
    seen = 0
    for vlm in PRINTED["vlms"]:
        for dataset in PRINTED["datasets"]:
            expected = PRINTED[printed].get(vlm, {}).get(dataset)
            cell = place(made, (vlm,), dataset)
            assert (None if cell.empty else round(cell.value or 0.0, 2)) == expected, (vlm, dataset)
            seen += expected is not None
    assert seen == cells


def test_the_papers_blanks_in_table_4_are_where_the_notes_say_so(paper: Published) -> None:
    made = tables_of(paper.experiments)["table-04-visual"]
    blank = [cell for row in made.rows for cell in row.cells if cell.empty == "not known"]
    assert len(blank) == 33 - 19
    assert all(cell.notes for cell in blank), "the rule behind the blanks: few informative ones, or of no help"
    assert not any(cell.notes for row in made.rows for cell in row.cells if not cell.empty)


def test_lost_answers_of_table_13_are_shown(paper: Published) -> None:
    made = tables_of(paper.experiments)["table-13-counts"]
    first, second = "lost: not spurious, not informative", "lost: informative, not visual, not non-visual"
    for name, total in ((first, 14), (second, 20)):
        cells = [cell for row in made.rows if row.names[1] == name for cell in row.cells]
        assert sum(int(cell.value or 0) for cell in cells) == total
    assert place(made, ("ALIGN", first), "stanford_dogs").value == 3000 - 780 - 2216
    assert "Answers lost to the question whether informative: 14 in 33 experiments." in made.notes[0]
    assert "Answers lost to the question whether visual: 20 in 19 experiments." in made.notes[0]


def test_accuracies_of_tables_1_3_5_6_and_9_are_the_printed_ones(paper: Published) -> None:
    made = tables_of(paper.experiments)
    first = made["table-01-accuracy"]
    for vlm, datasets in PRINTED["table1_accuracy"].items():
        for dataset, printed in datasets.items():
            assert place(first, (vlm, "EX2, all descriptions"), dataset).value == pytest.approx(printed["ex2"])
            gain = place(first, (vlm, "EX2 − templates"), dataset)
            assert gain.value == pytest.approx(printed["ex2"] - printed["templates"])
            assert gain.significant is None, "nothing was tested"
    third, fifth = made["table-03-accuracy-by-information"], made["table-05-accuracy-by-visibility"]
    assert place(third, ("CLIP", "spurious only"), "cub").value == pytest.approx(46.5)
    assert place(fifth, ("EVA", "visual only"), "stanford_dogs").value == pytest.approx(74.37)
    cross = {table.key: table for table in cross_tables(paper.experiments, Rules())}
    assert set(cross) == {"table-06-cross-flowers", "table-06-cross-cub"}
    flowers = cross["table-06-cross-flowers"]
    assert place(flowers, ("ALIGN",), "descriptions of CLIP").value == pytest.approx(61.03)
    assert place(flowers, ("CLIP",), "descriptions of ALIGN").value == pytest.approx(69.82)
    ninth = kl_table(paper.by_target, Rules())
    assert ninth is not None
    for dataset, vlms in PRINTED["table9_target_kl_10_vs_20"].items():
        for vlm, printed in vlms.items():
            for target in (10, 20):
                column = f"{dataset}, KL\u00a0{target}"
                assert place(ninth, (vlm, "accuracy of EX2"), column).value == pytest.approx(printed[f"acc_kl{target}"])
                share, expected = place(ninth, (vlm, "informative"), column), printed[f"informative_kl{target}"]
                assert (None if share.empty else round(share.value or 0.0, 2)) == expected
    assert kl_table(paper.experiments, Rules()) is None, "one target is nothing to compare"


@pytest.mark.parametrize("denominator", ["parsed", "all"])
def test_shares_are_those_of_the_breakdown(denominator: Any) -> None:
    counts = Counts(100, 40, 57, 30, 20)
    kinds: Any = {"spurious": 40, "visual": 30, "non_visual": 20, "informative_unparsed": 7, "unparsed": 3}
    expected = group_shares(kinds, denominator)
    for group in GROUPS:
        share = counts.share(group, denominator, 0.95)
        assert share is not None
        assert (share.value, share.n) == (expected[group]["of_parent"]["share"], expected[group]["of_parent"]["n"])
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
    reached = None if kl is None else Pooled(kl, None, None, 2, 1)
    made = experiment(kl=reached, kl_target=10.0)
    assert kl_off(made, 0.2) is off
    cell = tables_of([made])["table-01-accuracy"].rows[0].cells[0]
    assert (cell.kl, cell.kl_target, cell.kl_off_target) == (kl, 10.0, off)
    assert any("more than 20 %" in note for note in cell.notes) is bool(off)
    assert kl_off(experiment(kl=reached, kl_target=None), 0.2) is None


def test_experiments_of_one_place_are_told_apart() -> None:
    one, two = experiment("one", kl_setting=20.0), experiment("two", kl_setting=10.0)
    assert list(by_row([one, two])) == ["A · KL 10", "A · KL 20"]
    again = experiment("three", kl_setting=10.0)
    assert list(by_row([two, again])) == ["A · two", "A · three"]
    copies = [experiment("x", kl_setting=10.0, folder=Path(name)) for name in ("p", "q")]
    assert list(by_row(copies)) == ["A · p", "A · q"]
    assert list(by_row([one, experiment("other", dataset="e", kl_setting=10.0)])) == ["A"]


def test_runs_become_experiments_with_their_seeds_pooled(tmp_path: Path) -> None:
    write_run(tmp_path, "clip", seeds={0: 160, 1: 163, 2: 166}, kl=13.0)
    made = experiment_of(read_run(tmp_path / "clip"))
    # 0.8, 0.815 and 0.83: mean 0.815, standard deviation 0.015, t(0.975, 2) = 4.302653.
    half = 4.302653 * 0.015 / 3**0.5
    aligned = made.accuracies["aligned"]
    assert (aligned.value, aligned.low, aligned.high) == pytest.approx((0.815, 0.815 - half, 0.815 + half))
    assert (aligned.n, aligned.seeds) == (200, 3)
    gain = made.difference("aligned", "templates")
    assert gain is not None
    assert (gain.value, gain.low, gain.significant) == (pytest.approx(0.115), pytest.approx(0.115 - half), True)
    assert made.total("all") == 120
    share = made.share("informative")
    assert share is not None
    assert (share.value, share.n, share.count, share.seeds) == (pytest.approx(30 / 39), 117, 90, 3)
    lost = experiment_of(read_run(tmp_path / "clip"), "all").share("informative")
    assert lost is not None
    assert lost.value == pytest.approx(30 / 40)
    grids = tables_of([made])
    assert "KL reached, nats per description: clip-vit-b32, pets: 13.0 (target 10)." in grids["table-01-accuracy"].notes
    cell = grids["table-02-informative"].rows[0].cells[0]
    assert "KL 13.0, more than 20 % above its target 10" in cell.notes


def test_kl_targets_stand_side_by_side(tmp_path: Path) -> None:
    write_run(tmp_path, "ten", kl=9.5)
    write_run(tmp_path, "twenty", target=20, kl=12.0, correct={"aligned": 150})
    write_run(tmp_path, "elsewhere", vlm="align-base")
    write_run(tmp_path, "fixed", controller="fixed")
    experiments = [experiment_of(run) for run in read_runs(find_runs([tmp_path]))]
    table = kl_table(experiments, Rules())
    assert table is not None
    assert table.columns == ("pets, KL\u00a010", "pets, KL\u00a020")
    assert {row.names[0] for row in table.rows} == {"clip-vit-b32"}
    reached = next(row.cells for row in table.rows if row.names[1] == "KL reached")
    assert [(cell.value, cell.kl_off_target) for cell in reached] == [(9.5, False), (12.0, True)]


def test_the_same_question_is_shown_for_every_vlm(tmp_path: Path) -> None:
    write_run(tmp_path, "clip", texts={0: HOSTILE, 1: "  "})
    write_run(tmp_path, "align", vlm="align-base")
    experiments = [experiment_of(run) for run in read_runs(find_runs([tmp_path]))]
    [table] = example_tables(experiments, Rules())
    assert [row.names for row in table.rows[:4]] == [
        ("pug", "Describe a {}.", "align-base"),
        ("pug", "Describe a {}.", "clip-vit-b32"),
        ("oak", "What is a {}?", "align-base"),
        ("oak", "What is a {}?", "clip-vit-b32"),
    ]
    said, judged, reward = table.rows[1].cells
    assert said.text == " ".join(HOSTILE.split())
    assert (judged.text, reward.value) == ("visual", 20.0)
    [one] = example_tables(experiments, Rules(), class_name="oak", question=0)
    assert [row.names[:2] for row in one.rows] == [("oak", "Describe a {}.")] * 2
    assert one.rows[1].cells[0].text == "aligned 0 5 visual", "the blank description is passed over"
    with pytest.raises(UserError, match=r"describe class 'elm' and question 7\. Classes: oak, pug\. Questions: 0 to 1"):
        example_tables(experiments, Rules(), class_name="elm", question=7)


def test_cross_differences_have_their_test() -> None:
    other = Difference(-0.02, -0.05, 0.01, False, 0.3, 100, 1, True)
    cross = {"A": Pooled(0.7, 0.6, 0.8, 100, 1), "B": Pooled(0.68, 0.6, 0.7, 100, 1)}
    made = experiment(cross=cross, cross_differences={"B": other})
    [table] = cross_tables([made], Rules())
    assert place(table, ("A", "minus that with its own"), "descriptions of A").empty == "its own descriptions"
    cell = place(table, ("B", "minus that with its own"), "descriptions of A")
    assert (cell.value, cell.p, cell.notes) == (pytest.approx(-2), 0.3, ("no significant difference",))


def test_figures_stand_alone(tmp_path: Path) -> None:
    write_run(tmp_path, "clip", vlm="<b>&clip", kl=13)
    run = read_run(tmp_path / "clip")
    drawings = {"grid": grid_figure([experiment_of(run)], Rules()), **run_figures([run])}
    assert set(drawings) == {"grid", "run-clip-breakdown-aligned", "run-clip-breakdown-base", "run-clip-accuracy"}
    for drawing in drawings.values():
        text = standalone(drawing)
        root = ElementTree.fromstring(text)  # well-formed
        assert float(root.attrib["width"]) == float(root.attrib["viewBox"].split()[2])
        assert "var(" not in text
        assert "calc(" not in text
        assert "<b>" not in text
    words = "".join(ElementTree.fromstring(standalone(drawings["grid"])).itertext())
    assert "+10.00\u00a0points †" in words
    assert "<b>&clip" in words


def test_standalone_style_names_every_colour() -> None:
    style = drawing_style()
    assert "--" not in style
    assert "[class" not in style
    assert ".fill-visual { fill: #1468b3;" in style


def test_png_is_the_drawing() -> None:
    pytest.importorskip("resvg_py")
    counts = (Counts(10, 4, 6, 6, 0),)
    png = to_png(grid_figure([experiment(counts=counts)], Rules()))
    picture = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
    assert picture.shape[1] == 2 * (560 + 28)
    counted = {
        name: int((picture == np.array(colour)).all(axis=2).sum())
        for name, colour in (("visual", (0x14, 0x68, 0xB3)), ("spurious", (0xB8, 0x47, 0x13)))
    }
    # Bars of 160 × 16 units at twice the size, 60 % and 40 % of them; the legend's squares are of the same colours.
    bar, square = 4 * 160 * 16, 4 * 12 * 12
    assert counted["visual"] == pytest.approx(0.6 * bar + square, rel=0.03)
    assert counted["spurious"] == pytest.approx(0.4 * bar + square, rel=0.03)


def test_the_command_writes_every_format(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("resvg_py")
    write_run(tmp_path / "runs", "clip")
    write_run(tmp_path / "runs" / "more", "align", vlm="align-base", correct={"aligned": 141})
    out = tmp_path / "out"
    words = ["tables", str(tmp_path / "runs"), "--out", str(out), "--format", "csv,json,latex,svg,png"]
    assert main(words) == 0
    names = {path.name for path in out.iterdir()}
    for stem in ("table-01-accuracy", "table-13-counts", "table-10-examples-pets", "run-align-accuracy", "verdicts"):
        assert {f"{stem}.csv", f"{stem}.json", f"{stem}.tex"} <= names
    assert {"figure-grid.svg", "figure-grid.png", "run-clip-breakdown-aligned.png"} <= names
    assert (out / "figure-grid.png").read_bytes().startswith(b"\x89PNG")
    said = capsys.readouterr().out
    assert "In 2 of 2 experiments EX2's descriptions are more accurate than the templates." in said
    assert "by interval in 1" in said
    rows = list(csv.DictReader(io.StringIO((out / "table-01-accuracy.csv").read_text())))
    gain = [row for row in rows if row["descriptions"] == "EX2 − templates" and row["VLM"] == "align-base"]
    # 141 against 140 of 200, one image apart: McNemar's p is 1.
    assert [(row["p"], row["notes"]) for row in gain] == [("1.0", "no significant difference")]


def test_the_command_reads_the_papers_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tables", str(PAPER), "--out", str(tmp_path), "--format", "csv"]) == 0
    assert "In 33 of 42 experiments" in capsys.readouterr().out
    with (tmp_path / "table-02-informative.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if not row["empty"]]
    assert len(rows) == 33
    assert {row["unit"] for row in rows} == {"percent"}


def test_every_mistake_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path, "good")
    for where in ("a/x", "b/x"):
        write_run(tmp_path / where.split("/")[0], "x")
    (tmp_path / "empty").mkdir()
    out = ["--out", str(tmp_path / "out")]

    def error(*words: str) -> str:
        assert main(["tables", *words, *out]) == 2
        return capsys.readouterr().err

    said = error(str(tmp_path / "empty"), str(tmp_path / "gone"))
    assert f"{tmp_path}/empty: holds no run; give a run's folder" in said
    assert f"{tmp_path}/gone: not found" in said
    assert "--format: unknown 'jpg'" in error(str(tmp_path / "good"), "--format", "jpg,csv")
    said = error(str(tmp_path / "good"), "--solely", "101", "--margin", "-1")
    assert "--solely: given 101; give at least 0 and at most 100." in said
    assert "--margin: given -1; give at least 0 and at most 100." in said
    assert "run-x-accuracy" in error(str(tmp_path / "a"), str(tmp_path / "b"))
    (tmp_path / "some.json").write_text('{"vlms": []}')
    assert "lacks datasets, table1_accuracy, table13_counts" in error(str(tmp_path / "some.json"))
    (tmp_path / "good/seed-0/accuracy.json").unlink()
    assert "no seed has been analysed" in error(str(tmp_path / "good"))
