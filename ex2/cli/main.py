"""The `ex2` command: one verb per stage. Imports are lazy: `ex2 --help` loads no torch."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ex2.cli.options import parse
from ex2.runtime import is_main_process

EXIT_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: Words after `ex2`; default: those of the process.

    Returns:
        Exit status: 0 if done, 1 for a fault of the environment, 2 for one of the user's input, 75 if a judge's answers
        come later, 130 if interrupted.
    """
    options = parse(arguments)
    import logging

    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # on import it advises GPU kernels to CPU users
    from reward.errors import EX2Error

    try:
        status: int = options.run(options)
    except EX2Error as error:
        if is_main_process():
            print(f"ex2: {error}".replace("\n", "\nex2: "), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("\nex2: interrupted; the same command continues.", file=sys.stderr)
        return EXIT_INTERRUPTED
    except OSError as error:  # a library's own write, outside our writers
        from reward.files import environment_fault

        fault = environment_fault(error)
        if fault is None:
            raise
        print(f"ex2: {fault}", file=sys.stderr)
        return fault.exit_code
    return status
