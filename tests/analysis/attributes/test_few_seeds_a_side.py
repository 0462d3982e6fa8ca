"""Under five seeds a side no attribute alone has a p or is called different: in tables, terminal and what is stored."""

from __future__ import annotations

import io

import pytest
from attributed_runs import answered, saying
from rich.console import Console

from analysis.attributes.record import Attributes, RunsCompared
from analysis.attributes.summary import merged, summarize
from analysis.attributes.tables import tables_of
from analysis.attributes.terminal import show
from analysis.attributes.wording import could_tell
from analysis.tables.export import to_csv, to_json, to_latex

FEW = "no p: it takes 5 seeds a side to test one attribute"


def compared(first: int, second: int) -> Attributes:
    """One VLM says colour in 28 to 32 of 40, the other in 8 to 12: so far apart that any test of seeds finds it."""
    sides = [
        [
            saying("oak", most + seed % 5 - 2, "colour") + saying("oak", 40 - most - seed % 5 + 2, "size")
            for seed in range(seeds)
        ]
        for most, seeds in ((30, first), (10, second))
    ]
    return summarize([answered("A", *sides[0]), answered("B", *sides[1])], 0.95, sample=5, seed=0)


def only(result: Attributes) -> RunsCompared:
    (row,) = result.comparisons
    return row


@pytest.mark.parametrize(
    ("seeds", "unit", "told"),
    [
        ((1, 1), "descriptions", False),
        ((3, 3), "descriptions", False),
        ((3, 4), "seeds", False),
        ((4, 4), "seeds", False),  # 2 of 70: for a single test below 5 %
        ((4, 9), "seeds", False),  # 1 of 715: the shorter side counts
        ((9, 4), "seeds", False),
        ((1, 60), "seeds", False),
        ((5, 5), "seeds", True),
        ((5, 6), "seeds", True),
        ((7, 5), "seeds", True),
    ],
)
def test_one_attribute_takes_five_seeds_a_side(seeds: tuple[int, int], unit: str, told: bool) -> None:
    result = compared(*seeds)
    row = only(result)
    assert (row.unit, row.seeds) == (unit, seeds)
    assert row.significant, "all attributes together are one test"
    assert {gap.attribute: gap.significant for gap in row.attributes} == {"colour": told, "size": told}
    assert could_tell(row, 2, 0.05) is told
    table = tables_of([result])[-1]
    console = Console(file=io.StringIO(), width=300)
    show(result, console)
    assert isinstance(console.file, io.StringIO)
    printed = console.file.getvalue()
    assert "A and B: differ, p" in printed
    assert ("alone: colour, size" in printed) is told
    for line in table.rows[1:]:
        cells = dict(zip(table.columns, line.cells, strict=True))
        assert (cells["p"].text == FEW) is not told
        assert (cells["p, corrected"].text == "–") is not told
        assert cells["first minus second"].significant is (True if told else None)
        assert "differ" not in " ".join(cells["first minus second"].notes)
    together = dict(zip(table.columns, table.rows[0].cells, strict=True))
    assert float(together["p"].text) < 0.05
    for written in (to_csv(table), to_json(table), to_latex(table)):
        assert (written.count("it takes 5 seeds a side") == 2) is not told
    assert any("With fewer than 5 seeds a side no attribute alone has a p" in note for note in table.notes)


def test_comparisons_read_together_keep_the_rule() -> None:
    """A pair with enough seeds beside one without: only its attributes are told, after one correction of all four."""
    few, many = compared(4, 4), compared(6, 6)
    moved = summarize(
        [
            answered("C", *[saying("oak", 30 + seed, "colour") + saying("oak", 5, "size") for seed in range(6)]),
            answered("D", *[saying("oak", 5 + seed, "colour") + saying("oak", 30, "size") for seed in range(6)]),
        ],
        0.95,
        sample=5,
        seed=0,
    )
    together = merged([few, moved])
    told = {row.first: [gap.significant for gap in row.attributes] for row in together.comparisons}
    assert told == {"A": [False, False], "C": [True, True]}
    for row in together.comparisons:
        if row.first == "C":
            assert row.attributes[0].p == pytest.approx(2 / 924)
            assert row.attributes[0].p_holm == pytest.approx(4 * 2 / 924)
    assert [gap.significant for gap in only(many).attributes] == [True, True]
