"""What the terminal says of one seed: a difference is significant only if both McNemar's p and the interval say so."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from pages import arm, seed_result
from record_samples import with_arms
from rich.console import Console

from analysis.accuracy.record import Comparison, Control
from analysis.results.seeds import pool_seeds
from analysis.results.summary import print_seed
from analysis.results.wording import evidence
from analysis.statistics.paired import PairedAccuracy

OPEN = "between −0.5 and +4.0 points are possible"


def printed(low: float, p: float, width: int = 80) -> tuple[list[str], str]:
    """Print a seed whose control arm is 2 points above the templates, and return the lines and the report's words."""
    result = seed_result(0)
    part = Comparison("file:x", "templates", PairedAccuracy(0.02, low, 0.04, p, 6, 2, 200))
    against = Comparison("file:x", "aligned", PairedAccuracy(0.02, low, 0.04, p, 6, 2, 200))
    arms = with_arms(result.accuracy, {"file:x": arm(144)}, [part, against], {"file:x": Control("x", "texts of x")})
    made = pool_seeds("r", [replace(result, accuracy=arms)])
    console = Console(file=io.StringIO(), width=width)
    print_seed(made, console)
    change = made.tested("file:x", "templates")
    assert change is not None
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines(), evidence(change).replace("\u00a0", " ")


@pytest.mark.parametrize(
    ("low", "p", "terminal", "report"),
    [
        (0.005, 0.012, "0.012", "p = 0.012, for these texts"),
        (
            -0.005,
            0.2,
            "0.2 n.s.",
            f"no significant difference, p = 0.200, for these texts: {OPEN}",
        ),
        (
            -0.005,
            0.012,
            "0.012 n.s. by interval over images",
            f"no significant difference by interval over images, p = 0.012, for these texts: {OPEN}",
        ),
        (
            0.005,
            0.07,
            "0.07 n.s. by McNemar",
            "no significant difference by McNemar, p = 0.070, for these texts: " + OPEN.replace("−0.5", "0.0"),
        ),
    ],
)
def test_significance_is_the_reports(low: float, p: float, terminal: str, report: str) -> None:
    lines, said = printed(low, p, width=120)
    assert said == report
    interval = f"[{'−0.5' if low < 0 else '+0.5'}, +4.0]"
    row = " ".join(next(line for line in lines if line.startswith("  x ")).split())
    assert row == f"x 72.0 % [67.0–77.0] +2.0 {interval} {terminal}"
    assert f"x: texts of x; points against EX2: +2.0 {interval}, p = {terminal}" in lines


def test_a_narrow_terminal_breaks_the_words_and_loses_none() -> None:
    lines, _ = printed(-0.005, 0.012)
    assert max(len(line) for line in lines) <= 80
    place = next(number for number, line in enumerate(lines) if line.startswith("  x "))
    end = next(number for number in range(place, len(lines)) if not lines[number].strip())
    assert "+2.0 [−0.5, +4.0]" in lines[place], "difference and interval stay in one line"
    column = lines[place].index("0.012")
    said = " ".join(" ".join(line[column:] for line in lines[place:end]).split())
    assert said == "0.012 n.s. by interval over images"
