"""Warns once in a run if the KL's target is out of the controller's reach."""

from __future__ import annotations

from collections import deque
from typing import Any

from tqdm import tqdm
from transformers import TrainerCallback

from ex2.trainers.kl import out_of_reach

WINDOW = 20
"""Batches looked at: the last ten against the ten before."""


class KLWatch(TrainerCallback):
    """Looks at each batch's row after it is logged.

    Args:
        total: Batches in the run.
        enabled: False on all processes but the main one.
    """

    def __init__(self, *, total: int, enabled: bool) -> None:
        self.total, self.enabled = total, enabled
        self.trainer: Any = None  # set after the trainer is made: it takes its callbacks first
        self._kls: deque[float] = deque(maxlen=WINDOW)
        self._batch = 0

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Take the finished batch's KL; warn when the window is full and the target out of reach."""
        row = self.trainer.batch_log
        if not self.enabled or row.get("batch", 0) <= self._batch:
            return
        self._batch = row["batch"]
        self._kls.append(row["kl"])
        if len(self._kls) < WINDOW:
            return
        warning = out_of_reach(
            self.trainer.kl_controller,
            list(self._kls),
            target=row["kl_target"],
            samples=args.generation_batch_size,
            batches_left=self.total - self._batch,
        )
        if warning is not None:
            tqdm.write(f"warning: batch {self._batch}: {warning}")
            self.enabled = False
