"""Programs that draw with `turtle`: a turtle of ours that needs no display stands for Python's."""

from __future__ import annotations

import io
import sys

from .jobs import NO_IMAGE, Failed, Job, Setup
from .python_program import run
from .recording_turtle import Recording, module


def warm() -> dict[str, str]:
    """Draw once."""
    recording = Recording()
    recording.line(((0.0, 0.0), (1.0, 1.0)), "black", 1.0)
    recording.image(8)
    return {}


def render(job: Job, setup: Setup) -> bytes:
    """Return what the program's turtles have drawn."""
    recording = Recording()
    sys.modules["turtle"] = module(recording)
    run(job.code)
    if not recording.marks:
        raise Failed(NO_IMAGE, "no turtle has drawn anything")
    buffer = io.BytesIO()
    recording.image(job.size).save(buffer, "PNG")
    return buffer.getvalue()
