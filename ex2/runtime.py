"""What holds for a whole process: threads, quiet libraries, leaving the process group."""

from __future__ import annotations

import logging
import warnings

import torch
from datasets.utils.logging import disable_progress_bar
from transformers.utils import logging as transformers_logging


def set_threads(threads: int | None) -> None:
    """Set torch's threads, if the recipe says how many."""
    if threads is not None:
        torch.set_num_threads(threads)


def quiet_libraries() -> None:
    """Silence what libraries say about their own insides; errors stay."""
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    disable_progress_bar()
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    # TRL 1.16 passes arguments that transformers 5.23 has renamed; remove with the next TRL.
    warnings.filterwarnings("ignore", message=".*gradient_checkpointing` is deprecated", category=FutureWarning)


def leave_process_group() -> None:
    """End with the other processes, if there are any: one that leaves while another is busy may abort at its exit."""
    import torch.distributed

    if torch.distributed.is_initialized():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()
