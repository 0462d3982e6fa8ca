"""SVG, rendered by resvg without any font of the system."""

from __future__ import annotations

from .jobs import ERROR, SYNTAX, Failed, Job, Setup

_WARM = '<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"><rect width="1" height="1"/></svg>'


def warm() -> dict[str, str]:
    """Import resvg and render once."""
    _render(_WARM, 1)
    return {}


def render(job: Job, setup: Setup) -> bytes:
    """Return the drawing, scaled so that it fits."""
    try:
        return _render(job.code, job.size)
    except ValueError as error:
        text = str(error)
        raise Failed(ERROR if "size" in text or "limit" in text else SYNTAX, text) from error


def _render(code: str, size: int) -> bytes:
    import resvg_py

    return bytes(
        resvg_py.svg_to_bytes(
            svg_string=code, width=size, height=size, background="#ffffff", skip_system_fonts=True, resources_dir=None
        )
    )
