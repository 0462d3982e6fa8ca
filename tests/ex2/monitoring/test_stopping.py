"""A run that is told to end: after which batch, with which checkpoint, and what a run that nobody told would keep."""

from __future__ import annotations

import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ex2.monitoring.guard import Guard, read_best
from ex2.monitoring.rules import Rule
from ex2.monitoring.stopping import StopWhenTold
from ex2.trainers.finished_batch import FinishedBatch
from ex2.trainers.kl_controller import KLController


def finished(number: int) -> FinishedBatch:
    row = {"batch": number, "reward_mean": float(number), "kl": 1.0, "kl_coef": 0.0}
    return FinishedBatch(row, [], [], KLController(coef=0.1, target=10.0, horizon=100))


def told(stop: StopWhenTold, *, processes: int = 1, ends_anyway: bool = False) -> Any:
    control = SimpleNamespace(should_save=False, should_training_stop=ends_anyway)
    stop.on_batch(finished(3), SimpleNamespace(world_size=processes), control)
    return control


def test_nobody_told() -> None:
    stop = StopWhenTold()
    assert vars(told(stop)) == {"should_save": False, "should_training_stop": False}
    assert (stop.has_stopped, stop.told.number) == (False, 0)


def test_told_it_ends_with_a_checkpoint() -> None:
    stop = StopWhenTold()
    stop.told.number = signal.SIGINT
    assert vars(told(stop)) == {"should_save": True, "should_training_stop": True}
    assert (stop.has_stopped, stop.told.said) == (True, "after batch 3, which is kept")


def test_a_run_that_ends_anyway_ends_as_it_would() -> None:
    """What a rule decided would be forgotten by a run that goes on from a checkpoint after it."""
    stop = StopWhenTold()
    stop.told.number = signal.SIGTERM
    assert vars(told(stop, ends_anyway=True)) == {"should_save": False, "should_training_stop": True}
    assert (stop.has_stopped, stop.told.said) == (False, "")


def test_all_processes_end_with_the_one_that_was_told(monkeypatch: pytest.MonkeyPatch) -> None:
    gathered: list[int] = []

    def gather(own: list[int]) -> list[int]:
        gathered.extend(own)
        return [*own, signal.SIGTERM]

    monkeypatch.setattr("ex2.monitoring.stopping.gather_object", gather)
    stop = StopWhenTold()
    assert told(stop, processes=2).should_training_stop
    assert (gathered, stop.told.number) == ([0], signal.SIGTERM)


def test_a_checkpoint_that_was_not_due_is_not_the_best(tmp_path: Path) -> None:
    """Else the adapter of a run that a rule stops would depend on when somebody interrupted it."""
    guard = Guard([Rule("kl", above=9, action="stop")], checkpoints=tmp_path, say=lambda _: None)
    best = []
    for number, step in ((1, 8), (2, 12), (3, 20)):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "complete.json").write_text("{}")
        control = SimpleNamespace(should_training_stop=False)
        guard.on_batch(finished(number), SimpleNamespace(world_size=1), control)
        guard.on_save(SimpleNamespace(save_steps=8), SimpleNamespace(global_step=step, max_steps=20), control)
        best.append(read_best(tmp_path))
    # the mean rewards so far are 1, 1.5 and 2; a run's last checkpoint is due whatever its number
    assert best == [{"batch": 1, "objective": 1.0}, {"batch": 1, "objective": 1.0}, {"batch": 3, "objective": 2.0}]
