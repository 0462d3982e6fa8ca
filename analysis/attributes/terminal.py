"""Attributes as tables in the terminal."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from analysis.attributes.figure import counts_words
from analysis.attributes.judges import OTHERS
from analysis.attributes.shares import read_share
from analysis.attributes.wording import comparison_words
from analysis.results.kl import kl_summary
from analysis.results.wording import percent
from reward.files import JSON


def show(result: JSON, console: Console) -> None:
    """Print a table for each dataset, and the comparisons.

    Args:
        result: Content of `attributes.json`.
        console: Where to print.
    """
    covered = f"{100 * result['confidence']:g} %"
    for dataset in dict.fromkeys(group["dataset"] for group in result["groups"]):
        groups = [group for group in result["groups"] if group["dataset"] == dataset]
        sample = f"a random {result['sample']} of each seed"
        for part, title in (("all", "all informative descriptions"), ("sample", sample)):
            table = Table(
                "share of mentions",
                *(escape(f"{g['label']}, n = {g[part]['mentions']}") for g in groups),
                title=f"{escape(dataset)}, {title}, {covered} intervals",
                box=box.SIMPLE_HEAD,
            )
            for name in result["attributes"]:
                if any(group[part]["attributes"][name]["mentions"] for group in groups):
                    table.add_row(name, *(_cell(group[part]["attributes"][name]["of_mentions"]) for group in groups))
            console.print(table)
        for group in groups:
            note = f"; {OTHERS}: {', '.join(list(group['own_names'])[:8])}" if group["own_names"] else ""
            _print(
                console,
                f"{group['label']}: {counts_words(group)}, {group['all']['without_attribute']} without attribute; "
                f"{kl_summary(group['kl'])}{note}",
            )
    for row in result["comparisons"]:
        _print(console, f"{row['dataset']}: {comparison_words(row)}")


def _print(console: Console, line: str) -> None:
    console.print(line, highlight=False, markup=False, soft_wrap=True)


def _cell(share: JSON | None) -> str:
    pooled = read_share(share)
    return percent(pooled) if pooled else "–"
