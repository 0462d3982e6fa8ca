"""A whole process: its threads, quiet libraries, what it tells, its launcher, and how it leaves its process group.

Heavy libraries are imported where they are needed: reading a recipe must not load them.
"""

from __future__ import annotations

import functools
import logging
import os
import shlex
import signal
import threading
import time
import warnings
from collections.abc import Sequence
from pathlib import PurePath

from reward.exits import is_main_process as is_main_process
from reward.exits import tell_once as tell_once
from reward.signals import is_one_of_several, was_told

LAUNCHERS = {
    "accelerate": "accelerate",
    "accelerate_cli.py": "accelerate",
    "accelerate.commands.accelerate_cli": "accelerate",
    "accelerate-launch": "accelerate-launch",
    "accelerate.commands.launch": "accelerate-launch",
    "torchrun": "torchrun",
    "torch.distributed.run": "torchrun",
}
"""Name of a program, or of a module that Python runs as one → the command that it is known by."""


def typed_command(words: Sequence[str]) -> str:
    """Return what a person types to have this process again: its launcher's command line, or `ex2` with some words.

    Args:
        words: After `ex2`.

    Returns:
        An empty text for one of several processes whose launcher is not known.
    """
    launched = launch_command()
    return launched or ("" if is_one_of_several() else shlex.join(["ex2", *words]))


@functools.cache
def launch_command() -> str:
    """Return the command line of the launcher that started this process; empty if there is none or it is not known.

    It is looked up once, as long as the launcher is there.
    """
    import psutil

    try:
        words = psutil.Process(os.getppid()).cmdline()
    except psutil.Error:
        return ""
    return known_launcher(words)


def known_launcher(words: Sequence[str]) -> str:
    """Return the command line of a process as a person types it if it is one of `LAUNCHERS`, else an empty text."""
    is_python = bool(words) and PurePath(words[0]).name.startswith("python")
    for place, word in enumerate(words[: 4 if is_python else 1]):  # Python, an option of it, `-m`, the launcher
        name = LAUNCHERS.get(PurePath(word).name)
        if name:
            return shlex.join([name, *words[place + 1 :]])
    return ""


def end_with_launcher(every: float = 0.5) -> None:
    """From now on, let the end of this process's launcher be SIGTERM to this process, unless it is told already.

    A launcher that is killed tells nobody, and one that starts a single process does not hand on a SIGTERM.

    Args:
        every: Seconds from one look to the next.
    """
    if not launch_command():
        return
    launcher = os.getppid()

    def watch() -> None:
        while os.getppid() == launcher:
            time.sleep(every)
        if not was_told():
            os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="launcher", daemon=True).start()


def set_threads(threads: int | None) -> None:
    """Set the number of torch's threads; None leaves it as it is."""
    if threads is not None:
        import torch

        torch.set_num_threads(threads)


def quiet_libraries() -> None:
    """Silence libraries' messages and warnings about their own internals; errors are still shown."""
    from datasets.utils.logging import disable_progress_bar
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    disable_progress_bar()
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    # TRL 1.16 passes arguments that transformers 5.23 has renamed; remove with the next TRL.
    warnings.filterwarnings("ignore", message=".*gradient_checkpointing` is deprecated", category=FutureWarning)


def leave_process_group() -> None:
    """Wait for the other processes of a distributed run, if there are any, and leave the process group with them.

    A process that leaves while another one is busy may abort when it exits."""
    import torch.distributed

    if torch.distributed.is_initialized():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()
