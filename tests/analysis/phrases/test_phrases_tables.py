"""Table 7 and the report's section: from stored probes and published numbers, with KL, tests and what is left out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from described_runs import row, write_described
from paths import DATA
from vlms import CUE_CLASSES as CLASSES

from analysis.phrases.record import DatasetPhrases, Hypothesis, PlainAccuracy, TemplateTest
from analysis.phrases.section import phrases_section
from analysis.phrases.stored import stored_phrases
from analysis.phrases.tables import phrases_drawings, phrases_tables
from analysis.phrases.testing import split_classes
from analysis.phrases.trials import corrected, trials
from analysis.results.runs import Run
from analysis.statistics.holm import holm
from analysis.statistics.intervals import Estimate
from analysis.statistics.paired import PairedAccuracy
from analysis.tables.export import WRITERS
from analysis.tables.table import Cell, Table
from ex2.cli import main
from ex2.recipe_io import read_recipe
from ex2.run.directory import RunDirectory
from reward.errors import UserError
from reward.files import read_jsonl, write_jsonl

PAPER = DATA / "paper_tables.json"

SEED = next(seed for seed in range(99) if {2, 4} <= set(split_classes(6, seed).tested))
"""Both classes that the cue confuses are tested."""


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    return write_described(tmp_path, monkeypatch)


def read(folder: Path) -> Run:
    directory = RunDirectory(folder)
    return Run(directory, read_recipe(directory.recipe), [], [])


def probe(*folders: Path, seed: int = SEED) -> None:
    out = str(folders[0].parent / "out")
    assert main(["phrases", *map(str, folders), "--seed", str(seed), "--out", out]) == 0


def cell(table: Table, *names: str) -> Cell:
    (found,) = [r for r in table.rows if r.names == names[:-1]]
    return found.cells[table.columns.index(names[-1])]


def test_rows_by_hand(runs: list[Path]) -> None:
    """With "blur" 20 of 30 images are lost: −66.7 points, McNemar 2/2²⁰, times the four tests."""
    probe(*runs)
    (table,) = phrases_tables([read(folder) for folder in runs], [])
    assert (table.key, table.row_names) == ("table-07-hypotheses", ("dataset", "template", "VLM"))
    place = ("shapes", "A blur of {}.", "demo-visual")
    accuracy, change = cell(table, *place, "accuracy"), cell(table, *place, "minus plain")
    assert (accuracy.value, accuracy.n) == (pytest.approx(100 / 3), 30)
    assert (change.value, change.n, change.significant) == (pytest.approx(-200 / 3), 30, True)
    assert change.low is not None
    assert change.high is not None
    assert change.low < -200 / 3 < change.high
    assert change.p == pytest.approx(1 / 2**20)
    corrected_p = cell(table, *place, "p, corrected")
    assert (corrected_p.text, corrected_p.p) == ("3.8e-06", None), "4 · 1/2²⁰, once"
    assert (cell(table, *place, "verdict").text, cell(table, *place, "from").text) == ("worse", "a")
    same = ("shapes", "A blur of {}.", "demo-spurious")
    # none of 30 images changes: Clopper and Pearson's 1 − 0.05^(1/30)
    said = "no significant difference: between −9.5 and +9.5\u00a0points are possible"
    assert pytest.approx(0.095, abs=0.0005) == 1 - 0.05 ** (1 / 30)
    assert cell(table, *same, "verdict").text == said
    assert said in cell(table, *same, "minus plain").notes
    assert cell(table, "shapes", "A photo of a {}.", "demo-visual", "accuracy").value == 100
    assert len(table.rows) == 2 * 3
    assert all(writer(table) for writer in WRITERS.values())


def test_the_kl_is_of_the_run_that_was_mined(runs: list[Path]) -> None:
    probe(*runs)
    (table,) = phrases_tables([read(folder) for folder in runs], [], 0.2)
    blur = cell(table, "shapes", "A blur of {}.", "demo-spurious", "accuracy")
    assert (blur.kl, blur.kl_target, blur.kl_off_target) == (pytest.approx(10), 10, False)
    sharp = cell(table, "shapes", "A photo of a {}. So sharp.", "demo-visual", "verdict")
    assert (sharp.kl, sharp.kl_off_target) == (pytest.approx(6), True)
    assert cell(table, "shapes", "A photo of a {}.", "demo-visual", "accuracy").kl is None
    (loose,) = phrases_tables([read(folder) for folder in runs], [], 0.7)
    assert cell(loose, "shapes", "A photo of a {}. So sharp.", "demo-visual", "verdict").kl_off_target is False


def test_the_drawing_follows_the_tolerance(runs: list[Path]) -> None:
    """The second run's seeds reached 8 and 4 of 10: at most 60 % off."""
    probe(*runs)
    read_runs = [read(folder) for folder in runs]
    drawn = {tolerance: str(phrases_drawings(read_runs, tolerance)["table-07-hypotheses"]) for tolerance in (0.5, 0.7)}
    assert "A photo of a {}. So sharp. †" in drawn[0.5]
    assert "†: KL of its run more than 50\u00a0% off the target." in drawn[0.5]
    assert "†" not in drawn[0.7]


def test_probes_made_apart_are_corrected_together(runs: list[Path]) -> None:
    for folder in runs:
        probe(folder)
    alone = [json.loads((folder / "phrases.json").read_text()) for folder in runs]
    assert [result["tests"] for result in alone] == [1, 1]
    (table,) = phrases_tables([read(folder) for folder in runs], [])
    assert {row.names[0] for row in table.rows} == {"shapes (a)", "shapes (b)"}
    raw = [result["datasets"][0]["results"][0]["p"] for result in alone]
    column = table.columns.index("p, corrected")
    said = [float(r.cells[column].text) for r in table.rows if not r.cells[column].empty]
    assert said == pytest.approx(holm(raw), rel=0.02)
    assert any("over all 2 tests shown" in note for note in table.notes)
    drawn = str(phrases_drawings([read(folder) for folder in runs])["table-07-hypotheses"])
    assert "shapes (a): points above the plain template" in drawn
    assert "shapes (b): points above the plain template" in drawn
    assert phrases_drawings([]) == {}


def test_a_part_in_two_folders_is_shown_once(runs: list[Path]) -> None:
    probe(*runs)
    both = phrases_tables([read(folder) for folder in runs], [])
    assert both[0].rows == phrases_tables([read(runs[0])], [])[0].rows


def test_correction_keeps_the_plain_template() -> None:
    accuracy = Estimate(0.5, 0.4, 0.6, 10)
    part = DatasetPhrases(
        dataset="d",
        split="test",
        runs=(),
        mined_classes=(),
        tested_classes=(),
        phrases={},
        templates=tuple(Hypothesis(name, None, (), from_file=True) for name in ("a {}", "b {}")),
        plain_template="{}",
        plain=(PlainAccuracy("v", accuracy),),
        results=tuple(
            TemplateTest(name, "v", accuracy, PairedAccuracy(0.1, 0.0, 0.2, p, 1, 0, 10))
            for name, p in (("b {}", 0.02), ("a {}", 0.03))
        ),
    )
    rows = corrected(trials([part]), 0.05)
    assert [(row.template, row.p, row.verdict) for row in rows] == [
        ("{}", None, ""),
        ("a {}", 0.04, "better"),
        ("b {}", 0.04, "better"),
    ]


def test_published_templates() -> None:
    """The paper's accuracies and their bare differences; which template is the plain one is known by its text."""
    (table,) = phrases_tables([], [PAPER])
    enlarge = ("stanford_dogs", "A photo of a {}. Click to enlarge.", "SigLIP")
    assert cell(table, *enlarge, "accuracy").value == pytest.approx(78.24)
    change = cell(table, *enlarge, "minus plain")
    assert (change.value, change.low, change.significant) == (pytest.approx(78.24 - 77.23), None, None)
    assert cell(table, *enlarge, "p, corrected").empty == "not tested"
    assert cell(table, *enlarge, "verdict").text == "not tested"
    printed = json.loads(PAPER.read_text())["table7_templates_stanford_dogs"]
    values = [r.cells[0].value for r in table.rows]
    assert values == pytest.approx([line[vlm] for line in printed for vlm in ("CLIP", "SigLIP")])


def test_published_mistakes(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    for content, told in (([{"CLIP": 1}], "KeyError 'template'"), ([{"template": "{}", "CLIP": "x"}], "ValueError")):
        path.write_text(json.dumps({"table7_templates_cub": content}))
        with pytest.raises(UserError, match=rf"p.json: table7_templates_cub: {told}.*; give a list of templates"):
            phrases_tables([], [path])
    path.write_text("{}")
    assert phrases_tables([], [path]) == []


def test_what_cannot_be_used_is_named(runs: list[Path]) -> None:
    assert phrases_tables([read(folder) for folder in runs], []) == []
    probe(runs[0])
    (table,) = phrases_tables([read(folder) for folder in runs], [])
    assert "Left out: b: no hypotheses; run `ex2 phrases` on it." in table.notes
    path = runs[0] / "seed-1" / "descriptions.jsonl"
    write_jsonl(path, read_jsonl(path)[1:])
    assert phrases_tables([read(folder) for folder in runs], []) == []
    assert stored_phrases(RunDirectory(runs[0]))[1].endswith("the descriptions changed since; run `ex2 phrases` again.")


def test_runs_and_seeds_that_are_missing(runs: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    """Below a folder left out and named, by their own name an error; a seed that a policy did not describe is named."""
    (runs[0] / "seed-0" / "descriptions.jsonl").unlink()
    write_jsonl(runs[0] / "seed-1" / "descriptions.jsonl", [row(0, CLASSES, "aligned", "x")])
    (runs[1] / "seed-1" / "descriptions.jsonl").unlink()
    out = runs[0].parent.parent / "out"
    assert main(["phrases", str(runs[0].parent), "--seed", str(SEED), "--out", str(out)]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert f"left out: {runs[0]}: no descriptions by the base policy" in printed
    assert "b: KL 8.00 [8.00, 8.00] nats, target 10; left out: seed 1, not described by both policies" in printed
    (run,) = json.loads((out / "phrases.json").read_text())["datasets"][0]["runs"]
    assert (run["seeds"], run["missing_seeds"], run["kl"]["off_target"]) == ([0], [1], False)
    (table,) = phrases_tables([read(runs[1])], [])
    assert "b: no descriptions of seed 1." in table.notes
    assert main(["phrases", *map(str, runs)]) == 2
    assert "no descriptions by the base policy, which mining compares" in capsys.readouterr().err


def test_the_section(runs: list[Path]) -> None:
    assert phrases_section(RunDirectory(runs[0])) is None
    probe(*runs)
    section = phrases_section(RunDirectory(runs[0]))
    assert section is not None
    assert len(section.columns) == len(section.rows[0]) == 8
    rows = {cells[:2]: cells for cells in section.rows}
    blur = rows["A blur of {}.", "demo-visual"]
    assert blur[2].startswith("33.3\u00a0% [".replace(" [", "\u00a0["))
    assert blur[4].startswith("−66.7\u00a0points [")
    assert blur[5:] == ("<\u00a00.001", "worse", "a")
    assert rows["A photo of a {}.", "demo-visual"][4:] == ("–", "–", "–", "the plain template")
    assert any(note.startswith("b: KL\u00a06.00") and "seed 1 (4.0)" in note for note in section.notes)
    assert section.intro.startswith("Phrases that stand more often in the aligned descriptions of 3 classes")
    drawn = str(section.figure)
    assert drawn.count('class="dot"') == 1, "one of four differs"
    assert drawn.count('class="dot hollow"') == 3
    assert "A photo of a {}. So sharp. †" in drawn
    assert "A blur of {}. †" not in drawn
    assert 'id="phrases-narrow-t"' in str(section.narrow)


def test_given_templates_do_not_grow_old(runs: list[Path], tmp_path: Path) -> None:
    """Nothing was mined, so that other descriptions change nothing; and there is nothing to draw without templates."""
    own = tmp_path / "own.json"
    own.write_text(json.dumps({"templates": ["<b>blur</b>, {}"]}))
    assert main(["phrases", str(runs[0]), "--templates", str(own), "--top", "0"]) == 0
    write_jsonl(runs[0] / "seed-0" / "descriptions.jsonl", [])
    section = phrases_section(RunDirectory(runs[0]))
    assert section is not None
    assert section.rows[1][0] == "<b>blur</b>, {}", "escaped by the page"
    assert "&lt;b&gt;blur" in str(section.figure)
    assert "<b>" not in str(section.figure)
    assert section.intro.startswith("Given templates on all 6 classes")
