"""Checkpoints that survive a kill, each complete or recognisably torn; and files of parameters that devices share."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch.distributed.tensor import DTensor, distribute_tensor

from reward.errors import EX2Error
from reward.file_digests import FileDigest, digests_of, fault_of
from reward.files import AGAIN, read_record, usual_permissions
from reward.records import Record

_NAME = re.compile(r"checkpoint-\d+")

COMPLETE = "complete.json"
"""Name of the file that is written last into a checkpoint; a checkpoint without it is torn. It holds the sizes and
hashes of the checkpoint's other files."""


@dataclass(frozen=True)
class Complete(Record):
    """What `complete.json` holds of a checkpoint; earlier versions wrote nothing of this.

    Attributes:
        files: The checkpoint's other files.
        identity: Of the training that it is of, see `ex2.run.manifest`.
        log: The log of training when the checkpoint was written.
    """

    files: Mapping[str, FileDigest] | None = None
    identity: str = ""
    log: FileDigest | None = None


def newest_checkpoint(folder: Path, *, of: str = "", say: Callable[[str], object] | None = None) -> Path | None:
    """Return a run's newest checkpoint whose files are what was written, None if it has none.

    Torn checkpoints are ignored. One with a damaged or missing file is passed over for the one before.

    Args:
        folder: Folder of the run's checkpoints.
        of: Identity of the training; a checkpoint of another one is passed over too. Empty: it is not known.
        say: Is told in one line of each checkpoint that is passed over, and of one that could not be checked.
    """
    passed_over = False
    for checkpoint in sorted(_complete_checkpoints(folder), key=_step, reverse=True):
        fault = checkpoint_fault(checkpoint, of)
        if fault is None and say:
            say(f"{checkpoint}: made before files were hashed: not checked")
        if not fault:
            return checkpoint
        passed_over = True
        if say:
            say(f"{checkpoint}: passed over: {fault}")
    if passed_over and say:
        say(f"{folder}: no checkpoint is left: training starts from the beginning")
    return None


def checkpoint_fault(checkpoint: Path, of: str = "") -> str | None:
    """Compare a complete checkpoint's files with `complete.json`.

    Args:
        checkpoint: Its folder.
        of: Identity of the training that it must be of; empty if that is not known.

    Returns:
        The first file that differs and how; empty if none does; None if an earlier version wrote the checkpoint, so
        that its files cannot be checked.
    """
    try:
        known = read_complete(checkpoint)
    except EX2Error as error:
        return str(error).removeprefix(f"{checkpoint}/").removesuffix(f"; {AGAIN}.")
    if of and known.identity and known.identity != of:
        return "is of another seed or run"
    return None if known.files is None else fault_of(checkpoint, known.files)


def read_complete(checkpoint: Path) -> Complete:
    """Read a checkpoint's `complete.json`.

    Raises:
        UserError: If it is not what a stage writes.
    """
    return read_record(checkpoint / COMPLETE, Complete.from_json)


def mark_complete(folder: Path, content: dict[str, Any]) -> None:
    """Write `complete.json` in one step, after everything else in the folder has reached the disk.

    Args:
        folder: The checkpoint.
        content: What the file holds, beside the sizes and hashes of the other files.
    """
    usual_permissions(folder)
    (folder / COMPLETE).unlink(missing_ok=True)
    files = {name: one.to_json() for name, one in digests_of(folder).items()}
    for path in [*folder.rglob("*"), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    unfinished = folder / f".{COMPLETE}"
    unfinished.write_text(json.dumps(content | {"files": files}))
    unfinished.replace(folder / COMPLETE)


def delete_old_checkpoints(folder: Path, *, keep: int | None, newest: Path | None = None) -> None:
    """Delete torn checkpoints, and of the complete ones all but the newest `keep`; the newest always stays.

    Checkpoints of later steps than the newest were passed over when training went on from one before. They are deleted.

    `complete.json` is the first file of a checkpoint to be deleted, so that one whose deletion is interrupted is torn
    and not taken for a complete one.

    Args:
        folder: Folder of a run's checkpoints.
        keep: Number of complete checkpoints to keep; None keeps all.
        newest: The checkpoint that has just been written; None takes the one of the latest step.
    """
    complete = sorted(_complete_checkpoints(folder), key=_step)
    if newest is not None:
        complete = [path for path in complete if _step(path) <= _step(newest)]
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
    return [path for path in folder.glob("checkpoint-*") if _NAME.fullmatch(path.name) and (path / COMPLETE).is_file()]


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])
