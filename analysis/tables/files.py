"""What a verb leaves as files: its result for every run, tables as CSV, JSON and LaTeX, drawings as SVG and PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from markupsafe import Markup
from rich.console import Console

from analysis.figures import fonts
from analysis.figures.files import standalone, words_of
from analysis.figures.png import to_png
from analysis.tables.export import ENDINGS, WRITERS
from analysis.tables.table import Table
from reward.errors import EX2Error
from reward.files import JSON, write_bytes, write_json, write_text

FORMATS = (*WRITERS, "svg", "png")

NOT_IN_FONT = "figures as PNG: characters that {} does not have: {}. The SVG files hold them."


class WrittenFiles(NamedTuple):
    """What was written.

    Attributes:
        names: Of the files, in order.
        lacking: What the PNGs lack, or why there are none although there are drawings; "" otherwise.
    """

    names: list[str]
    lacking: str = ""


def write_everything(
    tables: Sequence[Table], drawings: Mapping[str, Markup], folder: Path, formats: Sequence[str] | None = None
) -> WrittenFiles:
    """Write tables and drawings.

    Args:
        tables: Named by their keys.
        drawings: By file name without ending.
        folder: Made if it is missing.
        formats: Some of `FORMATS`; `None`: all that this machine can write.

    Raises:
        UserError: If PNG is among the formats named and the package that draws it is missing; the PNGs come last, so
            that all else is written.
        EnvironmentFault: If a file cannot be written.
    """
    wanted = FORMATS if formats is None else formats
    names = []
    for table in tables:
        for name in (name for name in WRITERS if name in wanted):
            names.append(f"{table.key}{ENDINGS[name]}")
            write_text(folder / names[-1], WRITERS[name](table))
    for stem, drawing in drawings.items() if "svg" in wanted else ():
        names.append(f"{stem}.svg")
        write_text(folder / names[-1], standalone(drawing))
    for stem, drawing in drawings.items() if "png" in wanted else ():
        try:
            picture = to_png(standalone(drawing))
        except EX2Error as error:
            if formats is not None:
                raise
            return WrittenFiles(names, str(error))
        names.append(f"{stem}.png")
        write_bytes(folder / names[-1], picture)
    characters = fonts.lacking("".join(words_of(drawing) for drawing in drawings.values())) if "png" in wanted else ""
    return WrittenFiles(names, NOT_IN_FONT.format(fonts.FAMILY, " ".join(characters)) if characters else "")


def write_study(
    name: str,
    whole: JSON,
    parts: Mapping[Path, JSON],
    out: str | None,
    *,
    tables: Sequence[Table],
    drawings: Mapping[str, Markup],
    left_out: Sequence[str],
    console: Console,
) -> None:
    """Write a verb's result, its tables and its drawings, and say what was written and what was left out.

    Args:
        name: File of the result.
        whole: Of all runs.
        parts: What concerns one run alone, by its folder, at least one: kept there.
        out: Folder of the rest; default: the run's, or of several runs one named as the file. Where it is the folder
            of one of the runs, however it is spelled, that keeps its part instead of the whole.
        tables: Named by their keys.
        drawings: By file name without ending.
        left_out: Why runs were left out.
        console: Where to say it.

    Raises:
        EnvironmentFault: If a file cannot be written.
    """
    own = {folder.resolve() for folder in parts}
    folder = Path(out) if out else next(iter(parts)) if len(parts) == 1 else Path(Path(name).stem)
    for run, part in parts.items():
        write_json(run / name, part)
    if folder.resolve() not in own:
        write_json(folder / name, whole)
    written = write_everything(tables, drawings, folder)
    for line in [*left_out, *([written.lacking] if written.lacking else [])]:
        console.print(f"left out: {line}", highlight=False, markup=False, soft_wrap=True)
    said = f"written: {folder}: {', '.join([name, *written.names])}"
    console.print(said, highlight=False, markup=False, soft_wrap=True)
