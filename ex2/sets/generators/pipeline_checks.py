"""What can be wrong with a pipeline's settings: by themselves, and by what its class in diffusers takes."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from ex2.sets.generators.pipeline_folder import PipelineFolder, read_config
from reward.errors import one_line, shortened, shown

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


def call_problems(class_name: str, guidance: float, *, negative: bool) -> list[str]:
    """Return a line for each thing that a pipeline does not take, as far as its class in diffusers tells.

    Args:
        class_name: Name of the pipeline's class.
        guidance: Scale of classifier-free guidance.
        negative: Whether there are negative prompts.
    """
    found = _class_of(class_name)
    if not _is_a(found, "DiffusionPipeline"):
        return [
            f"generator.model: its pipeline is a {shown(class_name)}, {_lack(found, 'pipeline')}; no code of a "
            "pipeline's own is run."
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
    return problems


def scheduler_problems(folder: PipelineFolder, scheduler: str | None, steps: int) -> list[str]:
    """Return a line for a scheduler that is none or does not go with the pipeline's own, and for too many steps.

    Args:
        folder: The pipeline's.
        scheduler: Class in the place of its scheduler, if any.
        steps: Denoising steps.
    """
    given: Any = None if scheduler is None else _class_of(scheduler)
    if scheduler is not None and not _is_a(given, "SchedulerMixin"):
        return [
            f"generator.scheduler: given {shown(scheduler)}, {_lack(given, 'scheduler')}; give the name of a class "
            "such as DDIMScheduler, or leave it out."
        ]
    library, name = folder.components.get("scheduler", ("", ""))
    own: Any = _class_of(name) if library == "diffusers" else None
    if not _is_a(own, "SchedulerMixin"):
        return []  # loading the pipeline tells
    try:
        configured = read_config(folder.path / "scheduler" / "scheduler_config.json")
        saved = own.from_config(configured)
        fitting = sorted(one.__name__ for one in saved.compatibles if _is_a(one, "SchedulerMixin"))
        if scheduler is not None and scheduler not in fitting:
            return [
                f"generator.scheduler: given {shown(scheduler)}, which does not go with the pipeline's {name}; give "
                f"one of {', '.join(fitting)}, or leave it out."
            ]
        used = saved if given is None else given.from_config(saved.config)
    except (ValueError, TypeError, AttributeError, LookupError, RuntimeError) as error:
        reason = shortened(one_line(error), 200)
        return [f"generator.model: its {name} cannot be made of scheduler/scheduler_config.json ({reason})."]
    trained = used.config.get("num_train_timesteps")
    if isinstance(trained, int) and steps > trained:  # some schedulers raise an error, others repeat the first step
        kind = type(used).__name__
        return [
            f"generator.steps: given {steps:,}; the pipeline's {kind} has {trained:,} steps of training; give fewer."
        ]
    return []


def _class_of(name: str) -> Any:
    import diffusers

    return getattr(diffusers, name, None)


def _is_a(found: Any, kind: str) -> bool:
    return inspect.isclass(found) and issubclass(found, _class_of(kind))


def _lack(found: Any, kind: str) -> str:
    """Say why something of diffusers is not of a kind: it is none, or stands for a class whose packages are missing."""
    version = importlib.metadata.version("diffusers")
    packages = getattr(found, "_backends", None)
    if inspect.isclass(found) and isinstance(packages, list):
        lacking = [one for one in packages if importlib.util.find_spec(one) is None]
        return f"which diffusers {version} has only with the packages {', '.join(lacking or packages)}"
    return f"which diffusers {version} does not have" if found is None else f"which is no {kind} of diffusers {version}"
