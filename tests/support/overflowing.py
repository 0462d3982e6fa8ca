"""What each process of test_ratio_guard.py does: one row of each rollout has ratios that overflow.

It trains as `two_processes` does, and writes down what the ratio guard left of the gradient of each minibatch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import two_processes

import ex2.trainers.ppo as ppo

OVERFLOWING = 3
"""Number of the row in the rollout of all processes."""
BY = 500.0
"""Log-ratio of its tokens, in nats, unless told otherwise: e^500 is no float32."""


class Steps:
    """What the guard left of each minibatch: whether its gradient is finite, and whether it is all zero.

    Args:
        by: Log-ratio of the row's tokens, in nats.
    """

    def __init__(self, by: float) -> None:
        self._by = by
        self.finite: list[bool] = []
        self.zero: list[bool] = []
        self._joined, self._judge = ppo.gather_rollout, ppo.PPOTrainer._judge_minibatch

    def __enter__(self) -> Steps:
        def joined(*given: Any) -> dict[str, torch.Tensor]:
            rollout = self._joined(*given)
            rollout["old_logprobs"][OVERFLOWING] -= self._by
            return rollout

        def judge(trainer: Any) -> None:
            self._judge(trainer)
            gradients = [p.grad for p in trainer.model.parameters() if p.grad is not None]
            self.finite.append(all(bool(gradient.isfinite().all()) for gradient in gradients))
            self.zero.append(not any(bool(gradient.any()) for gradient in gradients))

        ppo.gather_rollout, ppo.PPOTrainer._judge_minibatch = joined, judge  # type: ignore[method-assign]
        return self

    def __exit__(self, *error: object) -> None:
        ppo.gather_rollout, ppo.PPOTrainer._judge_minibatch = self._joined, self._judge  # type: ignore[method-assign]


def train(model: Path, folder: Path, processes: int, *, by: float = BY, **changes: Any) -> dict[str, Any]:
    """Train on this process's share; of `two_processes.train`'s results, with the steps added."""
    with Steps(by) as steps:
        found = two_processes.train(model, folder, processes, **changes)
    return {**found, "finite": steps.finite, "zero": steps.zero}


def main(model: Path, folder: Path, changes: dict[str, Any]) -> None:
    """Do one process's work; the arguments are those of `two_processes.main`."""
    two_processes.work(train, model, folder, changes)
