"""Warns once in a run if the KL's target is out of the controller's reach."""

from __future__ import annotations

from collections import deque
from typing import Any

from tqdm import tqdm

from ex2.trainers.finished_batch import BatchCallback, FinishedBatch
from ex2.trainers.kl import out_of_reach

WINDOW = 20
"""Batches looked at: the last ten against the ten before."""


class KLWatch(BatchCallback):
    """Looks at the KL of each finished batch.

    Args:
        total: Batches in the run.
        enabled: False on all processes but the main one.
    """

    def __init__(self, *, total: int, enabled: bool) -> None:
        self.total, self.enabled = total, enabled
        self._kls: deque[float] = deque(maxlen=WINDOW)
        self._batch = 0

    def on_batch(self, batch: FinishedBatch, args: Any, control: Any) -> None:
        """Take the batch's KL; warn when the window is full and the target out of reach."""
        row = batch.row
        if not self.enabled or row["batch"] <= self._batch:
            return
        self._batch = row["batch"]
        self._kls.append(row["kl"])
        if len(self._kls) < WINDOW:
            return
        warning = out_of_reach(
            batch.kl_controller,
            list(self._kls),
            target=row["kl_target"],
            samples=args.generation_batch_size,
            batches_left=self.total - self._batch,
        )
        if warning is not None:
            tqdm.write(f"warning: batch {self._batch}: {warning}")
            self.enabled = False
