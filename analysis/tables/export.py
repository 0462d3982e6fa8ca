"""Tables as files: CSV with a row for each cell, JSON, and LaTeX with booktabs."""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from itertools import pairwise

from analysis.tables.table import (
    NOTHING,
    Cell,
    Table,
    footnotes,
    footnotes_of,
    interval_text,
    n_text,
    not_significant,
    number_text,
    seeds_text,
)
from reward.plain_text import csv_cell

DIGITS = 2

FIELDS = (
    "unit",
    "value",
    "low",
    "high",
    "n",
    "seeds",
    "shared",
    "p",
    "significant",
    "doubts",
    "images_low",
    "images_high",
    "p_least",
    "p_most",
    "kl",
    "kl_target",
    "kl_off_target",
    "text",
    "notes",
    "empty",
)


def to_csv(table: Table) -> str:
    """Return CSV with a row for each cell: its place, then its numbers at full precision; unknown numbers are empty.

    A text that spreadsheets would take for a formula has an apostrophe in front.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*map(csv_cell, table.row_names), "column", *FIELDS])
    for row in table.rows:
        for column, cell in zip(table.columns, row.cells, strict=True):
            said = [*cell.notes, *([cell.kl_note] if cell.kl_note else [])]
            values = asdict(cell) | {"notes": "; ".join(said), "doubts": "; ".join(cell.doubts)}
            if cell.value is None or not cell.n:
                values |= {"n": cell.n or None, "seeds": None, "shared": None}
            line = [*row.names, column, *(_plain(values[field]) for field in FIELDS)]
            writer.writerow(map(csv_cell, line))
    return out.getvalue()


def _plain(value: object) -> object:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else _unsigned_zero(value)


def _unsigned_zero(value: object) -> object:
    return value + 0.0 if isinstance(value, float) else value  # −0.0 + 0.0 is 0.0


def to_json(table: Table) -> str:
    """Return the table as JSON with every cell's numbers at full precision; unknown numbers are null."""
    content = {
        "key": table.key,
        "title": table.title,
        "notes": list(table.notes),
        "row_names": list(table.row_names),
        "columns": list(table.columns),
        "rows": [{"names": list(row.names), "cells": [_fields(cell) for cell in row.cells]} for row in table.rows],
    }
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _fields(cell: Cell) -> dict[str, object]:
    return {name: _unsigned_zero(value) for name, value in asdict(cell).items()}


def to_latex(table: Table, digits: int = DIGITS) -> str:
    r"""Return the table as a LaTeX `table` environment that uses booktabs, to be included with `\input`.

    Args:
        table: The table. An outermost row name is written once for all rows that share it.
        digits: Number of decimals.

    Returns:
        LaTeX with every text escaped. A dagger marks a KL off its target, and n.s. a difference that is not
        significant. Letters refer to what else a cell says, such as why it is empty; these words and the table's notes
        stand below the table.
    """
    letters = footnotes(table)
    wide = {index for index in range(len(table.columns)) if any(len(row.cells[index].text) > 24 for row in table.rows)}
    names = "".join(r">{\raggedright\arraybackslash}p{0.16\linewidth}" if wide else "l" for _ in table.row_names)
    columns = "".join(
        rf">{{\raggedright\arraybackslash}}p{{{0.36 / len(wide):.2f}\linewidth}}" if index in wide else "r"
        for index in range(len(table.columns))
    )
    lines = [
        "% needs \\usepackage{array,booktabs}",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape_latex(table.title)}}}",
        rf"\label{{tab:{table.key}}}",
        r"\small",
        rf"\begin{{tabular}}{{{names}{columns}}}",
        r"\toprule",
        " & ".join(escape_latex(name) for name in (*table.row_names, *table.columns)) + r" \\",
        r"\midrule",
    ]
    previous: tuple[str, ...] | None = None
    for row in table.rows:
        if previous and len(row.names) > 1 and row.names[0] != previous[0]:
            lines.append(r"\addlinespace")
        shown = [
            "" if previous and row.names[: level + 1] == previous[: level + 1] else name
            for level, name in enumerate(row.names)
        ]
        cells = [escape_latex(name) for name in shown] + [_latex_cell(cell, digits, letters) for cell in row.cells]
        lines.append(" & ".join(cells) + r" \\")
        previous = row.names
    lines += [r"\bottomrule", r"\end{tabular}"]
    below = [rf"\textsuperscript{{{letter}}}~{escape_latex(words)}" for words, letter in letters.items()]
    if below:
        lines.append(_latex_note("; ".join(below)))
    lines += [_latex_note(escape_latex(note.strip())) for note in table.notes]
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def _latex_note(escaped: str) -> str:
    return rf"\par\smallskip{{\footnotesize {escaped}\par}}"


def _latex_cell(cell: Cell, digits: int, letters: Mapping[str, str]) -> str:
    ns = not_significant(cell)
    marks = rf"~\textit{{{escape_latex(ns)}}}" if ns else ""
    raised = [letters[words] for words in footnotes_of(cell)] + ([r"\textdagger"] if cell.kl_off_target else [])
    marks += rf"\textsuperscript{{{','.join(raised)}}}" if raised else ""
    if cell.empty:
        return (escape_latex(NOTHING) if cell.empty == NOTHING else "--") + marks
    value = escape_latex(number_text(cell, digits)) + marks
    below = [interval_text(cell, digits), *seeds_text(cell, digits), n_text(cell)]
    lines = [value, *(rf"{{\scriptsize {escape_latex(line)}}}" for line in below if line)]
    joined = r" \\ ".join(lines)
    return value if len(lines) == 1 else rf"\shortstack[r]{{{joined}}}"


_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"{\ttfamily\char34}",  # \textquotedbl is not in the encoding that LaTeX begins with
    "'": r"\textquotesingle{}",
    "`": r"\textasciigrave{}",
    "-": "-{}",  # two in a row would become a dash
    "[": "{[}",  # at the start of a row it would be an argument of the line break before it
    "]": "{]}",
    "\u00a0": "~",
    "−": r"\ensuremath{-}",
    "–": "--{}",
    "—": "---{}",
    "×": r"\ensuremath{\times}",
    "·": r"\textperiodcentered{}",
    "κ": r"\ensuremath{\kappa}",
    "α": r"\ensuremath{\alpha}",
    "β": r"\ensuremath{\beta}",
    "…": r"\ldots{}",
    "“": r"\textquotedblleft{}",
    "”": r"\textquotedblright{}",
    "‘": r"\textquoteleft{}",
    "’": r"\textquoteright{}",
}


_IN_T1 = {
    "Ð": r"\DH",
    "ð": r"\dh",
    "Þ": r"\TH",
    "þ": r"\th",
    "Đ": r"\DJ",
    "đ": r"\dj",
    "Ŋ": r"\NG",
    "ŋ": r"\ng",
    **{letter: rf"\k {unicodedata.normalize('NFD', letter)[0]}" for letter in "ĄąĘęĮįŲų"},
}
"""Letters that the encoding with which LaTeX begins lacks, and the encoding T1 has."""
_IN_NEITHER = "ĦħĸĿŀŉŦŧſ"


def escape_latex(text: str) -> str:
    """Escape a text so that LaTeX prints it as it is: nothing in it is a command, and line breaks become spaces.

    pdfLaTeX's fonts lack many characters: those that are neither known here nor Latin letters are replaced by their
    Unicode name in brackets, such as `[SNOWMAN]`. Control characters are removed.
    """
    return "".join(_latex_character(character) for character in " ".join(text.split(" ")))


def _latex_character(character: str) -> str:
    if character in _LATEX:
        return _LATEX[character]
    if character.isspace():
        return " "
    if character.isascii():
        return character if character.isprintable() else ""
    if unicodedata.category(character)[0] == "C":
        return ""
    if character in _IN_T1:
        return rf"{{\fontencoding{{T1}}\selectfont{_IN_T1[character]}}}"
    known = ord(character) < 0x180 and character not in _IN_NEITHER
    if known and character.isalpha():  # Latin letters with accents: in every LaTeX since 2018
        return character
    return "{[}" + unicodedata.name(character, f"U+{ord(character):04X}") + "{]}"


WRITERS: dict[str, Callable[[Table], str]] = {"csv": to_csv, "json": to_json, "latex": to_latex}
"""Format → function that writes a table in it."""

ENDINGS = {"csv": ".csv", "json": ".json", "latex": ".tex"}


def duplicate_keys(tables: Sequence[Table]) -> list[str]:
    """Return the keys that several tables have in common: of their files, one would replace the other."""
    keys = sorted(table.key for table in tables)
    return sorted({first for first, second in pairwise(keys) if first == second})
