"""The hook by which the trainers tell callbacks of each finished batch, and what they tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from transformers import TrainerCallback

from ex2.trainers.kl_controller import KLController
from reward.completions import Completion


class FinishedBatch(NamedTuple):
    """A batch after its last update.

    Attributes:
        row: Its row for all loggers, with its number as `batch`, counted from 1; None where a number is not known.
        completions: Descriptions of the global batch, plain or as chat messages.
        scores: What the first reward gave each of them; NaN where it gave none.
        kl_controller: With the β of the next batch.
    """

    row: Mapping[str, Any]
    completions: Sequence[Completion]
    scores: Sequence[float]
    kl_controller: KLController


class BatchCallback(TrainerCallback):
    """A callback that `ex2.trainers.controlled` also calls once for each finished batch."""

    def on_batch(self, batch: FinishedBatch, args: Any, control: Any) -> None:
        """Take a finished batch; all loggers have had its row, and its checkpoint is not written yet.

        Args:
            batch: The batch.
            args: The trainer's arguments, an `ex2.trainers.config.ControlledArguments`.
            control: transformers' `TrainerControl`; changes to it are heeded.
        """
        raise NotImplementedError
