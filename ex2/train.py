"""Stage 1, Extract: align the policy with the VLM, by PPO, RLOO or GRPO.

    accelerate launch --config_file accelerate_configs/cpu.yaml -m ex2.train RECIPE [section.key=value …]

Run again after a kill, the same command continues from the last complete checkpoint. SIGTERM and Ctrl-C let the batch
under way be finished and kept.
"""

from __future__ import annotations

import sys


def main() -> int:
    """Entry point of `python -m ex2.train`: the same as `ex2 train`."""
    from ex2.cli import main as command_line
    from ex2.runtime import end_with_launcher, leave_process_group
    from reward.signals import leave_quietly

    end_with_launcher()
    status = command_line(["train", *sys.argv[1:]])
    if status == 0:  # else the others are ended by the launcher: waiting for them would last until its time-out
        leave_process_group()
    leave_quietly()
    return status


if __name__ == "__main__":
    raise SystemExit(main())
