"""Texts that terminals, spreadsheets and Markdown would act on."""

from __future__ import annotations

import io

import pytest
from rich.markup import escape
from rich.table import Table

from reward.errors import UserError
from reward.plain_text import csv_cell, markdown_block, markdown_code, plain
from reward.terminal import PlainConsole

HOSTILE = "\x1b[31mred\x1b[0m \x1b]0;title\x07\x1b]8;;http://x\x1b\\link\r\x08\x9b2J\u202eoak[red]\x00"
HARMLESS = "red link2Joak[red]"


def test_nothing_acts_on_the_terminal() -> None:
    assert plain(HOSTILE) == HARMLESS
    assert plain("two\nlines\tβ 𝛼 é ‎") == "two\nlines\tβ 𝛼 é "
    told = str(UserError(f"{HOSTILE}\nnext"))
    assert told.startswith(
        r"\x1b[31mred\x1b[0m \x1b]0;title\x07\x1b]8;;http://x\x1b\link\r\x08\x9b2J\u202eoak[red]\x00"
    )
    assert told.endswith("\nnext")
    assert str(UserError("ä – \u00a0μ→😀")) == "ä – \u00a0μ→😀"


@pytest.mark.parametrize("terminal", [True, False])
def test_a_console_prints_texts_and_its_own_styles_only(terminal: bool) -> None:
    out = io.StringIO()
    console = PlainConsole(file=out, force_terminal=terminal, color_system="standard" if terminal else None, width=60)
    table = Table("name")
    table.add_row(escape(HOSTILE), style="green")
    console.print(HOSTILE, markup=False, highlight=False)
    console.print(table)
    written = out.getvalue()
    first, *_ = written.splitlines()
    shown = "red ]0;titlelink2Joak[red]"  # rich takes the bell away first, so that the title has no end
    assert first == shown
    assert f"│ {shown} " in written.replace("\x1b[32m", "").replace("\x1b[0m", "")
    assert ("\x1b[32m" in written) is terminal
    for active in ("\x1b]", "\x1b[31m", "\x07", "\x08", "\x9b", "\r", "\x00", "\u202e"):
        assert active not in written


@pytest.mark.parametrize(
    ("given", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
        ("-2+3", "'-2+3"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("  =1", "'  =1"),
        ("＝1", "'＝1"),
        ("-0.5", "-0.5"),
        ("+1e-3", "+1e-3"),
        (-0.5, -0.5),
        ("oak = pug", "oak = pug"),
        ("−0.5", "−0.5"),
        ("", ""),
        (None, None),
    ],
)
def test_cells_are_no_formulas(given: object, cell: object) -> None:
    assert csv_cell(given) == cell


def test_markdown_code_cannot_be_left() -> None:
    assert markdown_code("oak") == "`oak`"
    assert markdown_code("a`b``c\n# d") == "```a`b``c # d```"
    assert markdown_code("`x`") == "`` `x` ``"
    assert markdown_block("a: 1\n````\n# out\n", "yaml") == "`````yaml\na: 1\n````\n# out\n`````"
    assert markdown_block("a: 1", "yaml") == "```yaml\na: 1\n```"
