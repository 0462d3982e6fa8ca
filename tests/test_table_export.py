"""Tables as files: CSV, JSON and LaTeX, with nothing lost and nothing run."""

from __future__ import annotations

import csv
import io
import json
import re

import pytest

from analysis.tables.export import escape_latex, to_csv, to_json, to_latex
from analysis.tables.table import Cell, Row, Table, text_cell

HOSTILE = "<script>alert('x')</script> & \\input{x} 100% $a_b$ #1 ~^ {\n\"=1+1\", [a] |"


def small_table() -> Table:
    cells = (
        Cell("percent", 55.333, 53.4, 57.25, 2550, kl=13.0, kl_target=10.0, kl_off_target=True, notes=("KL 13",)),
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
    assert r"\shortstack[r]{+0.00~\textit{n.s.} \\" in text, "−0.004 is not shown as −0.00"
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
