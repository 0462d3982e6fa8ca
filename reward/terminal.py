"""The console on which commands print what models and users wrote."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from reward.plain_text import plain


class PlainConsole(Console):
    """A console whose texts cannot act on the terminal: only rich's own styles and movements do."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Return the parts of what is printed, without the control characters of texts."""
        for part in super().render(renderable, options):
            yield part if part.control else Segment(plain(part.text), part.style)
