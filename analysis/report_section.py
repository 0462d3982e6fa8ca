"""A further section of the report's page: a table of ready-made text, with a drawing where there is one."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup


@dataclass(frozen=True)
class Section:
    """What the page shows; every text still has to be escaped, the drawings are safe.

    Attributes:
        title: Heading.
        intro: What the table shows, in a sentence or two.
        columns: Headers, the row's name first.
        rows: A text for each column; names of runs, VLMs and templates may hold any characters.
        notes: Sentences below the table: tests, what is missing.
        figure: A drawing for wide pages, in classes of the report's style sheet; `None` if there is nothing to draw.
        narrow: The same for phones; `None` if the wide one serves.
    """

    title: str
    intro: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    figure: Markup | None = None
    narrow: Markup | None = None
