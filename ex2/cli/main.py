"""The `ex2` command: one verb per stage. Imports are lazy: `ex2 --help` loads no torch."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ex2.cli.options import parse
from ex2.runtime import typed_command
from reward.exits import guarded
from reward.signals import leave_quietly


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: Words after `ex2`; default: those of the process.

    Returns:
        Exit status, see `reward.errors.EXIT_STATUSES`.
    """
    words = sys.argv[1:] if arguments is None else arguments
    try:
        options = parse(arguments)
    except KeyboardInterrupt:
        return guarded(_interrupted, lambda: typed_command(words))

    def run() -> int:
        import logging

        logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # on import it advises GPU kernels to CPU users
        status: int = options.run(options)
        return status

    status = guarded(run, lambda: typed_command(words))
    if arguments is None:  # all of the process
        leave_quietly()
    return status


def _interrupted() -> int:
    raise KeyboardInterrupt
