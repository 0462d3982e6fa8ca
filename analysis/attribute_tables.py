"""Attributes as a table in the terminal and as CSV."""

from __future__ import annotations

import csv
import io

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from analysis.attribute_judges import OTHERS
from ex2.run_dir import JSON

SHARES = ("of_mentions", "of_descriptions")


def to_csv(result: JSON) -> str:
    """Return a row for each run, part (all or sample) and attribute; unknown is empty."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    numbers = ["share", "low", "high", "n"]
    names = [f"{key}_{of}" for of in SHARES for key in numbers]
    writer.writerow(["dataset", "vlm", "run", "part", "descriptions", "unparsed", "attribute", "mentions", *names])
    for group in result["groups"]:
        for part in ("all", "sample"):
            for name, row in group[part]["attributes"].items():
                shares = [
                    "" if row[of] is None else row[of][key]
                    for of in ("of_mentions", "of_descriptions")
                    for key in numbers
                ]
                counts = [group[part]["descriptions"], group[part]["unparsed"]]
                place = [group["dataset"], group["vlm"], group["run"], part]
                writer.writerow([*place, *counts, name, row["mentions"], *shares])
    return out.getvalue()


def show(result: JSON, console: Console) -> None:
    """Print a table for each dataset, and the comparisons.

    Args:
        result: Content of `attributes.json`.
        console: Where to print.
    """
    percent = f"{result['confidence']:.0%}"
    for dataset in dict.fromkeys(group["dataset"] for group in result["groups"]):
        groups = [group for group in result["groups"] if group["dataset"] == dataset]
        for part, title in (("all", "all informative descriptions"), ("sample", "a random sample")):
            table = Table(
                "share of mentions",
                *(escape(f"{g['vlm']}, n = {g[part]['mentions']}") for g in groups),
                title=f"{escape(dataset)}, {title}, {percent} intervals",
                box=box.SIMPLE_HEAD,
            )
            for name in result["attributes"]:
                if any(group[part]["attributes"][name]["mentions"] for group in groups):
                    table.add_row(name, *(_cell(group[part]["attributes"][name]["of_mentions"]) for group in groups))
            console.print(table)
        for group in groups:
            part = group["all"]
            note = f", {OTHERS}: {', '.join(list(group['own_names'])[:8])}" if group["own_names"] else ""
            console.print(
                f"{group['vlm']}: {part['descriptions']} informative descriptions, {part['unparsed']} unparsed, "
                f"{part['without_attribute']} without attribute{note}",
                highlight=False,
                markup=False,
            )
    for row in result["comparisons"]:
        names = [part["attribute"] for part in row["attributes"] if part["significant"]]
        which = f"; alone: {', '.join(names)}" if names else ""
        verdict = "differ" if row["significant"] else "no significant difference"
        console.print(
            f"{row['dataset']}: {row['first']} and {row['second']}: {verdict}, p = {row['p_holm']:.2g} "
            f"({row['permutations']} permutations of descriptions within {row['classes']} classes){which}",
            highlight=False,
            markup=False,
        )


def _cell(share: JSON | None) -> str:
    if share is None:
        return "–"
    return f"{100 * share['share']:.1f} % [{100 * share['low']:.1f}–{100 * share['high']:.1f}]"
