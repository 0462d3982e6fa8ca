"""What can be wrong with a pipeline's settings: by themselves, and by what its class in diffusers takes."""

from __future__ import annotations

import importlib.metadata
import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from reward.errors import shown

SIDES = (8, 4096)
"""Least and greatest width and height, in pixels."""
MOST_STEPS = 10_000


def range_problems(
    steps: int,
    guidance: float,
    width: int | None,
    height: int | None,
    batch_size: int,
    start: Mapping[str, Any] | None,
    strength: float | None,
) -> Iterator[str]:
    """Yield a line for each setting of a pipeline that is out of range; the arguments are the generator's."""
    if not 1 <= steps <= MOST_STEPS:
        yield f"generator.steps: given {steps}; give from 1 to {MOST_STEPS:,}."
    if not 0 <= guidance <= 100:
        yield f"generator.guidance: given {guidance:g}; give from 0 to 100."
    for name, side in (("width", width), ("height", height)):
        if side is not None and (not SIDES[0] <= side <= SIDES[1] or side % 8):
            yield f"generator.{name}: given {side}; a multiple of 8 from {SIDES[0]} to {SIDES[1]:,} pixels is allowed."
    if batch_size < 1:
        yield f"generator.batch_size: given {batch_size}; at least 1 is needed."
    if (start is None) != (strength is None):
        given, lacking = ("strength", "start") if start is None else ("start", "strength")
        yield f"generator.{lacking}: missing, and {given} is given; the two go together."
    if strength is not None and not 0 < strength <= 1:
        yield f"generator.strength: given {strength:g}; above 0 and up to 1 is allowed."
    elif strength is not None and steps >= 1 > int(steps * strength):
        yield (
            f"generator.strength: given {strength:g}, which leaves less than one of {steps} steps; give more of one or "
            "the other."
        )


def call_problems(class_name: str, scheduler: str | None, guidance: float, *, negative: bool) -> list[str]:
    """Return a line for each thing that a pipeline does not take, as far as its class in diffusers tells.

    Args:
        class_name: Name of the pipeline's class.
        scheduler: Class in the place of its scheduler, if any.
        guidance: Scale of classifier-free guidance.
        negative: Whether there are negative prompts.
    """
    import diffusers

    version = importlib.metadata.version("diffusers")

    found = getattr(diffusers, class_name, None)
    if found is None:
        return [
            f"generator.model: its pipeline is a {shown(class_name)}, which diffusers "
            f"{version} does not have; no code of a pipeline's own is run."
        ]
    takes = inspect.signature(found.__call__).parameters
    problems = []
    if "prompt" not in takes:
        problems.append(f"generator.model: a {class_name} takes no prompt; give a text-to-image pipeline.")
    if negative and "negative_prompt" not in takes:
        problems.append(f"generator.model: a {class_name} reads no negative prompts; choose a strategy without.")
    if negative and guidance <= 1:
        problems.append(
            f"generator.guidance: given {guidance:g}, at which negative prompts are not read; give more than "
            "1, or a strategy without them."
        )
    if scheduler is not None and not hasattr(getattr(diffusers, scheduler, None), "from_config"):
        problems.append(
            f"generator.scheduler: diffusers {version} has no {shown(scheduler)}; give the "
            "name of a class such as DDIMScheduler, or leave it out."
        )
    return problems
