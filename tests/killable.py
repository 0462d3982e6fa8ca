"""Runs training and describing in forked children, so that a test may kill them without paying for imports each time.

Reads lines `RECIPE [MODULE:FUNCTION NUMBER]` and prints the child's process id, then `ended STATUS`. With a function,
the child sends itself SIGKILL at that function's call number NUMBER, counted from 1, before the function does anything.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Any

import torch

import ex2.describe
import ex2.train
from ex2.recipe_io import read_recipe


def die_at(dotted: str, number: int) -> None:
    """Make this process kill itself at a function's call number `number`."""
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
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **kwargs)

    setattr(owner, name, fatal)


def work(path: str, fatal: list[str]) -> int:
    """Do both stages of seed 0, as `ex2 train` and `ex2 describe` do."""
    if fatal:
        die_at(fatal[0], int(fatal[1]))
    recipe = read_recipe(path)
    ex2.train.train(recipe, 0)
    ex2.describe.describe(recipe, 0)
    return 0


def main() -> None:
    """Serve until the input ends."""
    torch.set_num_threads(1)
    print("ready", flush=True)
    for line in sys.stdin:
        path, *fatal = line.split()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                status = work(path, fatal)
            finally:
                if status:
                    traceback.print_exc()
                    sys.stderr.flush()
                os._exit(status)
        print(child, flush=True)
        print("ended", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
