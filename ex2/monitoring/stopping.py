"""Ends a run that was told to end, after the batch under way and with its checkpoint."""

from __future__ import annotations

from typing import Any

from accelerate.utils import gather_object

from ex2.trainers.finished_batch import BatchCallback, FinishedBatch
from reward.signals import Told


class StopWhenTold(BatchCallback):
    """Looks after each batch whether any process of the run was told to end; then all of them end, after this batch.

    A run that ends anyway, since it is done or a rule stops it, ends as it would have.

    Attributes:
        told: Says whether this process was told to end.
        has_stopped: Whether the run ends because of that; its newest checkpoint is then of the newest batch.
    """

    def __init__(self) -> None:
        self.told = Told()
        self.has_stopped = False

    def on_batch(self, batch: FinishedBatch, args: Any, control: Any) -> None:
        """End training if a process was told to, with a checkpoint."""
        if args.world_size > 1:
            self.told.number = max(gather_object([self.told.number]))
        if self.told.number and not control.should_training_stop:
            self.has_stopped = control.should_save = control.should_training_stop = True
            self.told.said = f"after batch {batch.row['batch']}, which is kept"
