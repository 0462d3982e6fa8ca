"""Programs that draw with matplotlib: what is shown, saved or left open is the image."""

from __future__ import annotations

import importlib
import io
from typing import Any

from .jobs import NO_IMAGE, Failed, Job, Setup
from .python_program import run

_MOST_INCHES = 1000.0


def warm() -> dict[str, str]:
    """Import matplotlib for drawing without a display, and draw once, which loads fonts."""
    matplotlib: Any = importlib.import_module("matplotlib")
    matplotlib.use("Agg")
    pyplot: Any = importlib.import_module("matplotlib.pyplot")
    figure, axes = pyplot.subplots()
    axes.set_title("x")
    _png(figure, 64)
    pyplot.close("all")
    return {"matplotlib": str(matplotlib.__version__)}


def render(job: Job, setup: Setup) -> bytes:
    """Return the figure that was shown or saved last, else the one that is current at the end.

    Nothing is saved to a file: `savefig` and `show` only tell which figure is meant.
    """
    numpy: Any = importlib.import_module("numpy")
    pyplot: Any = importlib.import_module("matplotlib.pyplot")
    figures: Any = importlib.import_module("matplotlib.figure")
    numpy.random.seed(job.seed % 2**32)
    meant: list[Any] = []
    save = figures.Figure.savefig

    def keep(figure: Any, *words: Any, **settings: Any) -> None:
        meant[:] = [figure]

    def keep_current(*words: Any, **settings: Any) -> None:
        if pyplot.get_fignums():
            meant[:] = [pyplot.gcf()]

    figures.Figure.savefig = keep
    figures.Figure.show = keep
    pyplot.savefig = pyplot.show = keep_current
    run(job.code)
    figures.Figure.savefig = save
    left = pyplot.get_fignums()
    if not meant and not left:
        raise Failed(NO_IMAGE, "no figure was made")
    return _png(meant[0] if meant else pyplot.gcf(), job.size)


def _png(figure: Any, size: int) -> bytes:
    """Return a figure as a PNG file whose longer side has so many pixels."""
    width, height = (float(length) for length in figure.get_size_inches())
    longest = max(width, height)
    if not 0 < longest <= _MOST_INCHES:
        raise Failed(NO_IMAGE, f"a figure of {width:g} by {height:g} inches")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=size / longest, facecolor="white")
    return buffer.getvalue()
