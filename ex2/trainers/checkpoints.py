"""Checkpoints that survive a kill, each complete or recognisably torn; and files of parameters that devices share."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch.distributed.tensor import DTensor, distribute_tensor

from reward.files import usual_permissions

COMPLETE = "complete.json"
"""Name of the file that is written last into a checkpoint; a checkpoint without it is torn."""


def newest_checkpoint(folder: Path) -> Path | None:
    """Return a run's newest complete checkpoint, None if it has none; torn ones are ignored."""
    return max(_complete_checkpoints(folder), key=_step, default=None)


def mark_complete(folder: Path, content: dict[str, Any]) -> None:
    """Write `complete.json` in one step, after everything else in the folder has reached the disk."""
    usual_permissions(folder)
    for path in [*folder.rglob("*"), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    unfinished = folder / f".{COMPLETE}"
    unfinished.write_text(json.dumps(content))
    unfinished.replace(folder / COMPLETE)


def delete_old_checkpoints(folder: Path, *, keep: int | None) -> None:
    """Delete torn checkpoints, and of the complete ones all but the newest `keep`; the newest always stays.

    `complete.json` is the first file of a checkpoint to be deleted, so that one whose deletion is interrupted is torn
    and not taken for a complete one.

    Args:
        folder: Folder of a run's checkpoints.
        keep: Number of complete checkpoints to keep; None keeps all.
    """
    complete = sorted(_complete_checkpoints(folder), key=_step)
    kept = complete if not keep else complete[-keep:]
    for path in folder.glob("checkpoint-*"):
        if path not in kept:
            with suppress(FileNotFoundError):
                (path / COMPLETE).unlink()
            shutil.rmtree(path, ignore_errors=True)


def save_parameters(module: torch.nn.Module, path: Path, *, gathering: Any, write: bool) -> None:
    """Write a module's parameters as safetensors, in full also if they are sharded; all processes must call this.

    Args:
        module: The module; FSDP 2 or ZeRO-3 may have sharded its parameters.
        path: File to write.
        gathering: TRL's `DistributedBackend`, which knows about ZeRO-3.
        write: Whether this process writes.
    """
    parameters = dict(module.named_parameters())
    with gathering.gather_params(list(parameters.values())):
        tensors = {name: _whole(value.detach()).cpu().clone() for name, value in parameters.items()}
    if write:
        save_file(tensors, path)


def load_parameters(module: torch.nn.Module, path: Path, *, gathering: Any) -> None:
    """Load into a module what `save_parameters` wrote; all processes must call this. Arguments as there.

    Raises:
        KeyError: If the file lacks a parameter.
    """
    tensors = load_file(path)
    parameters = dict(module.named_parameters())
    with torch.no_grad(), gathering.gather_params(list(parameters.values())):
        for name, parameter in parameters.items():
            value = tensors[name].to(parameter.device, parameter.dtype)
            if isinstance(parameter, DTensor):
                value = distribute_tensor(value, parameter.device_mesh, parameter.placements)
            parameter.copy_(value)


def _whole(value: torch.Tensor) -> torch.Tensor:
    whole: torch.Tensor = value.full_tensor() if isinstance(value, DTensor) else value
    return whole.contiguous()


def _complete_checkpoints(folder: Path) -> list[Path]:
    return [path for path in folder.glob("checkpoint-*") if (path / COMPLETE).is_file()]


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])
