"""Runs as experiments and tables: found, read, pooled, and written by the command, with what is missing said."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import pytest
from run_samples import write_run
from table_samples import hits, place, set_arms, set_kl, tables_of

from analysis.paper.claims import claims
from analysis.paper.command import all_tables, read_material
from analysis.paper.comparisons import example_tables, kl_table
from analysis.paper.one_run import run_tables
from analysis.report.page import example_table
from analysis.results import pooling
from analysis.results.runs import experiment_of, gather_runs, read_run, read_runs, with_denominator
from analysis.tables.rules import Rules
from analysis.tables.view import table_view
from ex2.cli import main
from ex2.run.directory import find_runs
from reward.errors import UserError
from reward.files import read_json, write_json

HOSTILE = "<script>alert('x')</script> & \\input{x} 100% $a_b$ #1 ~^ {\n\"=1+1\", [a] |"


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
    assert gain.images is not None
    # 20, 23 and 26 images more, on one side only: p = 2 · (1/2)^n.
    assert gain.p_by_seed == pytest.approx([0.5**n for n in (20, 23, 26)])
    assert made.total("all") == 120
    share = made.share("informative")
    assert share is not None
    assert (share.value, share.n, share.count, share.seeds) == (pytest.approx(30 / 39), 117, 90, 3)
    lost = experiment_of(read_run(tmp_path / "clip"), "all").share("informative")
    assert lost is not None
    assert lost.value == pytest.approx(30 / 40)
    grids = tables_of([made])
    said = "KL reached, nats per description: clip-vit-b32, pets: 13.0 (target 10; seeds 13.0, 13.0, 13.0)."
    assert all(said in table.notes for table in grids.values())
    cell = grids["table-02-informative"].rows[0].cells[0]
    assert cell.kl_note.startswith("KL 13.0 on average; more than 20 % off its target 10: 13.0 in seed 0, above;")
    set_kl(tmp_path / "clip", 1, 5.0)
    set_kl(tmp_path / "clip", 2, 12.0)
    hidden = experiment_of(read_run(tmp_path / "clip"))
    assert hidden.kl is not None
    assert hidden.kl.mean.value == pytest.approx(10)
    assert (hidden.kl.off(0.2), hidden.kl.seeds_off(0.2)) == (True, {0: 13.0, 1: 5.0})


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


def test_the_command_writes_every_format(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
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
    assert [(row["p"], row["notes"]) for row in gain] == [
        ("0.5", "no significant difference: between −1.2 and +2.4\u00a0points are possible")
    ]


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


def test_every_cell_of_a_runs_tables_carries_its_kl(tmp_path: Path) -> None:
    write_run(tmp_path, "ten", kl=13.0, correct={"aligned": 139})  # not above the templates: most cells are empty
    write_run(tmp_path, "twenty", target=20, kl=20.0)
    material = read_material([tmp_path], None)
    made = all_tables(material, Rules(), claims(material.experiments, Rules()))
    seen = 0
    for table in made:
        if table.key == "verdicts":
            continue
        assert any("KL reached, nats per description: clip-vit-b32" in note for note in table.notes), table.key
        for row in table.rows:
            for cell in row.cells:
                if cell.empty == "no run":
                    continue
                assert cell.kl in (13.0, 20.0), (table.key, row.names, cell)
                assert cell.kl_off_target is (cell.kl == 13.0)
                seen += 1
    assert seen > 150
    assert {(table.key + "-").split("-")[1] for table in made} >= {
        "01",
        "02",
        "03",
        "04",
        "05",
        "09",
        "10",
        "13",
        "ten",
    }


def test_the_denominator_reaches_the_files_of_each_run(tmp_path: Path) -> None:
    # 20 visual, 10 non-visual, 9 spurious, 1 unparsed.
    run = read_run(write_run(tmp_path, "clip"))
    for denominator, share, title in (
        ("parsed", 30 / 39, "% of descriptions with readable verdicts"),
        ("all", 30 / 40, "% of all descriptions, unparsed ones included"),
    ):
        chosen = with_denominator(run, denominator)  # type: ignore[arg-type]
        table = run_tables(experiment_of(chosen), Rules())[1]
        cell = place(table, ("informative",), "aligned, of all")
        assert (cell.value, cell.n) == (pytest.approx(100 * share), 39 if denominator == "parsed" else 40)
        assert table.title.endswith(title)
        assert place(table, ("informative",), "aligned, descriptions").n == 40
    assert with_denominator(run, None) is run
    for denominator, share in (("parsed", 30 / 39), ("all", 30 / 40)):
        words = ["--out", str(tmp_path / denominator), "--format", "json", "--denominator", denominator]
        assert main(["tables", str(tmp_path / "clip"), *words]) == 0
        written = json.loads((tmp_path / denominator / "run-clip-breakdown.json").read_text())
        assert written["rows"][1]["cells"][0]["value"] == pytest.approx(100 * share)


def test_accuracies_of_a_run_are_compared_whichever_way_round(tmp_path: Path) -> None:
    write_run(tmp_path, "clip", correct={"aligned": 160, "base": 150, "informative": 158, "spurious": 142})
    run = read_run(tmp_path / "clip")
    table = run_tables(experiment_of(run), Rules())[0]
    # Stored as aligned minus base: 10 images on one side.
    cell = place(table, ("base model",), "minus all of EX2's")
    assert (cell.value, cell.p, cell.significant) == (pytest.approx(-5), pytest.approx(1 / 1024), True)
    pair = place(table, ("informative only − spurious only",), "accuracy")
    assert (pair.value, pair.p) == (pytest.approx(8), pytest.approx(0.5**16))
    assert place(table, ("visual only − non-visual only",), "accuracy").empty == "no descriptions"
    assert place(table, ("spurious only",), "minus all of EX2's").empty == "not tested"
    assert place(table, ("base model",), "classes without such a text").n == 2


def test_classes_by_template_are_said_in_a_runs_tables_and_grids(tmp_path: Path) -> None:
    run = write_run(tmp_path, "clip")
    right = {
        "templates": hits(200, (0, 140)),
        "aligned": hits(200, (0, 160)),
        "spurious": hits(200, (0, 142)),
        "informative": hits(200, (0, 158)),
    }
    set_arms(run, 0, right, [(arm, "templates") for arm in right if arm != "templates"], {"spurious": ["oak"]})
    made = experiment_of(read_run(run))
    assert made.fallback == {"spurious": 1}
    cell = place(tables_of([made])["table-03-accuracy-by-information"], ("clip-vit-b32", "spurious only"), "pets")
    assert cell.notes == ("1 of 2 classes by template",)
    found = {claim.key: claim for claim in claims([made], Rules())}
    assert found["spurious-responsible"].fallback == ("clip: 1 of 2 classes by template",)


def test_a_run_without_spurious_descriptions_is_not_left_out_of_the_count(tmp_path: Path) -> None:
    write_run(tmp_path, "both")
    run = write_run(tmp_path, "informative", vlm="align-base", kinds={"visual": 40})
    right = {arm: hits(200, (0, count)) for arm, count in (("templates", 140), ("aligned", 160), ("informative", 160))}
    set_arms(run, 0, right | {"spurious": None}, [("aligned", "templates"), ("informative", "templates")])
    experiments = [experiment_of(run) for run in read_runs(find_runs([tmp_path]))]
    found = {claim.key: claim for claim in claims(experiments, Rules())}
    responsible = found["spurious-responsible"]
    assert (responsible.count, responsible.of, responsible.unknown, responsible.members) == (1, 2, 0, ("both",))


def test_what_is_missing_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path, "clip", seeds={0: 150, 1: 155, 2: 160})
    (run / "seed-1" / "accuracy.json").unlink()
    unready = write_run(tmp_path, "unready", vlm="align-base")
    (unready / "seed-0" / "breakdown.json").unlink()
    out = tmp_path / "out"
    assert main(["tables", str(tmp_path), "--out", str(out), "--format", "csv,json"]) == 0
    said = capsys.readouterr().out
    assert "tables: clip: not analysed: seed 1\n" in said
    assert f"tables: left out: {unready}: no seed has been analysed" in said
    for path in out.glob("*.json"):
        notes = json.loads(path.read_text())["notes"]
        assert any("Seeds not analysed, and left out of every number: clip: 1." in note for note in notes), path.name
    # Named itself, it is an error; so is a folder that holds nothing else.
    assert main(["tables", str(run), str(unready), "--out", str(out)]) == 2
    assert f"{unready}: no seed has been analysed" in capsys.readouterr().err
    shutil.rmtree(run)
    assert main(["tables", str(tmp_path), "--out", str(out)]) == 2
    assert f"{unready}: no seed has been analysed" in capsys.readouterr().err


def test_a_run_counts_once_whatever_path_leads_to_it(tmp_path: Path) -> None:
    run = write_run(tmp_path / "runs", "clip")
    link = tmp_path / "link"
    link.symlink_to(run)
    assert find_runs([run, link, tmp_path / "runs"]) == [run]
    runs, left_out = gather_runs([tmp_path / "runs", link])
    assert ([each.directory.root for each in runs], left_out) == ([link], [])


def test_seeds_of_different_judges_are_not_pooled(tmp_path: Path) -> None:
    run = write_run(tmp_path, "clip", seeds={0: 150, 1: 155})
    path = run / "seed-1" / "breakdown.json"
    content = read_json(path)
    content["judge"]["name"] = "another"
    write_json(path, content)
    with pytest.raises(UserError, match=r"judge.*another"):
        read_run(run)


def test_the_class_of_examples_must_exist(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path, "clip", texts=dict.fromkeys(range(40), " "))
    assert main(["tables", str(run), "--out", str(tmp_path / "out"), "--class", "pug"]) == 2
    assert "--class: nothing given has descriptions to choose from" in capsys.readouterr().err


def test_the_pages_examples_are_the_tables_and_cost_no_bootstrap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = read_run(write_run(tmp_path, "clip", seeds={0: 160, 1: 163, 2: 166}, kl=13.0))
    made = experiment_of(run)
    *_, whole = (table_view(table) for table in run_tables(made, Rules()))

    def never(*_: object, **__: object) -> None:
        raise AssertionError("examples need no interval")

    for name in ("paired_averages", "mean_t"):
        monkeypatch.setattr(pooling, name, never)
    with pytest.raises(AssertionError, match="no interval"):
        experiment_of(run)
    shown = example_table(run.directory, made, run.results[0])
    assert shown is not None
    assert (shown.key, shown.title, shown.heads) == (whole.key, whole.title, whole.heads)
    assert shown.key == "run-clip-examples"
    assert [[(c.main, c.details) for c in row.cells] for row in shown.rows] == [
        [(c.main, c.details) for c in row.cells] for row in whole.rows
    ]
    assert len(shown.rows) == 2
    assert {cell.mark for row in shown.rows for cell in row.cells} == {""}, "the page flags the KL once"
    assert {cell.mark for row in whole.rows for cell in row.cells} == {"†\u00a0KL\u00a013.0"}
