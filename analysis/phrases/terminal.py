"""The result of `ex2 phrases` in the terminal: a row for each template, a column for each VLM."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from analysis.phrases.record import Phrases
from analysis.phrases.trials import Trial, trials
from analysis.results.kl import kl_summary
from analysis.results.wording import p_words, percent, points, verdict_words


def show(result: Phrases, console: Console) -> None:
    """Print a table for each dataset.

    Args:
        result: The result for all runs.
        console: Where to print.
    """
    covered = f"{100 * result.confidence:g} %"
    for part in result.datasets:
        images = part.plain[0].accuracy.n if part.plain else 0
        mined = f"mined on {len(part.mined_classes)} classes, " if part.mined_classes else ""
        vlms = [plain.vlm for plain in part.plain]
        table = Table(
            "template",
            *(escape(vlm) for vlm in vlms),
            title=f"{escape(part.dataset)}: {mined}tested on {len(part.tested_classes)} "
            f"(n = {images} images), {covered} intervals",
            box=box.SIMPLE_HEAD,
        )
        rows = {(row.template, row.vlm): row for row in trials([part])}
        for template in dict.fromkeys(template for template, _ in rows):
            cells = [_cell(rows[template, vlm]) for vlm in vlms]
            table.add_row(escape(template), *cells, end_section=template == part.plain_template)
        console.print(table)
        if not part.templates:
            console.print("no phrase stands clearly more often in the aligned descriptions", highlight=False)
        for run in part.runs:
            if run.texts is None:
                continue
            missing = ", ".join(map(str, run.missing_seeds))
            console.print(
                f"{run.run}: {kl_summary(run.kl)}"
                + (f"; left out: seed {missing}, not described by both policies" if missing else ""),
                highlight=False,
                markup=False,
                soft_wrap=True,
            )
    console.print(
        f"differences to the plain template on the same images; p by McNemar's test, corrected by Holm's method over "
        f"{result.tests} tests",
        highlight=False,
    )


def _cell(row: Trial) -> str:
    said = percent(row.accuracy)
    if row.change is None or row.p is None:
        return said
    p = p_words(row.p)
    return f"{said}\n{points(row.change)}\n{verdict_words(row.change, p) or p}"
