"""The probe's result in the terminal: templates down, VLMs across."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ex2.run_dir import JSON


def show(result: JSON, console: Console) -> None:
    """Print a table for each dataset.

    Args:
        result: Content of `probe.json`.
        console: Where to print.
    """
    percent = f"{result['confidence']:.0%}"
    for dataset in result["datasets"]:
        images = dataset["plain"][0]["n"] if dataset["plain"] else 0
        mined = f"mined on {len(dataset['mined_classes'])} classes, " if dataset["mined_classes"] else ""
        table = Table(
            "template",
            *(escape(row["vlm"]) for row in dataset["plain"]),
            title=f"{escape(dataset['dataset'])}: {mined}tested on {len(dataset['tested_classes'])} "
            f"(n = {images} images), {percent} intervals",
            box=box.SIMPLE_HEAD,
        )
        plain = [_percent(row) for row in dataset["plain"]]
        table.add_row(escape(dataset["plain_template"]), *plain, end_section=True)
        for template in dataset["templates"]:
            own = {row["vlm"]: row for row in dataset["results"] if row["template"] == template["template"]}
            cells = [f"{_percent(own[row['vlm']])}\n{_change(own[row['vlm']])}" for row in dataset["plain"]]
            table.add_row(escape(template["template"]), *cells)
        console.print(table)
        if not dataset["templates"]:
            console.print("no phrase stands clearly more often in the aligned descriptions", highlight=False)
    console.print(
        f"differences to the plain template on the same images; p by McNemar's test, corrected by Holm's method over "
        f"{result['tests']} tests",
        highlight=False,
    )


def _percent(row: JSON) -> str:
    return f"{100 * row['accuracy']:.1f} % [{100 * row['low']:.1f}–{100 * row['high']:.1f}]"


def _change(row: JSON) -> str:
    low, high = 100 * row["difference_low"], 100 * row["difference_high"]
    p = f"p = {row['p_holm']:.2g}"
    verdict = p if row["significant"] else f"no significant difference, {p}"
    return f"{100 * row['difference']:+.1f} points [{low:+.1f}, {high:+.1f}]\n{verdict}"
