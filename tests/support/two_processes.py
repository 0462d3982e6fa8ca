"""What each of the processes of test_scale.py does: it trains a few batches and writes down what it saw.

That is `process-N.pt`: losses of every update, minibatches, rows of the log, the trained weights.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tiny_trainers import Letters, make_ppo

GLOBAL = {"minibatch": 8, "batch": 32}


def train(model: Path, folder: Path, processes: int, **changes: Any) -> dict[str, Any]:
    """Train on this process's share and return what is compared."""
    micro = changes.pop("micro", GLOBAL["minibatch"] // processes)
    local = GLOBAL["minibatch"] // processes
    trainer = make_ppo(
        model,
        folder,
        batches=2,
        micro=micro,
        reward=Letters(none_from=changes.pop("none_from", 10_000)),
        prompts=40,
        gradient_accumulation_steps=local // micro,
        steps_per_generation=GLOBAL["batch"] // processes // micro,
        max_steps=2 * 2 * 4,
        logging_steps=8,
        save_steps=8,
        kl_horizon=100,
        ddp_find_unused_parameters=False,
        **changes,
    )
    rows: list[dict[str, Any]] = []
    log = trainer.log

    def keep(*args: Any, **kwargs: Any) -> None:
        log(*args, **kwargs)
        if "batch" in trainer.batch_log and trainer.batch_log not in rows:
            rows.append(dict(trainer.batch_log))

    trainer.log = keep  # type: ignore[method-assign]
    minibatches: list[list[list[int]]] = []
    prepare = trainer._prepare_inputs

    def watch(batch: Any) -> Any:
        inputs = prepare(batch)
        minibatches.append(
            [
                ids[mask.bool()].tolist()
                for ids, mask in zip(inputs["completion_ids"], inputs["completion_mask"], strict=True)
            ]
        )
        return inputs

    trainer._prepare_inputs = watch  # type: ignore[method-assign]
    trainer.train()
    return {
        "rows": rows,
        "losses": [[u.policy_loss, u.value_loss] for u in trainer.updates],
        "minibatches": minibatches,
        "kl_coef": trainer.kl_controller.coef,
        "score_mean": trainer.score_mean,
        "weights": {n: p.detach().clone() for n, p in trainer.model.named_parameters() if p.requires_grad},
        "processes": trainer.accelerator.num_processes,
        "backend": str(torch.distributed.get_backend()) if torch.distributed.is_initialized() else "none",
        "wrapper": type(trainer.model_wrapped).__name__,
    }


def main(model: Path, folder: Path, changes: dict[str, Any]) -> None:
    """Do one process's work.

    Args:
        model: Folder of the model.
        folder: Of what is written.
        changes: Settings other than `train`'s.
    """
    work(train, model, folder, changes)


def work(train: Callable[..., dict[str, Any]], model: Path, folder: Path, changes: dict[str, Any]) -> None:
    """Call a function that trains as one of the processes, and write down what it returns.

    Args:
        train: Takes model, folder, the number of processes and the changes.
        model: As in `main`.
        folder: As in `main`.
        changes: As in `main`.
    """
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    from accelerate import PartialState

    from ex2.runtime import leave_process_group

    state = PartialState(cpu=True)
    found = train(model, folder / "run", state.num_processes, **changes)
    torch.save(found, folder / f"process-{state.process_index}.pt")
    leave_process_group()
