"""Settings of a whole process: its threads, quiet libraries, what it tells, and how it leaves its process group.

Heavy libraries are imported where they are needed: reading a recipe must not load them.
"""

from __future__ import annotations

import logging
import warnings

from reward.exits import is_main_process as is_main_process
from reward.exits import tell_once as tell_once


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
