"""All drawings of image sets, by the names of their files."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from analysis.images.bars import gain_figure, time_figure
from analysis.images.figure import cost_figure, worth_figure
from analysis.images.recognition.figure import categories_figure, means_figure
from analysis.images.recognition.record import Recognition
from analysis.images.record import Measures


def image_drawings(found: Sequence[Measures], recognized: Sequence[Recognition] = ()) -> dict[str, Markup]:
    """Return file name without ending → wide drawing; gains of several measurements stand in one drawing.

    Args:
        found: One or several measurements of different names.
        recognized: What recognizers see on the sets of some of them.
    """
    made: dict[str, Markup] = {}
    for one in found:
        for name, drawn in (
            ("worth", worth_figure(one)),
            ("cost", cost_figure(one)),
            ("time", time_figure(one)),
        ):
            if drawn:
                made[f"images-{name}-{one.name}"] = drawn[0]
    for seen in recognized:
        for name, drawn in (("recognition", means_figure(seen)), ("recognition-categories", categories_figure(seen))):
            if drawn:
                made[f"images-{name}-{seen.name}"] = drawn[0]
    gains = gain_figure(found)
    return made | ({"images-probe": gains[0]} if gains else {})
