"""Tables with class names that try to be formulas, commands or markup."""

from __future__ import annotations

import csv
import io
import shutil
import subprocess
from pathlib import Path

from needs import absent
from processes import PATIENCE

from analysis.tables.export import escape_latex, to_csv, to_latex
from analysis.tables.table import Cell, Row, Table, text_cell

NAMES = (
    "=HYPERLINK(\"http://evil.example\",\"x\")",
    "+1-1",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "\\input{/etc/passwd}",
    "\\end{tabular}\\write18{touch owned}",
    "100% & $x^2$ #1 _a_ ~b~ {c} }{ [d]",
    "^^5cinput{x}",
    "a\n\nb\rc\x00\x1b[31m",
    "ﬁ ß é ž 桜 ☃ 𝛼 \u202eoak \u2028 e\u0301",
    "--- ``quoted'' <<a>> ?` !` \"a 'b",
    "".join(map(chr, range(0xA0, 0x180))),
    "%",
    "\\",
    "{",
    "[1ex]",
    "*",
)  # fmt: skip


def hostile_table() -> Table:
    cell = Cell("points", -0.5, -1.0, 0.25, 200, p=0.75, significant=False, notes=NAMES[:1])
    rows = tuple(Row((name, "x"), (cell, text_cell(name * 3), Cell(empty=name))) for name in NAMES)
    return Table("hostile", NAMES[7], (NAMES[0], NAMES[6]), (NAMES[5], "b", NAMES[2]), rows, NAMES)


def test_csv_has_no_formulas_and_numbers_stay_numbers() -> None:
    head, *rows = csv.reader(io.StringIO(to_csv(hostile_table())))
    assert len(rows) == 3 * len(NAMES)
    assert not [cell for row in (head, *rows) for cell in row if cell.startswith(("=", "+", "@", "\t", "\r"))]
    assert {cell for row in rows for cell in row if cell.startswith("-")} == {"-0.5", "-1.0"}
    assert [row[0] for row in rows[:15:3]] == [f"'{name}" for name in NAMES[:5]]
    assert dict(zip(head, rows[0], strict=True))["low"] == "-1.0"


def test_each_name_is_text_in_latex() -> None:
    assert escape_latex(NAMES[5]) == r"\textbackslash{}input\{/etc/passwd\}"
    assert escape_latex("^^5c") == r"\textasciicircum{}\textasciicircum{}5c"
    assert escape_latex("a\n\nb\x00\x1b[31m\u202e") == "a  b{[}31m"
    assert escape_latex("%\\\n") == r"\%\textbackslash{} "
    assert escape_latex("桜") == "{[}CJK UNIFIED IDEOGRAPH-685C{]}"


def test_letters_that_latex_has_in_another_encoding_or_not_at_all() -> None:
    assert escape_latex("ą") == r"{\fontencoding{T1}\selectfont\k a}"
    assert escape_latex("Þ") == r"{\fontencoding{T1}\selectfont\TH}"
    assert escape_latex("ħ") == "{[}LATIN SMALL LETTER H WITH STROKE{]}"
    assert escape_latex("éŽøß") == "éŽøß"


def test_latex_compiles(tmp_path: Path) -> None:
    program = shutil.which("pdflatex")
    if program is None:
        absent("tex", "there is no pdflatex on this machine")
    (tmp_path / "hostile.tex").write_text(to_latex(hostile_table()), encoding="utf-8")
    (tmp_path / "main.tex").write_text(
        "\\documentclass{article}\\usepackage{array,booktabs}\\begin{document}\\input{hostile}\\end{document}\n"
    )
    words = [program, "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "main.tex"]
    done = subprocess.run(
        words, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert (tmp_path / "main.pdf").stat().st_size > 1000
    assert not (tmp_path / "owned").exists()
    assert "Missing character" not in (tmp_path / "main.log").read_text(errors="replace")
