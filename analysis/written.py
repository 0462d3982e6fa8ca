"""Tables and drawings of a verb as files: tables as CSV, JSON and LaTeX, drawings as SVG and PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from markupsafe import Markup

from analysis.tables.export import ENDINGS, WRITERS
from analysis.tables.figures import standalone, to_png
from analysis.tables.table import Table
from ex2.run_dir import write_text, writing

FORMATS = (*WRITERS, "svg", "png")


def write_everything(
    tables: Sequence[Table], drawings: Mapping[str, Markup], folder: Path, formats: Sequence[str] = FORMATS
) -> list[str]:
    """Write tables and drawings.

    Args:
        tables: Named by their keys.
        drawings: By file name without ending.
        folder: Made if it is missing.
        formats: Some of `FORMATS`.

    Returns:
        The names of the files, in order.

    Raises:
        UserError: If the package that draws PNG is missing; the PNGs come last, so that all else is written.
        EnvironmentFault: If a file cannot be written, or this machine has no font to draw PNG with.
    """
    written = []
    for table in tables:
        for name in (name for name in WRITERS if name in formats):
            written.append(f"{table.key}{ENDINGS[name]}")
            write_text(folder / written[-1], WRITERS[name](table))
    for stem, drawing in drawings.items() if "svg" in formats else ():
        written.append(f"{stem}.svg")
        write_text(folder / written[-1], standalone(drawing))
    for stem, drawing in drawings.items() if "png" in formats else ():
        picture = to_png(drawing)
        written.append(f"{stem}.png")
        with writing(folder / written[-1]):
            (folder / written[-1]).write_bytes(picture)
    return written
