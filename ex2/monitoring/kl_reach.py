"""A warning, once in a run, if the KL controller cannot bring the KL to its target any more."""

from __future__ import annotations

from collections import deque
from typing import Any

from tqdm import tqdm

from ex2.trainers.finished_batch import BatchCallback, FinishedBatch
from ex2.trainers.kl_controller import out_of_reach

WINDOW = 20
"""Number of batches looked at: the KL of the last ten is compared with that of the ten before."""


class KLWatch(BatchCallback):
    """Follows the KL of the finished batches and warns if its target is out of the controller's reach.

    Args:
        total: Number of batches in the run.
        enabled: True on the main process only.
    """

    def __init__(self, *, total: int, enabled: bool) -> None:
        self.total, self.enabled = total, enabled
        self._kls: deque[float] = deque(maxlen=WINDOW)
        self._batch = 0

    def on_batch(self, batch: FinishedBatch, args: Any, control: Any) -> None:
        """Take the batch's KL. With `WINDOW` batches seen and the target out of reach, warn once."""
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
