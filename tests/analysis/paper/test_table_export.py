"""Tables as files: CSV, JSON and LaTeX, with nothing lost and nothing run."""

from __future__ import annotations

import csv
import io
import json
import re

import pytest
from rich.console import Console

from analysis.results.pooling import Difference
from analysis.tables.export import escape_latex, to_csv, to_json, to_latex
from analysis.tables.table import NOTHING, Cell, Row, Table, footnotes, points_cell, text_cell
from analysis.tables.terminal import print_table
from analysis.tables.view import table_view

HOSTILE = "<script>alert('x')</script> & \\input{x} 100% $a_b$ #1 ~^ {\n\"=1+1\", [a] |"


def small_table() -> Table:
    cells = (
        Cell("percent", 55.333, 53.4, 57.25, 2550, kl=13.0, kl_target=10.0, kl_off_target=True, kl_note="KL 13, off"),
        Cell("points", -0.004, -0.5, 0.4, 200, p=0.75, significant=False, notes=("no significant difference",)),
        Cell(empty="no run"),
        text_cell(HOSTILE),
    )
    rows = (Row(("A & B", "x"), cells), Row(("A & B", "y"), cells))
    return Table("t", "50 % of_x", ("VLM", "kind"), ("[a]", "b", "c", "d"), rows, ("Rule #1.",))


def test_csv_has_a_row_for_each_cell() -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(small_table()))))
    assert len(rows) == 8
    assert (rows[0]["VLM"], rows[0]["column"], rows[0]["value"], rows[0]["n"]) == ("A & B", "[a]", "55.333", "2550")
    assert (rows[0]["kl"], rows[0]["kl_target"], rows[0]["kl_off_target"]) == ("13.0", "10.0", "true")
    assert (rows[1]["p"], rows[1]["significant"], rows[1]["notes"]) == ("0.75", "false", "no significant difference")
    assert (rows[2]["value"], rows[2]["n"], rows[2]["empty"]) == ("", "", "no run")
    assert rows[3]["text"] == HOSTILE
    assert rows[0]["notes"] == "KL 13, off"


def test_json_holds_everything() -> None:
    read = json.loads(to_json(small_table()))
    assert read["columns"] == ["[a]", "b", "c", "d"]
    assert read["rows"][1]["names"] == ["A & B", "y"]
    cell = read["rows"][0]["cells"][1]
    assert (cell["value"], cell["low"], cell["significant"], cell["kl"]) == (-0.004, -0.5, False, None)
    assert read["rows"][0]["cells"][3]["text"] == HOSTILE


def test_latex_is_escaped_and_uses_booktabs() -> None:
    text = to_latex(small_table())
    for rule in (r"\toprule", r"\midrule", r"\bottomrule"):
        assert text.count(rule) == 1
    assert r"\caption{50 \% of\_x}" in text
    assert (
        r"\shortstack[r]{55.33\textsuperscript{\textdagger} \\ {\scriptsize {[}53.40,~57.25{]}} \\ "
        r"{\scriptsize n~=~2,550}}" in text
    )
    assert r"\shortstack[r]{0.00~\textit{n.s.} \\" in text, "−0.004 is shown as neither −0.00 nor +0.00"
    body = text[text.index(r"\midrule") : text.index(r"\bottomrule")].strip().splitlines()[1:]
    first, second = body
    assert first.startswith(r"A \& B & x & ")
    assert second.startswith(" & y & "), "the outer name stands once"
    for line in body:
        bare = re.sub(r"\\[&%$#_{}]", "", line)
        assert bare.count("&") == 5, "one for each column border"
        assert not set(bare) & set('%$#_<>|"')
        assert bare.count("{") == bare.count("}")
    assert r"\textbackslash{}input\{x\}" in text
    assert r"\input" not in text


def structure(text: str) -> list[list[str]]:
    """Check what LaTeX would refuse, and return the cells of the body.

    Braces and environments close in order, every row has a cell for each column, and no special character stands bare.
    """
    text = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    open_now: list[str] = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", text):
        if kind == "begin":
            open_now.append(name)
        else:
            assert open_now.pop() == name
    assert open_now == []
    bare = re.sub(r"\\[{}%&$#_\\]", "  ", text)
    depth = 0
    for character in bare:
        depth += {"{": 1, "}": -1}.get(character, 0)
        assert depth >= 0
    assert depth == 0
    columns = re.search(r"\\begin\{tabular\}\{(.*)\}$", text, re.MULTILINE)
    assert columns is not None
    width = len(re.findall(r"[lr]|p\{", re.sub(r">\{[^}]*\}|\\linewidth", "", columns[1])))
    body = text[text.index(r"\toprule") : text.index(r"\bottomrule")]
    rows = [line for line in body.splitlines() if line.endswith(r"\\")]
    for row in rows:
        assert len(re.findall(r"(?<!\\)&", row)) == width - 1
    assert not set(re.sub(r"\\[%#_$]", "", body)) & set('%#_$<>|"')
    return [[cell.strip() for cell in re.split(r"(?<!\\)&", row.removesuffix(r"\\"))] for row in rows]


def test_latex_of_hostile_names_is_sound() -> None:
    cells = (text_cell(HOSTILE), Cell(empty=HOSTILE), Cell("percent", 1.0, notes=(HOSTILE,), kl_off_target=True))
    names = (HOSTILE, "}\\end{table}")
    rows = (Row(names, cells), Row((HOSTILE, "& &"), cells))
    text = to_latex(Table("t", HOSTILE, names, (HOSTILE, "%", "{"), rows, (HOSTILE, "}")))
    assert len(structure(text)) == 3
    assert text.count(r"\end{table}") == 1
    assert r"\input" not in text


def test_latex_tells_empty_cells_apart_and_keeps_what_cells_say() -> None:
    few = "3 of 10 classes by template"
    cells = (
        Cell(empty="no run"),
        Cell(empty="EX2 not above the templates", kl=13.0, kl_off_target=True),
        Cell(empty="not measured"),
        Cell("percent", 50.0, notes=(few,)),
        Cell(
            "points", 1.0, significant=False, notes=(few, "no significant difference by McNemar"), doubts=("McNemar",)
        ),
        Cell(empty=NOTHING),
    )
    text = to_latex(Table("t", "T", ("VLM",), tuple("abcdef"), (Row(("A",), cells),)))
    [_, row] = structure(text)
    assert row == [
        "A",
        r"--\textsuperscript{a}",
        r"--\textsuperscript{b,\textdagger}",
        r"--\textsuperscript{c}",
        r"50.00\textsuperscript{d}",
        r"+1.00~\textit{n.s. by McNemar, without an interval}\textsuperscript{d}",
        "--{}",
    ]
    assert (
        r"\textsuperscript{a}~no run; \textsuperscript{b}~EX2 not above the templates; "
        rf"\textsuperscript{{c}}~not measured; \textsuperscript{{d}}~{few}" in text
    )


def test_several_seeds_show_both_intervals_and_the_range_of_p() -> None:
    change = Difference(
        0.016, 0.002, 0.03, False, None, 200, 3, True, (-0.001, 0.034), (0.002, 0.3, 0.0001), ("interval over images",)
    )
    table = Table("t", "T", ("VLM",), ("a",), (Row(("A",), (points_cell(change),)),))
    assert (
        r"\shortstack[r]{+1.60~\textit{n.s. by interval over images} \\ {\scriptsize {[}+0.20,~+3.00{]}} \\ "
        r"{\scriptsize images~{[}\ensuremath{-}0.10,~+3.40{]}} \\ {\scriptsize p~\textless{}~0.001--{}0.300} \\ "
        r"{\scriptsize n~=~200~\ensuremath{\times}~3~seeds}}" in to_latex(table)
    )
    [row] = csv.DictReader(io.StringIO(to_csv(table)))
    assert [row[key] for key in ("p", "p_least", "p_most", "doubts")] == ["", "0.0001", "0.3", "interval over images"]
    assert (float(row["images_low"]), float(row["images_high"])) == pytest.approx((-0.1, 3.4))
    said = "no significant difference by interval over images: between −0.1 and +3.4 points are possible"
    assert row["notes"].replace("\u00a0", " ") == said
    console = Console(record=True, width=200, file=io.StringIO())
    print_table(table, console)
    words = console.export_text().replace("\u00a0", " ")
    assert (
        "+1.6 [+0.2, +3.0] images [−0.1, +3.4] p < 0.001–0.300 n = 200 × 3 seeds n.s. by interval over images" in words
    )


def test_the_terminal_marks_empty_cells_and_explains_letters() -> None:
    cells = (
        Cell(empty="no run", kl_off_target=True),
        Cell("percent", 50.0, n=10, notes=("3 of 10 classes by template",)),
    )
    console = Console(record=True, width=120, file=io.StringIO())
    print_table(Table("t", "[b]T", ("VLM",), ("a", "b"), (Row(("A",), cells),)), console)
    words = console.export_text().replace("\u00a0", " ")
    assert "(no run) †" in words
    assert "50.0 n = 10 (a)" in words
    assert "a: 3 of 10 classes by template" in words


def test_letters_go_on_after_z() -> None:
    cells = tuple(Cell(empty=f"reason {number}") for number in range(54))
    letters = footnotes(Table("t", "T", (), tuple("x" * 54), (Row((), cells),)))
    assert [letters[f"reason {number}"] for number in (0, 25, 26, 51, 52, 53)] == ["a", "z", "aa", "az", "ba", "bb"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("a–b − c\u00a0%", r"a--{}b \ensuremath{-} c~\%"),
        ("--", "-{}-{}"),
        ("café\u200b\x07\nx", "café x"),
        ("☃", "{[}SNOWMAN{]}"),
        ("犬", "{[}CJK UNIFIED IDEOGRAPH-72AC{]}"),
        ("~^\\", r"\textasciitilde{}\textasciicircum{}\textbackslash{}"),
    ],
)
def test_latex_characters(given: str, expected: str) -> None:
    assert escape_latex(given) == expected


def test_no_file_holds_a_zero_with_a_sign() -> None:
    """A difference of nothing, turned around, and numbers that a file of then holds as −0.0."""
    turned = Difference(0.0, 0.0, 0.02, False, 1.0, 200, 3, True, (0.0, 0.01), by_seed=(0.0, 0.0)).flipped()
    cells = (points_cell(turned), Cell("nats", -0.0, -0.0, 0.3, 5, kl=-0.0004, kl_target=10.0, kl_off_target=True))
    table = Table("t", "T", ("VLM",), ("a", "b"), (Row(("A",), cells),))
    assert not re.search(r"-0\.0(?!\d)", str(turned))
    assert not re.search(r"-0\.0(?!\d)", to_csv(table) + to_json(table))
    console = Console(record=True, width=200, file=io.StringIO())
    print_table(table, console)
    view = table_view(table)
    assert [cell.main for cell in view.rows[0].cells] == ["0.0", "0.0"]
    assert view.rows[0].cells[1].mark == "†\u00a0KL\u00a00.0"
    assert not re.search(r"[-+−]0\.0+(?!\d)", to_latex(table) + console.export_text() + str(view))
