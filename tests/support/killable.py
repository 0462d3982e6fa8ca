"""What the processes do that test_resume.py kills."""

from __future__ import annotations

import importlib
import os
import signal
from collections.abc import Callable
from typing import Any

import torch

import ex2.describe
import ex2.training.stage
from ex2.recipe_io import read_recipe


def die_at(dotted: str, number: int, by: int = signal.SIGKILL) -> None:
    """Make this process send itself a signal at a function's call number `number`."""
    module_name, _, path = dotted.partition(":")
    *owners, name = path.split(".")
    owner: Any = importlib.import_module(module_name)
    for part in owners:
        owner = getattr(owner, part)
    function: Callable[..., Any] = getattr(owner, name)
    calls = 0

    def fatal(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == number:
            os.kill(os.getpid(), by)
        return function(*args, **kwargs)

    setattr(owner, name, fatal)


def work(path: str, *fatal: Any) -> None:
    """Do both stages of seed 0, as `ex2 train` and `ex2 describe` do.

    Args:
        path: Of the recipe.
        fatal: `MODULE:FUNCTION` and a number: the process kills itself at that call of the function, counted from 1,
            before the function does anything. Third may be another signal than SIGKILL.
    """
    torch.set_num_threads(1)
    if fatal:
        die_at(*fatal)
    recipe = read_recipe(path)
    ex2.training.stage.train(recipe, 0)
    ex2.describe.describe(recipe, 0)
