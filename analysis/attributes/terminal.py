"""Attributes as tables in the terminal."""

from __future__ import annotations

from typing import Literal

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from analysis.attributes.figure import counts_words
from analysis.attributes.judges import OTHERS
from analysis.attributes.record import Attributes
from analysis.attributes.wording import comparison_words
from analysis.results.kl import kl_summary
from analysis.results.pooling import Pooled
from analysis.results.wording import percent


def show(result: Attributes, console: Console) -> None:
    """Print a table for each dataset, and the comparisons.

    Args:
        result: Result of `ex2 attributes` for one or several runs.
        console: Where to print.
    """
    covered = f"{100 * result.confidence:g} %"
    parts: tuple[tuple[Literal["all", "sample"], str], ...] = (
        ("all", "all informative descriptions"),
        ("sample", f"a random {result.sample} of each seed"),
    )
    for dataset in dict.fromkeys(group.dataset for group in result.groups):
        groups = [group for group in result.groups if group.dataset == dataset]
        for part, title in parts:
            mentioned = [group.part(part) for group in groups]
            table = Table(
                "share of mentions",
                *(escape(f"{group.label}, n = {own.mentions}") for group, own in zip(groups, mentioned, strict=True)),
                title=f"{escape(dataset)}, {title}, {covered} intervals",
                box=box.SIMPLE_HEAD,
            )
            for name in result.attributes:
                if any(own.attributes[name].mentions for own in mentioned):
                    table.add_row(name, *(_cell(own.attributes[name].of_mentions) for own in mentioned))
            console.print(table)
        for group in groups:
            note = f"; {OTHERS}: {', '.join(list(group.own_names)[:8])}" if group.own_names else ""
            _print(
                console,
                f"{group.label}: {counts_words(group)}, {group.all.without_attribute} without attribute; "
                f"{kl_summary(group.kl)}{note}",
            )
    for row in result.comparisons:
        _print(console, f"{row.dataset}: {comparison_words(row)}")


def _print(console: Console, line: str) -> None:
    console.print(line, highlight=False, markup=False, soft_wrap=True)


def _cell(share: Pooled | None) -> str:
    return percent(share) if share else "–"
