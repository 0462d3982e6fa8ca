"""The page of the matrix: what is promised, how many cells held, and how to run again one that did not."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from tests.reliability.cells import KINDS, PROMISES, Cell
from tests.reliability.outcome import GRAVE, Finding
from tests.reliability.stages import STAGES

MOST_LISTED = 200
"""Cells that did not hold; beyond, they are counted."""
MOST_SEEN = 160
"""Characters of what was seen."""


def page(cells: Sequence[Cell], findings: Sequence[Finding], minutes: float, commit: str) -> str:
    """Return the page in Markdown.

    Args:
        cells: All that were run.
        findings: One for each, in order.
        minutes: That it took.
        commit: Of the code.
    """
    return "\n\n".join(
        [
            "# Nothing is lost, nothing is mixed",
            f"`make reliability` lets {len(cells):,} things happen to the stages of a small run, each in its own copy, "
            "and compares what is left with what an undisturbed run leaves. "
            f"Commit {commit}, {minutes:.0f} minutes.",
            _counts(findings),
            "## What is promised",
            _table(["promise", "it", "cells"], _promises(cells)),
            "No stage may show a traceback, end with 70, hang for two minutes, say more than 2,000 characters, or end "
            "with 0 and other numbers than an undisturbed run's.",
            "## What happened",
            _table(["stage", *KINDS, "all"], _by_stage(cells, findings)),
            "Held of all. The columns: " + "; ".join(f"*{kind}*: {words}" for kind, words in KINDS.items()) + ".",
            "A log that is half written has no hash yet: of it, only a damaged row can be seen, not another letter in "
            "a description.",
            "## What did not hold",
            _failed(findings),
        ]
    )


def _counts(findings: Sequence[Finding]) -> str:
    counted = Counter(finding.fault for finding in findings)
    grave = "; ".join(f"{fault}: {counted[fault]}" for fault in GRAVE)
    others = [f"{fault}: {number}" for fault, number in counted.most_common() if fault not in (*GRAVE, "held")]
    return f"Held: {counted['held']:,} of {len(findings):,}. {'; '.join([grave, *others])}."


def _promises(cells: Sequence[Cell]) -> list[list[str]]:
    counted = Counter(cell.promise for cell in cells)
    return [[promise, words, f"{counted[promise]:,}"] for promise, words in PROMISES.items()]


def _by_stage(cells: Sequence[Cell], findings: Sequence[Finding]) -> list[list[str]]:
    total: Counter[tuple[str, str]] = Counter()
    held: Counter[tuple[str, str]] = Counter()
    for cell, finding in zip(cells, findings, strict=True):
        for place in ((cell.stage, cell.kind), (cell.stage, "all"), ("all", cell.kind), ("all", "all")):
            total[place] += 1
            held[place] += finding.held
    return [
        [stage, *(_share(held[stage, kind], total[stage, kind]) for kind in (*KINDS, "all"))]
        for stage in (*(stage.name for stage in STAGES), "all")
    ]


def _share(held: int, total: int) -> str:
    if not total:
        return ""
    return f"{total:,}" if held == total else f"**{held:,} of {total:,}**"


def _failed(findings: Sequence[Finding]) -> str:
    failed = [finding for finding in findings if not finding.held]
    if not failed:
        return "Nothing."
    rows = [[f"`{finding.cell}`", finding.fault, _short(finding.seen)] for finding in failed[:MOST_LISTED]]
    more = f"\n\nAnd {len(failed) - MOST_LISTED:,} more." if len(failed) > MOST_LISTED else ""
    again = "One is run again, and what it said is shown, by `python -m tests.reliability --cell 'NAME'`."
    return f"{again}\n\n{_table(['cell', 'fault', 'seen'], rows)}{more}"


def _short(seen: str) -> str:
    shown = re.sub(r"(?:/[^/\s\"']+)+/(?=site-packages/)", "…/", seen)  # where packages lie is this machine's matter
    line = " ".join(shown.replace("|", "\\|").split())
    return line if len(line) <= MOST_SEEN else line[:MOST_SEEN] + " …"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
