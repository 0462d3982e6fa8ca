"""Watches a run: rules that warn or stop, and the best checkpoint from before the trouble."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from accelerate.utils import broadcast_object_list
from tqdm import tqdm

from ex2.monitoring.rules import Firing, Row, Rule, Watch, objective
from ex2.trainers.checkpoints import COMPLETE, checkpoint_fault
from ex2.trainers.finished_batch import BatchCallback, FinishedBatch
from reward.errors import UserError
from reward.files import JSON, new_folder, read_record

BEST = "best"
BEST_STATE = "best.json"


class Guard(BatchCallback):
    """Applies rules to each batch: warns when a rule fires, and stops training if the rule's action is `stop`.

    If any rule can stop training, the best checkpoint is kept in the folder `best` beside the newest ones, in addition
    to those that `save_total_limit` allows. It is the one with the largest mean reward − β · KL over the ten batches
    before it. Checkpoints written while a stopping rule's metric is beyond its limit are not considered. The files in
    `best` are hard links, so they take no space while the checkpoint itself exists.

    Args:
        rules: The rules to apply.
        checkpoints: Folder of the run's checkpoints.
        earlier: Rows of the log up to the batch after which a resumed run starts; the rules count on from there.
        enabled: True on the main process only, which decides for all processes.
        say: Shows a message to the user.
    """

    def __init__(
        self,
        rules: Sequence[Rule],
        *,
        checkpoints: Path,
        earlier: Sequence[Row] = (),
        enabled: bool = True,
        say: Callable[[str], object] = tqdm.write,
    ) -> None:
        self.checkpoints, self.enabled, self.say = checkpoints, enabled, say
        self.stopped_by: Firing | None = None
        self._watch = Watch(rules)
        self._stops = any(rule.action == "stop" for rule in rules)
        self._rows: list[Row] = list(earlier)
        for row in self._rows:
            self._watch.update(row)

    def on_batch(self, batch: FinishedBatch, args: Any, control: Any) -> None:
        """Apply the rules to the batch's row: warn, or end training."""
        row = batch.row
        if row["batch"] <= (self._rows[-1]["batch"] if self._rows else 0):
            return
        self._rows.append(dict(row))
        stopping: Firing | None = None
        for firing in self._watch.update(row) if self.enabled else ():
            if firing.rule.action == "stop":
                stopping = stopping or firing
            else:
                self.say(f"warning: batch {firing.batch}: {firing}")
        if args.world_size > 1 and self._stops:
            (stopping,) = broadcast_object_list([stopping])
        if stopping is not None:
            self.stopped_by = stopping
            control.should_training_stop = True
            if self.enabled:
                self.say(f"stopped: batch {stopping.batch}: {stopping}")

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Keep the new checkpoint if it is the best so far.

        One that was written because the run was told to end does not count: a run that nobody stops has none there.
        """
        if not (self.enabled and self._stops) or self._watch.in_trouble:
            return
        if state.global_step % args.save_steps and state.global_step < state.max_steps:
            return
        value = objective(self._rows)
        best = read_best(self.checkpoints)
        if value is None or (best is not None and best["objective"] >= value):
            return
        batch = int(self._rows[-1]["batch"])
        _keep(self.checkpoints / f"checkpoint-{state.global_step}", self.checkpoints / BEST, batch, value)

    def settle(self, load_checkpoint: Callable[[Path], object], of: str = "") -> dict[str, Any]:
        """After training: if a rule stopped it, go back to the best checkpoint. Every process calls it.

        Args:
            load_checkpoint: Loads the checkpoint in a folder into the trainer.
            of: Identity of the training that the checkpoint must be of; empty if it is not known.

        Returns:
            Keys for the adapter's `training.json` that say when and why training was stopped and which batch's
            checkpoint was kept; empty if no rule stopped it.

        Raises:
            UserError: If a rule stopped the run before there was a checkpoint to go back to, or if that one is damaged
                or of another training.
        """
        if self.stopped_by is None:
            return {}
        best = read_best(self.checkpoints)
        if best is None:
            raise UserError(
                f"batch {self.stopped_by.batch}: {self.stopped_by}: training stopped, and there is no checkpoint from "
                f"before batch {self.stopped_by.since} to keep. Lower training.save_every, lower rl.learning_rate or "
                f"raise rl.kl.init_coef; or change the rule (watch.rules, or watch.on_trouble=warn). To start again, "
                f"move {self.checkpoints} away."
            )
        fault = checkpoint_fault(self.checkpoints / BEST, of)
        if fault:
            raise UserError(
                f"batch {self.stopped_by.batch}: {self.stopped_by}: training stopped, and the best checkpoint "
                f"cannot be used: {self.checkpoints / BEST}: {fault}. To start again, move {self.checkpoints} away."
            )
        load_checkpoint(self.checkpoints / BEST)
        if self.enabled:
            self.say(f"kept: the checkpoint of batch {best['batch']}, {self.checkpoints / BEST}")
        return {"stopped_at": self.stopped_by.batch, "stopped_by": str(self.stopped_by), "kept_batch": best["batch"]}


def read_best(checkpoints: Path) -> dict[str, Any] | None:
    """Return batch and objective of the best checkpoint that was kept, or None if there is none."""
    path = checkpoints / BEST / BEST_STATE
    return read_record(path, _best_state, remedy=f"move {path.parent} away") if path.is_file() else None


def _best_state(stored: JSON) -> dict[str, Any]:
    return {"batch": int(stored["batch"]), "objective": float(stored["objective"])}


def _keep(checkpoint: Path, best: Path, batch: int, value: float) -> None:
    """Make a complete checkpoint the best one; if the process is killed meanwhile, the old, the new or none stays."""
    if not (checkpoint / COMPLETE).is_file():
        return
    with new_folder(best) as folder:
        shutil.copytree(checkpoint, folder, copy_function=_link)
        (folder / BEST_STATE).write_text(json.dumps({"batch": batch, "objective": value}), encoding="utf-8")


def _link(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copy2(source, target)
    return target
