"""Figure 4 as tables: of stored results and of published numbers, with KL, tests and what is left out."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from attributed_runs import write_attributed
from paths import DATA

from analysis.attributes.judges import ATTRIBUTES
from analysis.attributes.tables import attribute_drawings, attribute_tables
from analysis.results.runs import gather_runs
from analysis.statistics.holm import holm
from analysis.tables.export import WRITERS
from analysis.tables.table import Cell, Table
from ex2.cli import main
from ex2.data.demo.world import SENTENCES
from reward.errors import UserError
from reward.files import read_jsonl, write_jsonl

PAPER = DATA / "paper_tables.json"
VISUAL, LIFE = SENTENCES["visual"], SENTENCES["non_visual"]


def cell(table: Table, *names: str) -> Cell:
    """Return the cell of a row's names and then a column."""
    (row,) = [row for row in table.rows if row.names == names[:-1]]
    return row.cells[table.columns.index(names[-1])]


@pytest.fixture
def tables(tmp_path: Path) -> list[Table]:
    """Looks, over two seeds whose KLs are 10 and 14; life, over one, of all but two classes."""
    seeds = {0: VISUAL[:6], 1: VISUAL[2:8]}
    write_attributed(tmp_path / "runs", "looks", seeds, kl={0: 10.0, 1: 14.0}, not_analyzed=(7,))
    write_attributed(tmp_path / "runs", "life", {0: LIFE[:6]}, vlm="demo-non-visual", concepts=slice(2, None))
    assert main(["attributes", str(tmp_path / "runs"), "--out", str(tmp_path / "out"), "--sample", "20"]) == 0
    runs, _ = gather_runs([tmp_path / "runs"])
    return attribute_tables(runs, [PAPER])


def test_shares_and_kl(tables: list[Table], tmp_path: Path) -> None:
    shares = tables[0]
    assert shares.key == "figure-04-attributes"
    stored = json.loads((tmp_path / "out" / "attributes.json").read_text())
    groups = {group["vlm"]: group for group in stored["groups"]}
    found = cell(shares, "shapes", "all", "colour", "demo-visual")
    color = groups["demo-visual"]["all"]["attributes"]["colour"]
    assert found.value == pytest.approx(100 * sum(color["by_seed"]) / 2)
    assert (found.n, found.seeds) == (color["of_mentions"]["n"], 2)
    assert (found.kl, found.kl_target, found.kl_off_target) == (pytest.approx(12.0), 10.0, True)
    assert "14.0 in seed 1" in found.kl_note
    life = cell(shares, "shapes", "all", "habitat", "demo-non-visual")
    assert (life.kl, life.kl_off_target, life.kl_note) == (10.0, False, "")
    assert cell(shares, "shapes", "all", "number of descriptions", "demo-non-visual").value == 14 * 6
    assert cell(shares, "shapes", "random 20", "number of descriptions", "demo-visual").value == 2 * 20
    assert "demo-visual, shapes: seed 7 not analysed." in shares.notes
    of_descriptions = cell(tables[1], "shapes", "all", "colour", "demo-visual")
    assert of_descriptions.n == 2 * 96


def test_published_shares(tables: list[Table]) -> None:
    """Printed as colour and behavior, of a random sample alone; every number of the paper's figure is there."""
    shares = tables[0]
    assert cell(shares, "cub", "random 50", "size", "CLIP").value == 54.8
    assert cell(shares, "cub", "random 50", "behaviour", "ALIGN").value == 15.3
    assert cell(shares, "flowers", "random 50", "timing", "CLIP").empty == "not published"
    assert cell(shares, "cub", "random 50", "size", "demo-visual").empty == "no run"
    printed = json.loads(PAPER.read_text())["figure4_attribute_pct"]
    expected = sorted(value for vlms in printed.values() for row in vlms.values() for value in row.values())
    columns = [shares.columns.index(name) for name in ("CLIP", "ALIGN")]
    filled = [row.cells[c].value for row in shares.rows for c in columns if row.cells[c].value is not None]
    assert sorted(filled) == expected
    assert not any(row.names[1] == "all" for row in shares.rows if row.names[0] == "cub")


def test_the_tests_are_given_these_seeds(tables: list[Table], tmp_path: Path) -> None:
    tests = tables[2]
    assert tests.key == "figure-04-attributes-tests"
    place = ("shapes", "demo-non-visual", "demo-visual")
    assert cell(tests, *place, "all attributes", "first minus second").text == "differ"
    assert cell(tests, *place, "all attributes", "test").text == "given these seeds (1 and 2)"
    assert cell(tests, *place, "habitat", "classes shared").value == 14
    gap = cell(tests, *place, "habitat", "first minus second")
    assert (gap.significant, gap.notes) == (None, ())
    assert (gap.kl, gap.kl_off_target) == (pytest.approx(12.0), True), "of the run further off its target"
    names = [row.names[3] for row in tests.rows[1:]]
    assert set(names) <= set(ATTRIBUTES)
    stored = json.loads((tmp_path / "out" / "attributes.json").read_text())["comparisons"][0]["attributes"]
    assert [part["attribute"] for part in stored] == names
    assert [part["p_holm"] for part in stored] == pytest.approx(holm([part["p"] for part in stored]))
    assert not any(part["significant"] for part in stored), "one and two seeds"
    for column, said in (("p", "no p: it takes 5 seeds a side to test one attribute"), ("p, corrected", "–")):
        assert {cell(tests, *place, name, column).text for name in names} == {said}
    assert {c.p for row in tests.rows for c in row.cells} == {None}, "what stands as text is no number beside it"


def test_every_writer_takes_them(tables: list[Table]) -> None:
    for table in tables:
        for writer in WRITERS.values():
            assert writer(table)
    rows = list(csv.DictReader(io.StringIO(WRITERS["csv"](tables[0]))))
    (row,) = [r for r in rows if (r["attribute"], r["descriptions"], r["column"]) == ("colour", "all", "demo-visual")]
    assert (row["seeds"], row["kl"], row["kl_off_target"]) == ("2", "12.0", "true")


def test_nothing_stored_is_no_table(tmp_path: Path) -> None:
    write_attributed(tmp_path, "looks", {0: VISUAL[:2]})
    runs, _ = gather_runs([tmp_path])
    assert attribute_tables(runs, []) == []
    assert attribute_tables([], []) == []
    (published,) = attribute_tables([], [PAPER])
    assert published.columns == ("ALIGN", "CLIP")


def test_what_cannot_be_used_is_named(tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        write_attributed(tmp_path, name, {0: [VISUAL[len(name)], VISUAL[0]]})
    assert main(["attributes", str(tmp_path / "one"), str(tmp_path / "two"), "--out", str(tmp_path / "out")]) == 0
    path = tmp_path / "two" / "seed-0" / "descriptions.jsonl"
    write_jsonl(path, reversed(read_jsonl(path)))
    runs, _ = gather_runs([tmp_path])
    made = attribute_tables(runs, [])
    assert [table.key for table in made] == ["figure-04-attributes", "figure-04-attributes-of-descriptions"], (
        "the comparison is of descriptions that are gone"
    )
    notes = " ".join(made[0].notes)
    assert "Left out: three: no attributes; run `ex2 attributes` on it." in notes
    assert "two/attributes.json: the descriptions or their judge changed since; run `ex2 attributes` again." in notes


def test_pairs_compared_apart_are_corrected_together(tmp_path: Path) -> None:
    """Two calls with one comparison each: in the table p is doubled, and the figure says the same."""
    for place, name in enumerate(("one", "two", "three")):
        write_attributed(tmp_path, name, {0: (VISUAL if place < 2 else LIFE)[place : place + 3]}, vlm=name)
    for pair in (("one", "three"), ("two", "three")):
        assert main(["attributes", *(str(tmp_path / name) for name in pair), "--out", str(tmp_path / "out")]) == 0
    write_attributed(tmp_path / "further", "four", {0: LIFE[:2]}, vlm="four")
    assert main(["attributes", str(tmp_path / "one"), str(tmp_path / "further"), "--out", str(tmp_path / "out")]) == 0
    runs, _ = gather_runs([tmp_path])
    tests = attribute_tables(runs, [])[2]
    pairs = {row.names[1:3]: row for row in tests.rows if row.names[3] == "all attributes"}
    assert set(pairs) == {("two", "three"), ("one", "four")}, "the last call that a run took part in counts"
    column = tests.columns.index("p")
    raw = [float(row.cells[column].text) for row in pairs.values()]
    assert [float(row.cells[column + 1].text) for row in pairs.values()] == pytest.approx(holm(raw), abs=1e-4)
    assert holm(raw) != raw
    drawn = str(attribute_drawings(runs)["figure-04-attributes"])
    assert "one and four: differ" in drawn
    assert "two and three: differ" in drawn
    assert attribute_drawings([]) == {}


def test_one_vlm_twice_and_published_too(tmp_path: Path) -> None:
    write_attributed(tmp_path, "one", {0: VISUAL[:2]}, vlm="CLIP")
    write_attributed(tmp_path, "two", {0: VISUAL[1:3]}, vlm="CLIP")
    printed = tmp_path / "printed.json"
    printed.write_text(json.dumps({"figure4_attribute_pct": {"shapes": {"CLIP": {"smell": 60, "price": 40}}}}))
    assert main(["attributes", str(tmp_path / "one"), str(tmp_path / "two"), "--out", str(tmp_path / "out")]) == 0
    runs, _ = gather_runs([tmp_path])
    shares = attribute_tables(runs, [printed])[0]
    assert shares.columns == ("CLIP (one)", "CLIP (two)", "CLIP (published)")
    assert cell(shares, "shapes", "random 50", "others", "CLIP (published)").value == 100, "both are no listed names"
    printed.write_text(json.dumps({"figure4_attribute_pct": {"shapes": {"CLIP": {"size": "half"}}}}))
    with pytest.raises(UserError, match=r"printed.json: figure4_attribute_pct: could not .*'half'; give dataset"):
        attribute_tables([], [printed])


def test_runs_that_say_the_same_are_two_runs(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_attributed(tmp_path, name, {0: VISUAL[:2]}, vlm=name)
    assert main(["attributes", str(tmp_path / "one"), str(tmp_path / "two"), "--out", str(tmp_path / "out")]) == 0
    runs, _ = gather_runs([tmp_path])
    shares, _, tests = attribute_tables(runs, [])
    assert shares.columns == ("one", "two")
    assert cell(tests, "shapes", "one", "two", "all attributes", "p").text == "1.0000"


def test_the_drawing_follows_the_tolerance(tables: list[Table], tmp_path: Path) -> None:
    """Seeds at 10 and 14 of a target of 10: further off than 20 %, not than 50 %."""
    runs, _ = gather_runs([tmp_path / "runs"])
    drawn = {tolerance: str(attribute_drawings(runs, tolerance)["figure-04-attributes"]) for tolerance in (0.2, 0.5)}
    assert drawn[0.2].count(" †<") == 1
    assert "demo-visual †<" in drawn[0.2]
    assert "more than 20\u00a0% off it in seed 1" in drawn[0.2]
    assert "†" not in drawn[0.5]
    assert "more than" not in drawn[0.5]
    strict = str(attribute_drawings(runs, 0.1)["figure-04-attributes"])
    assert "more than 10\u00a0% off it in seed 1" in strict


def test_folders_with_one_recipe_name_are_numbered_everywhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder, texts in (("first", VISUAL[:3]), ("second", LIFE[:3])):
        write_attributed(tmp_path / folder, "same", {0: texts}, vlm="CLIP")
    out = tmp_path / "out"
    assert main(["attributes", str(tmp_path / "first"), str(tmp_path / "second"), "--out", str(out)]) == 0
    labels = ("CLIP (same)", "CLIP (same) (2)")
    stored = json.loads((out / "attributes.json").read_text())
    assert tuple(group["label"] for group in stored["groups"]) == labels
    printed = " ".join(capsys.readouterr().out.split())
    assert all(f"{label}, n = " in printed for label in labels)
    sentence = f"{labels[0]} and {labels[1]}: differ"
    assert sentence in printed
    runs, _ = gather_runs([tmp_path / "first", tmp_path / "second"])
    shares, _, tests = attribute_tables(runs, [])
    assert shares.columns == labels
    assert tests.rows[0].names[1:3] == labels
    for drawn in ((out / "figure-04-attributes.svg").read_text(), str(attribute_drawings(runs)[shares.key])):
        assert sentence in drawn
        assert all(f">{label}<" in drawn for label in labels)
