"""What a person sees of a sweep: in a terminal a live table, elsewhere a line for each change."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from rich import box
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from ex2.sweep.jobs import Job, State

STYLES: dict[State, str] = {"waiting": "dim", "running": "cyan", "done": "green", "failed": "red", "skipped": "dim"}
LINE_EVERY_SECONDS = 60.0
HEAD_AND_CAPTION = 6
"""Number of lines of the table that are not rows."""


@dataclass
class Row:
    """A job with its state, as a row of the table.

    Attributes:
        job: The job.
        state: Its state; `skipped` means that an earlier sweep did the job.
        detail: Stage and time left of a running job, duration of a done one, error of a failed one.
        since: Start of the job's latest attempt, in seconds since the epoch.
    """

    job: Job
    state: State = "waiting"
    detail: str = ""
    since: float = field(default_factory=time.time)


def as_table(rows: Sequence[Row], room: int | None = None) -> Table:
    """Return the rows as a table, with the number of jobs in each state below it.

    Args:
        rows: Rows of all jobs.
        room: Most rows to show. If there are more, running and failed jobs come first. None shows all in their order.
    """
    counts = Counter(row.state for row in rows)
    if room is not None and len(rows) > room:
        urgency: tuple[State, ...] = ("running", "failed", "waiting", "done", "skipped")
        rows = sorted(rows, key=lambda row: urgency.index(row.state))[: max(room, 1)]
    table = Table(box=box.SIMPLE_HEAD, caption=summary(counts), caption_justify="left")
    table.add_column("recipe", no_wrap=True)
    table.add_column("part", justify="right")
    table.add_column("state")
    table.add_column("", overflow="fold")
    for row in rows:
        style = STYLES[row.state]
        table.add_row(escape(row.job.name), row.job.part, f"[{style}]{row.state}[/]", escape(row.detail))
    return table


def summary(counts: Counter[State]) -> str:
    """Return the number of jobs in each state, such as `3 done, 1 failed`; states come in the order of a job's life."""
    order: tuple[State, ...] = ("waiting", "running", "skipped", "done", "failed")
    return ", ".join(f"{counts[state]} {state}" for state in order if counts[state])


class LiveDisplay:
    """Shows the table and redraws it in place; at the end it shows all rows."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False, vertical_overflow="visible")
        self._rows: Sequence[Row] = ()

    def __enter__(self) -> LiveDisplay:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.update(as_table(self._rows), refresh=True)
        self._live.stop()

    def update(self, rows: Sequence[Row]) -> None:
        """Redraw the table with the given rows."""
        self._rows = rows
        self._live.update(as_table(rows, self._live.console.height - HEAD_AND_CAPTION), refresh=True)


class PlainDisplay:
    """Prints a line when a job's state changes and once a minute for each running job; at the end the table."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._said: dict[tuple[str, int], tuple[State, str, float]] = {}
        self._rows: Sequence[Row] = ()

    def __enter__(self) -> PlainDisplay:
        return self

    def __exit__(self, *_: object) -> None:
        self._console.print(as_table(self._rows))

    def update(self, rows: Sequence[Row]) -> None:
        """Print a line for each row that has changed, or that runs and was last printed a minute ago."""
        self._rows = rows
        for row in rows:
            key = row.job.name, row.job.seed
            state, detail, moment = self._said.get(key, ("waiting", "", time.monotonic()))
            due = row.state == "running" and time.monotonic() - moment > LINE_EVERY_SECONDS
            held_up = row.state == "waiting" and row.detail != detail
            if row.state != state or due or held_up:
                line = f"{row.job.label} {row.state}{': ' if row.detail else ''}{row.detail}"
                self._console.print(line, markup=False, highlight=False, soft_wrap=True)
                self._said[key] = row.state, row.detail, time.monotonic()


def display(console: Console) -> LiveDisplay | PlainDisplay:
    """Return a live display for a terminal, and a plain one for any other output."""
    return LiveDisplay(console) if console.is_terminal else PlainDisplay(console)
