"""Numbers as text: no zero with a sign, and no second way to write one."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from paths import ROOT

from reward.numerals import compact, decimal


@pytest.mark.parametrize(
    ("value", "digits", "plain", "signed"),
    [
        (-0.04, 1, "0.0", "0.0"),
        (0.04, 1, "0.0", "0.0"),
        (-0.0, 2, "0.00", "0.00"),
        (0.0, 0, "0", "0"),
        (-0.4, 0, "0", "0"),
        (-0.051, 1, "−0.1", "−0.1"),
        (0.051, 1, "0.1", "+0.1"),
        (-104.25, 1, "−104.2", "−104.2"),
        (12.0, 2, "12.00", "+12.00"),
    ],
)
def test_what_rounds_to_zero_has_no_sign(value: float, digits: int, plain: str, signed: str) -> None:
    assert (decimal(value, digits), decimal(value, digits, sign=True)) == (plain, signed)


@pytest.mark.parametrize(
    ("value", "plain", "signed"),
    [
        (-0.0, "0", "0"),
        (-0.0004, "−0.0004", "−0.0004"),
        (5.0, "5", "+5"),
        (3e-05, "3e-05", "+3e-05"),
        (-20, "−20", "−20"),
    ],
)
def test_compact_numbers(value: float, plain: str, signed: str) -> None:
    assert (compact(value), compact(value, sign=True)) == (plain, signed)
    assert compact(-123.456, 3) == "−123"


FREE = {
    "analysis/results/wording.py": "p-values",
    "analysis/tables/export.py": "widths of columns",
    "analysis/judge/local.py": "probabilities",
    "analysis/verdicts/plan.py": "prices",
    "analysis/report/judge.py": "prices",
    "analysis/agreement/section.py": "the paper's agreement",
    "analysis/agreement/tables.py": "the paper's agreement",
    "analysis/attributes/figure.py": "shares of mentions",
    "analysis/figures/svg.py": "coordinates, whose minus is not typography's; `z` takes the sign of zero",
}
"""Files that may write decimals by themselves, and of what: none of it can be below zero."""


def formats(path: Path) -> list[str]:
    """Return the format specifications with decimals in a file's f-strings."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FormattedValue) and isinstance(node.format_spec, ast.JoinedStr):
            spec = "".join(part.value if isinstance(part, ast.Constant) else "N" for part in node.format_spec.values)
            if re.search(r"\.[0-9N]+f$", spec):
                found.append(spec)
    return found


def test_there_is_no_second_way_to_write_a_decimal() -> None:
    where = {
        str(path.relative_to(ROOT)): found
        for folder in ("analysis", "ex2/monitoring", "ex2/run")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if (found := formats(path))
    }
    assert where.keys() == FREE.keys(), "use reward.numerals.decimal"
    assert where["analysis/figures/svg.py"] == ["z.2f"]
