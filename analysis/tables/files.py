"""Writes a command's files: its result for every run, tables as CSV, JSON and LaTeX, drawings as SVG and PNG."""

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
from ex2.run.sealed import write_sealed
from reward.errors import EX2Error
from reward.files import JSON, write_bytes, write_json, write_text

FORMATS = (*WRITERS, "svg", "png")

NOT_IN_FONT = "figures as PNG: characters that {} does not have: {}. The SVG files hold them."


class WrittenFiles(NamedTuple):
    """What was written.

    Attributes:
        names: Names of the files, in the order of writing.
        lacking: Which characters the PNGs lack, or why there are no PNGs although there are drawings; "" otherwise.
    """

    names: list[str]
    lacking: str = ""


def write_everything(
    tables: Sequence[Table], drawings: Mapping[str, Markup], folder: Path, formats: Sequence[str] | None = None
) -> WrittenFiles:
    """Write tables and drawings.

    Args:
        tables: The tables; their keys become file names.
        drawings: File name without ending → drawing.
        folder: Folder of the files, which is made if it does not exist.
        formats: Some of `FORMATS`; `None` writes all that this machine can write.

    Raises:
        UserError: If `formats` names PNG and the package that draws it is missing. PNGs are written last, so all other
            files have been written then.
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
    """Write a command's result, tables and drawings, and print what was written and what was left out.

    Args:
        name: Name of the result's file, such as `phrases.json`.
        whole: The result of all runs.
        parts: The part of the result that concerns each run, by the run's folder, into which it is written; at least
            one.
        out: Folder of the whole result, the tables and the drawings. `None` takes the run's folder, or with several
            runs one named like the file without its ending. If it is the folder of one of the runs, that run's part is
            kept there, and the whole result is not written.
        tables: The tables; their keys become file names.
        drawings: File name without ending → drawing.
        left_out: Sentences on why runs were left out.
        console: Where to print.

    Raises:
        EnvironmentFault: If a file cannot be written.
    """
    own = {folder.resolve() for folder in parts}
    folder = Path(out) if out else next(iter(parts)) if len(parts) == 1 else Path(Path(name).stem)
    for run, part in parts.items():
        write_sealed(run / name, part)
    if folder.resolve() not in own:
        write_json(folder / name, whole)
    written = write_everything(tables, drawings, folder)
    for line in [*left_out, *([written.lacking] if written.lacking else [])]:
        console.print(f"left out: {line}", highlight=False, markup=False, soft_wrap=True)
    said = f"written: {folder}: {', '.join([name, *written.names])}"
    console.print(said, highlight=False, markup=False, soft_wrap=True)
