"""The end of a run in which a value is infinite or NaN: the batch is kept, and the last good checkpoint named."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import torch
from safetensors.torch import save_file

from ex2.trainers.checkpoints import newest_checkpoint
from reward.errors import UserError
from reward.files import write_json, writing

FOLDER = "not_finite"
REMEDY = (
    "Lower rl.learning_rate, set rl.max_grad_norm (such as 1.0), or check policy.dtype; then the same command "
    "continues from there."
)


def stop_not_finite(
    what: str,
    value: float,
    *,
    checkpoints: Path,
    batch: int,
    rows: Sequence[Mapping[str, Any]] = (),
    tensors: Mapping[str, torch.Tensor] | None = None,
    process: int = 0,
    remedy: str = REMEDY,
) -> NoReturn:
    """Write the batch to files and end the run.

    Args:
        what: The quantity, such as `the gradient's norm`.
        value: Its value, infinite or NaN.
        checkpoints: Folder of the run's checkpoints; the batch goes into its subfolder `not_finite`.
        batch: Number of the batch, counted from 1.
        rows: The batch's descriptions.
        tensors: Tensors that the update was computed from.
        process: Number of this process.
        remedy: Last sentence of the message: what the user can do.

    Raises:
        UserError: Always.
        EnvironmentFault: If the batch cannot be written.
    """
    folder = checkpoints / FOLDER / f"batch-{batch}"
    name = f"process-{process}"
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_json(
            folder / f"{name}.json",
            {"what": what, "value": repr(float(value)), "batch": batch, "descriptions": [_plain(row) for row in rows]},
        )
        if tensors:
            # clones: safetensors refuses tensors that share memory
            plain = {key: tensor.detach().cpu().clone().contiguous() for key, tensor in tensors.items()}
            save_file(plain, folder / f"{name}.safetensors")
    good = newest_checkpoint(checkpoints)
    last = f"the last good checkpoint is {good}" if good else "there is no checkpoint yet"
    raise UserError(f"batch {batch}: {what}: {float(value)}. The batch is kept in {folder}; {last}. {remedy}")


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row with NaN and infinity, which JSON does not have, as text."""
    return {
        key: repr(value) if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in row.items()
    }
