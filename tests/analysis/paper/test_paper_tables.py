"""The paper's own numbers through the table builder, and files of printed tables that are not as they should be."""

from __future__ import annotations

import copy
import csv
import json
from pathlib import Path
from typing import Any

import pytest
from paths import DATA
from table_samples import place, tables_of

from analysis.paper.comparisons import cross_tables, kl_table
from analysis.paper.published import Published, read_published
from analysis.results.wording import ARM_NAMES
from analysis.tables.rules import NOT_ABOVE, Rules
from ex2.cli import main
from reward.errors import UserError

PAPER = DATA / "paper_tables.json"
PRINTED: dict[str, Any] = json.loads(PAPER.read_text())


@pytest.fixture(scope="module")
def paper() -> Published:
    return read_published(PAPER)


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
    lost = (
        "Answers lost to the question whether informative: 14 in 33 experiments. "
        "Answers lost to the question whether visual: 20 in 19 experiments."
    )
    for key, table in tables_of(paper.experiments).items():
        assert any(lost in note for note in table.notes) is (key != "table-01-accuracy"), key


def test_table_13_has_all_alone_where_ex2_is_not_above_the_templates(paper: Published) -> None:
    made = tables_of(paper.experiments)["table-13-counts"]
    for vlm in PRINTED["vlms"]:
        for dataset in PRINTED["datasets"]:
            printed = PRINTED["table13_counts"][vlm][dataset]
            accuracy = PRINTED["table1_accuracy"][vlm][dataset]
            rows = {row.names[1]: row.cells[made.columns.index(dataset)] for row in made.rows if row.names[0] == vlm}
            assert rows["all"].value == printed["all"]
            for name in ("spurious", "informative", "visual", "non_visual"):
                cell = rows[name.replace("_", "-")]
                assert cell.value == printed[name]
                assert (cell.empty == NOT_ABOVE) is (accuracy["ex2"] <= accuracy["templates"])
                assert cell.n == (0 if cell.empty else printed["all"])


def test_accuracies_of_tables_1_3_5_6_and_9_are_the_printed_ones(paper: Published) -> None:
    made = tables_of(paper.experiments)
    first = made["table-01-accuracy"]
    for vlm, datasets in PRINTED["table1_accuracy"].items():
        for dataset, printed in datasets.items():
            assert place(first, (vlm, "EX2, all descriptions"), dataset).value == pytest.approx(printed["ex2"])
            gain = place(first, (vlm, "EX2 − templates"), dataset)
            assert gain.value == pytest.approx(printed["ex2"] - printed["templates"])
            assert gain.significant is None, "nothing was tested"
    for key, printed_as, other in (
        ("table-03-accuracy-by-information", "table3_accuracy_by_information", ("spurious", "informative")),
        ("table-05-accuracy-by-visibility", "table5_accuracy_by_visual", ("visual", "non_visual")),
    ):
        seen = 0
        for dataset in PRINTED["datasets"]:
            for vlm in PRINTED["vlms"]:
                arms = PRINTED[printed_as].get(dataset, {}).get(vlm, {})
                for arm in other:
                    cell = place(made[key], (vlm, ARM_NAMES[arm]), dataset)
                    expected = arms.get(arm)
                    assert (cell.value if expected is None else pytest.approx(cell.value)) == expected, (vlm, dataset)
                    seen += expected is not None
        assert seen == 2 * sum(len(vlms) for vlms in PRINTED[printed_as].values())
    cross = {table.key: table for table in cross_tables(paper.experiments, Rules())}
    assert set(cross) == {"table-06-cross-flowers", "table-06-cross-cub"}
    for dataset in ("flowers", "cub"):
        for classifier, row in PRINTED["table6_cross_vlm_accuracy"][dataset].items():
            for descriptions, printed in row.items():
                cell = place(cross[f"table-06-cross-{dataset}"], (classifier,), f"descriptions of {descriptions}")
                assert cell.value == pytest.approx(printed)
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


def test_the_command_reads_the_papers_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tables", str(PAPER), "--out", str(tmp_path), "--format", "csv"]) == 0
    assert "In 33 of 42 experiments" in capsys.readouterr().out
    with (tmp_path / "table-02-informative.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if not row["empty"]]
    assert len(rows) == 33
    assert {row["unit"] for row in rows} == {"percent"}


def faulty(tmp_path: Path, **changes: Any) -> Path:
    """The paper's file with values replaced: dotted places, double underscores between levels."""
    data = copy.deepcopy(PRINTED)
    for place_of, value in changes.items():
        *outer, last = place_of.split("__")
        at = data
        for level in outer:
            at = at[level]
        at[last] = value
    path = tmp_path / "printed.json"
    path.write_text(json.dumps(data))
    return path


def test_all_faults_of_a_file_are_named_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = faulty(
        tmp_path,
        table3_accuracy_by_information=[],
        table1_accuracy__CLIP__flowers__ex2="73",
        table1_accuracy__CLIP__pets=7,
        table13_counts__ALIGN__cub={"all": 100, "spurious": 60, "informative": 50, "visual": -1, "non_visual": None},
        table13_counts__ALIGN__pets={"all": 10, "informative": 5, "visual": 4, "non_visual": 2, "blue": 1},
        table13_counts__DFN__flowers={"all": None},
        table5_accuracy_by_visual__flowers__CLIP__visual=101,
        table5_accuracy_by_visual__mars={"Human": {}},
        table9_target_kl_10_vs_20__flowers__CLIP__acc_kl30=5,
    )
    assert main(["tables", str(path), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    for said in (
        f"{path}: published tables:",
        "table3_accuracy_by_information: given []; give an object with names as keys.",
        'table1_accuracy.CLIP.flowers.ex2: given "73"; give a percentage from 0 to 100, or null.',
        "table1_accuracy.CLIP.pets: given 7; give an object with names as keys.",
        "table13_counts.ALIGN.cub: spurious and informative are 110 together, more than all: 100.",
        "table13_counts.ALIGN.cub.visual: given -1; give a whole number, or null.",
        "table13_counts.ALIGN.pets: visual and non_visual are 6 together, more than informative: 5.",
        "table13_counts.ALIGN.pets.blue: given 1; give only all, spurious, informative, visual, non_visual.",
        "table13_counts.DFN.flowers.all: given null; give a whole number.",
        "table5_accuracy_by_visual.flowers.CLIP.visual: given 101; give a percentage",
        "table5_accuracy_by_visual.mars: not among the datasets: flowers, pets,",
        "table5_accuracy_by_visual.mars.Human: not among the vlms: CLIP, ALIGN,",
        "table9_target_kl_10_vs_20.flowers.CLIP.acc_kl30: given 5; give only acc_kl10,",
    ):
        assert said in error
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("key", ["datasets", "vlms"])
@pytest.mark.parametrize("value", [[], "flowers", ["a", "a"], [1], {}])
def test_no_experiments_are_no_tables(tmp_path: Path, key: str, value: Any) -> None:
    with pytest.raises(UserError, match=rf"{key}: given .*; give a list of one or more names, none of them twice"):
        read_published(faulty(tmp_path, **{key: value}))


def test_what_is_no_object_at_all(tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    path.write_text("[1]")
    with pytest.raises(UserError, match="holds no published tables: lacks datasets, vlms, table1_accuracy"):
        read_published(path)


def test_null_is_an_unknown_number(tmp_path: Path) -> None:
    path = faulty(
        tmp_path,
        table1_accuracy__CLIP__flowers__ex2=None,
        table3_accuracy_by_information__pets__CLIP__spurious=None,
        table6_cross_vlm_accuracy__cub__CLIP__ALIGN=None,
        table9_target_kl_10_vs_20__flowers__CLIP__acc_kl20=None,
    )
    read = read_published(path)
    made = tables_of(read.experiments)
    assert place(made["table-01-accuracy"], ("CLIP", "EX2, all descriptions"), "flowers").empty == "not measured"
    assert place(made["table-02-informative"], ("CLIP",), "flowers").empty == "not measured"
    third = made["table-03-accuracy-by-information"]
    assert place(third, ("CLIP", "spurious only"), "pets").empty == "not measured"
    assert place(third, ("CLIP", "informative only"), "pets").value == pytest.approx(87.9)
    # Without any informative description there is none to measure: EVA on pets.
    assert place(third, ("EVA", "informative only"), "pets").empty == "no such descriptions"
    [_, cub] = cross_tables(read.experiments, Rules())
    assert place(cub, ("CLIP",), "descriptions of ALIGN").empty == "not measured"
    ninth = kl_table(read.by_target, Rules())
    assert ninth is not None
    assert place(ninth, ("CLIP", "accuracy of EX2"), "flowers, KL\u00a020").empty == "not measured"


def test_a_file_counts_once_and_unused_tables_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = faulty(tmp_path, table99_colours={})
    twice = [str(path), str(tmp_path / "." / "sub" / ".." / path.name)]
    (tmp_path / "sub").mkdir()
    assert main(["tables", *twice, "--out", str(tmp_path / "out"), "--format", "csv"]) == 0
    said = capsys.readouterr().out
    assert "In 33 of 42 experiments" in said
    assert "not used: table2_informative_pct, table4_visual_pct_of_informative, table99_colours" in said


def test_examples_need_descriptions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tables", str(PAPER), "--out", str(tmp_path), "--class", "pug"]) == 2
    assert "--class: nothing given has descriptions to choose from; give run" in capsys.readouterr().err
